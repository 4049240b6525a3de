/* Parts of contract.c: many sessions, one stream of events. */
#include "contract_chat.h"

#include <poll.h>

#define SESSIONS 12
#define TOKENS 10

static kimi_queue *new_queue(int32_t capacity) {
    kimi_error *error = NULL;
    kimi_queue *queue = NULL;
    EXPECT(KIMI_OK, kimi_queue_create(capacity, &queue, &error));
    return queue;
}

/* Takes one event, waiting as long as anything runs. */
static kimi_queue_event take(kimi_queue *queue) {
    kimi_error *error = NULL;
    kimi_queue_event event = {.struct_size = sizeof event};
    EXPECT(KIMI_OK, kimi_queue_next(queue, -1, &event, &error));
    CHECK((event.generation != NULL) == (event.type == KIMI_QUEUE_GENERATION), "type %d", event.type);
    CHECK((event.chat != NULL) == (event.type == KIMI_QUEUE_CHAT), "type %d", event.type);
    CHECK(event.text && strlen(event.text) == event.text_length, "type %d", event.type);
    CHECK((*event.text != 0) == (event.type == KIMI_QUEUE_ERROR), "type %d says '%s'", event.type, event.text);
    return event;
}

/* More sessions than the queue has room for: each has the tokens of a lone run, in order, and ends once. */
static void generations(kimi_model *model, const prompt *prompt) {
    kimi_error *error = NULL;
    kimi_queue *queue = new_queue(2);
    kimi_session *sessions[SESSIONS];
    int counts[SESSIONS] = {0}, ends = 0;
    kimi_generation_options options = greedy_options(TOKENS);
    record *alone = generate(model, prompt, &options);
    for (int i = 0; i < SESSIONS; i++) {
        sessions[i] = new_session(model);
        EXPECT(KIMI_OK, kimi_queue_generate(queue, sessions[i], prompt->ids, prompt->count, &options, 1000u + (unsigned)i, &error));
    }
    EXPECT(KIMI_ERROR_BUSY, kimi_queue_generate(queue, sessions[0], prompt->ids, prompt->count, &options, 1, &error));
    while (ends < SESSIONS) {
        kimi_queue_event event = take(queue);
        int i = (int)(event.tag - 1000);
        if (!CHECK(event.type == KIMI_QUEUE_GENERATION && i >= 0 && i < SESSIONS, "type %d, tag %d", event.type, i)) break;
        if (event.generation->type == KIMI_EVENT_TOKEN) {
            CHECK(counts[i] < TOKENS && event.generation->id == alone->ids[counts[i]], "session %d, token %d", i, counts[i]);
            CHECK(event.generation->done == ++counts[i] && event.generation->total == TOKENS, "session %d", i);
        }
        CHECK(event.last == (event.generation->type == KIMI_EVENT_FINISH), "session %d", i);
        if (!event.last) continue;
        ends++;
        CHECK(counts[i] == TOKENS, "session %d has %d tokens", i, counts[i]);
        EXPECT(KIMI_OK, kimi_session_reset(sessions[i], &error)); /* it is free at once */
    }
    CHECK(take(queue).type == KIMI_QUEUE_NONE, "an event after all have ended");
    for (int i = 0; i < SESSIONS; i++) kimi_session_destroy(sessions[i]);
    kimi_queue_destroy(queue);
    free(alone);
}

