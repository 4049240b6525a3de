/* Groups of hostile.c: swarms: handles, options, tools that misbehave, hosts that vanish or are slow. */
#include "hostile.h"
#include "swarming.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static const char hello[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"mode\": \"instant\", \"max_tokens\": 2}";

void hostile_swarm(void) {
    open_all();
    kimi_error *error = NULL;
    kimi_swarm *swarm = (kimi_swarm *)16;
    kimi_swarm_event event = {.struct_size = sizeof event};
    char *text = (char *)16;
    size_t count = 7;
    void *bad;
    for (int i = 0; stranger(i, SESSION, &bad); i++, swarm = (kimi_swarm *)16) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_swarm_run(bad, hello, KIMI_NUL, NULL, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_swarm_open(bad, hello, KIMI_NUL, NULL, &swarm, &error));
        CHECK(swarm == NULL, "stranger %d leaves a swarm", i);
    }
    for (int i = 0; stranger(i, OTHER, &bad); i++, text = (char *)16, count = 7) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_swarm_next(bad, -1, &event, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_swarm_submit(bad, 1, "functions.f:0", KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE,
               kimi_swarm_submit_content(bad, 1, "functions.f:0", KIMI_NUL, "\"x\"", 3, KIMI_RESULT_OK, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_swarm_cancel(bad, 0, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_swarm_account(bad, &text, &count, &error));
        CHECK(text == NULL && count == 0, "stranger %d leaves an account of %zu bytes", i, count);
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_swarm_trace(bad, &text, NULL, &error));
        kimi_swarm_destroy(bad);
    }
    /* A swarm is no chat, and no session. */
    if (EXPECT(KIMI_OK, kimi_swarm_open(session, hello, KIMI_NUL, NULL, &swarm, &error)) != KIMI_OK) return;
    kimi_chat_destroy((kimi_chat *)swarm);
    kimi_session_destroy((kimi_session *)swarm);
    kimi_swarm_destroy((kimi_swarm *)session);
    EXPECT(KIMI_ERROR_BUSY, kimi_swarm_run(session, hello, KIMI_NUL, NULL, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_BUSY, kimi_session_send(session, hello, KIMI_NUL, NULL, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_next(swarm, -1, NULL, &error));
    for (uint32_t size = 0; size < 8; size++) {
        event.struct_size = size;
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_next(swarm, -1, &event, &error));
    }
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_account(swarm, NULL, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_trace(swarm, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_cancel(swarm, INT32_MIN, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_cancel(swarm, INT32_MAX, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_submit(swarm, INT32_MAX, "f", 1, "x", 1, KIMI_RESULT_OK, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_submit(swarm, 0, NULL, KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_submit(swarm, 0, "f", 1, NULL, 1, KIMI_RESULT_OK, &error));
    memset(&event, 0xa5, sizeof event);
    event.struct_size = offsetof(kimi_swarm_event, outcome);
    EXPECT(KIMI_OK, kimi_swarm_next(swarm, -1, &event, &error));
    CHECK(event.type == KIMI_SWARM_CHAT && event.agent == 0 && event.parent == -1 && strcmp(event.name, "main") == 0, "type %d", event.type);
    CHECK(event.outcome == (int32_t)0xa5a5a5a5, "wrote behind the caller's struct");
    /* Waiting for no time, and for less than none. */
    event.struct_size = sizeof event;
    for (int i = 0; i < 3; i++) EXPECT(KIMI_OK, kimi_swarm_next(swarm, 0, &event, &error));
    while (event.type != KIMI_SWARM_FINISH && kimi_swarm_next(swarm, INT32_MIN, &event, NULL) == KIMI_OK) continue;
    EXPECT(KIMI_OK, kimi_swarm_next(swarm, INT32_MAX, &event, &error));
    CHECK(event.type == KIMI_SWARM_FINISH, "type %d", event.type);
    kimi_swarm_destroy(swarm);
    kimi_swarm_destroy(swarm);

    /* Requests that are none; NULL where something must be. */
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_open(session, hello, KIMI_NUL, NULL, NULL, &error));
    const size_t lengths[] = {1, KIMI_TEXT_LIMIT, SIZE_MAX - 1, KIMI_NUL};
    for (size_t i = 0; i < 4; i++)
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_run(session, NULL, lengths[i], NULL, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_run(session, "{}", 2, NULL, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_open(session, "[", 1, NULL, &swarm, &error));
    CHECK(swarm == NULL, "a refused request leaves a swarm");
    static const char *const own[] = {"create_subagent", "assign_task"};
    for (int i = 0; i < 2; i++) {
        kimi_tool tool = {.struct_size = sizeof tool, .name = own[i]};
        EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
        EXPECT_SAYING(own[i], KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_run(session, hello, KIMI_NUL, NULL, NULL, NULL, &error));
        EXPECT(KIMI_OK, kimi_session_remove_tool(session, own[i], KIMI_NUL, &error));
    }
    EXPECT(KIMI_OK, kimi_swarm_run(session, hello, KIMI_NUL, NULL, NULL, NULL, &error));
}

#define OUT_OF_RANGE(field, value) \
    do { \
        kimi_swarm_options_init(&options, sizeof options); \
        options.field = (value); \
        EXPECT_SAYING(#field, KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_run(session, hello, KIMI_NUL, &options, NULL, NULL, &error)); \
        EXPECT_SAYING(#field, KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_open(session, hello, KIMI_NUL, &options, &out, &error)); \
        CHECK(out == NULL, #field " leaves a swarm"); \
    } while (0)

void hostile_swarm_options(void) {
    open_all();
    kimi_error *error = NULL;
    kimi_swarm *out = NULL;
    kimi_swarm_options options;
    OUT_OF_RANGE(agent_limit, -1);
    OUT_OF_RANGE(agent_limit, 1001);
    OUT_OF_RANGE(agent_limit, INT32_MIN);
    OUT_OF_RANGE(main_steps, -1);
    OUT_OF_RANGE(main_steps, 10001);
    OUT_OF_RANGE(task_steps, -1);
    OUT_OF_RANGE(task_steps, INT32_MAX);
    OUT_OF_RANGE(task_tokens, -1);
    OUT_OF_RANGE(all_tokens, INT64_MIN);
    OUT_OF_RANGE(task_milliseconds, -1);
    OUT_OF_RANGE(task_milliseconds, INT64_MAX);
    OUT_OF_RANGE(all_milliseconds, 604800001);
    OUT_OF_RANGE(result_bytes, -1);
    OUT_OF_RANGE(result_bytes, (16 << 20) + 1);
    OUT_OF_RANGE(parallel_agents, -1);
    OUT_OF_RANGE(parallel_agents, 1001);
    OUT_OF_RANGE(parallel_tools, -1);
    OUT_OF_RANGE(parallel_tools, 10001);
    OUT_OF_RANGE(priority, 101);
    OUT_OF_RANGE(priority, INT32_MIN);
    OUT_OF_RANGE(queue_limit, -1);
    OUT_OF_RANGE(queue_limit, 1000001);
    OUT_OF_RANGE(context_limit, -1);
    OUT_OF_RANGE(context_limit, INT64_MAX);
    OUT_OF_RANGE(main_mode, 5);
    OUT_OF_RANGE(main_mode, -1);
    OUT_OF_RANGE(agent_mode, 5);
    OUT_OF_RANGE(agent_mode, INT32_MAX);
    OUT_OF_RANGE(struct_size, 0);
    OUT_OF_RANGE(struct_size, 3);
    OUT_OF_RANGE(agent_request, "[]");
    kimi_swarm_options_init(&options, sizeof options);
    options.agent_request_length = 5;
    EXPECT_SAYING("agent_request", KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_open(session, hello, KIMI_NUL, &options, &out, &error));
    /* What is wrong for tasks is said before there is one. */
    static const char *const requests[][2] = {
        {"", "agent_request"}, {"{", "agent_request"}, {"5", "agent_request"}, {"{\"messages\": []}", "messages"},
        {"\xff", "agent_request"}, {"{\"max_tokens\": -1}", "agent_request.max_tokens"}, {"{\"tools\": 5}", "agent_request.tools"},
        {"{\"temperature\": 200}", "agent_request.temperature"}, {"{\"tool_choice\": \"required\"}", "agent_request.tool_choice"},
        {"{\"mode\": \"deep\"}", "agent_request.mode"},
        {"{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"assign_task\"}}]}", "assign_task"},
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        kimi_swarm_options_init(&options, sizeof options);
        options.agent_request = requests[i][0];
        options.agent_request_length = KIMI_NUL;
        EXPECT_SAYING(requests[i][1], KIMI_ERROR_INVALID_ARGUMENT,
                      kimi_swarm_open(session, hello, KIMI_NUL, &options, &out, &error));
        CHECK(out == NULL, "%s leaves a swarm", requests[i][0]);
    }
    /* What holds for all requests: no mode and no steps, which are the swarm's; the rest is looked at. */
    kimi_chat_options chat;
#define CHAT_REFUSED(words, field, value) \
    do { \
        kimi_swarm_options_init(&options, sizeof options); \
        kimi_chat_options_init(&chat, sizeof chat); \
        chat.field = (value); \
        options.chat = &chat; \
        EXPECT_SAYING(words, KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_run(session, hello, KIMI_NUL, &options, NULL, NULL, &error)); \
    } while (0)
    CHAT_REFUSED("chat", mode, KIMI_MODE_SWARM);
    CHAT_REFUSED("chat", step_limit, 5);
    CHAT_REFUSED("temperature", temperature, NAN);
    CHAT_REFUSED("parallel_calls", parallel_calls, 65);
    CHAT_REFUSED("context_callback", context_policy, KIMI_CONTEXT_ASK);
    CHAT_REFUSED("struct_size", struct_size, 2);
    kimi_tool tool = look_tool(NULL, NULL);
    tool.parallel_limit = -1;
    EXPECT_SAYING("parallel_limit", KIMI_ERROR_INVALID_ARGUMENT, kimi_session_add_tool(session, &tool, &error));
    tool.parallel_limit = 10001;
    EXPECT_SAYING("parallel_limit", KIMI_ERROR_INVALID_ARGUMENT, kimi_session_add_tool(session, &tool, &error));
    tool.parallel_limit = 0;
    tool.scope = 3;
    EXPECT_SAYING("scope", KIMI_ERROR_INVALID_ARGUMENT, kimi_session_add_tool(session, &tool, &error));

    /* The largest numbers that are allowed; a shorter struct; a longer one. */
    kimi_swarm_options_init(&options, sizeof options);
    options.agent_limit = options.parallel_agents = 1000;
    options.main_steps = options.task_steps = options.parallel_tools = 10000;
    options.task_tokens = options.all_tokens = INT64_MAX;
    options.task_milliseconds = options.all_milliseconds = 604800000;
    options.result_bytes = 16 << 20;
    options.queue_limit = 1000000;
    options.priority = -100;
    EXPECT(KIMI_OK, kimi_swarm_run(session, hello, KIMI_NUL, &options, NULL, NULL, &error));
    options.main_mode = 77;
    options.struct_size = offsetof(kimi_swarm_options, main_mode);
    EXPECT(KIMI_OK, kimi_swarm_run(session, hello, KIMI_NUL, &options, NULL, NULL, &error));
    struct {
        kimi_swarm_options known;
        char unknown[16];
    } longer = {0};
    kimi_swarm_options_init(&longer.known, sizeof longer);
    EXPECT(KIMI_OK, kimi_swarm_run(session, hello, KIMI_NUL, &longer.known, NULL, NULL, &error));
    longer.unknown[15] = 1;
    EXPECT(KIMI_ERROR_UNSUPPORTED, kimi_swarm_run(session, hello, KIMI_NUL, &longer.known, NULL, NULL, &error));
}

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
        CHECK(reason == KIMI_FINISH_STEPS && tasks == 2 && inside.calls == 2, "reason %d, %d tasks, %d calls", reason, tasks, inside.calls);
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
        if (way == 1) CHECK(cancelled == 2 && event.finish_reason == KIMI_FINISH_STEPS, "%d tasks, reason %d", cancelled, event.finish_reason);
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
