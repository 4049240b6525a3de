/* Groups of hostile.c: generation options, generating by callback and by polling. */
#include "hostile.h"

#include <math.h>

static const int32_t ids[] = {1, 2, 3};

#define REFUSED(words, field, value) \
    do { \
        kimi_generation_options_init(&options, sizeof options); \
        options.max_tokens = 2; \
        options.field = (value); \
        EXPECT_SAYING(words, KIMI_ERROR_INVALID_ARGUMENT, \
                      kimi_session_generate(session, ids, 3, &options, NULL, NULL, &error)); \
        EXPECT_SAYING(words, KIMI_ERROR_INVALID_ARGUMENT, kimi_generation_start(session, ids, 3, &options, &out, &error)); \
        CHECK(out == NULL, #field " leaves a generation"); \
    } while (0)
#define OUT_OF_RANGE(field, value) REFUSED(#field, field, value)
#define LIST(field, list, number) \
    do { \
        kimi_generation_options_init(&options, sizeof options); \
        options.max_tokens = 2; \
        options.field = (list); \
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, \
               (number(&options), kimi_session_generate(session, ids, 3, &options, NULL, NULL, &error))); \
    } while (0)

static size_t list_count;
static void biases(kimi_generation_options *options) { options->logit_bias_count = list_count; }
static void strings(kimi_generation_options *options) { options->stop_string_count = list_count; }
static void stop_ids(kimi_generation_options *options) { options->stop_id_count = list_count; }

