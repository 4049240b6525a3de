/* What kimi.h promises, tried on the fixture: opening, tokens, logits, generation, threads, callbacks. */
#include "contract.h"

#include <pthread.h>

static struct {
    int count;
    int lowest;
    bool wrong;
} logged;

static void log_message(int32_t level, const char *message, void *user_data) {
    if (user_data != &logged || level < KIMI_LOG_DEBUG || level > KIMI_LOG_ERROR || !message || !*message) logged.wrong = true;
    if (level < logged.lowest) logged.lowest = level;
    logged.count++;
}

static struct {
    int calls;
    uint64_t done, total;
    int32_t answer;
    bool wrong;
    pthread_t thread;
} progress;

static int32_t note_progress(uint64_t done, uint64_t total, void *user_data) {
    if (user_data != &progress || done < progress.done || done > total || (progress.calls && total != progress.total) ||
        !pthread_equal(progress.thread, pthread_self()))
        progress.wrong = true;
    progress.calls++;
    progress.done = done;
    progress.total = total;
    return progress.answer;
}

static void check_json(kimi_status (*question)(const kimi_model *, char **, size_t *, kimi_error **), kimi_model *model,
                       const char *const *words) {
    kimi_error *error = NULL;
    char *json = NULL;
    size_t length = 0;
    if (EXPECT(KIMI_OK, question(model, &json, &length, &error)) != KIMI_OK) return;
    CHECK(strlen(json) == length && json[0] == '{' && json[length - 1] == '}', "not an object: %s", json);
    for (; *words; words++) CHECK(strstr(json, *words) != NULL, "no %s in %s", *words, json);
    kimi_free(json);
}

void contract_open(void) {
    kimi_error *error = NULL;
    kimi_model_options options;
    kimi_model *model = (kimi_model *)16;

    /* Struct sizes are those of the header. */
#define SAME_SIZE(type) CHECK(kimi_struct_size(#type) == sizeof(type), "%zu", kimi_struct_size(#type))
    SAME_SIZE(kimi_model_options);
    SAME_SIZE(kimi_plan_options);
    SAME_SIZE(kimi_session_options);
    SAME_SIZE(kimi_generation_options);
    SAME_SIZE(kimi_event);
    SAME_SIZE(kimi_chat_options);
    SAME_SIZE(kimi_chat_event);
    SAME_SIZE(kimi_tool_call);
    SAME_SIZE(kimi_tool);
    SAME_SIZE(kimi_queue_event);
    SAME_SIZE(kimi_session_stats);

    /* Progress: in order, to the end, on this thread; and it can stop. */
    progress.thread = pthread_self();
    EXPECT(KIMI_OK, kimi_model_open(fixture("tiny-kimi"), KIMI_NUL, NULL, note_progress, &progress, &model, &error));
    CHECK(progress.calls > 0 && progress.done == progress.total && !progress.wrong, "%d calls, %llu of %llu", progress.calls,
          (unsigned long long)progress.done, (unsigned long long)progress.total);
    kimi_model_close(model);
    progress.done = 0, progress.calls = 0, progress.answer = 7;
    model = (kimi_model *)16;
    EXPECT(KIMI_ERROR_CANCELLED, kimi_model_open(fixture("tiny-kimi"), KIMI_NUL, NULL, note_progress, &progress, &model, &error));
    CHECK(progress.calls == 1 && model == NULL, "%d calls, %p", progress.calls, (void *)model);

    /* Messages, from the asked level upwards. */
    kimi_model_options_init(&options, sizeof options);
    options.log = log_message;
    options.log_user_data = &logged;
    options.log_level = KIMI_LOG_DEBUG;
    logged.lowest = 9;
    model = open_model(&options);
    free(evaluate(new_session(model), (int32_t[]){1}, 1));
    kimi_model_close(model);
    CHECK(logged.count > 0 && !logged.wrong, "%d messages", logged.count);
    logged.lowest = 9;
    options.log_level = KIMI_LOG_ERROR;
    kimi_model_close(open_model(&options));
    CHECK(logged.lowest >= KIMI_LOG_ERROR, "a message of level %d", logged.lowest);

    /* The path's length counts, not its NUL. */
    char path[4096];
    snprintf(path, sizeof path, "%s and more", fixture("tiny-kimi"));
    EXPECT(KIMI_OK, kimi_model_open(path, strlen(path) - 9, NULL, NULL, NULL, &model, &error));
    const char *words[] = {"\"architecture\"", "\"model_type\"", "\"context_length\"", "\"context_limit\"", "\"vocabulary\"",
                           "\"end_tokens\"",   "\"digest\"",     "\"isa\"",            "\"threads\"",       "\"cache_type\"",
                           "\"load_policy\"",  "\"cache_bytes_per_token\"", "\"dense\"", "\"exact\"",
                           "\"weight_bytes\"", "\"memory\"", "\"limit_from\"", "\"prefixes\":{\"limit\":", NULL};
    check_json(kimi_model_info, model, words);
    const char *specials[] = {"\"[EOS]\"", NULL};
    check_json(kimi_special_tokens, model, specials);
    CHECK(kimi_model_vocabulary_size(model) > 1000, "%d", kimi_model_vocabulary_size(model));
    kimi_model_close(model);

    /* Options take effect; a shorter struct leaves the rest at its default, a longer one must not ask for the unknown. */
    struct {
        kimi_model_options known;
        char unknown[16];
    } longer = {0};
    kimi_model_options_init(&longer.known, sizeof longer);
    longer.known.threads = 1;
    longer.known.isa = KIMI_ISA_SCALAR;
    longer.known.cache_type = KIMI_CACHE_BF16;
    longer.known.load_policy = KIMI_LOAD_COPY;
    longer.known.context_limit = 100;
    longer.known.dense = KIMI_DENSE_INT8;
    longer.known.exact = 1;
    longer.known.prefix_limit = -1;
    model = open_model(&longer.known);
    CHECK(kimi_model_context_limit(model) == 100, "%lld", (long long)kimi_model_context_limit(model));
    const char *asked[] = {"scalar", "bf16", "copy", "\"int8\"", "\"exact\":true", "\"prefixes\":null", NULL};
    check_json(kimi_model_info, model, asked);
    kimi_model_close(model);
    longer.unknown[15] = 1;
    EXPECT(KIMI_ERROR_UNSUPPORTED,
           kimi_model_open(fixture("tiny-kimi"), KIMI_NUL, &longer.known, NULL, NULL, &model, &error));
    longer.known.struct_size = offsetof(kimi_model_options, context_limit);
    model = open_model(&longer.known);
    CHECK(kimi_model_context_limit(model) > 100, "a field behind the struct was read");
    kimi_model_close(model);
}

