/* Parts of contract.c: tools with callbacks, and without. */
#include "contract_chat.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* {"kind": "a"} or "b", in any spelling of JSON. */
static bool is_valid(const char *arguments) {
    char plain[64];
    size_t length = 0;
    for (; *arguments && length < sizeof plain - 1; arguments++) {
        unsigned code = (unsigned char)*arguments;
        if (sscanf(arguments, "\\u%4x", &code) == 1) arguments += 5;
        if (!strchr(" \t\r\n", (int)code)) plain[length++] = (char)code;
    }
    plain[length] = 0;
    return strcmp(plain, "{\"kind\":\"a\"}") == 0 || strcmp(plain, "{\"kind\":\"b\"}") == 0;
}

int32_t found(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    kimi_error *error = NULL;
    ++*(int *)user_data;
    CHECK(strcmp(call->name, "find") == 0 && strncmp(call->id, "functions.find:", 15) == 0, "%s %s", call->id, call->name);
    CHECK(strlen(call->arguments) == call->arguments_length && is_valid(call->arguments), "%s", call->arguments);
    EXPECT(KIMI_OK, kimi_tool_result_set(result, "not this", KIMI_NUL, &error));
    EXPECT(KIMI_OK, kimi_tool_result_set(result, "found it", 5, &error));
    return 0;
}

/* What the callback below does. */
static struct {
    enum { REENTER, FAIL, NOTHING, HUGE_RESULT, WAIT, CANCEL, BAD_TEXT } act;
    kimi_model *model;
    kimi_session *session;
    kimi_tool_result *result;
    pthread_t thread;
    atomic_int calls, release;
    bool other_thread;
} inside;

