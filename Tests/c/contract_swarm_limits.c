/* Parts of contract.c: budgets of swarms, whose tool is whose, and how many calls run at the same time. */
#include "contract_swarm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static swarm_log log_;

static kimi_status run(kimi_session *session, const char *request, const kimi_swarm_options *options, kimi_status wanted) {
    kimi_error *error = NULL;
    memset(&log_, 0, sizeof log_);
    return EXPECT(wanted, kimi_swarm_run(session, request, KIMI_NUL, options, log_event, &log_, &error));
}

static int32_t wait_long(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    (void)call, (void)result;
    for (int i = 0; i < 10000 && !atomic_load((atomic_int *)user_data); i++) usleep(1000);
    return 0;
}

static void budgets(kimi_model *model) {
    kimi_error *error = NULL;
    kimi_session *session = new_session(model);
    int calls = 0;
    kimi_tool tool = look_tool(looked, &calls);
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));

    kimi_swarm_options options = swarm_options(model, 3, 4);
    options.task_steps = 1;
    run(session, main_request(model, ""), &options, KIMI_OK);
    CHECK(log_.outcomes[KIMI_OUTCOME_STEPS] == 2 && log_.budgets[KIMI_BUDGET_TASK_STEPS] == 2 && calls == 0, "%s", log_.text[1]);

    options = swarm_options(model, 3, 4);
    options.task_tokens = 5;
    run(session, main_request(model, ""), &options, KIMI_OK);
    CHECK(log_.outcomes[KIMI_OUTCOME_TOKENS] == 2 && log_.budgets[KIMI_BUDGET_TASK_TOKENS] == 2, "%s", log_.text[1]);
    CHECK(strstr(log_.result, "its 5 tokens"), "%s", log_.result);

    options = swarm_options(model, 3, 4);
    options.all_tokens = 30;
    run(session, main_request(model, ""), &options, KIMI_OK);
    CHECK(log_.finish_reason == KIMI_FINISH_LENGTH && log_.budgets[KIMI_BUDGET_ALL_TOKENS] == 1, "reason %d", log_.finish_reason);

    /* The result is the sub-agent's last answer: without a bias to its end a long one. */
    options = swarm_options(model, 3, 3);
    options.agent_request = "{\"max_tokens\": 20}";
    options.result_bytes = 1;
    run(session, main_request(model, ""), &options, KIMI_OK);
    CHECK(log_.outcomes[KIMI_OUTCOME_LENGTH] == 1 && log_.cuts == 1 && strstr(log_.result, "more bytes were left out]"), "%s",
          log_.text[1]);

    /* One agent may be alive, and more are asked for. */
    log_.budgets[KIMI_BUDGET_AGENTS] = 0;
    for (uint64_t seed = 1; seed < 40 && log_.budgets[KIMI_BUDGET_AGENTS] == 0; seed++) {
        options = swarm_options(model, seed, 2);
        options.agent_limit = 1;
        run(session, many_request(model, ""), &options, KIMI_OK);
    }
    CHECK(log_.budgets[KIMI_BUDGET_AGENTS] == 1 && log_.agents == 1 && strstr(log_.text[0], "1 sub-agents are alive"), "%s",
          log_.text[0]);

    /* Time: of a task whose tool does not come back, and of the whole. */
    static atomic_int done;
    tool = look_tool(wait_long, &done);
    tool.any_thread = 1;
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    options = swarm_options(model, 3, 3);
    options.task_milliseconds = 50;
    run(session, main_request(model, ""), &options, KIMI_OK);
    CHECK(log_.outcomes[KIMI_OUTCOME_TIME] == 1 && log_.budgets[KIMI_BUDGET_TASK_TIME] == 1, "%s", log_.text[1]);
    options = swarm_options(model, 3, 3);
    options.all_milliseconds = 300;
    run(session, main_request(model, ""), &options, KIMI_ERROR_CANCELLED);
    CHECK(log_.budgets[KIMI_BUDGET_ALL_TIME] >= 1 && log_.finish_reason == KIMI_FINISH_CANCELLED, "reason %d", log_.finish_reason);
    /* And a tool's own limit: the task goes on. */
    tool.timeout_milliseconds = 30;
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    options = swarm_options(model, 3, 3);
    run(session, main_request(model, ""), &options, KIMI_OK);
    CHECK(log_.outcomes[KIMI_OUTCOME_FINISHED] == 1, "%s", log_.text[1]);
    atomic_store(&done, 1);
    kimi_session_destroy(session);
}

