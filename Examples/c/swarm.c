/*
 * A swarm that searches files: swarm [-s SEED] [-n STEPS] [-a AGENTS] [-t TRACE] DIR FOLDER TASK
 *
 * The main agent creates sub-agents, which look for words in the files of FOLDER at the same time; all that they do is told as it
 * comes, with what it took at the end. STEPS is the most that the main agent may make; TRACE is a file to write for
 * chrome://tracing or Perfetto. A TASK that begins with { is a whole request in OpenAI's JSON, and AGENTS, a JSON object, is what
 * the requests of sub-agents have beside their messages.
 */
#define _GNU_SOURCE /* strcasestr */
#include <kimi.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The text of an object's only member, which the schema below allows to be letters, digits and blanks only. NULL: too long. */
static const char *only_member(const char *json, char *text, size_t capacity) {
    json = strchr(json, ':');
    json = json != NULL ? strchr(json, '"') : NULL;
    size_t length = json != NULL ? strcspn(json + 1, "\"") : capacity;
    if (length >= capacity) return NULL;
    memcpy(text, json + 1, length);
    text[length] = 0;
    return text;
}

/* Writes the lines of one text file that hold the words, up to 8 KiB for all files. */
static void search_file(int folder, const char *name, const char *words, FILE *found) {
    struct stat about;
    /* Neither links, which lead anywhere, nor pipes, which may never end. */
    int descriptor = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int good = descriptor >= 0 && fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode) && about.st_size < 1 << 20;
    FILE *file = good ? fdopen(descriptor, "r") : NULL;
    if (file == NULL && descriptor >= 0) close(descriptor);
    char *line = NULL;
    size_t capacity = 0;
    while (file != NULL && ftell(found) < 8192 && getline(&line, &capacity, file) >= 0)
        if (strcasestr(line, words) != NULL && strlen(line) < 1000)
            fprintf(found, "%s: %.*s\n", name, (int)strcspn(line, "\r\n"), line);
    free(line);
    if (file != NULL) fclose(file);
}

/* Runs for several agents at the same time, each call on a thread of its own: all it uses is its own. */
static int32_t search(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    char words[128], *text = NULL;
    size_t length;
    DIR *folder = only_member(call->arguments, words, sizeof words) != NULL ? opendir(user_data) : NULL;
    FILE *found = folder != NULL ? open_memstream(&text, &length) : NULL;
    if (found != NULL)
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) search_file(dirfd(folder), entry->d_name, words, found);
    if (folder != NULL) closedir(folder);
    int failed = found == NULL || fclose(found) != 0;
    /* Non-zero: a failure, of which the agent is told. It goes on, and so do the others. */
    const char *said = failed ? "nothing could be searched" : length > 0 ? text : "no file has that";
    if (kimi_tool_result_set(result, said, KIMI_NUL, NULL) != KIMI_OK) {
        failed = 1;
        kimi_tool_result_set(result, "what was found is not UTF-8", KIMI_NUL, NULL);
    }
    free(text);
    return failed;
}

/* One line for an event: who, what, and the beginning of a text. */
static void tell(const kimi_swarm_event *event, const char *what, const char *text) {
    int length = (int)strcspn(text, "\r\n");
    printf("\n[%s] %s %.*s\n", event->name, what, length < 200 ? length : 200, text);
}

/* A number of the account, by a name that is there only once. */
static double number(const char *account, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(account, key);
    return at != NULL ? strtod(at + strlen(key), NULL) : 0;
}

/* What the run took, and how parallel it was: the account and trace are there until the call returns. */
static int write_account(kimi_swarm *swarm, const char *trace_path) {
    char *account = NULL, *trace = NULL;
    size_t length = 0;
    kimi_error *error = NULL;
    kimi_rewards rewards = {.struct_size = sizeof rewards};
    kimi_status status = kimi_swarm_account(swarm, &account, NULL, &error);
    if (status == KIMI_OK) status = kimi_reward_compute(account, KIMI_NUL, 0, NULL, &rewards, &error);
    if (status == KIMI_OK && trace_path != NULL) status = kimi_swarm_trace(swarm, &trace, &length, &error);
    if (status == KIMI_OK)
        printf("[%g steps, %g of them critical; %g s, one after another %g s; %.0f%% of tasks finished]\n",
               number(account, "total_steps"), number(account, "critical_steps"), number(account, "seconds"),
               number(account, "serial_seconds"), rewards.finish * 100);
    else fprintf(stderr, "swarm: %s\n", kimi_error_message(error));
    int good = status == KIMI_OK;
    if (good && trace_path != NULL) {
        FILE *file = fopen(trace_path, "w");
        good = file != NULL && fwrite(trace, 1, length, file) == length;
        good &= file != NULL && fclose(file) == 0;
        if (!good) fprintf(stderr, "swarm: %s could not be written\n", trace_path);
    }
    kimi_free(account);
    kimi_free(trace);
    kimi_error_destroy(error);
    return good ? 0 : 1;
}

