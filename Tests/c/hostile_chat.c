/* Groups of hostile.c: conversation: requests, options, tools, polling, and what needs no session. */
#include "hostile.h"

#include <math.h>

static const char hello[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"mode\": \"instant\", "
                            "\"max_tokens\": 2}";

static int32_t never_called(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    (void)result, (void)user_data;
    CHECK(false, "%s was called", call->name);
    return 0;
}

/* The conversation has so many messages. */
static void messages_are(kimi_session *session, int wanted) {
    kimi_error *error = NULL;
    char *json = NULL;
    size_t length = 0;
    if (EXPECT(KIMI_OK, kimi_session_messages(session, &json, &length, &error)) != KIMI_OK) return;
    int found = 0;
    for (const char *role = json; (role = strstr(role, "\"role\"")) != NULL; role++) found++;
    CHECK(found == wanted && strlen(json) == length, "%d messages, not %d: %s", found, wanted, json);
    kimi_free(json);
}

/* What is no handle of a picture or video. */
static void hostile_image(void *bad) {
    kimi_error *error = NULL;
    kimi_video *video = (kimi_video *)16;
    size_t tokens = 7;
    float row[4];
    CHECK(kimi_image_width(bad) == 0 && kimi_image_height(bad) == 0, "a stranger has a size");
    CHECK(!kimi_image_url(bad) && !kimi_image_digest(bad) && !kimi_video_url(bad), "a stranger has a name");
    kimi_image_destroy(bad);
    kimi_video_destroy(bad);
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_model_encode_image(model, bad, row, 4, &tokens, &error));
    CHECK(tokens == 0, "%zu tokens", tokens);
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_model_encode_video(model, bad, row, 4, &tokens, &error));
    EXPECT_SAYING("frames[0]", KIMI_ERROR_INVALID_HANDLE,
                  kimi_video_from_frames((const kimi_image *const *)&bad, NULL, 1, &video, &error));
    CHECK(video == NULL, "a video of strangers");
}

