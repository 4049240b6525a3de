/* Parts of contract.c: turns by callback and by polling, and cancelling them. */
#include "contract_chat.h"

const char find_tool[] =
    "{\"type\": \"object\", \"properties\": {\"kind\": {\"enum\": [\"a\", \"b\"]}}, \"required\": [\"kind\"], "
    "\"additionalProperties\": false}";

const char *request(kimi_model *model, const char *members) {
    static char json[16384], bias[8192];
    kimi_error *error = NULL;
    if (!*bias) {
        size_t end = 0;
        for (int32_t id = 0; id < kimi_model_vocabulary_size(model) && end < sizeof bias - 32; id++) {
            char piece[256];
            size_t length = 0;
            EXPECT(KIMI_OK, kimi_token_piece(model, id, piece, sizeof piece, &length, &error));
            while (length > 0 && strchr(" \t\r\n", piece[length - 1])) length--;
            if (length == 0) end += (size_t)sprintf(bias + end, "%s\"%d\": -100", end ? ", " : "", id);
        }
    }
    snprintf(json, sizeof json, "{\"messages\": [{\"role\": \"user\", \"content\": \"Find it.\"}], \"mode\": \"instant\", "
                                "\"max_tokens\": 300, \"logit_bias\": {%s}%s%s}", bias, *members ? ", " : "", members);
    return json;
}

kimi_chat_options seeded(uint64_t seed, int32_t steps) {
    kimi_chat_options options;
    kimi_chat_options_init(&options, sizeof options);
    options.seed = seed;
    options.step_limit = steps;
    return options;
}

int message_count(kimi_session *session) {
    kimi_error *error = NULL;
    char *json = NULL;
    if (EXPECT(KIMI_OK, kimi_session_messages(session, &json, NULL, &error)) != KIMI_OK) return -1;
    int count = 0;
    for (const char *role = json; (role = strstr(role, "\"role\"")) != NULL; role++) count++;
    kimi_free(json);
    return count;
}

/* A line for each event, so that two turns can be compared. */
static void line(turn *seen, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof seen->log - seen->length;
    int written = vsnprintf(seen->log + seen->length, room, format, arguments);
    va_end(arguments);
    if (written > 0) seen->length += (size_t)written < room ? (size_t)written : room - 1;
}

int32_t record_turn(const kimi_chat_event *event, void *user_data) {
    turn *seen = user_data;
    seen->events++;
    CHECK(seen->counts[KIMI_CHAT_FINISH] == 0, "event %d after the last", event->type);
    if (!CHECK(event->type >= 1 && event->type <= KIMI_CHAT_MEDIA, "type %d", event->type)) return 0;
    seen->counts[event->type]++;
    CHECK(event->text && event->call_id && event->name && strlen(event->text) == event->text_length, "event %d: texts",
          event->type);
    CHECK(event->struct_size >= sizeof *event, "%u", event->struct_size);
    /* A rejected call has a number, and no id that could be answered. */
    bool of_call = event->type >= KIMI_CHAT_CALL_BEGIN && event->type <= KIMI_CHAT_RESULT;
    bool has_id = of_call && event->type != KIMI_CHAT_CALL_REJECTED;
    CHECK((event->call >= 0) == of_call && (*event->call_id != 0) == has_id, "event %d of call %d '%s'", event->type, event->call,
          event->call_id);
    CHECK(event->step >= seen->step && event->step <= seen->step + 1, "step %d after %d", event->step, seen->step);
    seen->step = event->step;
    if (event->type == KIMI_CHAT_FINISH) {
        seen->finish_reason = event->finish_reason;
        seen->generated = event->generated_tokens;
    }
    line(seen, "%d %d %d %s %s %d %d %lld %lld '%s'\n", event->type, event->step, event->call, event->call_id, event->name,
         event->code, event->finish_reason, (long long)event->done, (long long)event->total, event->text);
    if (seen->act && seen->events == seen->act_at) return seen->act(seen);
    return 0;
}

