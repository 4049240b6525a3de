/* Parts of contract.c: rewards of an account that was counted by hand. */
#include "contract.h"

#include <math.h>

/*
 * Stage 0: a makes 3 steps and b 2, both finished. Stage 1: a makes 1 step in vain and c 1, cancelled. Stage 2 is the main agent's alone.
 * Critical: 3 of the main agent + 3 + 1 = 7. All: 3 + 4 + 2 + 1 = 10.
 */
#define TASK(agent, task, stage, steps, outcome) \
    "{\"agent\": " agent ", \"task\": " task ", \"stage\": " stage ", \"steps\": " steps ", \"outcome\": " outcome "}"
#define AGENTS_OF(a) "\"agents\": [{\"steps\": 3}, {\"steps\": " a ", \"name\": \"a\"}, {\"steps\": 2}, {\"steps\": 1}]"
#define ACCOUNT(limit, agents, last) \
    "{\"agent_limit\": " limit ", " agents ", \"tasks\": [" TASK("1", "1", "0", "3", "\"finished\"") ", " \
    TASK("2", "1", "0", "2", "\"finished\"") ", " TASK("1", "2", "1", "1", "\"failed\"") ", " last "], \"more\": [1]}"
static const char account[] = ACCOUNT("5", AGENTS_OF("4"), TASK("3", "1", "1", "1", "\"cancelled\""));

static void close_to(double found, double wanted, const char *name) {
    CHECK(fabs(found - wanted) < 1e-12, "%s is %.17g, not %.17g", name, found, wanted);
}

static void values(void) {
    kimi_error *error = NULL;
    kimi_rewards found = {.struct_size = sizeof found};
    EXPECT(KIMI_OK, kimi_reward_compute(account, KIMI_NUL, 0.8, NULL, &found, &error));
    /* Two agents of five in both stages: (2 - 1) / (5 - 1). Two of four tasks. 1 - 7/10. */
    close_to(found.parallel, 0.25, "parallel");
    close_to(found.finish, 0.5, "finish");
    close_to(found.quality, 0.8, "quality");
    close_to(found.efficiency, 0.3, "efficiency");
    close_to(found.training, 0.1 * 0.25 + 0.1 * 0.5 + 0.8, "training");
    close_to(found.final_form, 0.8 * 0.8 + 0.2 * 0.3, "final_form");

    kimi_reward_options options;
    EXPECT_STATUS(KIMI_OK, kimi_reward_options_init(&options, sizeof options));
    close_to(options.lambda1, 0.1, "lambda1");
    options.lambda1 = 2;
    options.lambda2 = 0;
    options.width = 2;
    options.progress = 0.25;
    EXPECT(KIMI_OK, kimi_reward_compute(account, sizeof account - 1, 1, &options, &found, &error));
    close_to(found.parallel, 1, "parallel of two");
    close_to(found.lambda1, 1.5, "lambda1 at a quarter");
    close_to(found.training, 1.5 + 1, "training at a quarter");
    options.annealing = KIMI_ANNEALING_COSINE;
    options.progress = 1.0 / 3;
    EXPECT(KIMI_OK, kimi_reward_compute(account, KIMI_NUL, 0, &options, &found, &error));
    /* cos 60 degrees is a half. */
    close_to(found.lambda1, 1.5, "lambda1 by a cosine");
    options.progress = 1;
    EXPECT(KIMI_OK, kimi_reward_compute(account, KIMI_NUL, 0.5, &options, &found, &error));
    close_to(found.lambda1, 0, "lambda1 at the end");
    close_to(found.training, 0.5, "training at the end");

    /* Nothing was assigned: no rewards for it, and no division by nothing. */
    const char *alone = "{\"agent_limit\": 5, \"agents\": [{\"steps\": 0}], \"tasks\": []}";
    EXPECT(KIMI_OK, kimi_reward_compute(alone, KIMI_NUL, 1, NULL, &found, &error));
    close_to(found.parallel + found.finish + found.efficiency, 0, "what was not done");
    /* A shorter struct gets what it has room for. */
    memset(&found, 0xa5, sizeof found);
    found.struct_size = offsetof(kimi_rewards, quality);
    EXPECT(KIMI_OK, kimi_reward_compute(account, KIMI_NUL, 1, NULL, &found, &error));
    unsigned char untouched[sizeof(double)];
    memset(untouched, 0xa5, sizeof untouched);
    CHECK(found.finish == 0.5 && memcmp(&found.quality, untouched, sizeof untouched) == 0, "wrote behind the caller's struct");
}

