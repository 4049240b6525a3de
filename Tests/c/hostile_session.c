/* Groups of hostile.c: sessions, evaluation, session files, statistics. */
#include "hostile.h"

#include <sys/stat.h>
#include <unistd.h>

#define LOST ((kimi_session *)16)

void hostile_session(void) {
    open_all();
    kimi_error *error = NULL;
    kimi_session *out = LOST;
    void *bad;
    for (int i = 0; stranger(i, MODEL, &bad); i++, out = LOST) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_create(bad, NULL, &out, &error));
        CHECK(out == NULL, "stranger %d leaves a session", i);
    }
    for (int i = 0; stranger(i, SESSION, &bad); i++, out = LOST) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_fork(bad, &out, &error));
        CHECK(out == NULL, "stranger %d leaves a fork", i);
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_reset(bad, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_truncate(bad, 0, &error));
        EXPECT_STATUS(KIMI_ERROR_INVALID_HANDLE, kimi_session_cancel(bad));
        CHECK(kimi_session_position(bad) == -1, "stranger %d has a position", i);
        size_t count = 7;
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_ids(bad, NULL, 0, &count, &error));
        CHECK(count == 0, "stranger %d has %zu ids", i, count);
        kimi_session_destroy(bad);
    }
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_create(model, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_fork(session, NULL, &error));

    kimi_session_options options;
    const int64_t limits[] = {-1, INT64_MIN, INT64_MAX, kimi_model_context_limit(model) + 1};
    for (size_t i = 0; i < 4; i++, out = LOST) {
        kimi_session_options_init(&options, sizeof options);
        options.context_limit = limits[i];
        EXPECT_SAYING("context_limit", KIMI_ERROR_INVALID_ARGUMENT, kimi_session_create(model, &options, &out, &error));
        CHECK(out == NULL, "a limit of %lld leaves a session", (long long)limits[i]);
    }
    const int32_t priorities[] = {-101, 101, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < 4; i++, out = LOST) {
        kimi_session_options_init(&options, sizeof options);
        options.priority = priorities[i];
        EXPECT_SAYING("priority", KIMI_ERROR_INVALID_ARGUMENT, kimi_session_create(model, &options, &out, &error));
        CHECK(out == NULL, "a priority of %d leaves a session", priorities[i]);
    }
    for (uint32_t size = 0; size < 4; size++) {
        options = (kimi_session_options){.struct_size = size};
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_create(model, &options, &out, &error));
    }
    options.struct_size = UINT32_MAX;
    EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_UNSUPPORTED, kimi_session_create(model, &options, &out, &error));

    free(evaluate(session, (int32_t[]){1, 2, 3}, 3));
    const int64_t positions[] = {-1, 4, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 4; i++) {
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_truncate(session, positions[i], &error));
        CHECK(kimi_session_position(session) == 3, "truncate(%lld) moved it", (long long)positions[i]);
    }
    int32_t ids[3];
    size_t count = 7;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_ids(session, ids, 3, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_ids(session, NULL, 3, &count, &error));
    EXPECT(KIMI_ERROR_TOO_SMALL, kimi_session_ids(session, ids, 2, &count, &error));
    CHECK(count == 3, "TOO_SMALL stores %zu", count);
    EXPECT(KIMI_OK, kimi_session_ids(session, ids, SIZE_MAX / 2, &count, &error));

    kimi_session_destroy(session);
    kimi_session_destroy(session);
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_reset(session, &error));
    EXPECT_STATUS(KIMI_ERROR_INVALID_HANDLE, kimi_session_cancel(session));
}

