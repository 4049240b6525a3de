/*
 * A thousand times open and close, a thousand times session, evaluation, generation, fork and destroy, then conversations and swarms:
 * memory, file descriptors and threads must be as many at the end as after the first few rounds.
 */
#include "swarming.h"

#include <malloc.h>
#include <unistd.h>

typedef struct {
    long resident_kib;
    size_t allocated;
    int descriptors, threads;
} usage;

static usage measure(void) {
    usage now = {0};
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "VmRSS:", 6) == 0) now.resident_kib = strtol(line + 6, NULL, 10);
    if (status) fclose(status);
    struct mallinfo2 heap = mallinfo2();
    now.allocated = heap.uordblks + heap.hblkhd;
    now.descriptors = entries("/proc/self/fd");
    now.threads = entries("/proc/self/task");
    return now;
}

/* Runs `cycle` until memory has settled, then `count` times, and compares. */
static void repeat(const char *what, int count, void (*cycle)(int, void *), void *argument) {
    for (int i = 0; i < 50; i++) cycle(i, argument);
    /* Threads that nobody joins let go of what they hold a moment after what they did. */
    usleep(200000);
    usage before = measure();
    for (int i = 0; i < count; i++) cycle(i, argument);
    usage after = measure();
    for (int i = 0; i < 100 && after.threads > before.threads; i++, after = measure()) usleep(20000);
    printf("%d x %s: resident %+ld KiB of %ld, allocated %+ld bytes of %zu, descriptors %+d, threads %+d\n", count, what,
           after.resident_kib - before.resident_kib, before.resident_kib, (long)after.allocated - (long)before.allocated,
           before.allocated, after.descriptors - before.descriptors, after.threads - before.threads);
    /* A leak of one small object a round is 16 KiB in a thousand rounds. */
    CHECK((long)after.allocated - (long)before.allocated < 8 * 1024, "%s: allocated memory grows", what);
    CHECK(after.resident_kib - before.resident_kib < 1024, "%s: resident memory grows", what);
    CHECK(after.descriptors == before.descriptors, "%s: file descriptors grow", what);
    CHECK(after.threads == before.threads, "%s: threads grow", what);
}

static void open_and_close(int round, void *unused) {
    (void)unused;
    kimi_error *error = NULL;
    kimi_model *model = NULL;
    kimi_model_options options;
    kimi_model_options_init(&options, sizeof options);
    options.threads = 1 + round % 3;
    EXPECT(KIMI_OK, kimi_model_open(fixture("tiny-kimi"), KIMI_NUL, &options, NULL, NULL, &model, &error));
    kimi_model_close(model);
    /* Failures leave nothing either. */
    if (round % 4 == 0) EXPECT(KIMI_ERROR_IO, kimi_model_open("/no-such-folder", KIMI_NUL, NULL, NULL, NULL, &model, &error));
}

static void session_cycle(int round, void *model) {
    kimi_error *error = NULL;
    kimi_session *session = new_session(model), *fork = NULL;
    int32_t ids[70];
    for (int i = 0; i < 70; i++) ids[i] = (i * 37 + round) % 1500;
    EXPECT(KIMI_OK, kimi_session_evaluate(session, ids, round % 10 == 0 ? 70 : 5, 0, NULL, 0, &error));
    EXPECT(KIMI_OK, kimi_session_fork(session, &fork, &error));
    kimi_generation_options options;
    kimi_generation_options_init(&options, sizeof options);
    options.max_tokens = 3;
    options.ignore_end = 1;
    options.top_logprobs = 2;
    options.stop_strings = &(kimi_string_view){"never", 5};
    options.stop_string_count = 1;
    EXPECT(KIMI_OK, kimi_session_generate_text(fork, "again", 5, &options, NULL, NULL, &error));
    kimi_generation *generation = NULL;
    kimi_event event = {.struct_size = sizeof event};
    EXPECT(KIMI_OK, kimi_generation_start(session, ids, 2, &options, &generation, &error));
    for (int i = 0; i < 2; i++) EXPECT(KIMI_OK, kimi_generation_next(generation, &event, &error));
    EXPECT(KIMI_ERROR_BUSY, kimi_session_reset(session, &error));
    kimi_generation_destroy(generation);
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_truncate(session, -1, &error));
    char *json = NULL;
    EXPECT(KIMI_OK, kimi_model_info(model, &json, NULL, &error));
    kimi_free(json);
    kimi_decoder *decoder = NULL;
    EXPECT(KIMI_OK, kimi_decoder_create(model, &decoder, &error));
    kimi_decoder_destroy(decoder);
    kimi_session_destroy(fork);
    kimi_session_destroy(session);
}