/* The same events whether they are called for or polled; the conversation grows by what was said. */
void contract_chat(void) {
    kimi_error *error = NULL;
    kimi_model *model = open_model(NULL);
    kimi_session *session = new_session(model);
    static turn called, polled;
    memset(&called, 0, sizeof called);
    memset(&polled, 0, sizeof polled);
    kimi_chat_options options = seeded(11, 0);
    options.max_tokens = 12;

    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_turn(session, &(char *){NULL}, NULL, &error));
    EXPECT(KIMI_OK, kimi_session_send(session, request(model, ""), KIMI_NUL, &options, record_turn, &called, &error));
    CHECK(called.counts[KIMI_CHAT_START] == 1 && called.counts[KIMI_CHAT_FINISH] == 1 && called.counts[KIMI_CHAT_PROMPT] > 0,
          "%s", called.log);
    CHECK(called.generated > 0 && called.generated <= 12, "%lld tokens", (long long)called.generated);
    CHECK(message_count(session) == 2, "%d messages", message_count(session));

    kimi_session *other = new_session(model);
    kimi_chat *chat = NULL;
    kimi_chat_event event = {.struct_size = sizeof event};
    EXPECT(KIMI_OK, kimi_chat_start(other, request(model, ""), KIMI_NUL, &options, &chat, &error));
    EXPECT(KIMI_ERROR_BUSY, kimi_session_reset(other, &error));
    do {
        if (EXPECT(KIMI_OK, kimi_chat_next(chat, &event, &error)) != KIMI_OK) break;
        record_turn(&event, &polled);
    } while (event.type != KIMI_CHAT_FINISH);
    CHECK(strcmp(called.log, polled.log) == 0, "called:\n%spolled:\n%s", called.log, polled.log);
    EXPECT(KIMI_OK, kimi_chat_next(chat, &event, &error));
    CHECK(event.type == KIMI_CHAT_FINISH, "type %d after the last", event.type);
    /* It has finished: the session is free before the chat is destroyed. */
    EXPECT(KIMI_OK, kimi_session_say(other, "Go on.", KIMI_NUL, &options, NULL, NULL, &error));
    kimi_chat_destroy(chat);
    CHECK(message_count(other) == 4, "%d messages", message_count(other));

    /* The last answer, in OpenAI's form. */
    char *json = NULL;
    size_t length = 0;
    EXPECT(KIMI_OK, kimi_session_turn(other, &json, &length, &error));
    CHECK(json && strlen(json) == length && strstr(json, "\"assistant\"") && strstr(json, "\"content\""), "%s", json);
    kimi_free(json);

    /* A refused request changes nothing; a chat that is not finished neither. */
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_send(other, "{\"messages\": 5}", KIMI_NUL, NULL, NULL, NULL, &error));
    EXPECT(KIMI_OK, kimi_chat_start(other, request(model, ""), KIMI_NUL, &options, &chat, &error));
    for (int i = 0; i < 3; i++) EXPECT(KIMI_OK, kimi_chat_next(chat, &event, &error));
    kimi_chat_destroy(chat);
    CHECK(message_count(other) == 4, "%d messages", message_count(other));
    EXPECT(KIMI_OK, kimi_session_say(other, "Go on.", KIMI_NUL, &options, NULL, NULL, &error));
    CHECK(message_count(other) == 6, "%d messages", message_count(other));

    /* A prompt that does not fit, a text that does, and the context's end. */
    kimi_session_options small;
    kimi_session_options_init(&small, sizeof small);
    small.context_limit = 48;
    kimi_session *tiny = NULL;
    EXPECT(KIMI_OK, kimi_session_create(model, &small, &tiny, &error));
    char *much = malloc(4001);
    memset(much, 'x', 4000);
    much[4000] = 0;
    EXPECT(KIMI_ERROR_CONTEXT_FULL, kimi_session_say(tiny, much, KIMI_NUL, NULL, NULL, NULL, &error));
    free(much);
    memset(&called, 0, sizeof called);
    options = seeded(11, 0);
    EXPECT(KIMI_OK, kimi_session_say(tiny, "Hello", KIMI_NUL, &options, record_turn, &called, &error));
    CHECK(called.finish_reason == KIMI_FINISH_CONTEXT || called.finish_reason == KIMI_FINISH_STOP, "reason %d",
          called.finish_reason);

    kimi_session_destroy(tiny);
    kimi_session_destroy(other);
    kimi_session_destroy(session);
    kimi_model_close(model);
}

