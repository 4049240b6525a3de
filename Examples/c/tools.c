/*
 * An agent with two tools, a calculator and a search for files: tools DIR FOLDER QUESTION [SEED]
 *
 * The library runs model, tools and model again until there is an answer. The search sees FOLDER and what is below it, no more.
 * A QUESTION that begins with { is a whole request in OpenAI's JSON: {"messages": [...], "tool_choice": "required"}.
 */
#define _GNU_SOURCE /* strcasestr */
#include <kimi.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads a JSON string of ASCII and gives the place behind it; NULL if it is none, or too long. */
static const char *string(const char *json, char *text, size_t capacity) {
    size_t length = 0;
    if (*json++ != '"') return NULL;
    for (; *json != '"'; json++) {
        unsigned code = (unsigned char)*json;
        int used = 0;
        if (sscanf(json, "\\u00%2x%n", &code, &used) == 1 && used == 6) json += 5;
        else if (code == '\\') code = (unsigned char)*++json == '/' ? '/' : 0;
        if (code < ' ' || code > '~' || length + 1 >= capacity) return NULL;
        text[length++] = (char)code;
    }
    text[length] = 0;
    return json + 1;
}

/* The text of an object's only member, which the schemas below allow to be plain ASCII only. */
static int only_member(const char *json, char *text, size_t capacity) {
    json = string(json + strspn(json, "{ \t\r\n"), text, capacity);
    return json != NULL && string(json + strspn(json, ": \t\r\n"), text, capacity) != NULL;
}

static int32_t answer(kimi_tool_result *result, const char *text, int32_t failed) {
    return kimi_tool_result_set(result, text, KIMI_NUL, NULL) == KIMI_OK ? failed : 1;
}

/* Level 0 are sums, level 1 products, level 2 a number, a sign before one, or brackets. Moves `at` behind what it has read. */
static double value(const char **at, int level, int depth, const char **error) {
    *at += strspn(*at, " ");
    if (level == 2) {
        char first = **at;
        if (first >= '0' && first <= '9') return strtod(*at, (char **)at);
        if ((first != '-' && first != '(') || depth > 64) *error = depth > 64 ? "nested too deep" : "a number is missing";
        if (*error != NULL) return 0;
        ++*at;
        if (first == '-') return -value(at, 2, depth + 1, error);
        double inner = value(at, 0, depth + 1, error);
        if (*error == NULL && *(*at)++ != ')') *error = "a ) is missing";
        return inner;
    }
    double left = value(at, level + 1, depth, error);
    for (;;) {
        *at += strspn(*at, " ");
        char operator = **at;
        if (*error != NULL || operator == 0 || strchr(level == 0 ? "+-" : "*/", operator) == NULL) return left;
        ++*at;
        double right = value(at, level + 1, depth, error);
        if (operator == '/' && right == 0 && *error == NULL) *error = "division by zero";
        left = operator == '+' ? left + right : operator == '-' ? left - right : operator == '*' ? left * right : left / right;
    }
}

static int32_t calculate(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    (void)user_data;
    char text[256];
    if (!only_member(call->arguments, text, sizeof text)) return answer(result, "no plain expression", 1);
    const char *at = text, *error = NULL;
    double sum = value(&at, 0, 0, &error);
    if (error == NULL && *at != 0) error = "something is left over at the end";
    if (error != NULL) return answer(result, error, 1);
    snprintf(text, sizeof text, "%.15g", sum);
    return answer(result, text, 0);
}

/* Writes the paths below an open folder, which it closes. Links are not followed: nothing outside is ever seen. */
static void find(int folder, const char *path, const char *part, int depth, FILE *found) {
    DIR *entries = fdopendir(folder);
    if (entries == NULL && folder >= 0) close(folder);
    for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL && ftell(found) < 8192;) {
        char below[4096];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (snprintf(below, sizeof below, "%s%s", path, entry->d_name) >= (int)sizeof below - 1) continue;
        if (strcasestr(entry->d_name, part) != NULL) fprintf(found, "%s\n", below);
        int inner = depth > 0 ? openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (inner >= 0) find(inner, strcat(below, "/"), part, depth - 1, found);
    }
    if (entries != NULL) closedir(entries);
}

static int32_t find_files(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    char part[256], *text = NULL;
    size_t length;
    FILE *found = only_member(call->arguments, part, sizeof part) ? open_memstream(&text, &length) : NULL;
    if (found == NULL) return answer(result, "no plain part of a name", 1);
    find(open(user_data, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "", part, 16, found);
    int32_t failed = fclose(found) == 0 ? answer(result, length > 0 ? text : "no such file", 0) : 1;
    free(text);
    return failed;
}

static int32_t write_event(const kimi_chat_event *event, void *user_data) {
    (void)user_data;
    if (event->type == KIMI_CHAT_CONTENT) fwrite(event->text, 1, event->text_length, stdout);
    if (event->type == KIMI_CHAT_CALL_END) printf("\n> %s %s\n", event->name, event->text);
    if (event->type == KIMI_CHAT_RESULT) printf("< %s%s\n", event->code == KIMI_RESULT_OK ? "" : "failed: ", event->text);
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int count, char **arguments) {
    if (count < 4 || count > 5) return fprintf(stderr, "usage: %s DIR FOLDER QUESTION [SEED]\n", arguments[0]), 2;
#define SCHEMA(name, pattern) \
    "{\"type\": \"object\", \"properties\": {\"" name "\": {\"type\": \"string\", \"pattern\": \"" pattern "\"}}, " \
    "\"required\": [\"" name "\"], \"additionalProperties\": false}"
    kimi_tool tools[] = {
        {.struct_size = sizeof(kimi_tool), .name = "calculate", .description = "Calculates with + - * / and brackets.",
         .parameters = SCHEMA("expression", "^[0-9+*/(). -]{1,60}$"), .callback = calculate},
        {.struct_size = sizeof(kimi_tool), .name = "find_files", .description = "Finds files by a part of their names.",
         .parameters = SCHEMA("part_of_name", "^[A-Za-z0-9._-]{1,40}$"), .callback = find_files, .user_data = arguments[2]},
    };
    kimi_chat_options options;
    kimi_chat_options_init(&options, sizeof options);
    options.mode = KIMI_MODE_AGENT;
    if (count > 4) options.seed = strtoull(arguments[4], NULL, 10);

    kimi_model *model = NULL;
    kimi_session *session = NULL;
    kimi_error *error = NULL;
    kimi_status status = kimi_model_open(arguments[1], KIMI_NUL, NULL, NULL, NULL, &model, &error);
    if (status == KIMI_OK) status = kimi_session_create(model, NULL, &session, &error);
    for (size_t at = 0; status == KIMI_OK && at < sizeof tools / sizeof *tools; at++)
        status = kimi_session_add_tool(session, &tools[at], &error);
    if (status == KIMI_OK)
        status = (*arguments[3] == '{' ? kimi_session_send : kimi_session_say)(session, arguments[3], KIMI_NUL, &options,
                                                                               write_event, NULL, &error);
    if (status != KIMI_OK) fprintf(stderr, "tools: %s (%s)\n", kimi_error_message(error), kimi_status_name(status));
    /* Destroying NULL does nothing, so this is right wherever it failed. */
    kimi_error_destroy(error);
    kimi_session_destroy(session);
    kimi_model_close(model);
    return status == KIMI_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
