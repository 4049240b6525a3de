/*
 * A question about a picture: vision DIR PICTURE QUESTION [MAX_TOKENS [SEED [VIDEO]]]
 *
 * PICTURE is a PNG, JPEG, WebP or GIF; the model is shown VIDEO, if there is one, after it. What they cost is told as they are
 * looked at, and the answer is written as it comes. MAX_TOKENS limits it (256).
 */
#define _POSIX_C_SOURCE 200809L
#include <kimi.h>

#include <stdio.h>
#include <stdlib.h>

/* A text as JSON has it. */
static void write_json(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            fprintf(file, "\\%c", byte);
        else if (byte < 0x20)
            fprintf(file, "\\u%04x", byte);
        else
            fputc(byte, file);
    }
    fputc('"', file);
}

/* The question as a request. What is shown goes by the URLs of its handles, so that no base64 is needed. To be freed; or NULL. */
static char *request(const char *question, const kimi_image *picture, const kimi_video *video) {
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    if (!file) return NULL;
    fputs("{\"messages\": [{\"role\": \"user\", \"content\": [", file);
    fprintf(file, "{\"type\": \"image_url\", \"image_url\": {\"url\": \"%s\"}}, ", kimi_image_url(picture));
    if (video) fprintf(file, "{\"type\": \"video_url\", \"video_url\": {\"url\": \"%s\"}}, ", kimi_video_url(video));
    fputs("{\"type\": \"text\", \"text\": ", file);
    write_json(file, question);
    fputs("}]}]}", file);
    if (fclose(file) == 0) return text;
    free(text);
    return NULL;
}

/* Writes an event. Any positive value returned here would end the turn and come back from it. */
static int32_t write_event(const kimi_chat_event *event, void *user_data) {
    (void)user_data;
    switch (event->type) {
    case KIMI_CHAT_MEDIA:
        printf("[%s%s: %lld tokens]\n", event->code == 1 ? "picture" : "video from ", event->name, (long long)event->media_tokens);
        break;
    case KIMI_CHAT_CONTENT:
        fwrite(event->text, 1, event->text_length, stdout);
        break;
    case KIMI_CHAT_NOTICE:
        fprintf(stderr, "vision: %s\n", event->text);
        break;
    case KIMI_CHAT_FINISH:
        printf("%s\n[%lld tokens, %lld of the prompt's %lld to see]\n", event->finish_reason == KIMI_FINISH_LENGTH ? " [cut]" : "",
               (long long)event->generated_tokens, (long long)event->media_tokens, (long long)event->prompt_tokens);
        break;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int count, char **arguments) {
    if (count < 4 || count > 7) {
        fprintf(stderr, "usage: %s DIR PICTURE QUESTION [MAX_TOKENS [SEED [VIDEO]]]\n", arguments[0]);
        return 2;
    }
    kimi_chat_options options;
    kimi_chat_options_init(&options, sizeof options);
    options.mode = KIMI_MODE_INSTANT;
    options.max_tokens = count > 4 ? strtoll(arguments[4], NULL, 10) : 256;
    if (count > 5) options.seed = strtoull(arguments[5], NULL, 10);

    kimi_model *model = NULL;
    kimi_image *picture = NULL;
    kimi_video *video = NULL;
    kimi_session *session = NULL;
    kimi_error *error = NULL;
    char *question = NULL;
    /* The picture first: a wrong name should not wait for a large model to open. */
    kimi_status status = kimi_image_from_path(arguments[2], KIMI_NUL, &picture, &error);
    if (status == KIMI_OK && count > 6) status = kimi_video_from_path(arguments[6], KIMI_NUL, &video, &error);
    if (status == KIMI_OK) status = kimi_model_open(arguments[1], KIMI_NUL, NULL, NULL, NULL, &model, &error);
    if (status == KIMI_OK) status = kimi_session_create(model, NULL, &session, &error);
    if (status == KIMI_OK) {
        question = request(arguments[3], picture, video);
        status = question ? kimi_session_send(session, question, KIMI_NUL, &options, write_event, NULL, &error)
                          : KIMI_ERROR_OUT_OF_MEMORY;
    }
    /* The library itself prints nothing; its messages say what would be right. */
    if (status > 0)
        fprintf(stderr, "vision: the output could not be written\n");
    else if (status != KIMI_OK)
        fprintf(stderr, "vision: %s (%s)\n", error ? kimi_error_message(error) : "no memory", kimi_status_name(status));
    kimi_error_destroy(error);
    free(question);

    /* Destroying NULL does nothing, so this is right wherever it failed. */
    kimi_session_destroy(session);
    kimi_model_close(model);
    kimi_video_destroy(video);
    kimi_image_destroy(picture);
    return status == KIMI_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