/* A request whose call the host answers, beside a generation; waited for by its descriptor. */
static void conversation(kimi_model *model, const prompt *prompt) {
    kimi_error *error = NULL;
    kimi_queue *queue = new_queue(0);
    kimi_session *first = new_session(model), *second = new_session(model);
    kimi_chat_options chat = seeded(5, 3);
    kimi_generation_options options = greedy_options(TOKENS);
    struct pollfd descriptor = {.events = POLLIN};
    EXPECT(KIMI_OK, kimi_queue_descriptor(queue, &descriptor.fd, &error));
    CHECK(poll(&descriptor, 1, 0) == 0, "readable with nothing in it");
    EXPECT(KIMI_OK, kimi_queue_send(queue, first, request(model, FORCED ", " FIND), KIMI_NUL, &chat, 7, &error));
    EXPECT(KIMI_OK, kimi_queue_generate(queue, second, prompt->ids, prompt->count, &options, 8, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_submit(queue, 9, "functions.find:0", KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_submit(queue, 8, "functions.find:0", KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
    int answered = 0, finished = 0;
    while (finished < 2) {
        if (!CHECK(poll(&descriptor, 1, 60000) == 1, "nothing within a minute")) break;
        kimi_queue_event event = {.struct_size = sizeof event};
        if (EXPECT(KIMI_OK, kimi_queue_next(queue, 0, &event, &error)) != KIMI_OK) break;
        bool expected = event.type == KIMI_QUEUE_CHAT || event.type == KIMI_QUEUE_GENERATION;
        if (!CHECK(expected, "type %d: %s", event.type, event.text)) break;
        finished += event.last;
        if (event.type != KIMI_QUEUE_CHAT || event.chat->type != KIMI_CHAT_RESULT_NEEDED) continue;
        const char *content = answered++ % 2 ? "[{\"type\": \"text\", \"text\": \"none\"}]" : NULL;
        const char *id = event.chat->call_id;
        if (content) {
            EXPECT(KIMI_OK, kimi_queue_submit_content(queue, 7, id, KIMI_NUL, content, KIMI_NUL, KIMI_RESULT_FAILED, &error));
        } else {
            EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_submit(queue, 7, "no", 2, "x", 1, KIMI_RESULT_OK, &error));
            EXPECT(KIMI_OK, kimi_queue_submit(queue, 7, id, KIMI_NUL, "found", 5, KIMI_RESULT_OK, &error));
        }
    }
    CHECK(answered > 0 && message_count(first) >= 2 + answered, "%d answers, %d messages", answered, message_count(first));
    CHECK(poll(&descriptor, 1, 0) == 0, "readable after the last");

    /* Cancelled: that one alone, which finishes so. */
    options.max_tokens = 100000;
    EXPECT(KIMI_OK, kimi_session_reset(second, &error));
    EXPECT(KIMI_OK, kimi_queue_generate(queue, second, prompt->ids, prompt->count, &options, 1, &error));
    kimi_queue_event event = take(queue);
    EXPECT_STATUS(KIMI_OK, kimi_session_cancel(second));
    while (event.type == KIMI_QUEUE_GENERATION && !event.last) event = take(queue);
    CHECK(event.type == KIMI_QUEUE_GENERATION && event.last == 1 && event.tag == 1, "type %d", event.type);
    if (event.generation) CHECK(event.generation->finish_reason == KIMI_FINISH_CANCELLED, "%d", event.generation->finish_reason);
    /* What can't begin is said at once, and nothing comes of it. */
    int32_t far = INT32_MAX;
    EXPECT(KIMI_OK, kimi_session_reset(second, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_generate(queue, second, &far, 1, &options, 4, &error));
    CHECK(take(queue).type == KIMI_QUEUE_NONE, "an event of nothing");
    EXPECT(KIMI_OK, kimi_session_reset(second, &error));

    /* Destroyed while all compute, and while one waits for a result: sessions are free, and as they are without a finish. */
    int held = message_count(first);
    EXPECT(KIMI_OK, kimi_queue_send(queue, first, request(model, FORCED ", " FIND), KIMI_NUL, &chat, 2, &error));
    EXPECT(KIMI_OK, kimi_queue_generate(queue, second, prompt->ids, prompt->count, &options, 3, &error));
    do event = take(queue);
    while (event.type == KIMI_QUEUE_GENERATION || (event.type == KIMI_QUEUE_CHAT && event.chat->type != KIMI_CHAT_RESULT_NEEDED));
    CHECK(event.type == KIMI_QUEUE_CHAT, "type %d", event.type);
    kimi_queue_destroy(queue);
    CHECK(message_count(first) == held, "%d messages, not %d", message_count(first), held);
    EXPECT(KIMI_OK, kimi_session_reset(second, &error));
    kimi_session_destroy(first);
    kimi_session_destroy(second);
}

/* A tool that ends the queue that runs it. */
static int32_t end_queue(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    (void)call;
    kimi_queue_destroy(*(kimi_queue **)user_data);
    kimi_tool_result_set(result, "done", 4, NULL);
    return 0;
}

static void ended_inside(kimi_model *model) {
    kimi_error *error = NULL;
    kimi_queue *queue = new_queue(0);
    kimi_session *session = new_session(model);
    kimi_tool tool = {.struct_size = sizeof tool, .name = "find", .parameters = find_tool};
    tool.callback = end_queue;
    tool.user_data = &queue;
    kimi_chat_options chat = seeded(5, 3);
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    EXPECT(KIMI_OK, kimi_queue_send(queue, session, request(model, FORCED), KIMI_NUL, &chat, 2, &error));
    kimi_queue_event event = {.struct_size = sizeof event};
    kimi_status status;
    do status = kimi_queue_next(queue, -1, &event, NULL);
    while (status == KIMI_OK && event.type == KIMI_QUEUE_CHAT);
    CHECK(status == KIMI_ERROR_INVALID_HANDLE, "%s, type %d", kimi_status_name(status), event.type);
    kimi_session_destroy(session);
}

void contract_queue(void) {
    kimi_error *error = NULL;
    kimi_model_options options;
    kimi_model_options_init(&options, sizeof options);
    options.exact = 1;
    kimi_model *model = open_model(&options);
    prompt prompt = prompt_read("medium");
    generations(model, &prompt);
    conversation(model, &prompt);
    ended_inside(model);

    kimi_queue *queue = (kimi_queue *)16;
    int32_t descriptor = 5;
    kimi_queue_event event = {.struct_size = sizeof event};
    EXPECT_SAYING("capacity", KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_create(-1, &queue, &error));
    CHECK(queue == NULL, "%p", (void *)queue);
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_create(1000001, &queue, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_create(0, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_queue_next(NULL, 0, &event, &error));
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_queue_descriptor((kimi_queue *)(void *)model, &descriptor, &error));
    queue = new_queue(1);
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_next(queue, 0, NULL, &error));
    event.struct_size = 0;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_next(queue, 0, &event, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_descriptor(queue, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_queue_generate(queue, NULL, prompt.ids, 1, NULL, 1, &error));
    kimi_session *session = new_session(model);
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_send(queue, session, "{}", KIMI_NUL, NULL, 1, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_queue_generate(queue, session, NULL, 3, NULL, 1, &error));
    kimi_session_destroy(session);
    kimi_queue_destroy(queue);
    kimi_queue_destroy(queue);
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_queue_generate(queue, session, prompt.ids, 1, NULL, 1, &error));
    prompt_free(&prompt);
    kimi_model_close(model);
}