/* NULL where something must be. */
static void hostile_media(void) {
    kimi_error *error = NULL;
    kimi_image *image = NULL;
    kimi_video *video = NULL;
    size_t tokens = 7;
    int64_t count = 7;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_bytes(NULL, 5, &image, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_bytes("x", SIZE_MAX, &image, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_bytes("x", 1, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_path(NULL, KIMI_NUL, &image, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_url(NULL, KIMI_NUL, &image, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_pixels(NULL, 3, 1, 1, 3, 0, &image, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_pixels((const uint8_t *)"abc", SIZE_MAX, 1, 1, 3, 0, &image, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_pixels((const uint8_t *)"abc", 3, 1, 1, 3, SIZE_MAX, &image, &error));
    EXPECT(KIMI_OK, kimi_image_from_pixels((const uint8_t *)"abc", 3, 1, 1, 3, 0, &image, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_video_from_bytes(NULL, 5, &video, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_video_from_path("", 0, &video, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_video_from_frames(NULL, NULL, 5, &video, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_video_from_frames(NULL, NULL, SIZE_MAX, &video, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_encode_image(model, image, NULL, 5, &tokens, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_encode_image(model, image, NULL, SIZE_MAX, &tokens, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_encode_image(model, image, NULL, 0, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_media_tokens(model, 9, 9, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_media_tokens(model, 0, 9, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_media_tokens(model, INT64_MAX, INT64_MAX, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_media_tokens(NULL, 9, 9, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_video_tokens(NULL, 1, 1, 9, 9, &count, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_video_tokens(model, 1, 1, 9, 9, NULL, NULL, &error));
    kimi_image_destroy(image);
    kimi_image_destroy(image);
    kimi_video_destroy(NULL);
}

void hostile_chat(void) {
    open_all();
    hostile_media();
    kimi_error *error = NULL;
    kimi_chat *chat = (kimi_chat *)16;
    kimi_chat_event event = {.struct_size = sizeof event};
    kimi_tool tool = {.struct_size = sizeof tool, .name = "f", .callback = never_called};
    char *text = (char *)16;
    size_t count = 7;
    int32_t ids[4];
    void *bad;
    for (int i = 0; stranger(i, SESSION, &bad); i++, chat = (kimi_chat *)16, text = (char *)16) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_send(bad, hello, KIMI_NUL, NULL, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_say(bad, "Hello", KIMI_NUL, NULL, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_turn(bad, &text, &count, &error));
        CHECK(text == NULL && count == 0, "stranger %d leaves a turn of %zu bytes", i, count);
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_messages(bad, &text, NULL, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_add_tool(bad, &tool, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_remove_tool(bad, "f", 1, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_chat_start(bad, hello, KIMI_NUL, NULL, &chat, &error));
        CHECK(chat == NULL, "stranger %d leaves a chat", i);
    }
    for (int i = 0; stranger(i, OTHER, &bad); i++) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_chat_next(bad, &event, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_chat_submit(bad, "functions.f:0", KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE,
               kimi_chat_submit_content(bad, "functions.f:0", KIMI_NUL, "\"x\"", 3, KIMI_RESULT_OK, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_tool_result_set(bad, "x", 1, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_tool_result_add_image(bad, NULL, &error));
        kimi_chat_destroy(bad);
        hostile_image(bad);
    }
    for (int i = 0; stranger(i, MODEL, &bad); i++, text = (char *)16) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_render(bad, hello, KIMI_NUL, KIMI_MODE_AUTO, &text, &count, &error));
        CHECK(text == NULL && count == 0, "stranger %d leaves a prompt of %zu bytes", i, count);
        text = (char *)16;
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_render_ids(bad, hello, KIMI_NUL, KIMI_MODE_AUTO, ids, 4, &count, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_parse_output(bad, ids, 0, 1, &text, &count, &error));
    }

    /* Out-parameters and texts that must not be NULL. */
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_turn(session, NULL, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_messages(session, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_start(session, hello, KIMI_NUL, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_render(model, hello, KIMI_NUL, 0, NULL, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_render_ids(model, hello, KIMI_NUL, 0, ids, 4, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_render_ids(model, hello, KIMI_NUL, 0, NULL, 4, &count, &error));
    EXPECT(KIMI_ERROR_TOO_SMALL, kimi_render_ids(model, hello, KIMI_NUL, 0, ids, 4, &count, &error));
    CHECK(count > 4, "TOO_SMALL stores %zu", count);
    EXPECT(KIMI_OK, kimi_render_ids(model, hello, KIMI_NUL, 0, NULL, 0, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_parse_output(model, NULL, 3, 1, &text, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_parse_output(model, ids, 1, 1, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_parse_output_text(NULL, 1, 1, &text, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tools_to_typescript(NULL, KIMI_NUL, &text, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tools_to_typescript("[]", 2, NULL, NULL, &error));
    const size_t lengths[] = {1, KIMI_TEXT_LIMIT, SIZE_MAX - 1, KIMI_NUL};
    for (size_t i = 0; i < 4; i++) {
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_send(session, NULL, lengths[i], NULL, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_say(session, NULL, lengths[i], NULL, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_start(session, NULL, lengths[i], NULL, &chat, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_remove_tool(session, NULL, lengths[i], &error));
    }
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_send(session, hello, KIMI_TEXT_LIMIT + 1, NULL, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_say(session, "a\xff", 2, NULL, NULL, NULL, &error));
    EXPECT_STATUS(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_send(session, NULL, 1, NULL, NULL, NULL, NULL));
    /* Modes and starting states that are none. */
    const int32_t modes[] = {-1, 5, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++)
        EXPECT_SAYING("mode", KIMI_ERROR_INVALID_ARGUMENT, kimi_render(model, hello, KIMI_NUL, modes[i], &text, NULL, &error));
    const int32_t vocabulary = kimi_model_vocabulary_size(model);
    const int32_t wrong[] = {-1, vocabulary, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++)
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_parse_output(model, &wrong[i], 1, 1, &text, NULL, &error));
    CHECK(text == NULL, "a refused output leaves a text");
    /* A text with a NUL byte in it comes whole. */
    EXPECT(KIMI_OK, kimi_render(model, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\\u0000b\"}]}", KIMI_NUL, 0, &text,
                                &count, &error));
    CHECK(text && strlen(text) < count && memcmp(text + strlen(text) - 1, "a\0b", 3) == 0 && text[count] == 0, "%zu bytes", count);
    kimi_free(text);
    EXPECT(KIMI_OK, kimi_parse_output(model, NULL, 0, 1, &text, NULL, &error));
    kimi_free(text);

    messages_are(session, 0);
    EXPECT(KIMI_OK, kimi_session_send(session, hello, KIMI_NUL, NULL, NULL, NULL, &error));
    messages_are(session, 2);
}

#define OUT_OF_RANGE(field, value) \
    do { \
        kimi_chat_options_init(&options, sizeof options); \
        options.field = (value); \
        EXPECT_SAYING(#field, KIMI_ERROR_INVALID_ARGUMENT, \
                      kimi_session_send(session, hello, KIMI_NUL, &options, NULL, NULL, &error)); \
        EXPECT_SAYING(#field, KIMI_ERROR_INVALID_ARGUMENT, \
                      kimi_chat_start(session, hello, KIMI_NUL, &options, &out, &error)); \
        CHECK(out == NULL, #field " leaves a chat"); \
    } while (0)

void hostile_chat_options(void) {
    open_all();
    kimi_error *error = NULL;
    kimi_chat *out = NULL;
    kimi_chat_options options;
    OUT_OF_RANGE(mode, -1);
    OUT_OF_RANGE(mode, 5);
    OUT_OF_RANGE(mode, INT32_MAX);
    OUT_OF_RANGE(max_tokens, -1);
    OUT_OF_RANGE(max_tokens, INT64_MIN);
    OUT_OF_RANGE(reasoning_budget, -2);
    OUT_OF_RANGE(reasoning_budget, INT64_MIN);
    OUT_OF_RANGE(temperature, 101.0f);
    OUT_OF_RANGE(temperature, NAN);
    OUT_OF_RANGE(temperature, INFINITY);
    OUT_OF_RANGE(top_p, 1.5f);
    OUT_OF_RANGE(top_p, NAN);
    OUT_OF_RANGE(constrain, -1);
    OUT_OF_RANGE(constrain, 2);
    OUT_OF_RANGE(step_limit, -1);
    OUT_OF_RANGE(step_limit, 10001);
    OUT_OF_RANGE(append, 2);
    OUT_OF_RANGE(append, -1);
    OUT_OF_RANGE(parallel_calls, -1);
    OUT_OF_RANGE(parallel_calls, 65);
    OUT_OF_RANGE(context_policy, -1);
    OUT_OF_RANGE(context_policy, 3);
    OUT_OF_RANGE(reserved, 1);
    OUT_OF_RANGE(struct_size, 0);
    OUT_OF_RANGE(struct_size, 3);
    /* To ask nobody. */
    kimi_chat_options_init(&options, sizeof options);
    options.context_policy = KIMI_CONTEXT_ASK;
    EXPECT_SAYING("context_callback", KIMI_ERROR_INVALID_ARGUMENT,
                  kimi_session_send(session, hello, KIMI_NUL, &options, NULL, NULL, &error));
    /* The largest numbers that are allowed. */
    kimi_chat_options_init(&options, sizeof options);
    options.reasoning_budget = INT64_MAX;
    options.seed = UINT64_MAX;
    options.temperature = 100;
    options.top_p = 1;
    options.step_limit = 10000;
    options.parallel_calls = 64;
    EXPECT(KIMI_OK, kimi_session_send(session, hello, KIMI_NUL, &options, NULL, NULL, &error));
    /* A shorter struct leaves the rest at its defaults. */
    options.context_policy = 77;
    options.struct_size = offsetof(kimi_chat_options, context_policy);
    EXPECT(KIMI_OK, kimi_session_send(session, hello, KIMI_NUL, &options, NULL, NULL, &error));
    struct {
        kimi_chat_options known;
        char unknown[16];
    } longer = {0};
    kimi_chat_options_init(&longer.known, sizeof longer);
    EXPECT(KIMI_OK, kimi_session_send(session, hello, KIMI_NUL, &longer.known, NULL, NULL, &error));
    longer.unknown[15] = 1;
    EXPECT(KIMI_ERROR_UNSUPPORTED, kimi_session_send(session, hello, KIMI_NUL, &longer.known, NULL, NULL, &error));
}

void hostile_requests(void) {
    open_all();
    kimi_error *error = NULL;
    kimi_chat *chat = NULL;
    char *text = NULL;
#define USER "{\"role\": \"user\", \"content\": \"x\"}"
#define WITH(members) "{\"messages\": [" USER "], " members "}"
#define TOOL(members) WITH("\"tools\": [{\"type\": \"function\", \"function\": {" members "}}]")
#define F "{\"type\": \"function\", \"function\": {\"name\": \"f\"}}"
    static const struct {
        const char *json, *words;
    } requests[] = {
        {"", ""}, {"{", ""}, {"[]", ""}, {"5", ""}, {"null", ""}, {"{}", "messages"}, {"{\"messages\": 5}", "messages"},
        {"{\"messages\": []}", "messages"}, {"{\"messages\": [5]}", "messages[0]"}, {"{\"messages\": [{}]}", "messages[0]"},
        {"{\"messages\": [" USER ", {\"role\": \"wizard\", \"content\": \"x\"}]}", "messages[1].role"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": 5}]}", "messages[0].content"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"smell\"}]}]}", "messages[0].content[0]"},
        {WITH("\"tools\": 5"), "tools"}, {WITH("\"tools\": [5]"), "tools[0]"}, {TOOL(""), "tools[0]"},
        {TOOL("\"name\": 5"), "tools[0]"}, {TOOL("\"name\": \"\""), "tools[0]"}, {TOOL("\"name\": \"a b\""), "tools[0]"},
        {TOOL("\"name\": \"f\", \"parameters\": 5"), "tools[0]"},
        {WITH("\"tools\": [" F ", " F "]"), "tools[1]"},
        {WITH("\"tool_choice\": 5"), "tool_choice"}, {WITH("\"tool_choice\": \"maybe\""), "tool_choice"},
        {WITH("\"mode\": \"deep\""), "mode"},
        {WITH("\"max_tokens\": -1"), "max_tokens"}, {WITH("\"max_tokens\": \"5\""), "max_tokens"},
        {WITH("\"max_tokens\": 1e300"), "max_tokens"}, {WITH("\"temperature\": \"hot\""), "temperature"},
        {WITH("\"seed\": \"x\""), "seed"}, {WITH("\"reasoning_budget\": -5"), "reasoning_budget"},
        {WITH("\"response_format\": {\"type\": \"song\"}"), "response_format"},
        {WITH("\"stop\": 5"), "stop"}, {WITH("\"stop\": [5]"), "stop"},
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        const char *json = requests[i].json;
        EXPECT_SAYING(requests[i].words, KIMI_ERROR_INVALID_ARGUMENT,
                      kimi_session_send(session, json, KIMI_NUL, NULL, NULL, NULL, &error));
        EXPECT_SAYING(requests[i].words, KIMI_ERROR_INVALID_ARGUMENT,
                      kimi_chat_start(session, json, KIMI_NUL, NULL, &chat, &error));
        EXPECT_SAYING(requests[i].words, KIMI_ERROR_INVALID_ARGUMENT,
                      kimi_render(model, json, KIMI_NUL, 0, &text, NULL, &error));
        if (failures) printf("the request was %s\n", json);
    }
    /* What only matters where tokens are chosen, or the session's own tools are known. */
    EXPECT_SAYING("tool_choice", KIMI_ERROR_INVALID_ARGUMENT,
                  kimi_session_send(session, WITH("\"tool_choice\": \"required\""), KIMI_NUL, NULL, NULL, NULL, &error));
    EXPECT_SAYING("temperature", KIMI_ERROR_INVALID_ARGUMENT,
                  kimi_session_send(session, WITH("\"temperature\": -1"), KIMI_NUL, NULL, NULL, NULL, &error));
    EXPECT_SAYING("top_p", KIMI_ERROR_INVALID_ARGUMENT,
                  kimi_session_send(session, WITH("\"top_p\": 2"), KIMI_NUL, NULL, NULL, NULL, &error));
    text = (char *)16;
    static const char *const tools[] = {"", "{}", "5", "[5]", "[{}]", "[{\"function\": 5}]", "[{\"function\": {\"name\": 5}}]"};
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tools_to_typescript(tools[i], KIMI_NUL, &text, NULL, &error));
        CHECK(text == NULL, "%s leaves a text", tools[i]);
        text = (char *)16;
    }
    /* A hundred thousand brackets, and nearly as many properties. */
    const size_t deep = 100000;
    char *json = malloc(40 * deep);
    memset(json, '[', deep);
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_send(session, json, deep, NULL, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tools_to_typescript(json, deep, &text, NULL, &error));
    size_t length = (size_t)sprintf(json, "{\"messages\": [" USER "], \"max_tokens\": 1, \"tools\": [{\"type\": \"function\", "
                                          "\"function\": {\"name\": \"f\", \"parameters\": {\"type\": \"object\", "
                                          "\"properties\": {");
    for (int i = 0; i < 90000; i++) length += (size_t)sprintf(json + length, "%s\"p%d\": {\"type\": \"string\"}", i ? ", " : "", i);
    length += (size_t)sprintf(json + length, "}}}}]}");
    /* More than the context holds, or than a schema may have; not a crash. */
    kimi_status status = kimi_session_send(session, json, length, NULL, NULL, NULL, &error);
    CHECK(status == KIMI_ERROR_CONTEXT_FULL || status == KIMI_ERROR_INVALID_ARGUMENT || status == KIMI_OK, "%s",
          kimi_status_name(status));
    kimi_error_destroy(error);
    error = NULL;
    free(json);
    EXPECT(KIMI_OK, kimi_session_send(session, hello, KIMI_NUL, NULL, NULL, NULL, &error));
}

void hostile_tools(void) {
    open_all();
    kimi_error *error = NULL;
    const kimi_tool good = {.struct_size = sizeof good, .name = "f", .callback = never_called};
    kimi_tool tool;
#define REFUSED(words, field, value) \
    do { \
        tool = good; \
        tool.field = (value); \
        EXPECT_SAYING(words, KIMI_ERROR_INVALID_ARGUMENT, kimi_session_add_tool(session, &tool, &error)); \
    } while (0)
    REFUSED("struct_size", struct_size, 0);
    REFUSED("struct_size", struct_size, 3);
    REFUSED("timeout_milliseconds", timeout_milliseconds, -1);
    REFUSED("timeout_milliseconds", timeout_milliseconds, 86400001);
    REFUSED("name", name, NULL);
    REFUSED("name", name, "");
    REFUSED("name", name, "a b");
    REFUSED("name", name, "\xff");
    REFUSED("name", name, "a:b");
    char long_name[200];
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    REFUSED("name", name, long_name);
    REFUSED("description", description, "\xff");
    REFUSED("parameters", parameters, "");
    REFUSED("parameters", parameters, "5");
    REFUSED("parameters", parameters, "{");
    REFUSED("any_thread", any_thread, 2);
    REFUSED("any_thread", any_thread, -1);
    REFUSED("reserved", reserved, 1);
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_add_tool(session, NULL, &error));
    /* A struct that ends before its name has none. */
    tool = good;
    tool.struct_size = offsetof(kimi_tool, name);
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_add_tool(session, &tool, &error));

    EXPECT_SAYING("f", KIMI_ERROR_INVALID_ARGUMENT, kimi_session_remove_tool(session, "f", 1, &error));
    for (int i = 0; i < 3; i++) EXPECT(KIMI_OK, kimi_session_add_tool(session, &good, &error));
    EXPECT(KIMI_OK, kimi_session_remove_tool(session, "f", 1, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_remove_tool(session, "f", 1, &error));

    /* Polling: events of every size, results for calls that are none, the session destroyed before its chat. */
    kimi_chat *chat = NULL;
    kimi_chat_event event = {.struct_size = sizeof event};
    if (EXPECT(KIMI_OK, kimi_chat_start(session, hello, KIMI_NUL, NULL, &chat, &error)) != KIMI_OK) return;
    EXPECT(KIMI_ERROR_BUSY, kimi_session_send(session, hello, KIMI_NUL, NULL, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_next(chat, NULL, &error));
    for (uint32_t size = 0; size < 8; size++) {
        event.struct_size = size;
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_next(chat, &event, &error));
    }
    const char *const ids[] = {"", "functions.f:0", "f", "functions.f:99999999999999999999"};
    for (size_t i = 0; i < 4; i++)
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_submit(chat, ids[i], KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_submit(chat, NULL, KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_chat_submit(chat, "functions.f:0", KIMI_NUL, NULL, 1, KIMI_RESULT_OK, &error));
    memset(&event, 0xa5, sizeof event);
    event.struct_size = offsetof(kimi_chat_event, code);
    EXPECT(KIMI_OK, kimi_chat_next(chat, &event, &error));
    CHECK(event.type == KIMI_CHAT_START && event.step == 0 && event.call == -1, "type %d", event.type);
    CHECK(event.text && event.call_id && event.name && !*event.call_id && !*event.name, "texts that are none");
    CHECK(event.code == (int32_t)0xa5a5a5a5, "wrote behind the caller's struct");
    kimi_session_destroy(session);
    event.struct_size = sizeof event;
    kimi_status status = kimi_chat_next(chat, &event, &error);
    CHECK(status == KIMI_ERROR_INVALID_HANDLE || status == KIMI_ERROR_CANCELLED ||
              (status == KIMI_OK && event.type == KIMI_CHAT_FINISH && event.finish_reason == KIMI_FINISH_CANCELLED),
          "%s, event %d", kimi_status_name(status), event.type);
    kimi_error_destroy(error);
    error = NULL;
    kimi_chat_destroy(chat);
    kimi_chat_destroy(chat);
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_chat_next(chat, &event, &error));
}