#define NAMED "\"tool_choice\": {\"type\": \"function\", \"function\": {\"name\": \"look\"}}"

/* A tool that is named must be declared: so it is seen whose it is. */
static void scopes(kimi_model *model) {
    kimi_error *error = NULL;
    kimi_session *session = new_session(model);
    const char *agents = "{\"max_tokens\": 2, " NAMED "}";
    const char *main =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Look.\"}], \"max_tokens\": 2, \"mode\": \"instant\", " NAMED "}";
    const char *plain = "{\"messages\": [{\"role\": \"user\", \"content\": \"Look.\"}], \"max_tokens\": 2, \"mode\": \"instant\"}";
    int calls = 0;
    for (int32_t scope = KIMI_SCOPE_ALL; scope <= KIMI_SCOPE_AGENTS; scope++) {
        kimi_tool tool = look_tool(looked, &calls);
        tool.scope = scope;
        EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
        kimi_status of_main = scope == KIMI_SCOPE_AGENTS ? KIMI_ERROR_INVALID_ARGUMENT : KIMI_OK;
        kimi_status of_agents = scope == KIMI_SCOPE_MAIN ? KIMI_ERROR_INVALID_ARGUMENT : KIMI_OK;
        EXPECT(of_main, kimi_session_send(session, main, KIMI_NUL, NULL, NULL, NULL, &error));
        EXPECT(of_main, kimi_swarm_run(session, main, KIMI_NUL, NULL, NULL, NULL, &error));
        kimi_swarm_options options;
        EXPECT_STATUS(KIMI_OK, kimi_swarm_options_init(&options, sizeof options));
        options.agent_request = agents;
        options.agent_request_length = strlen(agents);
        EXPECT_SAYING(of_agents ? "agent_request.tool_choice" : "", of_agents,
                      kimi_swarm_run(session, plain, KIMI_NUL, &options, NULL, NULL, &error));
    }
    kimi_session_destroy(session);
}

/* What the callback below counts. */
static struct {
    atomic_int inside, most, calls;
    pthread_t host;
    bool on_host;
} seen;

static int32_t count(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    (void)result, (void)user_data;
    int now = ++seen.inside, most = seen.most;
    while (now > most && !atomic_compare_exchange_weak(&seen.most, &most, now)) continue;
    CHECK(!pthread_equal(pthread_self(), seen.host) != seen.on_host, "on the wrong thread");
    size_t length = strlen(call->agent_name);
    CHECK(call->agent > 0 && call->agent < AGENTS && length % 2 == 1 && call->agent_name[length - 1] == ' ', "agent %d '%s'",
          call->agent, call->agent_name);
    seen.calls++;
    usleep(20000);
    seen.inside--;
    return 0;
}

static void at_the_same_time(kimi_model *model) {
    kimi_error *error = NULL;
    kimi_session *session = new_session(model);
    seen.host = pthread_self();
    static const struct {
        int32_t any_thread, parallel_limit, parallel_tools, parallel_agents;
        int most;
    } limits[] = {{1, 0, 0, 0, AGENTS}, {0, 0, 0, 0, 1}, {1, 1, 0, 0, 1}, {1, 0, 1, 0, 1}, {1, 0, 0, 1, 1}};
    /* The first, without limits, looks for a seed with which agents call at the same time. */
    uint64_t seed = 1;
    int calls = 0;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i += i > 0 || seen.most > 1 || seed > 40) {
        kimi_tool tool = look_tool(count, NULL);
        tool.any_thread = limits[i].any_thread;
        tool.parallel_limit = limits[i].parallel_limit;
        EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
        kimi_swarm_options options = swarm_options(model, seed, 4);
        options.parallel_tools = limits[i].parallel_tools;
        options.parallel_agents = limits[i].parallel_agents;
        seen.on_host = !limits[i].any_thread;
        seen.most = seen.calls = 0;
        run(session, many_request(model, ""), &options, KIMI_OK);
        CHECK(seen.most <= limits[i].most, "limits %zu: %d at the same time", i, seen.most);
        if (i > 0) CHECK(seen.calls == calls, "%d calls, not %d", seen.calls, calls);
        else calls = seen.calls, seed += seen.most < 2;
    }
    CHECK(seed <= 40, "no seed had agents that call at the same time");
    kimi_session_destroy(session);
}

void contract_swarm_limits(void) {
    kimi_model *model = open_model(NULL);
    budgets(model);
    scopes(model);
    at_the_same_time(model);
    kimi_model_close(model);
}