void hostile_evaluate(void) {
    open_all();
    kimi_error *error = NULL;
    const int32_t vocabulary = kimi_model_vocabulary_size(model);
    float *logits = calloc((size_t)vocabulary * 4, sizeof(float));
    int32_t ids[] = {1, 2, 3, 4};
    const size_t room = (size_t)vocabulary;
    void *bad;
    for (int i = 0; stranger(i, SESSION, &bad); i++)
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_evaluate(bad, ids, 4, 0, logits, room, &error));

    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_evaluate(session, ids, 0, 0, logits, room, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_evaluate(session, NULL, 0, 0, NULL, 0, &error));
    const size_t counts[] = {1, 4, SIZE_MAX, SIZE_MAX / 4 + 2, (size_t)INT64_MAX, (size_t)INT64_MAX + 1};
    for (size_t i = 0; i < 6; i++) {
        EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_CONTEXT_FULL,
                      kimi_session_evaluate(session, NULL, counts[i], 0, logits, room, &error));
        if (i < 2) continue;
        EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_CONTEXT_FULL,
                      kimi_session_evaluate(session, ids, counts[i], 0, logits, room, &error));
        /* Its product with the vocabulary overflows. */
        kimi_status status = kimi_session_evaluate(session, ids, counts[i], KIMI_EVALUATE_ALL, logits, room, &error);
        CHECK(status == KIMI_ERROR_INVALID_ARGUMENT || status == KIMI_ERROR_CONTEXT_FULL || status == KIMI_ERROR_TOO_SMALL,
              "%zu tokens give %s", counts[i], kimi_status_name(status));
        kimi_error_destroy(error);
        error = NULL;
    }
    const int32_t wrong[] = {-1, vocabulary, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", wrong[i]);
        int32_t bad_ids[] = {1, 2, wrong[i], 4};
        EXPECT_SAYING(number, KIMI_ERROR_INVALID_ARGUMENT,
                      kimi_session_evaluate(session, bad_ids, 4, 0, logits, room, &error));
    }
    const uint32_t flags[] = {2, UINT32_MAX, 0x80000000u};
    for (size_t i = 0; i < 3; i++)
        EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_UNSUPPORTED,
                      kimi_session_evaluate(session, ids, 4, flags[i], logits, room, &error));
    EXPECT(KIMI_ERROR_TOO_SMALL, kimi_session_evaluate(session, ids, 4, 0, logits, 0, &error));
    EXPECT(KIMI_ERROR_TOO_SMALL, kimi_session_evaluate(session, ids, 4, 0, logits, room - 1, &error));
    EXPECT(KIMI_ERROR_TOO_SMALL, kimi_session_evaluate(session, ids, 4, KIMI_EVALUATE_ALL, logits, 4 * room - 1, &error));
    CHECK(kimi_session_position(session) == 0, "a refused evaluation moved the session to %lld",
          (long long)kimi_session_position(session));

    EXPECT_STATUS(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_evaluate(session, ids, 0, 0, logits, room, NULL));
    EXPECT(KIMI_OK, kimi_session_evaluate(session, ids, 4, 0, NULL, 0, &error));
    EXPECT(KIMI_OK, kimi_session_evaluate(session, ids, 4, KIMI_EVALUATE_ALL, NULL, SIZE_MAX / 2, &error));
    EXPECT(KIMI_OK, kimi_session_evaluate(session, ids, 4, KIMI_EVALUATE_ALL, logits, SIZE_MAX / 2, &error));
    CHECK(kimi_session_position(session) == 12, "at %lld", (long long)kimi_session_position(session));
    free(logits);
}

/* A file with the given content; gives its path. */
static const char *file_of(const char *folder, const void *bytes, size_t length) {
    static char path[300];
    snprintf(path, sizeof path, "%s/session", folder);
    FILE *file = fopen(path, "wb");
    fwrite(bytes, 1, length, file);
    fclose(file);
    return path;
}

