/* Parts of contract.c: logits against the reference, and the many ways to the same bits. */
#include "contract.h"

#include <math.h>
#include <unistd.h>

/* The stated accuracy of the exact path against the reference, and the margin below which a tie may fall either way. */
static const float tolerance = 2e-3f;
static const float tie = 5e-3f;

static void compare(const char *name, const prompt *prompt, const float *logits) {
    float worst = 0;
    for (size_t i = 0; i < prompt->vocabulary; i++) worst = fmaxf(worst, fabsf(logits[i] - prompt->logits[i]));
    /* Written so that NaN fails. */
    CHECK(worst <= tolerance, "%s: off by %g", name, worst);
    int32_t best = largest(logits, prompt->vocabulary), right = largest(prompt->logits, prompt->vocabulary);
    CHECK(logits[best] - logits[right] < tie, "%s: token %d, not %d", name, best, right);
}

void contract_reference(void) {
    static const char *names[] = {"one", "short", "medium", "special", "page", "pages", "long"};
    kimi_error *error = NULL;
    kimi_model *model = open_model(NULL);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        prompt prompt = prompt_read(names[n]);
        CHECK((size_t)kimi_model_vocabulary_size(model) == prompt.vocabulary, "%d", kimi_model_vocabulary_size(model));
        kimi_session *session = new_session(model);
        float *logits = evaluate(session, prompt.ids, prompt.count);
        compare(names[n], &prompt, logits);

        if (prompt.argmax && prompt.count <= 600) {
            kimi_session *all = new_session(model);
            size_t room = prompt.count * prompt.vocabulary;
            float *rows = calloc(room, sizeof(float));
            EXPECT(KIMI_OK, kimi_session_evaluate(all, prompt.ids, prompt.count, KIMI_EVALUATE_ALL, rows, room, &error));
            for (size_t i = 0; i < prompt.count; i++) {
                const float *row = rows + i * prompt.vocabulary;
                int32_t best = largest(row, prompt.vocabulary);
                CHECK(row[best] - row[prompt.argmax[i]] < tie, "%s: after token %zu comes %d, not %d", names[n], i, best,
                      prompt.argmax[i]);
            }
            CHECK(same_bits(rows + room - prompt.vocabulary, logits, prompt.vocabulary), "%s: all is not last", names[n]);
            free(rows);
            kimi_session_destroy(all);
        }
        free(logits);
        kimi_session_destroy(session);
        prompt_free(&prompt);
    }
    kimi_model_close(model);
}

/* The ids of a session are the first `count` of `prompt`. */
static void check_ids(kimi_session *session, const prompt *prompt, size_t count) {
    kimi_error *error = NULL;
    int32_t *ids = calloc(count + 1, sizeof(int32_t));
    size_t held = 0;
    EXPECT(KIMI_OK, kimi_session_ids(session, ids, count, &held, &error));
    CHECK(held == count && memcmp(ids, prompt->ids, count * sizeof *ids) == 0, "%zu ids, not %zu", held, count);
    CHECK(kimi_session_position(session) == (int64_t)count, "at %lld", (long long)kimi_session_position(session));
    free(ids);
}

/* Evaluates the rest of the prompt and compares the last logits with `whole`. */
static void finish_like(const char *how, kimi_session *session, const prompt *prompt, const float *whole) {
    size_t held = (size_t)kimi_session_position(session);
    float *logits = evaluate(session, prompt->ids + held, prompt->count - held);
    CHECK(same_bits(logits, whole, prompt->vocabulary), "%s, from %zu on: other bits", how, held);
    free(logits);
    check_ids(session, prompt, prompt->count);
}

static void split(kimi_model *model, const prompt *prompt, const float *whole, size_t chunk) {
    kimi_session *session = new_session(model);
    float *logits = NULL;
    for (size_t at = 0; at < prompt->count; at += chunk) {
        free(logits);
        logits = evaluate(session, prompt->ids + at, prompt->count - at < chunk ? prompt->count - at : chunk);
    }
    CHECK(same_bits(logits, whole, prompt->vocabulary), "in chunks of %zu: other bits", chunk);
    free(logits);
    kimi_session_destroy(session);
}

