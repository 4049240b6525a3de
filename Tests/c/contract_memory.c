/* A part of contract.c: the memory limit, experts that come and go, and what the router chose. */
#include "contract.h"

#include <pthread.h>
#include <unistd.h>

/* The number behind `name` in a model's information; -1 if there is none. */
static int64_t told(kimi_model *model, const char *name) {
    kimi_error *error = NULL;
    char *json = NULL, quoted[64];
    if (EXPECT(KIMI_OK, kimi_model_info(model, &json, NULL, &error)) != KIMI_OK) return -1;
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *memory = strstr(json, "\"memory\":{"), *place = memory ? strstr(memory, quoted) : NULL;
    int64_t value = place ? strtoll(place + strlen(quoted), NULL, 10) : -1;
    kimi_free(json);
    return value;
}

static int64_t used(kimi_model *model) {
    int64_t sum = 0;
    const char *kinds[] = {"weights", "tables", "workspace", "attention", "experts", "cache", "sessions", "features"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        CHECK(told(model, kinds[i]) >= 0, "no %s", kinds[i]);
        sum += told(model, kinds[i]);
    }
    return sum;
}

static void memory_limit(void) {
    kimi_error *error = NULL;
    prompt prompt = prompt_read("pages");
    CHECK(prompt.count >= 130, "%zu", prompt.count);
    kimi_model_options options;
    kimi_model_options_init(&options, sizeof options);
    options.chunk_size = 32;

    /* What opening takes, and what 64 tokens and a session do. */
    kimi_model *model = open_model(&options);
    int64_t own = used(model);
    kimi_session *session = new_session(model);
    free(evaluate(session, prompt.ids, 1));
    int64_t block = told(model, "cache"), logits = told(model, "sessions");
    CHECK(own > 0 && block > 0 && logits > 0, "%lld, %lld, %lld", (long long)own, (long long)block, (long long)logits);
    float *first = evaluate(session, prompt.ids + 1, 127);
    EXPECT(KIMI_OK, kimi_session_reset(session, &error));
    float *whole = evaluate(session, prompt.ids, prompt.count);
    kimi_session_destroy(session);
    kimi_model_close(model);

    /* One byte less does not open; just so many do, and have no room for a token. */
    options.memory_limit = own - 1;
    EXPECT_SAYING("memory_limit", KIMI_ERROR_OUT_OF_MEMORY,
                  kimi_model_open(fixture("tiny-kimi"), KIMI_NUL, &options, NULL, NULL, &model, &error));
    CHECK(model == NULL, "%p", (void *)model);
    options.memory_limit = own;
    model = open_model(&options);
    session = new_session(model);
    EXPECT_SAYING("memory_limit", KIMI_ERROR_OUT_OF_MEMORY, kimi_session_evaluate(session, prompt.ids, 1, 0, NULL, 0, &error));
    kimi_session_destroy(session);
    kimi_model_close(model);

    /* Two blocks for two sessions: the one that comes too late fails and stays as it was, the other goes on. */
    options.memory_limit = own + 2 * block + 2 * logits;
    model = open_model(&options);
    kimi_session *one = new_session(model), *two = new_session(model);
    free(evaluate(one, prompt.ids, 64));
    EXPECT_SAYING("other sessions", KIMI_ERROR_OUT_OF_MEMORY,
                  kimi_session_evaluate(two, prompt.ids, 65, 0, NULL, 0, &error));
    CHECK(kimi_session_position(two) == 0, "at %lld", (long long)kimi_session_position(two));
    float *same = evaluate(one, prompt.ids + 64, 64);
    CHECK(same_bits(same, first, prompt.vocabulary), "other bits beside a session that failed");
    EXPECT(KIMI_ERROR_OUT_OF_MEMORY, kimi_session_evaluate(two, prompt.ids, 1, 0, NULL, 0, &error));
    kimi_session_destroy(one);
    free(same);
    same = evaluate(two, prompt.ids, 128);
    CHECK(same_bits(same, first, prompt.vocabulary), "other bits after a session was closed");
    free(same);
    kimi_session_destroy(two);

    /* A context that could never be reached is refused, with the longest that can. */
    kimi_session_options wanted;
    kimi_session_options_init(&wanted, sizeof wanted);
    wanted.context_limit = 129;
    EXPECT_SAYING("128 tokens", KIMI_ERROR_OUT_OF_MEMORY, kimi_session_create(model, &wanted, &session, &error));
    wanted.context_limit = 128;
    EXPECT(KIMI_OK, kimi_session_create(model, &wanted, &session, &error));
    kimi_session_destroy(session);
    kimi_model_close(model);

    /* With room for all of it the limit changes nothing. */
    options.memory_limit = own + ((int64_t)prompt.count / 64 + 1) * block + logits;
    model = open_model(&options);
    session = new_session(model);
    same = evaluate(session, prompt.ids, prompt.count);
    CHECK(same_bits(same, whole, prompt.vocabulary), "other bits under a limit");
    free(same), free(first), free(whole);
    kimi_session_destroy(session);
    kimi_model_close(model);
    prompt_free(&prompt);
}

