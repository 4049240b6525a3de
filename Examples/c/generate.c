/*
 * Generates text from a checkpoint folder: generate DIR PROMPT [MAX_TOKENS [SEED]]
 *
 * The text is written as it comes, by a callback on this thread. Without a seed the most likely token is taken each time.
 */
#include <kimi.h>

#include <stdio.h>
#include <stdlib.h>

/* Writes an event's text. Any positive value returned here would end the generation and come back from it. */
static int32_t write_text(const kimi_event *event, void *user_data) {
    FILE *output = user_data;
    if (event->type == KIMI_EVENT_PROMPT) return 0;
    fwrite(event->text, 1, event->text_length, output);
    return fflush(output) == 0 ? 0 : 1;
}

/* Says what failed and frees the error; the library itself prints nothing. */
static int failed(kimi_status status, kimi_error *error) {
    if (status > 0)
        fprintf(stderr, "generate: the output could not be written\n");
    else
        fprintf(stderr, "generate: %s (%s)\n", kimi_error_message(error), kimi_status_name(status));
    kimi_error_destroy(error);
    return EXIT_FAILURE;
}

int main(int count, char **arguments) {
    if (count < 3 || count > 5) {
        fprintf(stderr, "usage: %s DIR PROMPT [MAX_TOKENS [SEED]]\n", arguments[0]);
        return 2;
    }
    kimi_model *model = NULL;
    kimi_session *session = NULL;
    kimi_error *error = NULL;

    kimi_generation_options options;
    kimi_generation_options_init(&options, sizeof options);
    options.max_tokens = count > 3 ? strtoll(arguments[3], NULL, 10) : 64;
    options.greedy = count < 5;
    if (count > 4) options.seed = strtoull(arguments[4], NULL, 10);

    kimi_status status = kimi_model_open(arguments[1], KIMI_NUL, NULL, NULL, NULL, &model, &error);
    if (status == KIMI_OK) status = kimi_session_create(model, NULL, &session, &error);
    if (status == KIMI_OK)
        status = kimi_session_generate_text(session, arguments[2], KIMI_NUL, &options, write_text, stdout, &error);

    /* Destroying NULL does nothing, so this is right wherever it failed. */
    kimi_session_destroy(session);
    kimi_model_close(model);
    if (status != KIMI_OK) return failed(status, error);
    putchar('\n');
    return EXIT_SUCCESS;
}
