/* Parts of contract.c: generation by callback and by polling. */
#include "contract.h"

kimi_generation_options greedy_options(int64_t max_tokens) {
    kimi_generation_options options;
    kimi_generation_options_init(&options, sizeof options);
    options.greedy = 1;
    options.ignore_end = 1;
    options.max_tokens = max_tokens;
    return options;
}

record *generate(kimi_model *model, const prompt *prompt, const kimi_generation_options *options) {
    kimi_error *error = NULL;
    record *seen = calloc(1, sizeof *seen);
    kimi_session *session = new_session(model);
    EXPECT(KIMI_OK, kimi_session_generate(session, prompt->ids, prompt->count, options, record_event, seen, &error));
    CHECK(!seen->out_of_order && seen->finishes == 1, "%d prompt, %d token, %d finish events", seen->prompts, seen->tokens,
          seen->finishes);
    CHECK(seen->prompts >= 1 && seen->prompt_done == (int64_t)prompt->count && seen->prompt_total == (int64_t)prompt->count,
          "%lld of %lld", (long long)seen->prompt_done, (long long)seen->prompt_total);
    /* The session holds the prompt, what was generated, and the token that ended it. */
    int64_t held = (int64_t)prompt->count + seen->tokens + (seen->finish_reason == KIMI_FINISH_STOP && seen->finish_id >= 0);
    CHECK(kimi_session_position(session) == held, "at %lld, not %lld", (long long)kimi_session_position(session), (long long)held);
    kimi_session_destroy(session);
    return seen;
}

void contract_generate(void) {
    static const char *names[] = {"one", "short", "medium", "special", "page", "pages"};
    kimi_error *error = NULL;
    kimi_model *model = open_model(NULL);
    kimi_generation_options options = greedy_options(32);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        prompt prompt = prompt_read(names[n]);
        record *seen = generate(model, &prompt, &options);
        CHECK(seen->tokens == 32 && seen->finish_reason == KIMI_FINISH_LENGTH && seen->finish_id == -1 && seen->stop_string == -1,
              "%s: %d tokens, reason %d, id %d", names[n], seen->tokens, seen->finish_reason, seen->finish_id);
        /* Equal until a tie. */
        for (int i = 0; i < 32 && prompt.margin[i] > 5e-3f; i++)
            if (!CHECK(seen->ids[i] == prompt.greedy[i], "%s: token %d is %d, not %d", names[n], i, seen->ids[i], prompt.greedy[i]))
                break;
        /* The text of the events is the text of the ids. */
        char bytes[4096];
        size_t length = 0;
        EXPECT(KIMI_OK, kimi_detokenize(model, seen->ids, 32, bytes, sizeof bytes, &length, &error));
        CHECK(length == seen->text_length && memcmp(bytes, seen->text, length) == 0, "%s: %zu bytes of text, %zu of ids", names[n],
              seen->text_length, length);
        free(seen);
        prompt_free(&prompt);
    }

    /* As a text; and going on with an empty prompt gives what one generation gives. */
    prompt prompt = {0};
    int32_t ids[64];
    EXPECT(KIMI_OK, kimi_tokenize(model, "Once upon a time", KIMI_NUL, 0, ids, 64, &prompt.count, &error));
    prompt.ids = ids;
    record *whole = generate(model, &prompt, &options);
    record *parts = calloc(1, sizeof *parts);
    kimi_session *session = new_session(model);
    options.max_tokens = 20;
    EXPECT(KIMI_OK, kimi_session_generate_text(session, "Once upon a time", 16, &options, record_event, parts, &error));
    parts->finishes = 0;
    int first = parts->tokens;
    record *rest = calloc(1, sizeof *rest);
    options.max_tokens = 12;
    EXPECT(KIMI_OK, kimi_session_generate(session, NULL, 0, &options, record_event, rest, &error));
    CHECK(first == 20 && rest->tokens == 12 && memcmp(whole->ids, parts->ids, 20 * sizeof(int32_t)) == 0 &&
              memcmp(whole->ids + 20, rest->ids, 12 * sizeof(int32_t)) == 0,
          "in two parts: %d and %d other tokens", first, rest->tokens);
    CHECK(rest->prompts == 0, "%d prompt events without a prompt", rest->prompts);
    kimi_session_stats stats = {.struct_size = sizeof stats};
    EXPECT(KIMI_OK, kimi_session_get_stats(session, &stats, &error));
    CHECK(stats.generated_tokens == 32 && stats.prompt_tokens == (int64_t)prompt.count && stats.generation_nanoseconds > 0,
          "generated %lld, prompt %lld", (long long)stats.generated_tokens, (long long)stats.prompt_tokens);
    kimi_session_destroy(session);
    free(whole);
    free(parts);
    free(rest);

    /* The end of the context ends it. */
    kimi_session_options small;
    kimi_session_options_init(&small, sizeof small);
    small.context_limit = (int64_t)prompt.count + 5;
    EXPECT(KIMI_OK, kimi_session_create(model, &small, &session, &error));
    record *seen = calloc(1, sizeof *seen);
    options.max_tokens = 0;
    EXPECT(KIMI_OK, kimi_session_generate(session, ids, prompt.count, &options, record_event, seen, &error));
    CHECK(seen->tokens == 5 && seen->finish_reason == KIMI_FINISH_CONTEXT, "%d tokens, reason %d", seen->tokens, seen->finish_reason);
    EXPECT(KIMI_ERROR_CONTEXT_FULL, kimi_session_generate(session, ids, 1, &options, NULL, NULL, &error));
    kimi_session_destroy(session);
    free(seen);
    kimi_model_close(model);
}