void contract_tokenizer(void) {
    kimi_error *error = NULL;
    kimi_model *model = open_model(NULL);
    const char *text = "Naïve café: 漢字 and 🙂, <|im_end|>.";
    int32_t ids[256];
    size_t count = 0, length = 0;
    char bytes[256];

    EXPECT(KIMI_OK, kimi_tokenize(model, text, KIMI_NUL, 0, NULL, 0, &count, &error));
    size_t counted = count;
    EXPECT(KIMI_OK, kimi_tokenize(model, text, KIMI_NUL, 0, ids, 256, &count, &error));
    CHECK(count == counted && count > 8, "%zu, then %zu", counted, count);
    for (size_t i = 0; i < count; i++) CHECK(!kimi_token_is_special(model, ids[i]), "id %d is special", ids[i]);
    EXPECT(KIMI_OK, kimi_detokenize(model, ids, count, bytes, 256, &length, &error));
    CHECK(length == strlen(text) && memcmp(bytes, text, length) == 0, "%.*s", (int)length, bytes);

    /* One id at a time: the same bytes, never within a character. */
    kimi_decoder *decoder = NULL;
    EXPECT(KIMI_OK, kimi_decoder_create(model, &decoder, &error));
    size_t written = 0;
    const char *piece = NULL;
    for (size_t i = 0; i < count; i++) {
        EXPECT(KIMI_OK, kimi_decoder_feed(decoder, ids[i], &piece, &length, &error));
        CHECK(length == 0 || ((unsigned char)piece[0] & 0xc0) != 0x80, "piece %zu begins within a character", i);
        memcpy(bytes + written, piece, length);
        written += length;
    }
    EXPECT(KIMI_OK, kimi_decoder_finish(decoder, &piece, &length, &error));
    CHECK(length == 0 && written == strlen(text) && memcmp(bytes, text, written) == 0, "%.*s", (int)written, bytes);
    kimi_decoder_destroy(decoder);

    /* Specials only when asked for; ids and pieces are each other's. */
    int32_t end = -1;
    EXPECT(KIMI_OK, kimi_token_id(model, "<|im_end|>", KIMI_NUL, &end, &error));
    CHECK(kimi_token_is_special(model, end) == 1, "id %d", end);
    EXPECT(KIMI_OK, kimi_tokenize(model, "<|im_end|>", KIMI_NUL, KIMI_TOKENIZE_SPECIAL, ids, 256, &count, &error));
    CHECK(count == 1 && ids[0] == end, "%zu ids, the first %d", count, ids[0]);
    EXPECT(KIMI_OK, kimi_token_piece(model, end, bytes, 256, &length, &error));
    CHECK(length == 10 && memcmp(bytes, "<|im_end|>", 10) == 0, "%.*s", (int)length, bytes);
    EXPECT(KIMI_OK, kimi_token_piece(model, end, NULL, 0, &length, &error));
    CHECK(length == 10, "%zu", length);
    kimi_model_close(model);
}

int main(int count, char **arguments) {
    begin(count, arguments);
    contract_open();
    contract_process();
    contract_cut_shard();
    contract_tokenizer();
    contract_reference();
    contract_same_bits();
    contract_generate();
    contract_options();
    contract_polling();
    contract_callbacks();
    contract_memory();
    contract_plan();
    contract_threads();
    contract_chat();
    contract_chat_tools();
    contract_chat_cancel();
    contract_images();
    contract_videos();
    contract_chat_media();
    contract_queue();
    contract_swarm();
    contract_swarm_limits();
    contract_rewards();
    return finish();
}