static int32_t cancel(turn *seen) {
    EXPECT_STATUS(KIMI_OK, kimi_session_cancel(seen->session));
    return 0;
}
static int32_t stop(turn *seen) {
    (void)seen;
    return 42;
}
static int32_t destroy(turn *seen) {
    kimi_session_destroy(seen->session);
    return 0;
}

/* At each event of a turn with a call and its result: cancelled, stopped, or the session destroyed. */
void contract_chat_cancel(void) {
    kimi_error *error = NULL;
    kimi_model *model = open_model(NULL);
    static turn whole, seen;
    int answered = 0;
    kimi_tool tool = {.struct_size = sizeof tool, .name = "find", .parameters = find_tool, .callback = found,
                      .user_data = &answered};
    const char *forced = "\"tool_choice\": \"required\", \"parallel_tool_calls\": false";
    kimi_chat_options options = seeded(3, 2);

    kimi_session *session = new_session(model);
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    memset(&whole, 0, sizeof whole);
    EXPECT(KIMI_OK, kimi_session_send(session, request(model, forced), KIMI_NUL, &options, record_turn, &whole, &error));
    CHECK(whole.counts[KIMI_CHAT_RESULT] > 0 && answered > 0, "no result in\n%s", whole.log);
    int held = message_count(session);
    for (int at = 1; at < whole.events; at += whole.events > 120 ? 1 + whole.events / 60 : 1) {
        memset(&seen, 0, sizeof seen);
        seen.session = session;
        seen.act_at = at;
        seen.act = at % 2 ? cancel : stop;
        kimi_status wanted = at % 2 ? KIMI_ERROR_CANCELLED : 42;
        EXPECT(wanted, kimi_session_send(session, request(model, forced), KIMI_NUL, &options, record_turn, &seen, &error));
        CHECK(seen.events == at, "%d events after the one of number %d", seen.events, at);
        CHECK(strncmp(seen.log, whole.log, 2) == 0, "another beginning");
        if (message_count(session) != held) {
            CHECK(false, "%d messages after event %d, not %d", message_count(session), at, held);
            break;
        }
    }
    /* It goes on as if nothing had been. */
    memset(&seen, 0, sizeof seen);
    EXPECT(KIMI_OK, kimi_session_send(session, request(model, forced), KIMI_NUL, &options, record_turn, &seen, &error));
    CHECK(seen.counts[KIMI_CHAT_FINISH] == 1 && seen.counts[KIMI_CHAT_CALL_END] == whole.counts[KIMI_CHAT_CALL_END], "%s",
          seen.log);
    kimi_session_destroy(session);

    const int places[] = {1, 2, whole.events / 2, whole.events};
    for (int i = 0; i < 4; i++) {
        memset(&seen, 0, sizeof seen);
        seen.session = new_session(model);
        EXPECT(KIMI_OK, kimi_session_add_tool(seen.session, &tool, &error));
        seen.act_at = places[i];
        seen.act = destroy;
        kimi_status status = kimi_session_send(seen.session, request(model, forced), KIMI_NUL, &options, record_turn, &seen,
                                               &error);
        CHECK(status == KIMI_ERROR_CANCELLED || (i == 3 && status == KIMI_OK), "%s", kimi_status_name(status));
        kimi_error_destroy(error);
        error = NULL;
        EXPECT_STATUS(KIMI_ERROR_INVALID_HANDLE, kimi_session_cancel(seen.session));
    }
    kimi_model_close(model);
}
