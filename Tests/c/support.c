#include "support.h"

#include <dirent.h>

int failures;
int checks;
const char *fixtures;

bool check(bool condition, const char *file, int line, const char *text, const char *format, ...) {
    checks++;
    if (condition) return true;
    failures++;
    const char *name = strrchr(file, '/');
    printf("%s:%d: %s does not hold: ", name ? name + 1 : file, line, text);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
    return false;
}

kimi_status expect(kimi_status status, kimi_status first, kimi_status second, kimi_error **error, const char *words,
                   const char *file, int line, const char *text) {
    const char *message = error && *error ? kimi_error_message(*error) : "no error object";
    check(status == first || status == second, file, line, text, "gave %s (%s), not %s", kimi_status_name(status), message,
          kimi_status_name(first));
    if (!error) return status;
    if (status < 0 && check(*error != NULL, file, line, text, "%s without an error object", kimi_status_name(status))) {
        check(kimi_error_code(*error) == status, file, line, text, "the error's code is %d", kimi_error_code(*error));
        check(strlen(message) >= 10 && strlen(message) < 1000 && !strchr(message, '\n'), file, line, text,
              "the message is not a line: '%s'", message);
        const char *subject = kimi_error_subject(*error);
        if (words)
            check(strstr(message, words) || (subject && strstr(subject, words)), file, line, text,
                  "'%s' is neither in '%s' nor in subject '%s'", words, message, subject ? subject : "(none)");
    }
    if (status >= 0) check(*error == NULL, file, line, text, "success with an error: %s", message);
    kimi_error_destroy(*error);
    *error = NULL;
    return status;
}

void begin(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "usage: %s FIXTURES\n", arguments[0]);
        exit(2);
    }
    fixtures = arguments[1];
}

int finish(void) {
    printf("%d checks, %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}

const char *fixture(const char *name) {
    static char paths[4][4096];
    static int turn;
    char *path = paths[turn = (turn + 1) % 4];
    snprintf(path, sizeof paths[0], "%s/%s", fixtures, name);
    return path;
}

static void stop(const char *what, const char *which) {
    printf("%s: %s\n", which, what);
    exit(1);
}

/* A whole file with a NUL behind it, to be freed; NULL if there is none. */
static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*length + 1);
    if (!bytes || fread(bytes, 1, *length, file) != *length) stop("cannot be read", path);
    bytes[*length] = 0;
    fclose(file);
    return bytes;
}

/* The values of a version 1 .npy file of 4-byte elements in `descr`, to be freed; NULL if there is none. */
static void *read_npy(const char *path, const char *descr, size_t *count) {
    size_t length = 0;
    char *bytes = read_file(path, &length);
    if (!bytes) return NULL;
    if (length < 10 || memcmp(bytes, "\x93NUMPY\x01", 7) != 0 || !strstr(bytes + 10, descr)) stop("not the .npy expected", path);
    size_t header = 10 + (unsigned char)bytes[8] + 256 * (size_t)(unsigned char)bytes[9];
    *count = (length - header) / 4;
    memmove(bytes, bytes + header, *count * 4);
    return bytes;
}

/* Where the list `key` of prompt `name` begins in prompts.json. */
static const char *list_of(const char *json, const char *name, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *place = strstr(json, quoted);
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    if (place) place = strstr(place, quoted);
    if (place) place = strchr(place, '[');
    if (!place) stop("is not in prompts.json", name);
    return place + 1;
}

