/* A part of contract.c: the options of generation, one by one. */
#include "contract.h"

#include <math.h>

/* The sum of the probabilities that a step's alternatives hold, and whether they are in order. */
static struct {
    int steps;
    bool wrong;
    double sum;
} alternatives;

static int32_t note_alternatives(const kimi_event *event, void *user_data) {
    if (event->type != KIMI_EVENT_TOKEN) return 0;
    int32_t wanted = *(const int32_t *)user_data;
    alternatives.sum = 0;
    if (event->top_count != wanted) alternatives.wrong = true;
    for (int i = 0; i < event->top_count; i++) {
        if (i && event->top[i].logprob > event->top[i - 1].logprob) alternatives.wrong = true;
        alternatives.sum += exp(event->top[i].logprob);
    }
    if (!(event->logprob <= 0) || alternatives.sum > 1 + 1e-5) alternatives.wrong = true;
    /* Greedy: the token is the first alternative. */
    if (wanted && (event->top[0].id != event->id || event->top[0].logprob != event->logprob)) alternatives.wrong = true;
    alternatives.steps++;
    return 0;
}

void contract_options(void) {
    kimi_error *error = NULL;
    kimi_model *model = open_model(NULL);
    prompt prompt = prompt_read("medium");
    kimi_generation_options options = greedy_options(24);
    record *best = generate(model, &prompt, &options);

    /* Four ways to say greedy. */
    for (int way = 0; way < 3; way++) {
        options = greedy_options(24);
        options.greedy = 0;
        if (way == 0) options.temperature = 0;
        if (way == 1) options.top_k = 1;
        if (way == 2) options.top_p = 1e-6f;
        record *seen = generate(model, &prompt, &options);
        CHECK(seen->tokens == 24 && memcmp(seen->ids, best->ids, 24 * sizeof(int32_t)) == 0, "way %d is not greedy", way);
        free(seen);
    }

    /* A seed decides all draws, and another one others. */
    options.top_p = 0;
    options.seed = 12345;
    record *one = generate(model, &prompt, &options), *two = generate(model, &prompt, &options);
    CHECK(memcmp(one->ids, two->ids, sizeof one->ids) == 0, "equal seeds differ");
    options.seed = 54321;
    record *three = generate(model, &prompt, &options);
    CHECK(memcmp(one->ids, three->ids, sizeof one->ids) != 0, "other seeds do not differ");
    options.seed = KIMI_SEED_RANDOM;
    record *four = generate(model, &prompt, &options), *five = generate(model, &prompt, &options);
    CHECK(memcmp(four->ids, five->ids, sizeof four->ids) != 0, "random seeds do not differ");
    free(one), free(two), free(three), free(four), free(five);

    /* A bias forbids and forces; a heavy penalty on what was generated forbids repeating. */
    options = greedy_options(24);
    kimi_logit_bias bias = {best->ids[0], -INFINITY};
    options.logit_bias = &bias;
    options.logit_bias_count = 1;
    record *seen = generate(model, &prompt, &options);
    for (int i = 0; i < seen->tokens; i++) CHECK(seen->ids[i] != best->ids[0], "a forbidden token at %d", i);
    free(seen);
    bias = (kimi_logit_bias){77, 1000};
    seen = generate(model, &prompt, &options);
    for (int i = 0; i < seen->tokens; i++) CHECK(seen->ids[i] == 77, "a forced token gave way to %d", seen->ids[i]);
    free(seen);
    for (int way = 0; way < 2; way++) {
        /* The bias wants the same token again and again, the penalty not twice. */
        bias = (kimi_logit_bias){77, 60};
        options.presence_penalty = way == 0 ? 100 : 0;
        options.frequency_penalty = way == 1 ? 100 : 0;
        seen = generate(model, &prompt, &options);
        int times = 0;
        for (int i = 0; i < seen->tokens; i++) times += seen->ids[i] == 77;
        CHECK(seen->ids[0] == 77 && times == 1, "penalty %d: %d times", way, times);
        free(seen);
    }
    options = greedy_options(24);
    options.repetition_penalty = 100;
    seen = generate(model, &prompt, &options);
    for (int i = 0; i < seen->tokens; i++)
        for (size_t j = 0; j < prompt.count + (size_t)i; j++)
            CHECK(seen->ids[i] != (j < prompt.count ? prompt.ids[j] : seen->ids[j - prompt.count]), "token %d repeats", i);
    free(seen);

    /* A stop id ends it: no text of its own, and the session holds it (checked by run). */
    options = greedy_options(24);
    options.stop_ids = &best->ids[5];
    options.stop_id_count = 1;
    seen = generate(model, &prompt, &options);
    CHECK(seen->tokens == 5 && seen->finish_reason == KIMI_FINISH_STOP && seen->finish_id == best->ids[5] && seen->stop_string == -1,
          "%d tokens, reason %d, id %d", seen->tokens, seen->finish_reason, seen->finish_id);
    free(seen);

    /* A stop string ends the text before itself, wherever it lies in the tokens; the first of several counts. */
    char text[sizeof best->text];
    memcpy(text, best->text, best->text_length);
    for (size_t at = 1; at + 3 < best->text_length && at < 60; at++) {
        /* Only what is UTF-8 by itself can be asked for, and the place must be its first. */
        char wanted[4] = {text[at], text[at + 1], text[at + 2], 0};
        bool ascii = true;
        for (int i = 0; i < 3; i++) ascii = ascii && wanted[i] > 0;
        if (!ascii || memmem(text, at + 2, wanted, 3) != NULL) continue;
        options = greedy_options(24);
        kimi_string_view stops[2] = {{"never in this text", KIMI_NUL}, {wanted, 3}};
        options.stop_strings = stops;
        options.stop_string_count = 2;
        seen = generate(model, &prompt, &options);
        CHECK(seen->finish_reason == KIMI_FINISH_STOP && seen->stop_string == 1, "'%s': reason %d, string %d", wanted,
              seen->finish_reason, seen->stop_string);
        CHECK(seen->text_length == at && memcmp(seen->text, text, at) == 0, "'%s' at %zu: %zu bytes", wanted, at, seen->text_length);
        free(seen);
    }

    /* Log-probabilities are those of the logits. */
    for (int32_t wanted = 0; wanted <= 20; wanted += 5) {
        options = greedy_options(8);
        options.top_logprobs = wanted;
        alternatives.steps = 0, alternatives.wrong = false;
        kimi_session *session = new_session(model);
        EXPECT(KIMI_OK,
               kimi_session_generate(session, prompt.ids, prompt.count, &options, note_alternatives, &wanted, &error));
        CHECK(alternatives.steps == 8 && !alternatives.wrong, "%d alternatives: %d steps, sum %g", wanted, alternatives.steps,
              alternatives.sum);
        kimi_session_destroy(session);
    }
    options = greedy_options(1);
    options.top_logprobs = 0;
    seen = generate(model, &prompt, &options);
    double norm = 0;
    float top = prompt.logits[seen->ids[0]];
    for (size_t i = 0; i < prompt.vocabulary; i++) norm += exp(prompt.logits[i] - top);
    CHECK(fabs(seen->logprobs[0] + log(norm)) < 4e-3, "%g, by the reference %g", seen->logprobs[0], -log(norm));
    free(seen);

    /* The end token of the checkpoint ends it, unless that is ignored. */
    int32_t end = -1;
    EXPECT(KIMI_OK, kimi_token_id(model, "[EOS]", KIMI_NUL, &end, &error));
    options = greedy_options(4);
    bias = (kimi_logit_bias){end, 1000};
    options.logit_bias = &bias;
    options.logit_bias_count = 1;
    seen = generate(model, &prompt, &options);
    CHECK(seen->tokens == 4, "ignored: %d tokens", seen->tokens);
    free(seen);

    /* A shorter struct of an older caller leaves the rest at the defaults; a longer one must not ask for the unknown. */
    struct {
        kimi_generation_options known;
        char unknown[8];
    } longer = {.known = greedy_options(3)};
    longer.known.struct_size = sizeof longer;
    seen = generate(model, &prompt, &longer.known);
    CHECK(seen->tokens == 3, "%d tokens", seen->tokens);
    free(seen);
    longer.unknown[0] = 1;
    kimi_session *session = new_session(model);
    EXPECT(KIMI_ERROR_UNSUPPORTED, kimi_session_generate(session, prompt.ids, 1, &longer.known, NULL, NULL, &error));
    kimi_session_destroy(session);
    longer.known.struct_size = offsetof(kimi_generation_options, seed);
    longer.known.temperature = NAN;
    longer.known.top_k = -5;
    seen = generate(model, &prompt, &longer.known);
    CHECK(seen->tokens <= 3 && seen->ids[0] == best->ids[0], "%d tokens", seen->tokens);
    free(seen);

    free(best);
    prompt_free(&prompt);
    kimi_model_close(model);
}
