/* Parts of contract.c: pictures and videos, by handle and in requests. */
#include "contract_chat.h"

#include <math.h>

static kimi_image *open_image(const char *file) {
    kimi_error *error = NULL;
    kimi_image *image = NULL;
    char name[256];
    snprintf(name, sizeof name, "tiny-kimi-expected/vision/%s", file);
    EXPECT(KIMI_OK, kimi_image_from_path(fixture(name), KIMI_NUL, &image, &error));
    return image;
}

static void *read_all(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    static char bytes[1 << 20];
    *count = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (file) fclose(file);
    return bytes;
}

/* The rows of a picture, to be freed, and how many they are. */
static float *encoded(const kimi_model *model, const kimi_image *image, int hidden, size_t *tokens) {
    kimi_error *error = NULL;
    EXPECT(KIMI_OK, kimi_model_encode_image(model, image, NULL, 0, tokens, &error));
    size_t capacity = *tokens * (size_t)hidden;
    float *rows = calloc(capacity + 1, sizeof *rows);
    rows[capacity] = 7;
    EXPECT(KIMI_OK, kimi_model_encode_image(model, image, rows, capacity, tokens, &error));
    CHECK(rows[capacity] == 7, "wrote beyond %zu floats", capacity);
    return rows;
}

void contract_images(void) {
    kimi_error *error = NULL;
    kimi_model *model = open_model(NULL);
    const int hidden = 192;
    kimi_image *wide = open_image("wide.png"), *same = NULL, *small = open_image("small.png");
    CHECK(kimi_image_width(wide) == 200 && kimi_image_height(wide) == 140, "%lld x %lld", (long long)kimi_image_width(wide),
          (long long)kimi_image_height(wide));

    /* The same picture from its bytes has the same digest and another name. */
    size_t count = 0;
    void *bytes = read_all(fixture("tiny-kimi-expected/vision/wide.png"), &count);
    EXPECT(KIMI_OK, kimi_image_from_bytes(bytes, count, &same, &error));
    CHECK(strcmp(kimi_image_digest(wide), kimi_image_digest(same)) == 0, "%s", kimi_image_digest(same));
    CHECK(strlen(kimi_image_digest(wide)) == 64 && strcmp(kimi_image_digest(wide), kimi_image_digest(small)) != 0, "%s",
          kimi_image_digest(wide));
    CHECK(strlen(kimi_image_url(wide)) == 43 && strncmp(kimi_image_url(wide), "kimi-image:", 11) == 0, "%s", kimi_image_url(wide));
    CHECK(strcmp(kimi_image_url(wide), kimi_image_url(same)) != 0, "%s", kimi_image_url(same));

    /* As many tokens as are foretold, and the same rows. */
    size_t tokens = 0, others = 0;
    int64_t foretold = 0;
    EXPECT(KIMI_OK, kimi_media_tokens(model, 200, 140, &foretold, &error));
    float *rows = encoded(model, wide, hidden, &tokens), *again = encoded(model, same, hidden, &others);
    CHECK(tokens == 40 && others == 40 && foretold == 40, "%zu, %zu and %lld tokens", tokens, others, (long long)foretold);
    CHECK(memcmp(rows, again, tokens * hidden * sizeof *rows) == 0, "one picture, other rows");
    bool finite = true;
    for (size_t i = 0; i < tokens * hidden; i++) finite = finite && isfinite(rows[i]);
    CHECK(finite && rows[0] != rows[1], "rows of %f, %f", rows[0], rows[1]);
    EXPECT(KIMI_ERROR_TOO_SMALL, kimi_model_encode_image(model, wide, rows, tokens * hidden - 1, &others, &error));
    CHECK(others == 40, "%zu tokens", others);

    /* Pixels: a red and a blue one, once with gaps between rows, once with opacity. */
    const uint8_t plain[] = {255, 0, 0, 0, 0, 255}, gaps[] = {255, 0, 0, 9, 9, 0, 0, 255}, clear[] = {255, 0, 0, 255, 0, 0, 255, 255};
    const uint8_t white[] = {255, 255, 255, 255, 255, 255}, nothing[8] = {0};
    kimi_image *made[5] = {NULL};
    EXPECT(KIMI_OK, kimi_image_from_pixels(plain, 6, 1, 2, 3, 0, &made[0], &error));
    EXPECT(KIMI_OK, kimi_image_from_pixels(gaps, 8, 1, 2, 3, 5, &made[1], &error));
    EXPECT(KIMI_OK, kimi_image_from_pixels(clear, 8, 1, 2, 4, 0, &made[2], &error));
    EXPECT(KIMI_OK, kimi_image_from_pixels(white, 6, 1, 2, 3, 0, &made[3], &error));
    EXPECT(KIMI_OK, kimi_image_from_pixels(nothing, 8, 1, 2, 4, 0, &made[4], &error));
    for (int i = 1; i < 3; i++)
        CHECK(strcmp(kimi_image_digest(made[0]), kimi_image_digest(made[i])) == 0, "pixels of kind %d differ", i);
    CHECK(strcmp(kimi_image_digest(made[3]), kimi_image_digest(made[4])) == 0, "what is transparent is not white");
    for (int i = 0; i < 5; i++) kimi_image_destroy(made[i]);
    EXPECT_SAYING("channels", KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_pixels(plain, 6, 1, 2, 2, 0, &made[0], &error));
    EXPECT_SAYING("pixels", KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_pixels(plain, 5, 1, 2, 3, 0, &made[0], &error));
    EXPECT_SAYING("width", KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_pixels(plain, 6, 0, 2, 3, 0, &made[0], &error));
    EXPECT_SAYING("height", KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_pixels(plain, 6, 1, -2, 3, 0, &made[0], &error));
    EXPECT_SAYING("stride", KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_pixels(gaps, 8, 1, 2, 3, 2, &made[0], &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_pixels(plain, 6, INT64_MAX, INT64_MAX, 4, 0, &made[0], &error));

    /* URLs: data and nothing else. */
    EXPECT(KIMI_ERROR_FORMAT, kimi_image_from_url("data:,", KIMI_NUL, &made[0], &error));
    EXPECT(KIMI_ERROR_UNSUPPORTED, kimi_image_from_url("file:///x.png", KIMI_NUL, &made[0], &error));
    EXPECT(KIMI_ERROR_UNSUPPORTED, kimi_image_from_url("https://example.org/x.png", KIMI_NUL, &made[0], &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_image_from_url("x.png", KIMI_NUL, &made[0], &error));
    EXPECT(KIMI_ERROR_IO, kimi_image_from_path("/no/such.png", KIMI_NUL, &made[0], &error));
    EXPECT(KIMI_ERROR_FORMAT, kimi_image_from_bytes(bytes, count / 2, &made[0], &error));
    EXPECT(KIMI_ERROR_FORMAT, kimi_image_from_bytes("", 0, &made[0], &error));
    CHECK(made[0] == NULL, "an image after a failure");

    /* An image does not need the model, nor the model the image. */
    kimi_image_destroy(same);
    CHECK(kimi_image_url(same) == NULL && kimi_image_digest(same) == NULL && kimi_image_width(same) == 0, "destroyed, but speaks");
    kimi_model_close(model);
    CHECK(kimi_image_width(small) == 28, "%lld", (long long)kimi_image_width(small));
    kimi_image_destroy(small);
    kimi_image_destroy(wide);
    free(rows);
    free(again);
}

void contract_videos(void) {
    kimi_error *error = NULL;
    kimi_model *model = open_model(NULL);
    kimi_image *frames[6];
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "clip.%d.png", i);
        frames[i] = open_image(name);
    }
    kimi_video *video = NULL, *other = (kimi_video *)16;
    const double times[] = {0, 0.5, 1, 1.5, 2, 2.5}, falling[] = {0, 1, 0.5, 2, 3, 4}, odd[] = {0, NAN, 1, 2, 3, 4};
    EXPECT(KIMI_OK, kimi_video_from_frames((const kimi_image *const *)frames, times, 6, &video, &error));
    CHECK(strncmp(kimi_video_url(video), "kimi-video:", 11) == 0, "%s", kimi_video_url(video));
    EXPECT_SAYING("timestamps[2]", KIMI_ERROR_INVALID_ARGUMENT,
                  kimi_video_from_frames((const kimi_image *const *)frames, falling, 6, &other, &error));
    EXPECT_SAYING("timestamps[1]", KIMI_ERROR_INVALID_ARGUMENT,
                  kimi_video_from_frames((const kimi_image *const *)frames, odd, 6, &other, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_video_from_frames(NULL, NULL, 0, &other, &error));
    EXPECT(KIMI_ERROR_IO, kimi_video_from_path("/no/such.mp4", KIMI_NUL, &other, &error));
    EXPECT(KIMI_ERROR_FORMAT, kimi_video_from_bytes("", 0, &other, &error));
    CHECK(other == NULL, "a video after a failure");

    /* Two chunks of twelve tokens, as foretold for three seconds at two frames a second. */
    size_t tokens = 0;
    int64_t foretold = 0, chunks = 0;
    float *rows = calloc(24 * 192, sizeof *rows);
    EXPECT(KIMI_OK, kimi_model_encode_video(model, video, rows, 24 * 192, &tokens, &error));
    EXPECT(KIMI_OK, kimi_video_tokens(model, 3, 2, kimi_image_width(frames[0]), kimi_image_height(frames[0]), &foretold, &chunks,
                                      &error));
    CHECK(tokens == 24 && foretold == 24 && chunks == 2, "%zu and %lld tokens, %lld chunks", tokens, (long long)foretold,
          (long long)chunks);
    EXPECT_SAYING("seconds", KIMI_ERROR_INVALID_ARGUMENT, kimi_video_tokens(model, NAN, 2, 9, 9, &foretold, NULL, &error));
    EXPECT_SAYING("fps", KIMI_ERROR_INVALID_ARGUMENT, kimi_video_tokens(model, 3, 0, 9, 9, &foretold, NULL, &error));
    free(rows);

    /* Frames may go once the video is there; in a request each chunk is told. */
    for (int i = 0; i < 6; i++) kimi_image_destroy(frames[i]);
    kimi_session *session = new_session(model);
    char json[512];
    snprintf(json, sizeof json,
             "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"video_url\", \"video_url\": {\"url\": \"%s\"}}]}], "
             "\"mode\": \"instant\", \"max_tokens\": 1}",
             kimi_video_url(video));
    kimi_chat_options options = seeded(1, 0);
    turn *seen = calloc(1, sizeof *seen);
    EXPECT(KIMI_OK, kimi_session_send(session, json, KIMI_NUL, &options, record_turn, seen, &error));
    CHECK(seen->counts[KIMI_CHAT_MEDIA] == 2, "%s", seen->log);
    CHECK(strstr(seen->log, "00:00:02.000"), "%s", seen->log);
    free(seen);
    kimi_video_destroy(video);
    EXPECT_SAYING("kimi_video", KIMI_ERROR_INVALID_ARGUMENT, kimi_session_send(session, json, KIMI_NUL, &options, NULL, NULL, &error));
    kimi_session_destroy(session);
    kimi_model_close(model);
}

static const char *asks(const char *url, const char *text) {
    static char json[4096];
    snprintf(json, sizeof json,
             "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"image_url\": {\"url\": \"%s\"}}, "
             "{\"type\": \"text\", \"text\": \"%s\"}]}], \"mode\": \"instant\", \"max_tokens\": 2}",
             url, text);
    return json;
}

static kimi_session_stats statistics(kimi_session *session) {
    kimi_error *error = NULL;
    kimi_session_stats stats = {.struct_size = sizeof stats};
    EXPECT(KIMI_OK, kimi_session_get_stats(session, &stats, &error));
    return stats;
}

/* Answers with a picture, and destroys it. */
static int32_t screenshot(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    kimi_error *error = NULL;
    (void)call;
    ++*(int *)user_data;
    kimi_image *image = open_image("wide.png");
    EXPECT(KIMI_OK, kimi_tool_result_set(result, "seen", 4, &error));
    EXPECT(KIMI_OK, kimi_tool_result_add_image(result, image, &error));
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_tool_result_add_image(result, NULL, &error));
    kimi_image_destroy(image);
    return 0;
}