prompt prompt_read(const char *name) {
    prompt result = {0};
    size_t length = 0;
    char *json = read_file(fixture("tiny-kimi-expected/prompts.json"), &length);
    if (!json) stop("missing", fixture("tiny-kimi-expected/prompts.json"));

    const char *place = list_of(json, name, "ids");
    const char *end = strchr(place, ']');
    result.ids = malloc((size_t)(end - place + 1) * sizeof(int32_t));
    for (char *after; place < end; place = after + 1)
        result.ids[result.count++] = (int32_t)strtol(place, &after, 10);
    /* The long prompt has no generation. */
    result.has_greedy = strcmp(name, "long") != 0;
    if (result.has_greedy) {
        place = list_of(json, name, "greedy");
        for (int i = 0; i < 32; i++, place++) result.greedy[i] = (int32_t)strtol(place, (char **)&place, 10);
        place = list_of(json, name, "margin");
        for (int i = 0; i < 32; i++, place++) result.margin[i] = strtof(place, (char **)&place);
    }
    free(json);

    char file[128];
    snprintf(file, sizeof file, "tiny-kimi-expected/%s.logits_last.npy", name);
    result.logits = read_npy(fixture(file), "<f4", &result.vocabulary);
    if (!result.logits) stop("missing", file);
    snprintf(file, sizeof file, "tiny-kimi-expected/%s.argmax.npy", name);
    size_t rows = 0;
    result.argmax = read_npy(fixture(file), "<i4", &rows);
    if (result.argmax && rows != result.count) stop("has another length than its prompt", file);
    return result;
}

void prompt_free(prompt *prompt) {
    free(prompt->ids);
    free(prompt->logits);
    free(prompt->argmax);
}

int32_t largest(const float *values, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (values[i] > values[best]) best = i;
    return (int32_t)best;
}

kimi_model *open_model(const kimi_model_options *options) {
    kimi_model *model = NULL;
    kimi_error *error = NULL;
    if (EXPECT(KIMI_OK, kimi_model_open(fixture("tiny-kimi"), KIMI_NUL, options, NULL, NULL, &model, &error)) != KIMI_OK)
        exit(finish());
    return model;
}

kimi_session *new_session(kimi_model *model) {
    kimi_session *session = NULL;
    kimi_error *error = NULL;
    if (EXPECT(KIMI_OK, kimi_session_create(model, NULL, &session, &error)) != KIMI_OK) exit(finish());
    return session;
}

float *evaluate(kimi_session *session, const int32_t *ids, size_t count) {
    /* The fixture's vocabulary; a prompt's file says the same. */
    static size_t vocabulary;
    if (!vocabulary) {
        prompt one = prompt_read("one");
        vocabulary = one.vocabulary;
        prompt_free(&one);
    }
    kimi_error *error = NULL;
    float *logits = calloc(vocabulary, sizeof(float));
    EXPECT(KIMI_OK, kimi_session_evaluate(session, ids, count, 0, logits, vocabulary, &error));
    return logits;
}

bool same_bits(const float *a, const float *b, size_t count) {
    return memcmp(a, b, count * sizeof(float)) == 0;
}

int32_t record_event(const kimi_event *event, void *user_data) {
    record *seen = user_data;
    seen->events++;
    if (seen->finishes) seen->out_of_order = true;
    switch (event->type) {
    case KIMI_EVENT_PROMPT:
        if (seen->tokens || event->done <= seen->prompt_done || event->done > event->total) seen->out_of_order = true;
        seen->prompts++;
        seen->prompt_done = event->done;
        seen->prompt_total = event->total;
        break;
    case KIMI_EVENT_TOKEN:
        if (event->done != seen->tokens + 1) seen->out_of_order = true;
        seen->ids[seen->tokens] = event->id;
        seen->logprobs[seen->tokens++] = event->logprob;
        break;
    case KIMI_EVENT_FINISH:
        seen->finishes++;
        seen->finish_reason = event->finish_reason;
        seen->finish_id = event->id;
        seen->stop_string = event->stop_string;
        break;
    default:
        seen->out_of_order = true;
    }
    if (event->type != KIMI_EVENT_PROMPT) {
        if (!event->text) seen->out_of_order = true;
        memcpy(seen->text + seen->text_length, event->text, event->text_length);
        seen->text_length += event->text_length;
    }
    return seen->answer_at && seen->events == seen->answer_at ? seen->answer : 0;
}

int entries(const char *folder) {
    int count = 0;
    DIR *list = opendir(folder);
    while (list && readdir(list)) count++;
    if (list) closedir(list);
    return count;
}