void hostile_files(void) {
    open_all();
    kimi_error *error = NULL;
    void *bad;
    char folder[] = "/tmp/kimi-files-XXXXXX";
    CHECK(mkdtemp(folder) != NULL, "no temporary folder");
    char good[300];
    snprintf(good, sizeof good, "%s/good", folder);
    free(evaluate(session, (int32_t[]){1, 2, 3}, 3));
    for (int i = 0; stranger(i, SESSION, &bad); i++) {
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_save(bad, good, KIMI_NUL, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_load(bad, good, KIMI_NUL, &error));
    }
    CHECK(access(good, F_OK) != 0, "a stranger was saved");

    const size_t lengths[] = {0, 5, KIMI_NUL};
    for (size_t i = 0; i < 3; i++) {
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_save(session, NULL, lengths[i], &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_load(session, NULL, lengths[i], &error));
    }
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_save(session, good, KIMI_TEXT_LIMIT + 1, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_load(session, good, SIZE_MAX - 1, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_save(session, "a\0b", 3, &error));
    EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_IO, kimi_session_save(session, "", 0, &error));
    EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_IO, kimi_session_load(session, "", 0, &error));
    EXPECT(KIMI_ERROR_IO, kimi_session_save(session, "/no-such-folder/session", KIMI_NUL, &error));
    EXPECT(KIMI_ERROR_IO, kimi_session_load(session, "/no-such-folder/session", KIMI_NUL, &error));
    EXPECT(KIMI_ERROR_IO, kimi_session_save(session, folder, KIMI_NUL, &error));
    EXPECT_EITHER(KIMI_ERROR_IO, KIMI_ERROR_FORMAT, kimi_session_load(session, folder, KIMI_NUL, &error));

    /* Damage of every kind; the session must stay as it is. */
    EXPECT(KIMI_OK, kimi_session_save(session, good, KIMI_NUL, &error));
    FILE *file = fopen(good, "rb");
    if (!CHECK(file != NULL, "%s was not written", good)) return;
    static unsigned char bytes[1 << 20];
    size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t cut = 0; cut < length; cut += cut < 128 ? 1 : length / 16 + 1)
        EXPECT(KIMI_ERROR_FORMAT, kimi_session_load(session, file_of(folder, bytes, cut), KIMI_NUL, &error));
    for (size_t at = 0; at < length; at += at < 160 ? 1 : length / 16 + 1) {
        bytes[at] ^= 0x41;
        kimi_status status = kimi_session_load(session, file_of(folder, bytes, length), KIMI_NUL, &error);
        /* A larger count is more than the session may hold before it is a count that does not fit the file. */
        CHECK(status == KIMI_ERROR_FORMAT || status == KIMI_ERROR_MISMATCH || status == KIMI_ERROR_UNSUPPORTED ||
                  status == KIMI_ERROR_CONTEXT_FULL,
              "byte %zu changed gives %s", at, kimi_status_name(status));
        CHECK(kimi_error_file(error), "byte %zu changed names no file: %s", at, kimi_error_message(error));
        kimi_error_destroy(error);
        error = NULL;
        bytes[at] ^= 0x41;
    }
    unsigned char *longer = calloc(1, length + 64);
    memcpy(longer, bytes, length);
    EXPECT(KIMI_ERROR_FORMAT, kimi_session_load(session, file_of(folder, longer, length + 64), KIMI_NUL, &error));
    free(longer);
    CHECK(kimi_session_position(session) == 3, "a failed load moved the session");
    EXPECT(KIMI_OK, kimi_session_load(session, good, KIMI_NUL, &error));
    unlink(good);
    unlink(file_of(folder, "", 0));
    CHECK(rmdir(folder) == 0, "something was left behind in %s", folder);
}

void hostile_statistics(void) {
    open_all();
    kimi_error *error = NULL;
    kimi_session_stats stats = {.struct_size = sizeof stats};
    void *bad;
    for (int i = 0; stranger(i, SESSION, &bad); i++)
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_session_get_stats(bad, &stats, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_get_stats(session, NULL, &error));
    for (uint32_t size = 0; size < 4; size++) {
        stats.struct_size = size;
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_get_stats(session, &stats, &error));
    }
    /* A shorter struct is filled only as far as it goes. */
    free(evaluate(session, (int32_t[]){1, 2}, 2));
    memset(&stats, 0xa5, sizeof stats);
    stats.struct_size = offsetof(kimi_session_stats, prompt_tokens);
    EXPECT(KIMI_OK, kimi_session_get_stats(session, &stats, &error));
    CHECK(stats.position == 2, "at %lld", (long long)stats.position);
    CHECK(stats.prompt_tokens == (int64_t)0xa5a5a5a5a5a5a5a5, "wrote behind the caller's struct");
}
