/* Groups of hostile.c: opening, the model's questions, tokenizer and decoder. */
#include "hostile.h"

#include <sys/stat.h>
#include <unistd.h>

#define LOST ((kimi_model *)16) /* what an out-parameter holds before; a failure must leave NULL */

#define REFUSED(code, words, field, value) \
    do { \
        kimi_model_options_init(&options, sizeof options); \
        options.field = (value); \
        out = LOST; \
        EXPECT_SAYING(words, code, kimi_model_open(fixture("tiny-kimi"), KIMI_NUL, &options, NULL, NULL, &out, &error)); \
        CHECK(out == NULL, #field " leaves a model"); \
    } while (0)
#define OUT_OF_RANGE(field, value) REFUSED(KIMI_ERROR_INVALID_ARGUMENT, #field, field, value)

void hostile_open(void) {
    kimi_error *error = NULL;
    kimi_model *out = LOST;
    kimi_model_options options;
    const char *folder = fixture("tiny-kimi");

    const size_t lengths[] = {0, 5, KIMI_TEXT_LIMIT, SIZE_MAX - 1, KIMI_NUL};
    for (size_t i = 0; i < 5; i++, out = LOST) {
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_open(NULL, lengths[i], NULL, NULL, NULL, &out, &error));
        CHECK(out == NULL, "NULL of length %zu leaves a model", lengths[i]);
    }
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_open(folder, KIMI_TEXT_LIMIT + 1, NULL, NULL, NULL, &out, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_open(folder, SIZE_MAX - 1, NULL, NULL, NULL, &out, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_open(folder, KIMI_NUL, NULL, NULL, NULL, NULL, &error));
    EXPECT_STATUS(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_open(NULL, 0, NULL, NULL, NULL, NULL, NULL));
    EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_IO, kimi_model_open("", 0, NULL, NULL, NULL, &out, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_open("a\0b", 3, NULL, NULL, NULL, &out, &error));
    EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_IO, kimi_model_open("/\xff\xfe", 3, NULL, NULL, NULL, &out, &error));
    EXPECT_SAYING("no-such-folder", KIMI_ERROR_IO,
                  kimi_model_open("/no-such-folder", KIMI_NUL, NULL, NULL, NULL, &out, &error));
    EXPECT_SAYING("config.json", KIMI_ERROR_IO,
                  kimi_model_open(fixture("tiny-kimi/config.json"), KIMI_NUL, NULL, NULL, NULL, &out, &error));
    char empty[] = "/tmp/kimi-empty-XXXXXX";
    CHECK(mkdtemp(empty) != NULL, "no temporary folder");
    EXPECT_EITHER(KIMI_ERROR_IO, KIMI_ERROR_FORMAT, kimi_model_open(empty, KIMI_NUL, NULL, NULL, NULL, &out, &error));
    rmdir(empty);
    char *endless = malloc(1 << 20);
    memset(endless, 'x', 1 << 20);
    EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_IO, kimi_model_open(endless, 1 << 20, NULL, NULL, NULL, &out, &error));
    free(endless);

    OUT_OF_RANGE(threads, -1);
    OUT_OF_RANGE(threads, 4097);
    OUT_OF_RANGE(threads, INT32_MIN);
    OUT_OF_RANGE(threads, INT32_MAX);
    OUT_OF_RANGE(isa, -1);
    OUT_OF_RANGE(isa, 6);
    OUT_OF_RANGE(isa, INT32_MAX);
    OUT_OF_RANGE(cache_type, -1);
    OUT_OF_RANGE(cache_type, 4);
    OUT_OF_RANGE(context_limit, -1);
    OUT_OF_RANGE(context_limit, INT64_MIN);
    OUT_OF_RANGE(context_limit, INT64_MAX);
    OUT_OF_RANGE(load_policy, -1);
    OUT_OF_RANGE(load_policy, 4);
    OUT_OF_RANGE(chunk_size, -1);
    OUT_OF_RANGE(chunk_size, 4097);
    OUT_OF_RANGE(chunk_size, INT32_MIN);
    OUT_OF_RANGE(log_level, -1);
    OUT_OF_RANGE(log_level, 4);
    OUT_OF_RANGE(decode_bits, -8);
    OUT_OF_RANGE(decode_bits, 12);
    OUT_OF_RANGE(decode_bits, 32);
    OUT_OF_RANGE(dense, -1);
    OUT_OF_RANGE(dense, 2);
    OUT_OF_RANGE(exact, -1);
    OUT_OF_RANGE(exact, 2);
    OUT_OF_RANGE(memory_limit, -1);
    OUT_OF_RANGE(memory_limit, INT64_MIN);
    REFUSED(KIMI_ERROR_OUT_OF_MEMORY, "memory_limit", memory_limit, 1);
    OUT_OF_RANGE(placement, -1);
    OUT_OF_RANGE(placement, 4);
    OUT_OF_RANGE(nodes, -1);
    OUT_OF_RANGE(nodes, 65);
    OUT_OF_RANGE(nodes, INT32_MIN);
    OUT_OF_RANGE(replicate_bytes, -1);
    OUT_OF_RANGE(resident_bytes, INT64_MIN);
    OUT_OF_RANGE(huge_pages, -1);
    OUT_OF_RANGE(huge_pages, 3);
    OUT_OF_RANGE(vision_arithmetic, -1);
    OUT_OF_RANGE(vision_arithmetic, 2);
    kimi_model_options_init(&options, sizeof options);
    options.exact = 1;
    options.vision_arithmetic = KIMI_VISION_BF16;
    out = LOST;
    EXPECT_SAYING(
        "vision_arithmetic", KIMI_ERROR_INVALID_ARGUMENT, kimi_model_open(folder, KIMI_NUL, &options, NULL, NULL, &out, &error));
    CHECK(out == NULL, "exact and vision_arithmetic leave a model");
    kimi_model_options_init(&options, sizeof options);
    options.exact = 1;
    options.decode_bits = 8;
    out = LOST;
    EXPECT_SAYING("decode_bits", KIMI_ERROR_INVALID_ARGUMENT, kimi_model_open(folder, KIMI_NUL, &options, NULL, NULL, &out, &error));
    CHECK(out == NULL, "exact and decode_bits leave a model");
    kimi_model_options_init(&options, sizeof options);
    options.dense = KIMI_DENSE_INT8;
    options.decode_bits = 16;
    out = LOST;
    EXPECT_SAYING("decode_bits", KIMI_ERROR_INVALID_ARGUMENT, kimi_model_open(folder, KIMI_NUL, &options, NULL, NULL, &out, &error));
    CHECK(out == NULL, "dense int8 and 16 bits leave a model");
    OUT_OF_RANGE(heat, "");
    OUT_OF_RANGE(heat, "\xff\xfe");
    REFUSED(KIMI_ERROR_INVALID_ARGUMENT, "struct_size", struct_size, 0);
    REFUSED(KIMI_ERROR_INVALID_ARGUMENT, "struct_size", struct_size, 3);
    kimi_model_options_init(&options, sizeof options);
    options.struct_size = UINT32_MAX;
    EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_UNSUPPORTED,
                  kimi_model_open(folder, KIMI_NUL, &options, NULL, NULL, &out, &error));

    /* Without an error object too, and after all that it opens. */
    EXPECT_STATUS(KIMI_ERROR_IO, kimi_model_open("/no-such-folder", KIMI_NUL, NULL, NULL, NULL, &out, NULL));
    kimi_model_close(open_model(NULL));
}