void contract_chat_media(void) {
    kimi_error *error = NULL;
    kimi_model *model = open_model(NULL);
    kimi_session *session = new_session(model);
    kimi_image *image = open_image("wide.png");
    kimi_chat_options options = seeded(1, 0);
    turn *seen = calloc(1, sizeof *seen);

    /* The first question encodes; the second finds all of it in the session's cache. */
    EXPECT(KIMI_OK, kimi_session_send(session, asks(kimi_image_url(image), "a"), KIMI_NUL, &options, record_turn, seen, &error));
    CHECK(seen->counts[KIMI_CHAT_MEDIA] == 1 && strstr(seen->log, "messages[0].content[0]"), "%s", seen->log);
    kimi_session_stats first = statistics(session), second;
    CHECK(first.media_encoded == 1 && first.media_reused == 0 && first.media_tokens == 40, "%lld encoded, %lld tokens",
          (long long)first.media_encoded, (long long)first.media_tokens);
    EXPECT(KIMI_OK, kimi_session_send(session, asks(kimi_image_url(image), "b"), KIMI_NUL, &options, NULL, NULL, &error));
    second = statistics(session);
    CHECK(second.media_encoded == 1 && second.media_reused == 0 && second.media_tokens == 40, "%lld encoded, %lld tokens",
          (long long)second.media_encoded, (long long)second.media_tokens);

    /* Ids: as many as it takes; the text has one. */
    int32_t *ids = calloc(256, sizeof *ids), pad = -1;
    size_t count = 0, pads = 0;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_render_ids(model, asks("kimi-image:0", "a"), KIMI_NUL, KIMI_MODE_AUTO, ids, 256, &count,
                                                        &error));
    EXPECT(KIMI_OK, kimi_render_ids(model, asks(kimi_image_url(image), "a"), KIMI_NUL, KIMI_MODE_AUTO, ids, 256, &count, &error));
    EXPECT(KIMI_OK, kimi_token_id(model, "<|media_pad|>", KIMI_NUL, &pad, &error));
    for (size_t i = 0; i < count; i++) pads += ids[i] == pad;
    CHECK(pads == 40, "%zu places", pads);
    EXPECT(KIMI_OK, kimi_session_ids(session, ids, 256, &count, &error));
    pads = 0;
    for (size_t i = 0; i < count; i++) pads += ids[i] == pad;
    CHECK(pads == 40, "%zu places", pads);
    free(ids);

    /* Handles that are gone, and files. */
    char url[64];
    snprintf(url, sizeof url, "%s", kimi_image_url(image));
    kimi_image_destroy(image);
    EXPECT_SAYING("image_url.url", KIMI_ERROR_INVALID_ARGUMENT,
                  kimi_session_send(session, asks(url, "c"), KIMI_NUL, &options, NULL, NULL, &error));
    const char *file = fixture("tiny-kimi-expected/vision/small.png");
    EXPECT_SAYING("image_url.url", KIMI_ERROR_UNSUPPORTED,
                  kimi_session_send(session, asks(file, "c"), KIMI_NUL, &options, NULL, NULL, &error));
    options.allow_files = 1;
    EXPECT(KIMI_OK, kimi_session_send(session, asks(file, "c"), KIMI_NUL, &options, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_UNSUPPORTED,
           kimi_session_send(session, asks("http://example.org/", "c"), KIMI_NUL, &options, NULL, NULL, &error));
    options.allow_files = 2;
    EXPECT_SAYING("allow_files", KIMI_ERROR_INVALID_ARGUMENT,
                  kimi_session_send(session, asks(file, "c"), KIMI_NUL, &options, NULL, NULL, &error));

    /* A tool that answers with a picture: the next step sees it. */
    int calls = 0;
    kimi_tool tool = {.struct_size = sizeof tool, .name = "find", .parameters = find_tool, .callback = screenshot, .user_data = &calls};
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    memset(seen, 0, sizeof *seen);
    options = seeded(1, 2);
    const char *forced = request(model, "\"tool_choice\": \"required\", \"parallel_tool_calls\": false");
    EXPECT(KIMI_OK, kimi_session_send(session, forced, KIMI_NUL, &options, record_turn, seen, &error));
    CHECK(calls >= 1 && seen->counts[KIMI_CHAT_MEDIA] >= 1 && strstr(seen->log, "functions.find:0.content[1]"), "%d calls\n%s", calls,
          seen->log);

    /* The same by polling, with content in JSON. */
    kimi_chat *chat = NULL;
    kimi_chat_event event = {.struct_size = sizeof event};
    tool.callback = NULL;
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    EXPECT(KIMI_OK, kimi_chat_start(session, forced, KIMI_NUL, &options, &chat, &error));
    int64_t shown = 0;
    image = open_image("small.png");
    do {
        if (EXPECT(KIMI_OK, kimi_chat_next(chat, &event, &error)) != KIMI_OK) break;
        if (event.type == KIMI_CHAT_MEDIA) shown += event.media_tokens;
        if (event.type != KIMI_CHAT_RESULT_NEEDED) continue;
        char id[64], content[256];
        snprintf(id, sizeof id, "%s", event.call_id);
        EXPECT_SAYING("content[0].type", KIMI_ERROR_INVALID_ARGUMENT,
                      kimi_chat_submit_content(chat, id, KIMI_NUL, "[{\"type\": \"smell\"}]", KIMI_NUL, KIMI_RESULT_OK, &error));
        EXPECT_SAYING("image_url", KIMI_ERROR_INVALID_ARGUMENT,
                      kimi_chat_submit_content(chat, id, KIMI_NUL, "[{\"type\": \"image_url\", \"image_url\": \"kimi-image:0\"}]", KIMI_NUL,
                                               KIMI_RESULT_OK, &error));
        snprintf(content, sizeof content, "[{\"type\": \"text\", \"text\": \"seen\"}, {\"type\": \"image_url\", \"image_url\": \"%s\"}]",
                 kimi_image_url(image));
        EXPECT(KIMI_OK, kimi_chat_submit_content(chat, id, KIMI_NUL, content, KIMI_NUL, KIMI_RESULT_OK, &error));
    } while (event.type != KIMI_CHAT_FINISH);
    CHECK(shown >= 1 && event.media_tokens >= 1, "%lld tokens of pictures", (long long)shown);
    kimi_chat_destroy(chat);
    kimi_image_destroy(image);
    free(seen);
    kimi_session_destroy(session);
    kimi_model_close(model);
}