static void heat(void) {
    kimi_error *error = NULL;
    kimi_model *model = open_model(NULL);
    kimi_session *session = new_session(model);
    free(evaluate(session, (int32_t[]){1, 2, 3, 4, 5}, 5));
    char *json = NULL, path[] = "/tmp/kimi-heat-XXXXXX", saved[65536];
    size_t length = 0;
    EXPECT(KIMI_OK, kimi_model_heat(model, &json, &length, &error));
    CHECK(strlen(json) == length && strstr(json, "\"format\":\"kimi-heat\",\"version\":1,"), "%s", json);

    /* Five tokens choose as many experts in each layer that has any. */
    char *place = strstr(json, "\"counts\":[[");
    int rows = 0, sums[4] = {0};
    while (place && *place && rows < 4) {
        if (*place == ']') rows++;
        if (*place >= '0' && *place <= '9')
            sums[rows] += (int)strtol(place, &place, 10);
        else
            place++;
    }
    CHECK(rows == 4 && sums[0] == 0 && sums[1] == 20 && sums[2] == 20 && sums[3] == 20, "%d rows: %s", rows, json);

    int file = mkstemp(path);
    CHECK(file >= 0, "no temporary file");
    EXPECT(KIMI_OK, kimi_model_save_heat(model, path, KIMI_NUL, &error));
    close(file);
    FILE *opened = fopen(path, "rb");
    size_t count = opened ? fread(saved, 1, sizeof saved, opened) : 0;
    if (opened) fclose(opened);
    CHECK(count == length + 1 && memcmp(saved, json, length) == 0 && saved[length] == '\n', "%zu bytes, not %zu", count, length);
    unlink(path);
    kimi_free(json);
    kimi_session_destroy(session);
    kimi_model_close(model);
}

/* The number behind `name` in the information's expert_store; -1 if there is none. */
static double store_told(kimi_model *model, const char *name) {
    kimi_error *error = NULL;
    char *json = NULL, quoted[64];
    if (EXPECT(KIMI_OK, kimi_model_info(model, &json, NULL, &error)) != KIMI_OK) return -1;
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *store = strstr(json, "\"expert_store\":{"), *place = store ? strstr(store, quoted) : NULL;
    double value = place ? strtod(place + strlen(quoted), NULL) : -1;
    kimi_free(json);
    return value;
}

/* A step of many tokens, evaluated on a thread of its own. */
static struct {
    kimi_session *session;
    const prompt *prompt;
    volatile int ended;
} behind;

static void *evaluate_behind(void *unused) {
    (void)unused;
    free(evaluate(behind.session, behind.prompt->ids, behind.prompt->count));
    __atomic_store_n(&behind.ended, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Experts that are read as they are chosen are counted, and any thread may ask meanwhile. */
static void expert_store(void) {
    kimi_model *model = open_model(NULL);
    CHECK(store_told(model, "uses") == -1, "an expert store without streaming");
    kimi_model_close(model);

    kimi_model_options options;
    kimi_model_options_init(&options, sizeof options);
    options.load_policy = KIMI_LOAD_STREAM;
    options.chunk_size = 16;
    model = open_model(&options);
    const char *counts[] = {"uses", "hits", "on_the_way", "bytes_read", "stall_seconds", "retries"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        CHECK(store_told(model, counts[i]) == 0, "%s is %g", counts[i], store_told(model, counts[i]));
    /* Three layers of 16 experts. */
    CHECK(store_told(model, "experts") == 48 && store_told(model, "slots") == 48, "%g slots", store_told(model, "slots"));

    /* One token uses four experts in each of the three, and all of them are read. */
    kimi_session *session = new_session(model);
    free(evaluate(session, (int32_t[]){7}, 1));
    double read = store_told(model, "bytes_read");
    CHECK(store_told(model, "uses") == 12 && store_told(model, "hits") == 0, "%g uses", store_told(model, "uses"));
    CHECK(read > 12 * 0.75 * store_told(model, "slot_bytes") && read <= 12 * store_told(model, "slot_bytes"), "%g bytes", read);

    prompt prompt = prompt_read("long");
    pthread_t thread;
    behind.session = session;
    behind.prompt = &prompt;
    pthread_create(&thread, NULL, evaluate_behind, NULL);
    double uses = 12;
    int rises = 0;
    while (!__atomic_load_n(&behind.ended, __ATOMIC_SEQ_CST)) {
        double now = store_told(model, "uses");
        CHECK(now >= uses, "%g uses after %g", now, uses);
        rises += now > uses;
        uses = now;
    }
    pthread_join(thread, NULL);
    CHECK(rises > 2, "uses rose %d times", rises);
    uses = store_told(model, "uses");
    /* None was read twice. */
    CHECK(uses - store_told(model, "hits") <= 48, "%g uses, %g hits", uses, store_told(model, "hits"));
    prompt_free(&prompt);
    kimi_session_destroy(session);
    kimi_model_close(model);
}

void contract_memory(void) {
    memory_limit();
    expert_store();
    heat();
}
