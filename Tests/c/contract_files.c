/* Parts of contract.c: what a host's process and a host's files may expect. */
#include "contract.h"

#include <signal.h>
#include <unistd.h>

/* What happens at each signal, and which are blocked. */
typedef struct {
    void (*handler[NSIG])(int);
    int flags[NSIG], blocked[NSIG];
} signals;

static void read_signals(signals *now) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) != 0) continue;
        now->handler[number] = action.sa_handler;
        now->flags[number] = action.sa_flags;
        now->blocked[number] = sigismember(&mask, number);
    }
}

void contract_process(void) {
    static signals before, after;
    read_signals(&before);
    char folder_before[4096], folder_after[4096];
    CHECK(getcwd(folder_before, sizeof folder_before) != NULL, "no folder");

    kimi_model *model = open_model(NULL);
    kimi_session *session = new_session(model);
    free(evaluate(session, (int32_t[]){1, 2, 3}, 3));
    read_signals(&after);
    CHECK(memcmp(&before, &after, sizeof before) == 0, "a signal's handler, flags or mask are others");
    CHECK(getcwd(folder_after, sizeof folder_after) && strcmp(folder_before, folder_after) == 0, "in %s", folder_after);
    kimi_session_destroy(session);
    kimi_model_close(model);
}

/* Cuts a shard under an open model: KIMI_ERROR_IO and no signal if it is mapped, nothing at all if it was copied. */
static void cut_shard(int32_t load_policy) {
    char folder[] = "/tmp/kimi-cut-XXXXXX", command[9000], shard[64];
    kimi_error *error = NULL;
    kimi_model *model = NULL;
    if (!CHECK(mkdtemp(folder) != NULL, "no temporary folder")) return;
    snprintf(command, sizeof command, "cp '%s'/* %s", fixture("tiny-kimi"), folder);
    CHECK(system(command) == 0, "%s", command);
    snprintf(shard, sizeof shard, "%s/model-00002-of-000002.safetensors", folder);

    kimi_model_options options;
    kimi_model_options_init(&options, sizeof options);
    options.load_policy = load_policy;
    EXPECT(KIMI_OK, kimi_model_open(folder, KIMI_NUL, &options, NULL, NULL, &model, &error));
    kimi_session *session = new_session(model);
    const int32_t ids[] = {1, 2, 3};
    float *before = evaluate(session, ids, 3);
    CHECK(truncate(shard, 4096) == 0, "%s cannot be cut", shard);
    EXPECT(KIMI_OK, kimi_session_reset(session, &error));
    if (load_policy == KIMI_LOAD_COPY) {
        float *after = evaluate(session, ids, 3);
        CHECK(same_bits(before, after, (size_t)kimi_model_vocabulary_size(model)), "other bits without the files");
        free(after);
    } else {
        /* The message names the shard, and the session and the process go on. */
        EXPECT_SAYING("model-00002-of-000002.safetensors", KIMI_ERROR_IO,
                      kimi_session_evaluate(session, ids, 3, 0, NULL, 0, &error));
        CHECK(kimi_session_position(session) == 0, "at %lld", (long long)kimi_session_position(session));
        EXPECT(KIMI_ERROR_IO, kimi_session_generate(session, ids, 3, NULL, NULL, NULL, &error));
        EXPECT(KIMI_OK, kimi_session_reset(session, &error));
    }
    free(before);
    kimi_session_destroy(session);
    kimi_model_close(model);
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK(system(command) == 0, "%s", command);
}

void contract_cut_shard(void) {
    cut_shard(KIMI_LOAD_COPY);
    cut_shard(KIMI_LOAD_MAP);
}