static int32_t act(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    (void)call, (void)user_data;
    kimi_error *error = NULL;
    inside.calls++;
    inside.result = result;
    CHECK(!pthread_equal(pthread_self(), inside.thread) == inside.other_thread, "on the wrong thread");
    switch (inside.act) {
    case REENTER: {
        kimi_chat *chat = NULL;
        kimi_tool other = {.struct_size = sizeof other, .name = "other"};
        EXPECT(KIMI_ERROR_BUSY, kimi_session_say(inside.session, "Me too.", KIMI_NUL, NULL, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_send(inside.session, request(inside.model, ""), KIMI_NUL, NULL, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_chat_start(inside.session, request(inside.model, ""), KIMI_NUL, NULL, &chat, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_reset(inside.session, &error));
        /* What was said before this request can be read, and tools declared for the next one. */
        CHECK(message_count(inside.session) == 0, "%d messages", message_count(inside.session));
        EXPECT(KIMI_OK, kimi_session_add_tool(inside.session, &other, &error));
        EXPECT(KIMI_OK, kimi_session_remove_tool(inside.session, "other", KIMI_NUL, &error));
        return 0;
    }
    case FAIL:
        EXPECT(KIMI_OK, kimi_tool_result_set(result, "the reason", KIMI_NUL, &error));
        return 7;
    case NOTHING:
        return 0;
    case HUGE_RESULT: {
        size_t length = 50 << 20;
        char *text = malloc(length);
        memset(text, 'x', length);
        EXPECT(KIMI_OK, kimi_tool_result_set(result, text, length, &error));
        free(text);
        return 0;
    }
    case WAIT:
        while (!inside.release) usleep(1000);
        /* Too late: it is ignored, whatever it says. */
        kimi_tool_result_set(result, "late", KIMI_NUL, NULL);
        inside.release = 2;
        return 0;
    case CANCEL:
        EXPECT_STATUS(KIMI_OK, kimi_session_cancel(inside.session));
        return 0;
    case BAD_TEXT:
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tool_result_set(result, "\xff", 1, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tool_result_set(result, NULL, 3, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tool_result_set(result, "x", KIMI_TEXT_LIMIT + 1, &error));
        return 0;
    }
    return 0;
}

/* The code and text of the first RESULT in the log. */
static bool result_is(const turn *seen, int32_t code, const char *text) {
    char wanted[128];
    snprintf(wanted, sizeof wanted, " find %d 0 0 0 '%s", code, text);
    const char *line = strncmp(seen->log, "10 ", 3) == 0 ? seen->log : strstr(seen->log, "\n10 ");
    const char *end = line ? strchr(line + 1, '\n') : NULL;
    const char *place = line ? strstr(line, wanted) : NULL;
    return place && end && place < end;
}

static kimi_status ask(kimi_session *session, turn *seen, const kimi_chat_options *options, kimi_status wanted) {
    kimi_error *error = NULL;
    memset(seen, 0, sizeof *seen);
    inside.calls = 0;
    return EXPECT(wanted, kimi_session_send(session, request(inside.model, FORCED), KIMI_NUL, options, record_turn, seen, &error));
}

static void callbacks(kimi_model *model) {
    kimi_error *error = NULL;
    kimi_session *session = inside.session = new_session(model);
    static turn seen;
    kimi_tool tool = {.struct_size = sizeof tool, .name = "find", .parameters = find_tool, .callback = act};
    kimi_chat_options options = seeded(5, 2);
    inside.thread = pthread_self();

    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    inside.act = REENTER;
    ask(session, &seen, &options, KIMI_OK);
    CHECK(inside.calls > 0, "no call in\n%s", seen.log);
    CHECK(result_is(&seen, KIMI_RESULT_OK, "'"), "%s", seen.log);
    CHECK(seen.finish_reason == KIMI_FINISH_STEPS || seen.finish_reason == KIMI_FINISH_STOP ||
              seen.finish_reason == KIMI_FINISH_LENGTH,
          "reason %d", seen.finish_reason);
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_tool_result_set(inside.result, "after the call", KIMI_NUL, &error));

    inside.act = FAIL;
    ask(session, &seen, &options, KIMI_OK);
    CHECK(result_is(&seen, KIMI_RESULT_FAILED, "the reason'"), "%s", seen.log);
    inside.act = BAD_TEXT;
    ask(session, &seen, &options, KIMI_OK);
    CHECK(result_is(&seen, KIMI_RESULT_OK, "'"), "%s", seen.log);

    int held = message_count(session);
    inside.act = CANCEL;
    ask(session, &seen, &options, KIMI_ERROR_CANCELLED);
    CHECK(inside.calls == 1 && seen.counts[KIMI_CHAT_FINISH] == 0, "%d calls,\n%s", inside.calls, seen.log);
    CHECK(message_count(session) == held, "%d messages", message_count(session));

    /* 50 MB do not fit: an error, or the end of the turn, and the session goes on. */
    kimi_session_options small;
    kimi_session_options_init(&small, sizeof small);
    small.context_limit = 4096;
    kimi_session *tiny = inside.session = NULL;
    EXPECT(KIMI_OK, kimi_session_create(model, &small, &tiny, &error));
    inside.session = tiny;
    EXPECT(KIMI_OK, kimi_session_add_tool(tiny, &tool, &error));
    inside.act = HUGE_RESULT;
    memset(&seen, 0, sizeof seen);
    kimi_status status = kimi_session_send(tiny, request(inside.model, FORCED), KIMI_NUL, &options, NULL, NULL, &error);
    CHECK(status == KIMI_OK || status == KIMI_ERROR_CONTEXT_FULL, "%s: %s", kimi_status_name(status), kimi_error_message(error));
    kimi_error_destroy(error);
    error = NULL;
    options.context_policy = KIMI_CONTEXT_DROP_RESULTS;
    EXPECT(KIMI_OK, kimi_session_send(tiny, request(inside.model, FORCED), KIMI_NUL, &options, NULL, NULL, &error));
    kimi_session_destroy(tiny);
    options.context_policy = KIMI_CONTEXT_STOP;
    inside.session = session;

    /* Elsewhere, with a time limit: it is kept, the result says so, and what comes late is ignored. */
    inside.other_thread = true;
    tool.timeout_milliseconds = 60000;
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    inside.act = NOTHING;
    ask(session, &seen, &options, KIMI_OK);
    CHECK(inside.calls > 0 && result_is(&seen, KIMI_RESULT_OK, "'"), "%s", seen.log);
    tool.timeout_milliseconds = 30;
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    inside.act = WAIT;
    options.step_limit = 2;
    ask(session, &seen, &options, KIMI_OK);
    CHECK(result_is(&seen, KIMI_RESULT_TIMED_OUT, ""), "%s", seen.log);
    kimi_session_destroy(session);
    inside.release = 1;
    for (int i = 0; i < 5000 && inside.release != 2; i++) usleep(1000);
    CHECK(inside.release == 2, "the late callback did not end");
    inside.other_thread = false;
}

static int32_t meet(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    (void)call;
    pthread_barrier_wait(user_data);
    return kimi_tool_result_set(result, "met", KIMI_NUL, NULL) == KIMI_OK ? 0 : 1;
}

/* Two calls of one answer, each of which waits for the other. */
static void at_the_same_time(kimi_model *model) {
    kimi_error *error = NULL;
    static turn seen;
    int calls = 0;
    kimi_session *session = new_session(model);
    kimi_tool tool = {.struct_size = sizeof tool, .name = "find", .parameters = find_tool, .callback = found,
                      .user_data = &calls};
    const char *required = "\"tool_choice\": \"required\"";
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    kimi_chat_options options;
    uint64_t seed = 0;
    for (calls = 0; seed < 60 && calls != 2; seed++) {
        options = seeded(seed + 1, 2);
        calls = 0;
        memset(&seen, 0, sizeof seen);
        EXPECT(KIMI_OK, kimi_session_send(session, request(model, required), KIMI_NUL, &options, record_turn, &seen, &error));
        if (calls == 2 && seen.counts[KIMI_CHAT_CALL_END] != 2) calls = 0;
    }
    if (calls != 2) {
        printf("no seed gave an answer with two calls; tools at the same time were not tried\n");
    } else {
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, 2);
        tool.callback = meet;
        tool.user_data = &barrier;
        tool.any_thread = 1;
        EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
        options.parallel_calls = 2;
        memset(&seen, 0, sizeof seen);
        EXPECT(KIMI_OK, kimi_session_send(session, request(model, required), KIMI_NUL, &options, record_turn, &seen, &error));
        CHECK(seen.counts[KIMI_CHAT_RESULT] == 2, "%s", seen.log);
        pthread_barrier_destroy(&barrier);
    }
    kimi_session_destroy(session);
}

/* Without a callback: results are asked for, must be given, and only for what was asked. */
static void polling(kimi_model *model) {
    kimi_error *error = NULL;
    kimi_session *session = new_session(model);
    kimi_chat_options options = seeded(5, 3);
    kimi_chat *chat = NULL;
    kimi_chat_event event = {.struct_size = sizeof event};
    EXPECT(KIMI_OK, kimi_chat_start(session, request(model, FORCED ", " FIND), KIMI_NUL, &options, &chat, &error));
    int answered = 0;
    for (int polls = 0; polls < 4000; polls++) {
        if (EXPECT(KIMI_OK, kimi_chat_next(chat, &event, &error)) != KIMI_OK || event.type == KIMI_CHAT_FINISH) break;
        if (event.type == KIMI_CHAT_CALL_END) CHECK(is_valid(event.text), "%s", event.text);
        if (event.type != KIMI_CHAT_RESULT_NEEDED) continue;
        char id[128];
        snprintf(id, sizeof id, "%s", event.call_id);
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_next(chat, &event, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_submit(chat, "functions.find:77", KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_submit(chat, id, KIMI_NUL, "x", 1, KIMI_RESULT_TIMED_OUT, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_submit(chat, id, KIMI_NUL, "\xff", 1, KIMI_RESULT_OK, &error));
        int32_t code = answered % 2 ? KIMI_RESULT_FAILED : KIMI_RESULT_OK;
        EXPECT(KIMI_OK, kimi_chat_submit(chat, id, KIMI_NUL, "none", 4, code, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_submit(chat, id, KIMI_NUL, "again", 5, KIMI_RESULT_OK, &error));
        answered++;
    }
    CHECK(event.type == KIMI_CHAT_FINISH && answered > 0, "type %d, %d answered", event.type, answered);
    kimi_chat_destroy(chat);
    int held = message_count(session);
    CHECK(held >= 2 + answered, "%d messages, %d results", held, answered);

    /* By callback, and in one step by polling: calls of tools without a callback are for the next request. */
    static turn seen;
    memset(&seen, 0, sizeof seen);
    const char *by_callback = request(model, FORCED ", " FIND);
    EXPECT(KIMI_OK, kimi_session_send(session, by_callback, KIMI_NUL, &options, record_turn, &seen, &error));
    CHECK(seen.finish_reason == KIMI_FINISH_TOOL_CALLS && seen.counts[KIMI_CHAT_RESULT_NEEDED] == 0, "%s", seen.log);

    /* Cancelled and destroyed while it waits for a result. */
    for (int round = 0; round < 2; round++) {
        held = message_count(session);
        EXPECT(KIMI_OK, kimi_chat_start(session, request(model, FORCED ", " FIND), KIMI_NUL, &options, &chat, &error));
        do {
            if (EXPECT(KIMI_OK, kimi_chat_next(chat, &event, &error)) != KIMI_OK) break;
        } while (event.type != KIMI_CHAT_RESULT_NEEDED && event.type != KIMI_CHAT_FINISH);
        CHECK(event.type == KIMI_CHAT_RESULT_NEEDED, "type %d", event.type);
        if (round == 0) {
            EXPECT_STATUS(KIMI_OK, kimi_session_cancel(session));
            kimi_status status = kimi_chat_next(chat, &event, &error);
            CHECK(status == KIMI_ERROR_CANCELLED || (status == KIMI_OK && event.finish_reason == KIMI_FINISH_CANCELLED), "%s",
                  kimi_status_name(status));
            kimi_error_destroy(error);
            error = NULL;
        }
        kimi_chat_destroy(chat);
        CHECK(message_count(session) == held, "%d messages, not %d", message_count(session), held);
    }
    kimi_session_destroy(session);
}

void contract_chat_tools(void) {
    kimi_model *model = inside.model = open_model(NULL);
    callbacks(model);
    at_the_same_time(model);
    polling(model);
    kimi_model_close(model);
}