static void refusals(void) {
    kimi_error *error = NULL;
    kimi_rewards found = {.struct_size = sizeof found};
    kimi_reward_options options;
    const double qualities[] = {NAN, -0.1, 1.1, INFINITY, -INFINITY};
    for (size_t i = 0; i < 5; i++)
        EXPECT_SAYING("quality", KIMI_ERROR_INVALID_ARGUMENT, kimi_reward_compute(account, KIMI_NUL, qualities[i], NULL, &found, &error));
#define REFUSED(field, value) \
    do { \
        kimi_reward_options_init(&options, sizeof options); \
        options.field = (value); \
        EXPECT_SAYING(#field, KIMI_ERROR_INVALID_ARGUMENT, kimi_reward_compute(account, KIMI_NUL, 1, &options, &found, &error)); \
    } while (0)
    REFUSED(lambda1, NAN);
    REFUSED(lambda1, -1);
    REFUSED(lambda2, INFINITY);
    REFUSED(lambda2, NAN);
    REFUSED(progress, NAN);
    REFUSED(progress, 1.01);
    REFUSED(progress, -0.01);
    REFUSED(width, 1);
    REFUSED(width, -5);
    REFUSED(width, INT64_MIN);
    REFUSED(annealing, 0);
    REFUSED(annealing, 3);
    REFUSED(struct_size, 0);

    static const char *const wrong[][2] = {
        {"", "account"}, {"{", "account"}, {"[]", "object"}, {"{}", "agent_limit"}, {"{\"agent_limit\": 1001}", "agent_limit"},
        {"{\"agent_limit\": 5, \"agents\": []}", "agents"}, {"{\"agent_limit\": 5, \"agents\": [5], \"tasks\": []}", "agents[0].steps"},
        {"{\"agent_limit\": 5, \"agents\": [{\"steps\": 1e300}], \"tasks\": []}", "agents[0].steps"},
        {"{\"agent_limit\": 5, \"agents\": [{\"steps\": 1}]}", "tasks"},
        {"{\"agent_limit\": 5, \"agents\": [{\"steps\": 1}], \"tasks\": [{\"agent\": 1}]}", "tasks[0].agent"},
        {ACCOUNT("5", AGENTS_OF("4"), TASK("4", "1", "1", "1", "null")), "tasks[3].agent"},
        {ACCOUNT("5", AGENTS_OF("4"), TASK("0", "1", "1", "1", "null")), "tasks[3].agent"},
        {ACCOUNT("5", AGENTS_OF("4"), TASK("3", "1", "-1", "1", "null")), "tasks[3].stage"},
        {ACCOUNT("5", AGENTS_OF("4"), TASK("3", "1", "1", "1.5", "null")), "tasks[3].steps"},
        {ACCOUNT("5", AGENTS_OF("4"), TASK("3", "1", "1", "1", "\"done\"")), "tasks[3].outcome"},
        {ACCOUNT("5", AGENTS_OF("99999999999"), TASK("3", "1", "1", "1", "null")), "agents[1].steps"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_SAYING(wrong[i][1], KIMI_ERROR_INVALID_ARGUMENT, kimi_reward_compute(wrong[i][0], KIMI_NUL, 1, NULL, &found, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_reward_compute(NULL, KIMI_NUL, 1, NULL, &found, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_reward_compute(account, SIZE_MAX - 1, 1, NULL, &found, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_reward_compute("\xff", 1, 1, NULL, &found, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_reward_compute(account, KIMI_NUL, 1, NULL, NULL, &error));
    found.struct_size = 7;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_reward_compute(account, KIMI_NUL, 1, NULL, &found, &error));
}

void contract_rewards(void) {
    values();
    refusals();
}
