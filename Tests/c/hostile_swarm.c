/* Groups of hostile.c: handles, requests and options of swarms. */
#include "hostile.h"
#include "swarming.h"

#include <math.h>

static const char hello[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"mode\": \"instant\", \"max_tokens\": 2}";

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
    CHECK(event.type == KIMI_SWARM_CHAT && event.agent == 0 && event.parent == -1 && strcmp(event.name, "main") == 0, "type %d",
          event.type);
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

#define OUT_OF_RANGE(field, value)                                                                                                 \
    do {                                                                                                                           \
        kimi_swarm_options_init(&options, sizeof options);                                                                         \
        options.field = (value);                                                                                                   \
        EXPECT_SAYING(#field, KIMI_ERROR_INVALID_ARGUMENT,                                                                         \
                      kimi_swarm_run(session, hello, KIMI_NUL, &options, NULL, NULL, &error));                                     \
        EXPECT_SAYING(#field, KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_open(session, hello, KIMI_NUL, &options, &out, &error));     \
        CHECK(out == NULL, #field " leaves a swarm");                                                                              \
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