void hostile_options(void) {
    open_all();
    kimi_error *error = NULL;
    kimi_generation *out = NULL;
    kimi_generation_options options;
    const int32_t vocabulary = kimi_model_vocabulary_size(model);

    OUT_OF_RANGE(greedy, -1);
    OUT_OF_RANGE(greedy, 2);
    OUT_OF_RANGE(max_tokens, -1);
    OUT_OF_RANGE(max_tokens, INT64_MIN);
    OUT_OF_RANGE(temperature, -0.5f);
    OUT_OF_RANGE(temperature, 101.0f);
    OUT_OF_RANGE(temperature, NAN);
    OUT_OF_RANGE(temperature, INFINITY);
    OUT_OF_RANGE(top_p, -0.1f);
    OUT_OF_RANGE(top_p, 1.5f);
    OUT_OF_RANGE(top_p, NAN);
    OUT_OF_RANGE(min_p, -0.1f);
    OUT_OF_RANGE(min_p, 1.5f);
    OUT_OF_RANGE(min_p, NAN);
    OUT_OF_RANGE(repetition_penalty, -1.0f);
    OUT_OF_RANGE(repetition_penalty, 0.001f);
    OUT_OF_RANGE(repetition_penalty, 101.0f);
    OUT_OF_RANGE(repetition_penalty, NAN);
    OUT_OF_RANGE(presence_penalty, -101.0f);
    OUT_OF_RANGE(presence_penalty, INFINITY);
    OUT_OF_RANGE(presence_penalty, NAN);
    OUT_OF_RANGE(frequency_penalty, 101.0f);
    OUT_OF_RANGE(frequency_penalty, -INFINITY);
    OUT_OF_RANGE(frequency_penalty, NAN);
    OUT_OF_RANGE(top_k, -1);
    OUT_OF_RANGE(top_k, INT32_MIN);
    OUT_OF_RANGE(top_logprobs, -2);
    OUT_OF_RANGE(top_logprobs, 21);
    OUT_OF_RANGE(top_logprobs, INT32_MAX);
    OUT_OF_RANGE(ignore_end, -1);
    OUT_OF_RANGE(ignore_end, 2);
    OUT_OF_RANGE(reserved, 1);
    REFUSED("struct_size", struct_size, 0);
    REFUSED("struct_size", struct_size, 3);

    /* Lists: NULL with a count, absurd counts, bad entries. */
    list_count = 1;
    LIST(logit_bias, NULL, biases);
    LIST(stop_strings, NULL, strings);
    LIST(stop_ids, NULL, stop_ids);
    kimi_logit_bias bias[2] = {{1, 1}, {2, 2}};
    kimi_string_view views[65];
    for (int i = 0; i < 65; i++) views[i] = (kimi_string_view){"stop", 4};
    int32_t stops[1] = {1};
    const size_t counts[] = {SIZE_MAX, SIZE_MAX / 8 + 1, SIZE_MAX / 16 + 2, (size_t)INT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        list_count = counts[i];
        LIST(logit_bias, bias, biases);
        LIST(stop_strings, views, strings);
        LIST(stop_ids, stops, stop_ids);
    }
    list_count = 65;
    LIST(stop_strings, views, strings);
    list_count = 2;
    const int32_t wrong[] = {-1, vocabulary, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++) {
        bias[1] = (kimi_logit_bias){wrong[i], 1};
        LIST(logit_bias, bias, biases);
        int32_t bad_stops[2] = {1, wrong[i]};
        LIST(stop_ids, bad_stops, stop_ids);
    }
    bias[1] = (kimi_logit_bias){2, NAN};
    LIST(logit_bias, bias, biases);
    const kimi_string_view bad_views[] = {{"", 0}, {"", KIMI_NUL}, {NULL, 0}, {NULL, 3}, {NULL, KIMI_NUL},
                                          {"x", SIZE_MAX - 1}, {"x", KIMI_TEXT_LIMIT + 1}, {"\xff", 1}};
    for (size_t i = 0; i < 8; i++) {
        views[1] = bad_views[i];
        LIST(stop_strings, views, strings);
    }
    CHECK(kimi_session_position(session) == 0, "refused options moved the session to %lld",
          (long long)kimi_session_position(session));

    /* The largest numbers that are allowed. */
    kimi_generation_options_init(&options, sizeof options);
    options.max_tokens = 2;
    options.top_k = INT32_MAX;
    options.temperature = 100;
    options.seed = UINT64_MAX;
    options.frequency_penalty = -100;
    options.presence_penalty = 100;
    options.repetition_penalty = 100;
    options.min_p = 1;
    options.top_p = 1;
    options.top_logprobs = 20;
    EXPECT(KIMI_OK, kimi_session_generate(session, ids, 3, &options, NULL, NULL, &error));
    /* As many as the context holds, without an overflow; a tiny context, so that it ends. */
    kimi_session_options small;
    kimi_session_options_init(&small, sizeof small);
    small.context_limit = 8;
    kimi_session *tiny = NULL;
    EXPECT(KIMI_OK, kimi_session_create(model, &small, &tiny, &error));
    options.max_tokens = INT64_MAX;
    options.ignore_end = 1;
    EXPECT(KIMI_OK, kimi_session_generate(tiny, ids, 3, &options, NULL, NULL, &error));
    CHECK(kimi_session_position(tiny) == 8, "at %lld", (long long)kimi_session_position(tiny));
}