void hostile_model(void) {
    open_all();
    kimi_error *error = NULL;
    void *bad;
    for (int i = 0; stranger(i, MODEL, &bad); i++) {
        char *json = (char *)LOST;
        size_t length = 7;
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_model_info(bad, &json, &length, &error));
        CHECK(json == NULL && length == 0, "info of stranger %d leaves a result", i);
        EXPECT_STATUS(KIMI_ERROR_INVALID_HANDLE, kimi_model_info(bad, &json, NULL, NULL));
        json = (char *)LOST;
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_special_tokens(bad, &json, &length, &error));
        CHECK(json == NULL, "special tokens of stranger %d", i);
        json = (char *)LOST, length = 7;
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_model_heat(bad, &json, &length, &error));
        CHECK(json == NULL && length == 0, "heat of stranger %d leaves a result", i);
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_model_save_heat(bad, "/no-such-folder/heat", KIMI_NUL, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_model_save_prefixes(bad, "/no-such-folder/prefixes", KIMI_NUL, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_model_load_prefixes(bad, "/no-such-folder/prefixes", KIMI_NUL, &error));
        CHECK(kimi_model_vocabulary_size(bad) == 0, "of stranger %d", i);
        CHECK(kimi_model_context_limit(bad) == 0, "of stranger %d", i);
        kimi_model_close(bad);
    }
    size_t length = 7;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_info(model, NULL, &length, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_special_tokens(model, NULL, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_heat(model, NULL, &length, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_save_heat(model, NULL, 5, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_save_heat(model, "", 0, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_save_heat(model, "a\0b", 3, &error));
    EXPECT_SAYING("no-such-folder", KIMI_ERROR_IO, kimi_model_save_heat(model, "/no-such-folder/heat", KIMI_NUL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_save_prefixes(model, NULL, 5, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_load_prefixes(model, "", 0, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_model_load_prefixes(model, "a\0b", 3, &error));
    EXPECT_SAYING("no-such-folder", KIMI_ERROR_IO, kimi_model_save_prefixes(model, "/no-such-folder/prefixes", KIMI_NUL, &error));
    EXPECT_SAYING("no-such-folder", KIMI_ERROR_IO, kimi_model_load_prefixes(model, "/no-such-folder/prefixes", KIMI_NUL, &error));

    /* Closed twice; the session goes on. */
    kimi_model_close(model);
    kimi_model_close(model);
    char *json = NULL;
    EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_model_info(model, &json, NULL, &error));
    free(evaluate(session, (int32_t[]){1, 2, 3}, 3));
}

void hostile_tokenizer(void) {
    open_all();
    kimi_error *error = NULL;
    int32_t ids[64];
    char bytes[64];
    size_t count = 7;
    void *bad;
    for (int i = 0; stranger(i, MODEL, &bad); i++) {
        int32_t id = 7;
        count = 7;
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_tokenize(bad, "a", 1, 0, ids, 64, &count, &error));
        CHECK(count == 0, "a count of %zu from stranger %d", count, i);
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_detokenize(bad, ids, 0, bytes, 64, &count, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_token_piece(bad, 0, bytes, 64, &count, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_token_id(bad, "a", 1, &id, &error));
        CHECK(kimi_token_is_special(bad, 1540) == 0, "of stranger %d", i);
    }

    const size_t lengths[] = {1, KIMI_TEXT_LIMIT, SIZE_MAX - 1, KIMI_NUL};
    for (size_t i = 0; i < 4; i++)
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tokenize(model, NULL, lengths[i], 0, ids, 64, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tokenize(model, "abc", KIMI_TEXT_LIMIT + 1, 0, ids, 64, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tokenize(model, "abc", SIZE_MAX - 1, 0, ids, 64, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tokenize(model, "abc", 3, 0, ids, 64, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tokenize(model, "abc", 3, 0, NULL, 64, &count, &error));
    EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_UNSUPPORTED,
                  kimi_tokenize(model, "abc", 3, UINT32_MAX, ids, 64, &count, &error));
    EXPECT_EITHER(KIMI_ERROR_INVALID_ARGUMENT, KIMI_ERROR_UNSUPPORTED,
                  kimi_tokenize(model, "abc", 3, 2, ids, 64, &count, &error));
    EXPECT_SAYING("3", KIMI_ERROR_INVALID_ARGUMENT, kimi_tokenize(model, "abc\xff z", 6, 0, ids, 64, &count, &error));
    const char *not_utf8[] = {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe4\xbd", "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < 6; i++)
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_tokenize(model, not_utf8[i], KIMI_NUL, 0, ids, 64, &count, &error));
    EXPECT(KIMI_OK, kimi_tokenize(model, "", 0, 0, ids, 64, &count, &error));
    CHECK(count == 0, "nothing has %zu ids", count);
    EXPECT(KIMI_OK, kimi_tokenize(model, NULL, 0, 0, NULL, 0, &count, &error));
    EXPECT(KIMI_OK, kimi_tokenize(model, "a\0b", 3, 0, ids, 64, &count, &error));
    CHECK(count >= 2, "a NUL in the text ends it: %zu ids", count);
    /* The size of a buffer may be any number; only what is stored counts. */
    EXPECT(KIMI_OK, kimi_tokenize(model, "abc", 3, 0, ids, SIZE_MAX / 2, &count, &error));
    EXPECT_EITHER(KIMI_OK, KIMI_ERROR_INVALID_ARGUMENT, kimi_tokenize(model, "abc", 3, 0, ids, SIZE_MAX, &count, &error));
    EXPECT(KIMI_ERROR_TOO_SMALL, kimi_tokenize(model, "a b c d e f", KIMI_NUL, 0, ids, 1, &count, &error));
    CHECK(count > 1, "TOO_SMALL stores the count, not %zu", count);
    EXPECT(KIMI_ERROR_TOO_SMALL, kimi_tokenize(model, "abc", 3, 0, ids, 0, &count, &error));

    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_detokenize(model, NULL, 3, bytes, 64, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_detokenize(model, ids, SIZE_MAX, bytes, 64, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_detokenize(model, ids, SIZE_MAX / 4, bytes, 64, &count, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_detokenize(model, ids, 1, bytes, 64, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_detokenize(model, ids, 1, NULL, 64, &count, &error));
    EXPECT(KIMI_OK, kimi_detokenize(model, NULL, 0, NULL, 0, &count, &error));
    EXPECT(KIMI_OK, kimi_detokenize(model, ids, 1, bytes, SIZE_MAX / 2, &count, &error));
    const int32_t vocabulary = kimi_model_vocabulary_size(model);
    const int32_t wrong[] = {-1, vocabulary, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", wrong[i]);
        EXPECT_SAYING(number, KIMI_ERROR_INVALID_ARGUMENT, kimi_detokenize(model, &wrong[i], 1, bytes, 64, &count, &error));
        EXPECT_SAYING(number, KIMI_ERROR_INVALID_ARGUMENT, kimi_token_piece(model, wrong[i], bytes, 64, &count, &error));
        CHECK(kimi_token_is_special(model, wrong[i]) == 0, "%d", wrong[i]);
    }
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_token_piece(model, 1, bytes, 64, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_token_piece(model, 1, NULL, 64, &count, &error));
    EXPECT(KIMI_ERROR_TOO_SMALL, kimi_token_piece(model, vocabulary - 1, bytes, 0, &count, &error));

    int32_t id = 7;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_token_id(model, NULL, 3, &id, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_token_id(model, "a", 1, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_token_id(model, "", 0, &id, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_token_id(model, "a", SIZE_MAX - 1, &id, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_token_id(model, "there is no such piece", KIMI_NUL, &id, &error));
}

void hostile_decoder(void) {
    open_all();
    kimi_error *error = NULL;
    kimi_decoder *out = NULL;
    const char *bytes = NULL;
    size_t length = 0;
    void *bad;
    for (int i = 0; stranger(i, MODEL, &bad); i++) {
        out = (kimi_decoder *)LOST;
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_decoder_create(bad, &out, &error));
        CHECK(out == NULL, "stranger %d leaves a decoder", i);
    }
    for (int i = 0; stranger(i, DECODER, &bad); i++) {
        bytes = (const char *)LOST;
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_decoder_feed(bad, 1, &bytes, &length, &error));
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_decoder_finish(bad, &bytes, &length, &error));
        CHECK(bytes == NULL && length == 0, "stranger %d leaves bytes", i);
        kimi_decoder_destroy(bad);
    }
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_decoder_create(model, NULL, &error));
    if (EXPECT(KIMI_OK, kimi_decoder_create(model, &out, &error)) != KIMI_OK) return;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_decoder_feed(out, 1, NULL, &length, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_decoder_feed(out, 1, &bytes, NULL, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_decoder_finish(out, NULL, &length, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_decoder_finish(out, &bytes, NULL, &error));
    const int32_t wrong[] = {-1, kimi_model_vocabulary_size(model), INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++) EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_decoder_feed(out, wrong[i], &bytes, &length, &error));
    /* A decoder outlives its model. */
    kimi_model_close(model);
    EXPECT(KIMI_OK, kimi_decoder_feed(out, 1, &bytes, &length, &error));
    kimi_decoder_destroy(out);
    kimi_decoder_destroy(out);
}
