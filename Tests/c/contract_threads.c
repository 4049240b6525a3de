/* Parts of contract.c: what callbacks may do, and what other threads may do meanwhile. */
#include "contract.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* What the callback below tries, from inside a generation. */
static struct {
    kimi_model *model;
    kimi_session *session;
    pthread_t thread;
    int calls;
    enum { REENTER, DESTROY, CANCEL, CLOSE } act;
} inside;

static int32_t act(const kimi_event *event, void *user_data) {
    kimi_error *error = NULL;
    kimi_session *out = NULL;
    CHECK(user_data == &inside && pthread_equal(pthread_self(), inside.thread), "not this thread");
    inside.calls++;
    if (event->type != KIMI_EVENT_TOKEN || event->done != 3) return 0;
    switch (inside.act) {
    case REENTER: {
        /* Every other call on the session in use is refused; another session is free. */
        int32_t id = 1;
        size_t count = 0;
        kimi_session_stats stats = {.struct_size = sizeof stats};
        kimi_generation *generation = NULL;
        EXPECT(KIMI_ERROR_BUSY, kimi_session_evaluate(inside.session, &id, 1, 0, NULL, 0, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_generate(inside.session, &id, 1, NULL, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_generate_text(inside.session, "a", 1, NULL, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_generation_start(inside.session, &id, 1, NULL, &generation, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_fork(inside.session, &out, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_reset(inside.session, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_truncate(inside.session, 0, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_ids(inside.session, NULL, 0, &count, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_get_stats(inside.session, &stats, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_save(inside.session, "/tmp/kimi-never", KIMI_NUL, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_load(inside.session, "/tmp/kimi-never", KIMI_NUL, &error));
        CHECK(kimi_session_position(inside.session) > 0, "no position");
        kimi_session *other = new_session(inside.model);
        free(evaluate(other, &id, 1));
        kimi_session_destroy(other);
        break;
    }
    case DESTROY:
        kimi_session_destroy(inside.session);
        break;
    case CANCEL:
        EXPECT_STATUS(KIMI_OK, kimi_session_cancel(inside.session));
        break;
    case CLOSE:
        kimi_model_close(inside.model);
        break;
    }
    return 0;
}

/* Generates 8 tokens while the callback does `what`. */
static kimi_status generate_while(int what, kimi_error **error) {
    const int32_t ids[] = {5, 6, 7};
    kimi_generation_options options;
    kimi_generation_options_init(&options, sizeof options);
    options.greedy = 1;
    options.ignore_end = 1;
    options.max_tokens = 8;
    inside.act = what;
    inside.calls = 0;
    inside.thread = pthread_self();
    return kimi_session_generate(inside.session, ids, 3, &options, act, &inside, error);
}

void contract_callbacks(void) {
    kimi_error *error = NULL;
    inside.model = open_model(NULL);
    inside.session = new_session(inside.model);

    EXPECT(KIMI_OK, generate_while(REENTER, &error));
    CHECK(inside.calls == 10, "%d calls", inside.calls);
    CHECK(kimi_session_position(inside.session) == 11, "at %lld", (long long)kimi_session_position(inside.session));

    EXPECT(KIMI_OK, kimi_session_reset(inside.session, &error));
    EXPECT(KIMI_ERROR_CANCELLED, generate_while(CANCEL, &error));
    CHECK(inside.calls == 4, "%d calls after a cancel", inside.calls);
    free(evaluate(inside.session, (int32_t[]){1, 2}, 2));

    EXPECT(KIMI_ERROR_CANCELLED, generate_while(DESTROY, &error));
    EXPECT_STATUS(KIMI_ERROR_INVALID_HANDLE, kimi_session_cancel(inside.session));

    inside.session = new_session(inside.model);
    EXPECT(KIMI_OK, generate_while(CLOSE, &error));
    CHECK(inside.calls == 10, "%d calls with the model closed", inside.calls);
    kimi_session_destroy(inside.session);

    /* Its own value comes back, from each kind of event, and the session goes on. */
    const int32_t ids[] = {5, 6, 7};
    kimi_generation_options options;
    kimi_generation_options_init(&options, sizeof options);
    options.max_tokens = 4;
    options.ignore_end = 1;
    kimi_model *model = open_model(NULL);
    kimi_session *session = new_session(model);
    for (int at = 1; at <= 6; at++) {
        record *seen = calloc(1, sizeof *seen);
        seen->answer = at == 2 ? INT32_MAX : 42;
        seen->answer_at = at;
        EXPECT(KIMI_OK, kimi_session_reset(session, &error));
        EXPECT_STATUS(seen->answer, kimi_session_generate(session, ids, 3, &options, record_event, seen, &error));
        CHECK(error == NULL && seen->events == at, "%d events, not %d", seen->events, at);
        CHECK(kimi_session_position(session) == 3 + seen->tokens, "at %lld", (long long)kimi_session_position(session));
        free(seen);
    }
    kimi_session_destroy(session);
    kimi_model_close(model);
}

/* A long evaluation on another thread. */
static struct {
    kimi_session *session;
    const prompt *prompt;
    kimi_status status;
    volatile int ended;
} work;

static void *evaluate_long(void *unused) {
    (void)unused;
    kimi_error *error = NULL;
    work.status = kimi_session_evaluate(work.session, work.prompt->ids, work.prompt->count, 0, NULL, 0, &error);
    kimi_error_destroy(error);
    __atomic_store_n(&work.ended, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Starts the evaluation and waits until it has done some of its steps. */
static pthread_t start_long(kimi_session *session, const prompt *prompt) {
    pthread_t thread;
    work.session = session;
    work.prompt = prompt;
    work.ended = 0;
    pthread_create(&thread, NULL, evaluate_long, NULL);
    while (kimi_session_position(session) < 300 && !__atomic_load_n(&work.ended, __ATOMIC_SEQ_CST)) sched_yield();
    return thread;
}

void contract_threads(void) {
    kimi_error *error = NULL;
    prompt prompt = prompt_read("long");
    kimi_model_options model_options;
    kimi_model_options_init(&model_options, sizeof model_options);
    model_options.chunk_size = 64;
    /* What a session before it evaluated would leave little to do, and each call ended before it could be cancelled. */
    model_options.prefix_limit = -1;
    kimi_model *model = open_model(&model_options);

    kimi_session *session = new_session(model);
    double begin = seconds();
    float *whole = evaluate(session, prompt.ids, prompt.count);
    double alone = seconds() - begin;
    kimi_session_destroy(session);

    /* Busy for a second caller, cancelled by it; then it goes on to the same bits. */
    session = new_session(model);
    pthread_t thread = start_long(session, &prompt);
    EXPECT(KIMI_ERROR_BUSY, kimi_session_evaluate(session, prompt.ids, 1, 0, NULL, 0, &error));
    EXPECT(KIMI_ERROR_BUSY, kimi_session_reset(session, &error));
    begin = seconds();
    EXPECT_STATUS(KIMI_OK, kimi_session_cancel(session));
    pthread_join(thread, NULL);
    double waited = seconds() - begin;
    int64_t held = kimi_session_position(session);
    CHECK(work.status == KIMI_ERROR_CANCELLED, "%s", kimi_status_name(work.status));
    CHECK(held > 0 && held < (int64_t)prompt.count, "at %lld", (long long)held);
    printf("cancelled at %lld of %zu tokens, back after %.1f ms (the whole prompt takes %.2f s)\n", (long long)held, prompt.count,
           1e3 * waited, alone);
    float *logits = evaluate(session, prompt.ids + held, prompt.count - (size_t)held);
    CHECK(same_bits(logits, whole, prompt.vocabulary), "other bits after a cancellation");
    free(logits);
    /* With nothing running it does nothing, and does not stop the next call. */
    EXPECT_STATUS(KIMI_OK, kimi_session_cancel(session));
    free(evaluate(session, prompt.ids, 1));
    kimi_session_destroy(session);

    /* The session, and the model too, destroyed under the running call. */
    session = new_session(model);
    thread = start_long(session, &prompt);
    kimi_session_destroy(session);
    CHECK(kimi_session_position(session) == -1, "a destroyed session has a position");
    pthread_join(thread, NULL);
    CHECK(work.status == KIMI_ERROR_CANCELLED, "%s", kimi_status_name(work.status));

    session = new_session(model);
    thread = start_long(session, &prompt);
    kimi_model_close(model);
    kimi_session *none = NULL;
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_create(model, NULL, &none, &error));
    kimi_session *destroyed = session;
    kimi_session_destroy(destroyed);
    pthread_join(thread, NULL);
    CHECK(work.status == KIMI_ERROR_CANCELLED, "%s", kimi_status_name(work.status));

    free(whole);
    prompt_free(&prompt);
}