static int32_t write_event(const kimi_swarm_event *event, void *user_data) {
    const kimi_chat_event *chat = event->chat;
    switch (event->type) {
    case KIMI_SWARM_CHAT:
        if (chat->type == KIMI_CHAT_CALL_END) tell(event, chat->name, chat->text);
        if (chat->type == KIMI_CHAT_RESULT && chat->code != KIMI_RESULT_OK) tell(event, "failed:", chat->text);
        /* Sub-agents' words are for the main agent: it reads them as its tasks' results. */
        if (chat->type == KIMI_CHAT_CONTENT && event->agent == 0) fwrite(chat->text, 1, chat->text_length, stdout);
        break;
    case KIMI_SWARM_CREATED: tell(event, "is there:", event->text); break;
    case KIMI_SWARM_TASK_BEGIN: tell(event, "begins:", event->text); break;
    case KIMI_SWARM_TASK_END:
        tell(event, event->outcome == KIMI_OUTCOME_FINISHED ? "has done:" : "has not done:", event->text);
        break;
    case KIMI_SWARM_BUDGET: tell(event, "budget:", event->text); break;
    case KIMI_SWARM_MEMORY: tell(event, "waits for memory", ""); break;
    case KIMI_SWARM_FINISH:
        putchar('\n');
        if (write_account(event->swarm, user_data) != 0) return 1;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int count, char **arguments) {
    kimi_chat_options chat;
    kimi_chat_options_init(&chat, sizeof chat);
    kimi_swarm_options options;
    kimi_swarm_options_init(&options, sizeof options);
    options.chat = &chat;
    options.agent_limit = 20;
    options.parallel_agents = 8;
    options.task_steps = 30;
    options.task_tokens = 16384;
    options.all_milliseconds = 4 * 3600 * 1000;
    options.result_bytes = 8192;
    char *trace = NULL;
    for (int option; (option = getopt(count, arguments, "s:n:a:t:")) != -1;) {
        if (option == 's') chat.seed = strtoull(optarg, NULL, 10);
        else if (option == 'n') options.main_steps = (int32_t)strtol(optarg, NULL, 10);
        else if (option == 'a') options.agent_request = optarg, options.agent_request_length = KIMI_NUL;
        else if (option == 't') trace = optarg;
        else optind = count;
    }
    if (count - optind != 3) {
        fprintf(stderr, "usage: %s [-s SEED] [-n STEPS] [-a AGENTS] [-t TRACE] DIR FOLDER TASK\n", arguments[0]);
        return 2;
    }
    arguments += optind;

    kimi_tool tool = {
        .struct_size = sizeof tool, .name = "search",
        .description = "Gives the lines that hold some words, with the names of their files.",
        .parameters = "{\"type\": \"object\", \"properties\": {\"words\": {\"type\": \"string\", "
                      "\"pattern\": \"^[A-Za-z0-9 ]{1,60}$\"}}, \"required\": [\"words\"], \"additionalProperties\": false}",
        .callback = search, .user_data = arguments[1],
        /* The main agent only gives tasks. Of all sub-agents four may search at the same time. */
        .any_thread = 1, .parallel_limit = 4, .scope = KIMI_SCOPE_AGENTS,
    };
    /* A whole request, or a text that becomes one: quotation marks and what is below a blank are escaped. */
    char *request = NULL;
    size_t length;
    FILE *json = open_memstream(&request, &length);
    if (json == NULL) return perror("swarm"), EXIT_FAILURE;
    if (*arguments[2] == '{') fputs(arguments[2], json);
    else {
        fputs("{\"messages\": [{\"role\": \"user\", \"content\": \"", json);
        for (const unsigned char *at = (unsigned char *)arguments[2]; *at; at++)
            fprintf(json, *at < ' ' || *at == '"' || *at == '\\' ? "\\u%04x" : "%c", *at);
        fputs("\"}]}", json);
    }
    if (fclose(json) != 0) return perror("swarm"), EXIT_FAILURE;

    kimi_model *model = NULL;
    kimi_session *session = NULL;
    kimi_error *error = NULL;
    kimi_status status = kimi_model_open(arguments[0], KIMI_NUL, NULL, NULL, NULL, &model, &error);
    if (status == KIMI_OK) status = kimi_session_create(model, NULL, &session, &error);
    if (status == KIMI_OK) status = kimi_session_add_tool(session, &tool, &error);
    if (status == KIMI_OK) status = kimi_swarm_run(session, request, length, &options, write_event, trace, &error);
    if (status < 0) fprintf(stderr, "swarm: %s (%s)\n", kimi_error_message(error), kimi_status_name(status));
    /* Destroying NULL does nothing, so this is right wherever it failed. */
    kimi_error_destroy(error);
    kimi_session_destroy(session);
    kimi_model_close(model);
    free(request);
    return status == KIMI_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