void contract_same_bits(void) {
    kimi_error *error = NULL;
    prompt prompt = prompt_read("page");
    kimi_model_options alone;
    kimi_model_options_init(&alone, sizeof alone);
    /* What was evaluated is counted, so nothing of other sessions is to be taken over. */
    alone.prefix_limit = -1;
    kimi_model *model = open_model(&alone);
    kimi_session *session = new_session(model);
    float *whole = evaluate(session, prompt.ids, prompt.count);

    /* In any pieces. */
    const size_t chunks[] = {1, 7, 64};
    for (size_t i = 0; i < 3; i++) split(model, &prompt, whole, chunks[i]);

    /* Truncated to both sides of a block's border, and forgotten altogether. */
    const int64_t positions[] = {100, 65, 64, 63, 1, 0};
    for (size_t i = 0; i < 6; i++) {
        if ((size_t)positions[i] >= prompt.count) continue;
        EXPECT(KIMI_OK, kimi_session_truncate(session, positions[i], &error));
        check_ids(session, &prompt, (size_t)positions[i]);
        finish_like("truncated", session, &prompt, whole);
    }
    EXPECT(KIMI_OK, kimi_session_reset(session, &error));
    CHECK(kimi_session_position(session) == 0, "at %lld", (long long)kimi_session_position(session));
    finish_like("reset", session, &prompt, whole);

    /* Forks: both go on, and one that goes another way does not disturb the other. */
    EXPECT(KIMI_OK, kimi_session_truncate(session, 70, &error));
    kimi_session *fork = NULL, *astray = NULL;
    EXPECT(KIMI_OK, kimi_session_fork(session, &fork, &error));
    EXPECT(KIMI_OK, kimi_session_fork(session, &astray, &error));
    free(evaluate(astray, (int32_t[]){9, 8, 7}, 3));
    finish_like("forked", fork, &prompt, whole);
    kimi_session_destroy(astray);
    finish_like("after its forks", session, &prompt, whole);
    kimi_session_stats stats = {.struct_size = sizeof stats};
    EXPECT(KIMI_OK, kimi_session_get_stats(fork, &stats, &error));
    CHECK(stats.reused_tokens == 70 && stats.prompt_tokens == (int64_t)prompt.count - 70 &&
              stats.position == (int64_t)prompt.count && stats.steps >= 1 && stats.bytes_read > 0 && stats.cache_bytes > 0 &&
              stats.prompt_nanoseconds > 0,
          "reused %lld, prompt %lld, at %lld, steps %lld, read %lld, cache %lld", (long long)stats.reused_tokens,
          (long long)stats.prompt_tokens, (long long)stats.position, (long long)stats.steps, (long long)stats.bytes_read,
          (long long)stats.cache_bytes);
    kimi_session_destroy(fork);

    /* Saved, and loaded into a session that held something else; by another model of the same checkpoint, too. */
    char path[] = "/tmp/kimi-saved-XXXXXX";
    int file = mkstemp(path);
    close(file);
    EXPECT(KIMI_OK, kimi_session_truncate(session, 70, &error));
    EXPECT(KIMI_OK, kimi_session_save(session, path, KIMI_NUL, &error));
    kimi_session *loaded = new_session(model);
    free(evaluate(loaded, (int32_t[]){1, 2, 3}, 3));
    EXPECT(KIMI_OK, kimi_session_load(loaded, path, KIMI_NUL, &error));
    check_ids(loaded, &prompt, 70);
    finish_like("loaded", loaded, &prompt, whole);
    kimi_session_destroy(loaded);

    /* One thread, two threads, more threads than cores, small and large steps, weights in memory. */
    kimi_model_options options;
    for (int way = 0; way < 5; way++) {
        kimi_model_options_init(&options, sizeof options);
        options.threads = way == 1 ? 2 : way == 2 ? 5 : 1;
        options.chunk_size = way == 3 ? 3 : way == 4 ? 4096 : 0;
        options.load_policy = way == 1 ? KIMI_LOAD_COPY : KIMI_LOAD_MAP;
        kimi_model *other = open_model(&options);
        kimi_session *elsewhere = new_session(other);
        if (way == 0) EXPECT(KIMI_OK, kimi_session_load(elsewhere, path, KIMI_NUL, &error));
        char how[64];
        snprintf(how, sizeof how, "%d threads, chunks of %d", options.threads, options.chunk_size);
        finish_like(how, elsewhere, &prompt, whole);
        kimi_session_destroy(elsewhere);
        kimi_model_close(other);
    }
    /* A file of another cache type is another thing. */
    kimi_model_options_init(&options, sizeof options);
    kimi_model *other;
    kimi_session *elsewhere;
    for (int32_t type = KIMI_CACHE_BF16; type <= KIMI_CACHE_INT8; type++) {
        options.cache_type = type;
        other = open_model(&options);
        elsewhere = new_session(other);
        EXPECT(KIMI_ERROR_MISMATCH, kimi_session_load(elsewhere, path, KIMI_NUL, &error));
        kimi_session_destroy(elsewhere);
        kimi_model_close(other);
    }
    unlink(path);

    /* Each instruction set this processor has meets the reference. */
    for (int32_t isa = KIMI_ISA_SCALAR; isa <= KIMI_ISA_AMX; isa++) {
        kimi_model_options_init(&options, sizeof options);
        options.isa = isa;
        kimi_status status = kimi_model_open(fixture("tiny-kimi"), KIMI_NUL, &options, NULL, NULL, &other, &error);
        if (status == KIMI_ERROR_UNSUPPORTED) {
            kimi_error_destroy(error);
            error = NULL;
            continue;
        }
        elsewhere = new_session(other);
        float *logits = evaluate(elsewhere, prompt.ids, prompt.count);
        compare("an instruction set", &prompt, logits);
        free(logits);
        kimi_session_destroy(elsewhere);
        kimi_model_close(other);
    }

    /* A context that is full stays full, and usable. */
    kimi_session_options small;
    kimi_session_options_init(&small, sizeof small);
    small.context_limit = 10;
    EXPECT(KIMI_OK, kimi_session_create(model, &small, &elsewhere, &error));
    EXPECT_SAYING("10", KIMI_ERROR_CONTEXT_FULL, kimi_session_evaluate(elsewhere, prompt.ids, 11, 0, NULL, 0, &error));
    EXPECT(KIMI_OK, kimi_session_evaluate(elsewhere, prompt.ids, 10, 0, NULL, 0, &error));
    EXPECT(KIMI_ERROR_CONTEXT_FULL, kimi_session_evaluate(elsewhere, prompt.ids, 1, 0, NULL, 0, &error));
    check_ids(elsewhere, &prompt, 10);
    kimi_session_destroy(elsewhere);

    free(whole);
    kimi_session_destroy(session);
    kimi_model_close(model);
    prompt_free(&prompt);
}