void hostile_generate(void) {
    open_all();
    kimi_error *error = NULL;
    void *bad;
    kimi_generation_options options;
    kimi_generation_options_init(&options, sizeof options);
    options.max_tokens = 1;
    for (int i = 0; stranger(i, SESSION, &bad); i++) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_generate(bad, ids, 3, &options, NULL, NULL, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_generate_text(bad, "a", 1, &options, NULL, NULL, &error));
    }
    /* Nothing to begin from. */
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_generate(session, ids, 0, &options, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_generate(session, NULL, 0, NULL, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_generate_text(session, "", 0, &options, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_generate(session, NULL, 3, &options, NULL, NULL, &error));
    const size_t counts[] = {SIZE_MAX, SIZE_MAX / 4 + 1, (size_t)INT64_MAX, (size_t)INT64_MAX + 1};
    for (size_t i = 0; i < 4; i++)
        EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_CONTEXT_FULL,
                      kimi_session_generate(session, ids, counts[i], &options, NULL, NULL, &error));
    const int32_t wrong[] = {1, -1};
    EXPECT_SAYING("-1", KIMI_ERROR_INVALID_ARGUMENT, kimi_session_generate(session, wrong, 2, &options, NULL, NULL, &error));
    const size_t lengths[] = {1, KIMI_TEXT_LIMIT, SIZE_MAX - 1, KIMI_NUL};
    for (size_t i = 0; i < 4; i++)
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_generate_text(session, NULL, lengths[i], &options, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT,
           kimi_session_generate_text(session, "a", KIMI_TEXT_LIMIT + 1, &options, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_generate_text(session, "a\xff", 2, &options, NULL, NULL, &error));
    EXPECT_STATUS(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_generate_text(session, NULL, 1, NULL, NULL, NULL, NULL));
    CHECK(kimi_session_position(session) == 0, "refused prompts moved the session to %lld",
          (long long)kimi_session_position(session));
    EXPECT(KIMI_OK, kimi_session_generate_text(session, "ab", 2, &options, NULL, NULL, &error));
    EXPECT_STATUS(KIMI_OK, kimi_session_generate(session, NULL, 0, &options, NULL, NULL, NULL));
}

void hostile_polling(void) {
    open_all();
    kimi_error *error = NULL;
    kimi_generation *out = (kimi_generation *)16;
    kimi_generation_options options;
    kimi_generation_options_init(&options, sizeof options);
    options.max_tokens = 1;
    kimi_event event = {.struct_size = sizeof event};
    void *bad;
    for (int i = 0; stranger(i, SESSION, &bad); i++, out = (kimi_generation *)16) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_generation_start(bad, ids, 3, &options, &out, &error));
        CHECK(out == NULL, "stranger %d leaves a generation", i);
    }
    for (int i = 0; stranger(i, OTHER, &bad); i++) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_generation_next(bad, &event, &error));
        kimi_generation_destroy(bad);
    }
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_generation_start(session, ids, 3, &options, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_generation_start(session, NULL, 3, &options, &out, &error));
    CHECK(out == NULL, "a refused start leaves a generation");

    /* Nothing to go on from: nothing is computed yet, so the first poll may be the one that says so. */
    if (EXPECT_EITHER(KIMI_OK, KIMI_ERROR_INVALID_ARGUMENT, kimi_generation_start(session, NULL, 0, &options, &out, &error)) == KIMI_OK)
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_generation_next(out, &event, &error));
    kimi_generation_destroy(out);

    if (EXPECT(KIMI_OK, kimi_generation_start(session, ids, 3, &options, &out, &error)) != KIMI_OK) return;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_generation_next(out, NULL, &error));
    for (uint32_t size = 0; size < 4; size++) {
        event.struct_size = size;
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_generation_next(out, &event, &error));
    }
    /* A shorter event is filled only as far as it goes. */
    memset(&event, 0xa5, sizeof event);
    event.struct_size = offsetof(kimi_event, id);
    EXPECT(KIMI_OK, kimi_generation_next(out, &event, &error));
    CHECK(event.type == KIMI_EVENT_PROMPT && event.done == 3 && event.total == 3, "type %d, %lld of %lld", event.type,
          (long long)event.done, (long long)event.total);
    CHECK(event.id == (int32_t)0xa5a5a5a5, "wrote behind the caller's struct");

    /* The session goes before its generation. */
    kimi_session_destroy(session);
    event.struct_size = sizeof event;
    kimi_status status = kimi_generation_next(out, &event, &error);
    CHECK(status == KIMI_ERROR_INVALID_HANDLE || status == KIMI_ERROR_CANCELLED ||
              (status == KIMI_OK && event.type == KIMI_EVENT_FINISH && event.finish_reason == KIMI_FINISH_CANCELLED),
          "%s, event %d", kimi_status_name(status), event.type);
    kimi_error_destroy(error);
    error = NULL;
    kimi_generation_destroy(out);
    kimi_generation_destroy(out);
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_generation_next(out, &event, &error));
}