void contract_polling(void) {
    kimi_error *error = NULL;
    kimi_model_options model_options;
    kimi_model_options_init(&model_options, sizeof model_options);
    model_options.chunk_size = 16;
    kimi_model *model = open_model(&model_options);
    prompt prompt = prompt_read("medium");
    kimi_generation_options options = greedy_options(20);
    options.greedy = 0;
    options.seed = 99;
    options.top_logprobs = 3;
    record *called = generate(model, &prompt, &options);
    record *polled = calloc(1, sizeof *polled);

    kimi_session *session = new_session(model);
    kimi_generation *generation = NULL;
    EXPECT(KIMI_OK, kimi_generation_start(session, prompt.ids, prompt.count, &options, &generation, &error));
    CHECK(kimi_session_position(session) == 0, "computed before the first poll");
    /* The options were copied. */
    memset(&options, 0xff, sizeof options);
    kimi_event event = {.struct_size = sizeof event};
    kimi_session *fork = NULL;
    while (!polled->finishes && EXPECT(KIMI_OK, kimi_generation_next(generation, &event, &error)) == KIMI_OK) {
        record_event(&event, polled);
        if (polled->finishes) break;
        /* Until it has finished, the session is busy between the polls too. */
        EXPECT(KIMI_ERROR_BUSY, kimi_session_evaluate(session, prompt.ids, 1, 0, NULL, 0, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_fork(session, &fork, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_truncate(session, 0, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_reset(session, &error));
        kimi_generation *second = NULL;
        EXPECT(KIMI_ERROR_BUSY, kimi_generation_start(session, prompt.ids, 1, NULL, &second, &error));
        CHECK(second == NULL && fork == NULL, "a refusal left something");
    }
    CHECK(polled->prompts == called->prompts && polled->prompts == 3 && polled->tokens == called->tokens &&
              memcmp(polled->ids, called->ids, sizeof polled->ids) == 0 &&
              memcmp(polled->logprobs, called->logprobs, sizeof polled->logprobs) == 0 &&
              polled->finish_reason == called->finish_reason && polled->text_length == called->text_length &&
              memcmp(polled->text, called->text, called->text_length) == 0,
          "polling gave other events: %d prompt, %d token", polled->prompts, polled->tokens);
    /* The finish again, and the session is free. */
    int32_t reason = event.finish_reason;
    EXPECT(KIMI_OK, kimi_generation_next(generation, &event, &error));
    CHECK(event.type == KIMI_EVENT_FINISH && event.finish_reason == reason && event.text_length == 0, "type %d", event.type);
    EXPECT(KIMI_OK, kimi_session_evaluate(session, prompt.ids, 1, 0, NULL, 0, &error));
    kimi_generation_destroy(generation);

    /* Destroyed halfway: the session keeps what it has and is free. */
    EXPECT(KIMI_OK, kimi_session_reset(session, &error));
    EXPECT(KIMI_OK, kimi_generation_start(session, prompt.ids, prompt.count, NULL, &generation, &error));
    EXPECT(KIMI_OK, kimi_generation_next(generation, &event, &error));
    kimi_generation_destroy(generation);
    CHECK(kimi_session_position(session) == 16, "at %lld", (long long)kimi_session_position(session));
    EXPECT(KIMI_OK, kimi_session_evaluate(session, prompt.ids, 1, 0, NULL, 0, &error));

    /* Cancelled between polls. */
    EXPECT(KIMI_OK, kimi_session_reset(session, &error));
    EXPECT(KIMI_OK, kimi_generation_start(session, prompt.ids, prompt.count, NULL, &generation, &error));
    EXPECT(KIMI_OK, kimi_generation_next(generation, &event, &error));
    EXPECT_STATUS(KIMI_OK, kimi_session_cancel(session));
    EXPECT(KIMI_OK, kimi_generation_next(generation, &event, &error));
    CHECK(event.type == KIMI_EVENT_FINISH && event.finish_reason == KIMI_FINISH_CANCELLED, "type %d, reason %d", event.type,
          event.finish_reason);
    EXPECT(KIMI_OK, kimi_session_evaluate(session, prompt.ids, 1, 0, NULL, 0, &error));
    kimi_generation_destroy(generation);

    /* An error ends it and is given again: the session's limit. */
    kimi_session_destroy(session);
    kimi_session_options small;
    kimi_session_options_init(&small, sizeof small);
    small.context_limit = 8;
    EXPECT(KIMI_OK, kimi_session_create(model, &small, &session, &error));
    kimi_status status = kimi_generation_start(session, prompt.ids, prompt.count, NULL, &generation, &error);
    if (status == KIMI_OK) {
        EXPECT(KIMI_ERROR_CONTEXT_FULL, kimi_generation_next(generation, &event, &error));
        EXPECT(KIMI_ERROR_CONTEXT_FULL, kimi_generation_next(generation, &event, &error));
        EXPECT(KIMI_OK, kimi_session_evaluate(session, prompt.ids, 1, 0, NULL, 0, &error));
        kimi_generation_destroy(generation);
    } else {
        CHECK(status == KIMI_ERROR_CONTEXT_FULL, "%s", kimi_status_name(status));
        kimi_error_destroy(error);
    }
    kimi_session_destroy(session);
    free(called);
    free(polled);
    prompt_free(&prompt);
    kimi_model_close(model);
}
