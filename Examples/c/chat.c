/*
 * A conversation in a terminal: chat DIR [MODE [MAX_TOKENS [SEED]]]
 *
 * Each line of the input is a message; the end of the input ends it. What the model thinks is marked, and both thought and answer
 * are written as they come. MODE is instant, thinking (the default), agent or swarm; MAX_TOKENS limits each answer.
 */
#define _POSIX_C_SOURCE 200809L
#include <kimi.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was written last, so that a mark stands wherever one turns into the other. */
typedef struct output {
    int32_t kind;
} output;

static void mark(output *output, int32_t kind) {
    if (output->kind == kind) return;
    if (output->kind != 0) putchar('\n');
    fputs(kind == KIMI_CHAT_REASONING ? "[thought] " : "[answer] ", stdout);
    output->kind = kind;
}

/* Writes an event. Any positive value returned here would end the turn and come back from it. */
static int32_t write_event(const kimi_chat_event *event, void *user_data) {
    output *output = user_data;
    switch (event->type) {
    case KIMI_CHAT_REASONING:
    case KIMI_CHAT_CONTENT:
        mark(output, event->type);
        fwrite(event->text, 1, event->text_length, stdout);
        break;
    case KIMI_CHAT_NOTICE:
        fprintf(stderr, "chat: %s\n", event->text);
        break;
    case KIMI_CHAT_FINISH:
        if (event->finish_reason == KIMI_FINISH_LENGTH) fputs(" [cut]", stdout);
        printf("\n[%lld tokens]\n", (long long)event->generated_tokens);
        break;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

/* Says what failed and frees the error; the library itself prints nothing. */
static void failed(kimi_status status, kimi_error *error) {
    if (status > 0)
        fprintf(stderr, "chat: the output could not be written\n");
    else
        fprintf(stderr, "chat: %s (%s)\n", kimi_error_message(error), kimi_status_name(status));
    kimi_error_destroy(error);
}

static int32_t mode_named(const char *name) {
    static const char *const names[] = {"instant", "thinking", "agent", "swarm"};
    for (int32_t at = 0; at < 4; at++)
        if (strcmp(name, names[at]) == 0) return KIMI_MODE_INSTANT + at;
    return -1;
}

int main(int count, char **arguments) {
    kimi_chat_options options;
    kimi_chat_options_init(&options, sizeof options);
    options.mode = count > 2 ? mode_named(arguments[2]) : KIMI_MODE_THINKING;
    if (count < 2 || count > 5 || options.mode < 0) {
        fprintf(stderr, "usage: %s DIR [instant|thinking|agent|swarm [MAX_TOKENS [SEED]]]\n", arguments[0]);
        return 2;
    }
    if (count > 3) options.max_tokens = strtoll(arguments[3], NULL, 10);
    if (count > 4) options.seed = strtoull(arguments[4], NULL, 10);

    kimi_model *model = NULL;
    kimi_session *session = NULL;
    kimi_error *error = NULL;
    kimi_status status = kimi_model_open(arguments[1], KIMI_NUL, NULL, NULL, NULL, &model, &error);
    if (status == KIMI_OK) status = kimi_session_create(model, NULL, &session, &error);

    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    while (status == KIMI_OK && (fputs("> ", stdout), fflush(stdout), length = getline(&line, &capacity, stdin)) >= 0) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) length--;
        if (length == 0) continue;
        output output = {0};
        status = kimi_session_say(session, line, (size_t)length, &options, write_event, &output, &error);
        /* A line that is not text, say, or too long for what is left of the context: the conversation is as before it. */
        if (status == KIMI_ERROR_INVALID_ARGUMENT || status == KIMI_ERROR_CONTEXT_FULL) {
            failed(status, error);
            error = NULL;
            status = KIMI_OK;
        }
    }
    putchar('\n');
    free(line);
    if (status != KIMI_OK) failed(status, error);

    /* Destroying NULL does nothing, so this is right wherever it failed. */
    kimi_session_destroy(session);
    kimi_model_close(model);
    return status == KIMI_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
