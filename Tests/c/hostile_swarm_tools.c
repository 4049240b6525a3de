/* Groups of hostile.c: swarms with tools that misbehave, hosts that vanish or are slow, names that no agent can have. */
#include "hostile.h"
#include "swarming.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static const char hello[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"mode\": \"instant\", \"max_tokens\": 2}";

/* What the callback below does, for whom, and what is seen of it. */
static struct {
    enum { REENTER, CANCEL_SESSION, DESTROY_SESSION, DESTROY_SWARM, CLOSE_MODEL, BLOCK, HUGE_RESULT } act;
    atomic_int calls, release;
    _Atomic(kimi_swarm *) swarm;
    kimi_session *session;
} inside;

static int32_t act(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    (void)call, (void)user_data;
    kimi_error *error = NULL;
    inside.calls++;
    switch (inside.act) {
    case REENTER: {
        kimi_swarm *another = NULL;
        kimi_swarm_event event = {.struct_size = sizeof event};
        char *json = NULL;
        /* On the host's thread, which is in a call; or on another while the host waits. */
        EXPECT(KIMI_ERROR_BUSY, kimi_swarm_next(inside.swarm, -1, &event, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_swarm_run(inside.session, hello, KIMI_NUL, NULL, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_swarm_open(inside.session, hello, KIMI_NUL, NULL, &another, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_say(inside.session, "Me too.", KIMI_NUL, NULL, NULL, NULL, &error));
        EXPECT(KIMI_OK, kimi_swarm_account(inside.swarm, &json, NULL, &error));
        kimi_free(json);
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_submit(inside.swarm, 1, call->id, KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
        /* A swarm of its own, within. */
        kimi_session *inner = NULL;
        EXPECT(KIMI_OK, kimi_session_create(model, NULL, &inner, &error));
        EXPECT(KIMI_OK, kimi_swarm_run(inner, hello, KIMI_NUL, NULL, NULL, NULL, &error));
        kimi_session_destroy(inner);
        return 0;
    }
    case CANCEL_SESSION:
        EXPECT_STATUS(KIMI_OK, kimi_session_cancel(inside.session));
        return 0;
    case DESTROY_SESSION:
        kimi_session_destroy(inside.session);
        return 0;
    case DESTROY_SWARM:
        kimi_swarm_destroy(inside.swarm);
        inside.release = 1;
        return 0;
    case CLOSE_MODEL:
        kimi_model_close(model);
        return 0;
    case BLOCK:
        for (int i = 0; i < 20000 && !inside.release; i++) usleep(1000);
        /* Long after everything: nobody minds. */
        kimi_tool_result_set(result, "late", KIMI_NUL, NULL);
        inside.release = 2;
        return 7;
    case HUGE_RESULT: {
        size_t length = 50 << 20;
        char *text = calloc(length, 1);
        memset(text, 'x', length);
        EXPECT(KIMI_OK, kimi_tool_result_set(result, text, length, &error));
        free(text);
        return 0;
    }
    }
    return 0;
}

static kimi_swarm *open_swarm(const kimi_swarm_options *options) {
    kimi_error *error = NULL;
    kimi_swarm *swarm = NULL;
    EXPECT(KIMI_OK, kimi_swarm_open(session, main_request(model, ""), KIMI_NUL, options, &swarm, &error));
    inside.swarm = swarm;
    inside.calls = 0;
    return swarm;
}

/* Polls until the end, or an error; the finish reason, or the error. */
static int32_t drain(kimi_swarm *swarm, int *finished_tasks) {
    kimi_swarm_event event = {.struct_size = sizeof event};
    *finished_tasks = 0;
    for (;;) {
        kimi_status status = kimi_swarm_next(swarm, -1, &event, NULL);
        if (status != KIMI_OK) return status;
        if (event.type == KIMI_SWARM_TASK_END) *finished_tasks += event.outcome == KIMI_OUTCOME_FINISHED;
        if (event.type == KIMI_SWARM_FINISH) return event.finish_reason;
    }
}

static void declare(int32_t any_thread, int32_t timeout) {
    kimi_error *error = NULL;
    kimi_tool tool = look_tool(act, NULL);
    tool.any_thread = any_thread;
    tool.timeout_milliseconds = timeout;
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    inside.session = session;
}

/* On the host's thread and on others, polled and by callback. */
void hostile_swarm_tools(void) {
    open_all();
    kimi_error *error = NULL;
    int tasks = 0;
    kimi_swarm_options options = swarm_options(model, 3, 4);
    for (int32_t any_thread = 0; any_thread < 2; any_thread++) {
        declare(any_thread, 0);
        inside.act = REENTER;
        kimi_swarm *swarm = open_swarm(&options);
        int32_t reason = drain(swarm, &tasks);
        CHECK(reason == KIMI_FINISH_STEPS && tasks == 2 && inside.calls == 2, "reason %d, %d tasks, %d calls", reason, tasks,
              inside.calls);
        kimi_swarm_destroy(swarm);

        inside.act = CANCEL_SESSION;
        swarm = open_swarm(&options);
        reason = drain(swarm, &tasks);
        CHECK(reason == KIMI_FINISH_CANCELLED && inside.calls == 1, "reason %d, %d calls", reason, inside.calls);
        kimi_swarm_destroy(swarm);
        EXPECT(KIMI_ERROR_CANCELLED, kimi_swarm_run(session, main_request(model, ""), KIMI_NUL, &options, NULL, NULL, &error));

        /* On another thread: ours may hear of it before it is done. */
        inside.act = DESTROY_SWARM;
        inside.release = 0;
        swarm = open_swarm(&options);
        reason = drain(swarm, &tasks);
        CHECK(reason == KIMI_ERROR_INVALID_HANDLE && inside.calls == 1, "reason %d, %d calls", reason, inside.calls);
        for (int i = 0; i < 5000 && !inside.release; i++) usleep(1000);
        EXPECT(KIMI_OK, kimi_session_reset(session, &error));

        /* 50 MB do not fit: the task says so, and the main agent goes on. */
        inside.act = HUGE_RESULT;
        options.context_limit = 4096;
        swarm = open_swarm(&options);
        reason = drain(swarm, &tasks);
        CHECK(reason == KIMI_FINISH_STEPS && tasks == 0, "reason %d, %d tasks", reason, tasks);
        kimi_swarm_destroy(swarm);
        options.context_limit = 0;

        /* Last: the session goes, and the swarm with it. */
        inside.act = DESTROY_SESSION;
        swarm = open_swarm(&options);
        reason = drain(swarm, &tasks);
        CHECK(reason == KIMI_FINISH_CANCELLED || reason == KIMI_ERROR_CANCELLED, "reason %d", reason);
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_reset(session, &error));
        kimi_swarm_destroy(swarm);
        EXPECT(KIMI_OK, kimi_session_create(model, NULL, &session, &error));
        declare(any_thread, 0);
        EXPECT(KIMI_ERROR_CANCELLED, kimi_swarm_run(session, main_request(model, ""), KIMI_NUL, &options, NULL, NULL, &error));
        EXPECT(KIMI_OK, kimi_session_create(model, NULL, &session, &error));
    }
    /* The model's own handle may go: its swarm goes on. */
    declare(1, 0);
    inside.act = CLOSE_MODEL;
    kimi_swarm *swarm = open_swarm(&options);
    int32_t reason = drain(swarm, &tasks);
    CHECK(reason == KIMI_FINISH_STEPS && tasks == 2, "reason %d, %d tasks", reason, tasks);
    kimi_session_destroy(session);
    char *json = NULL;
    EXPECT(KIMI_OK, kimi_swarm_account(swarm, &json, NULL, &error));
    kimi_free(json);
    kimi_swarm_destroy(swarm);
}

/* Tools that block for as long as they like. */
void hostile_swarm_blocking(void) {
    open_all();
    kimi_error *error = NULL;
    int tasks = 0;
    inside.act = BLOCK;
    kimi_swarm_options options = swarm_options(model, 3, 4);
    /* With a limit of its own: the task is told, and goes on. */
    declare(1, 20);
    kimi_swarm *swarm = open_swarm(&options);
    int32_t reason = drain(swarm, &tasks);
    CHECK(reason == KIMI_FINISH_STEPS && tasks == 2 && inside.calls == 2, "reason %d, %d tasks", reason, tasks);
    kimi_swarm_destroy(swarm);
    /* Without one: what the host may do is cancel the agent, or end it all. */
    declare(1, 0);
    for (int way = 0; way < 3; way++) {
        swarm = open_swarm(&options);
        kimi_swarm_event event = {.struct_size = sizeof event};
        int cancelled = 0;
        while (event.type != KIMI_SWARM_FINISH && EXPECT(KIMI_OK, kimi_swarm_next(swarm, 10, &event, &error)) == KIMI_OK) {
            if (inside.calls == 0) continue;
            if (way == 0) break;
            if (event.type == KIMI_SWARM_NONE) EXPECT(KIMI_OK, kimi_swarm_cancel(swarm, way == 1 ? 1 : 0, &error));
            if (event.type == KIMI_SWARM_TASK_END) cancelled += event.outcome == KIMI_OUTCOME_CANCELLED;
        }
        if (way == 1)
            CHECK(cancelled == 2 && event.finish_reason == KIMI_FINISH_STEPS, "%d tasks, reason %d", cancelled,
                  event.finish_reason);
        if (way == 2) CHECK(event.finish_reason == KIMI_FINISH_CANCELLED, "reason %d", event.finish_reason);
        kimi_swarm_destroy(swarm);
        EXPECT(KIMI_OK, kimi_session_reset(session, &error));
    }
    kimi_session_destroy(session);
    kimi_model_close(model);
    inside.release = 1;
    for (int i = 0; i < 5000 && inside.release != 2; i++) usleep(1000);
    CHECK(inside.release == 2, "the late callbacks did not end");
    usleep(100000);
}

static void *poll_some(void *user_data) {
    kimi_swarm_event event = {.struct_size = sizeof event};
    for (int i = 0; i < 30; i++) CHECK(kimi_swarm_next(user_data, -1, &event, NULL) == KIMI_OK, "poll %d", i);
    return NULL;
}

typedef struct {
    kimi_swarm *swarm;
    int32_t result;
    int tasks;
} waiter;

static void *wait_for_end(void *user_data) {
    waiter *waiter = user_data;
    waiter->result = drain(waiter->swarm, &waiter->tasks);
    return NULL;
}

/* Hosts that are slow, that vanish, that never look, and that end what another thread waits for. */
void hostile_swarm_hosts(void) {
    open_all();
    kimi_error *error = NULL;
    kimi_swarm_options options = swarm_options(model, 3, 4);
    options.agent_request = "{\"max_tokens\": 8}";

    /* One event may wait. A thread of the host's polls some and is gone; the next one has the rest, slowly. */
    options.queue_limit = 1;
    kimi_swarm *swarm = open_swarm(&options);
    pthread_t thread;
    pthread_create(&thread, NULL, poll_some, swarm);
    pthread_join(thread, NULL);
    kimi_swarm_event event = {.struct_size = sizeof event};
    int ended = 0;
    for (int i = 0; event.type != KIMI_SWARM_FINISH; i++) {
        if (i % 8 == 0) usleep(2000);
        if (EXPECT(KIMI_OK, kimi_swarm_next(swarm, -1, &event, &error)) != KIMI_OK) break;
        ended += event.type == KIMI_SWARM_TASK_END;
    }
    CHECK(ended == 2 && event.finish_reason == KIMI_FINISH_STEPS, "%d tasks, reason %d", ended, event.finish_reason);
    kimi_swarm_destroy(swarm);

    /* Nobody ever looks: everything waits, and goes when it is let go. */
    for (int i = 0; i < 5; i++) {
        options.queue_limit = i % 2 ? 1 : 0;
        swarm = open_swarm(&options);
        if (i > 0) usleep(10000 * (useconds_t)i);
        kimi_swarm_destroy(swarm);
        EXPECT(KIMI_OK, kimi_session_reset(session, &error));
    }

    /* A second thread gets nothing; and what one waits for, another ends. */
    options.queue_limit = 0;
    options.agent_request = agent_request(model, look_polled);
    for (int i = 0; i < 5; i++) {
        swarm = open_swarm(&options);
        while (kimi_swarm_next(swarm, -1, &event, NULL) == KIMI_OK)
            if (event.type == KIMI_SWARM_CHAT && event.chat->type == KIMI_CHAT_RESULT_NEEDED) break;
        waiter waiter = {.swarm = swarm};
        pthread_create(&thread, NULL, wait_for_end, &waiter);
        usleep(5000);
        EXPECT_EITHER(KIMI_ERROR_BUSY, KIMI_OK, kimi_swarm_next(swarm, 0, &event, &error));
        if (i == 0) kimi_session_destroy(session);
        else kimi_swarm_destroy(swarm);
        pthread_join(thread, NULL);
        CHECK(waiter.result == (i == 0 ? KIMI_FINISH_CANCELLED : KIMI_ERROR_INVALID_HANDLE) || waiter.result == KIMI_ERROR_BUSY,
              "the waiting thread got %d", waiter.result);
        kimi_swarm_destroy(swarm);
        if (i == 0) EXPECT(KIMI_OK, kimi_session_create(model, NULL, &session, &error));
    }
}

/* Keeps the latest failure of a call. */
static int32_t keep_failure(const kimi_swarm_event *event, void *user_data) {
    if (event->type == KIMI_SWARM_CHAT && event->chat->type == KIMI_CHAT_RESULT && event->chat->code == KIMI_RESULT_FAILED)
        snprintf(user_data, 1024, "%s", event->chat->text);
    return 0;
}

/* Names as a model may give them, and as no agent can have them: the model is told. */
void hostile_swarm_names(void) {
    open_all();
    kimi_error *error = NULL;
    static const struct {
        const char *piece;
        int how;
        const char *words;
    } names[] = {{"as", 104, "it must have 1 to 64 characters"}, {"\x7f", 101, "the name has control characters"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char found[1024] = "";
        for (uint64_t seed = 1; seed < 60 && !strstr(found, names[i].words); seed++) {
            kimi_swarm_options options = swarm_options(model, seed, 2);
            options.agent_request = "{}";
            const char *request = named_request(model, names[i].piece, names[i].how);
            EXPECT(KIMI_OK, kimi_swarm_run(session, request, KIMI_NUL, &options, keep_failure, found, &error));
        }
        CHECK(strstr(found, names[i].words), "no seed gave a name of %s: the last failure was '%s'", names[i].piece, found);
    }
}