static int32_t answer(const kimi_tool_call *call, kimi_tool_result *result, void *unused) {
    (void)unused;
    return kimi_tool_result_set(result, call->id, KIMI_NUL, NULL) == KIMI_OK ? 0 : 1;
}

/* A conversation: a turn, one with a tool, one that is given up, and a request that is refused. */
static void chat_cycle(int round, void *model) {
    static const char request[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"mode\": \"instant\", "
                                  "\"tool_choice\": \"required\", \"max_tokens\": 40}";
    kimi_error *error = NULL;
    kimi_session *session = new_session(model);
    kimi_chat_options options;
    kimi_chat_options_init(&options, sizeof options);
    options.seed = (uint64_t)round + 1;
    options.max_tokens = 4;
    EXPECT(KIMI_OK, kimi_session_say(session, "Hello", KIMI_NUL, &options, NULL, NULL, &error));
    kimi_tool tool = {.struct_size = sizeof tool, .name = "f", .callback = answer, .timeout_milliseconds = round % 8 ? 0 : 60000};
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    options.max_tokens = 0;
    options.step_limit = 2;
    EXPECT(KIMI_OK, kimi_session_send(session, request, KIMI_NUL, &options, NULL, NULL, &error));
    kimi_chat *chat = NULL;
    kimi_chat_event event = {.struct_size = sizeof event};
    EXPECT(KIMI_OK, kimi_chat_start(session, request, KIMI_NUL, &options, &chat, &error));
    for (int i = 0; i < 4; i++) EXPECT(KIMI_OK, kimi_chat_next(chat, &event, &error));
    kimi_chat_destroy(chat);
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_session_send(session, "{}", KIMI_NUL, NULL, NULL, NULL, &error));
    char *json = NULL;
    EXPECT(KIMI_OK, kimi_session_messages(session, &json, NULL, &error));
    kimi_free(json);
    kimi_session_destroy(session);
}

/* A swarm: one to its end, one that is given up with agents at work, and two that are refused. */
static void swarm_cycle(int round, void *model) {
    kimi_error *error = NULL;
    kimi_session *session = new_session(model);
    kimi_tool tool = look_tool(answer, NULL);
    tool.any_thread = round % 2;
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    kimi_swarm_options options = swarm_options(model, (uint64_t)round + 1, 2);
    options.all_milliseconds = 600000;
    EXPECT(KIMI_OK, kimi_swarm_run(session, main_request(model, ""), KIMI_NUL, &options, NULL, NULL, &error));
    kimi_swarm *swarm = NULL;
    kimi_swarm_event event = {.struct_size = sizeof event};
    EXPECT(KIMI_OK, kimi_swarm_open(session, main_request(model, ""), KIMI_NUL, &options, &swarm, &error));
    for (int i = 0; i < round % 32; i++) EXPECT(KIMI_OK, kimi_swarm_next(swarm, -1, &event, &error));
    kimi_swarm_destroy(swarm);
    options.agent_request = "{\"tool_choice\": {\"type\": \"function\", \"function\": {\"name\": \"nobody\"}}}";
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_open(session, main_request(model, ""), KIMI_NUL, &options, &swarm, &error));
    options.agent_limit = -1;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_run(session, main_request(model, ""), KIMI_NUL, &options, NULL, NULL, &error));
    kimi_session_destroy(session);
}

int main(int count, char **arguments) {
    begin(count, arguments);
    repeat("open and close", 1000, open_and_close, NULL);
    for (int threads = 1; threads <= 2; threads++) {
        kimi_model_options options;
        kimi_model_options_init(&options, sizeof options);
        options.threads = threads;
        /* Full soon, so that what comes later only takes the place of what was there. */
        options.prefix_limit = 256 << 10;
        kimi_model *model = open_model(&options);
        char what[64];
        snprintf(what, sizeof what, "session on %d threads", threads);
        repeat(what, threads == 1 ? 1000 : 200, session_cycle, model);
        snprintf(what, sizeof what, "conversation on %d threads", threads);
        repeat(what, threads == 1 ? 500 : 100, chat_cycle, model);
        snprintf(what, sizeof what, "swarm on %d threads", threads);
        repeat(what, threads == 1 ? 50 : 25, swarm_cycle, model);
        kimi_model_close(model);
    }
    return finish();
}
