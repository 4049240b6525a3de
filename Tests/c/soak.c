/*
 * soak FIXTURES [MINUTES [BYTES]]: everything at once for as long as asked, with less memory than all of it would take: generations, forks, cuts,
 * cancels, saved sessions, conversations with tools, queues and swarms, from many threads. What is made must be what a lone run made,
 * and memory, descriptors and threads must be flat. A line a minute.
 */
#include "swarming.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 10
#define PROMPTS 16
#define PROMPT_TOKENS 150
#define MADE 12
#define SEEDS 8

static kimi_model *model;
static int32_t prompts[PROMPTS][PROMPT_TOKENS];
static int32_t expected[PROMPTS][MADE];
static char *said[SEEDS];
static char *chat_request, *swarm_request, *swarm_agent_request;
static atomic_bool is_over;
static atomic_long generations, cancels, turns, queues, swarms;

static kimi_generation_options greedy(int64_t tokens) {
    kimi_generation_options options;
    kimi_generation_options_init(&options, sizeof options);
    options.greedy = options.ignore_end = 1;
    options.max_tokens = tokens;
    return options;
}

static kimi_session *waiting_session(int32_t priority) {
    kimi_error *error = NULL;
    kimi_session_options options;
    kimi_session_options_init(&options, sizeof options);
    options.on_shortage = KIMI_SHORTAGE_WAIT;
    options.priority = priority;
    kimi_session *session = NULL;
    EXPECT(KIMI_OK, kimi_session_create(model, &options, &session, &error));
    return session;
}

/* What one generation has made. */
typedef struct {
    int count;
    int32_t ids[MADE];
} made;

static int32_t note(const kimi_event *event, void *user_data) {
    made *made = user_data;
    if (event->type == KIMI_EVENT_TOKEN && made->count < MADE) made->ids[made->count++] = event->id;
    return 0;
}

static bool is_expected(const int32_t *ids, int prompt) { return memcmp(ids, expected[prompt], sizeof expected[prompt]) == 0; }

/* In parts and forks, cut and cancelled in between: at the end each has the tokens of a lone run. */
static void generate(unsigned *random, const char *folder) {
    kimi_error *error = NULL;
    int prompt = rand_r(random) % PROMPTS, first = rand_r(random) % PROMPT_TOKENS;
    kimi_session *session = waiting_session(rand_r(random) % 3 - 1), *fork = NULL;
    if (first) EXPECT(KIMI_OK, kimi_session_evaluate(session, prompts[prompt], (size_t)first, 0, NULL, 0, &error));
    EXPECT(KIMI_OK, kimi_session_fork(session, &fork, &error));
    kimi_generation_options options = greedy(MADE);
    made made = {0};
    EXPECT(KIMI_OK, kimi_session_generate(fork, prompts[prompt] + first, (size_t)(PROMPT_TOKENS - first), &options, note, &made, &error));
    CHECK(made.count == MADE && is_expected(made.ids, prompt), "prompt %d has other tokens", prompt);
    /* A poll that is given up, and cut off again. */
    kimi_generation *generation = NULL;
    kimi_event event = {.struct_size = sizeof event};
    EXPECT(KIMI_OK, kimi_generation_start(session, prompts[0], 20, &options, &generation, &error));
    for (int i = rand_r(random) % 4; i > 0; i--) EXPECT(KIMI_OK, kimi_generation_next(generation, &event, &error));
    EXPECT_STATUS(KIMI_OK, kimi_session_cancel(session));
    kimi_generation_destroy(generation);
    cancels++;
    EXPECT(KIMI_OK, kimi_session_truncate(session, first, &error));
    if (rand_r(random) % 4 == 0) {
        EXPECT(KIMI_OK, kimi_session_save(session, folder, KIMI_NUL, &error));
        EXPECT(KIMI_OK, kimi_session_reset(session, &error));
        EXPECT(KIMI_OK, kimi_session_load(session, folder, KIMI_NUL, &error));
    }
    made.count = 0;
    EXPECT(KIMI_OK,
           kimi_session_generate(session, prompts[prompt] + first, (size_t)(PROMPT_TOKENS - first), &options, note, &made, &error));
    CHECK(made.count == MADE && is_expected(made.ids, prompt), "prompt %d has other tokens after a cut", prompt);
    generations += 2;
    kimi_session_destroy(fork);
    kimi_session_destroy(session);
}

static int32_t answer(const kimi_tool_call *call, kimi_tool_result *result, void *unused) {
    (void)unused;
    return kimi_tool_result_set(result, call->name, KIMI_NUL, NULL) == KIMI_OK ? 0 : 1;
}

/* The conversation after a request with a tool, as JSON. To be freed with kimi_free. */
static char *converse(uint64_t seed) {
    kimi_error *error = NULL;
    kimi_session *session = waiting_session(0);
    kimi_tool tool = {.struct_size = sizeof tool, .name = "f", .callback = answer, .any_thread = 1};
    kimi_chat_options options;
    kimi_chat_options_init(&options, sizeof options);
    options.seed = seed + 1;
    options.step_limit = 2;
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    EXPECT(KIMI_OK, kimi_session_send(session, chat_request, KIMI_NUL, &options, NULL, NULL, &error));
    char *json = NULL;
    EXPECT(KIMI_OK, kimi_session_messages(session, &json, NULL, &error));
    kimi_session_destroy(session);
    return json;
}

static void talk(unsigned *random) {
    int seed = rand_r(random) % SEEDS;
    char *json = converse((uint64_t)seed);
    CHECK(json && said[seed] && strcmp(json, said[seed]) == 0, "seed %d says something else", seed);
    kimi_free(json);
    turns++;
}

/* Several sessions by one queue with little room, now and then left in the midst. */
static void poll_queue(unsigned *random) {
    enum { SESSIONS = 5 };
    kimi_error *error = NULL;
    kimi_queue *queue = NULL;
    kimi_session *sessions[SESSIONS];
    made made[SESSIONS] = {0};
    int chosen[SESSIONS];
    kimi_generation_options options = greedy(MADE);
    if (EXPECT(KIMI_OK, kimi_queue_create(3, &queue, &error)) != KIMI_OK) return;
    for (int i = 0; i < SESSIONS; i++) {
        chosen[i] = rand_r(random) % PROMPTS;
        sessions[i] = waiting_session(0);
        EXPECT(KIMI_OK, kimi_queue_generate(queue, sessions[i], prompts[chosen[i]], PROMPT_TOKENS, &options, (uint64_t)i, &error));
    }
    int most = rand_r(random) % 4 ? 1 << 20 : rand_r(random) % 40;
    kimi_queue_event event = {.struct_size = sizeof event};
    for (int i = 0; i < most; i++) {
        if (EXPECT(KIMI_OK, kimi_queue_next(queue, -1, &event, &error)) != KIMI_OK || event.type == KIMI_QUEUE_NONE) break;
        if (!CHECK(event.type == KIMI_QUEUE_GENERATION, "%s", event.text)) break;
        note(event.generation, &made[event.tag]);
        if (event.last) CHECK(is_expected(made[event.tag].ids, chosen[event.tag]), "prompt %d by queue", chosen[event.tag]);
    }
    kimi_queue_destroy(queue);
    for (int i = 0; i < SESSIONS; i++) kimi_session_destroy(sessions[i]);
    queues++;
}

static void swarm(unsigned *random) {
    kimi_error *error = NULL;
    kimi_session *session = waiting_session(0);
    kimi_tool tool = look_tool(answer, NULL);
    tool.any_thread = 1;
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    kimi_swarm_options options;
    kimi_swarm_options_init(&options, sizeof options);
    kimi_chat_options chat;
    kimi_chat_options_init(&chat, sizeof chat);
    chat.seed = 1 + (uint64_t)rand_r(random) % SEEDS;
    options.chat = &chat;
    options.main_mode = options.agent_mode = KIMI_MODE_INSTANT;
    options.main_steps = 3;
    options.agent_request = swarm_agent_request;
    options.agent_request_length = (size_t)KIMI_NUL;
    kimi_swarm *swarm = NULL;
    if (EXPECT(KIMI_OK, kimi_swarm_open(session, swarm_request, KIMI_NUL, &options, &swarm, &error)) == KIMI_OK) {
        kimi_swarm_event event = {.struct_size = sizeof event};
        int most = rand_r(random) % 4 ? 1 << 20 : rand_r(random) % 60;
        for (int i = 0; i < most; i++) {
            if (EXPECT(KIMI_OK, kimi_swarm_next(swarm, -1, &event, &error)) != KIMI_OK || event.type == KIMI_SWARM_FINISH) break;
        }
        kimi_swarm_destroy(swarm);
    }
    kimi_session_destroy(session);
    swarms++;
}

static void *work(void *number) {
    unsigned random = 1 + (unsigned)(size_t)number;
    char file[64];
    snprintf(file, sizeof file, "/tmp/kimi-soak-%d-%u.session", getpid(), random);
    while (!is_over) {
        int what = rand_r(&random) % 10;
        if (what < 5) generate(&random, file);
        else if (what < 7) talk(&random);
        else if (what < 9) poll_queue(&random);
        else swarm(&random);
    }
    remove(file);
    return NULL;
}

static long resident(void) {
    long pages = 0, total = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%ld %ld", &total, &pages) != 2) pages = 0;
        fclose(file);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int count, char **arguments) {
    double minutes = count > 2 ? atof(arguments[2]) : 30;
    begin(2, arguments);
    int descriptors_before = entries("/proc/self/fd"), threads_before = entries("/proc/self/task");
    kimi_error *error = NULL;
    kimi_model_options options;
    kimi_model_options_init(&options, sizeof options);
    options.exact = 1;
    options.memory_limit = count > 3 ? atol(arguments[3]) : 24 << 20;
    options.prefix_limit = 1 << 20;
    model = open_model(&options);
    for (int p = 0; p < PROMPTS; p++) {
        for (int i = 0; i < PROMPT_TOKENS; i++) prompts[p][i] = i < 9 * p ? 10 + i : (37 * p + 11 * i) % 1500;
        made made = {0};
        kimi_session *session = waiting_session(0);
        kimi_generation_options options = greedy(MADE);
        EXPECT(KIMI_OK, kimi_session_generate(session, prompts[p], PROMPT_TOKENS, &options, note, &made, &error));
        memcpy(expected[p], made.ids, sizeof made.ids);
        kimi_session_destroy(session);
    }
    chat_request = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"mode\": \"instant\", "
                   "\"tool_choice\": \"required\", \"max_tokens\": 60}";
    swarm_request = strdup(main_request(model, ""));
    swarm_agent_request = strdup(agent_request(model, ""));
    for (int seed = 0; seed < SEEDS; seed++) said[seed] = converse((uint64_t)seed);

    pthread_t threads[WORKERS];
    for (size_t i = 0; i < WORKERS; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    time_t start = time(NULL), told = start;
    /* The most memory in the second quarter of the time, when all has been there that will be, and in the last. */
    long second = 0, last = 0;
    int descriptors = 0;
    for (double part = 0; part < 1;) {
        usleep(250000);
        part = difftime(time(NULL), start) / (60 * minutes);
        long now = resident();
        int open = entries("/proc/self/fd");
        if (part >= 0.25 && part < 0.5 && now > second) second = now;
        if (part >= 0.75 && now > last) last = now;
        if (open > descriptors) descriptors = open;
        if (time(NULL) - told < 60 && part < 1) continue;
        told = time(NULL);
        printf("%5.1f min: resident %ld KiB, %d descriptors at most, %d threads; %ld generations, %ld cancels, %ld turns, %ld queues, "
               "%ld swarms; %d failures\n", difftime(told, start) / 60, now, descriptors, entries("/proc/self/task"), generations,
               cancels, turns, queues, swarms, failures);
        fflush(stdout);
    }
    is_over = true;
    for (size_t i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    for (int seed = 0; seed < SEEDS; seed++) kimi_free(said[seed]);
    free(swarm_request);
    free(swarm_agent_request);
    kimi_model_close(model);
    printf("resident at most: %ld KiB in the second quarter, %ld KiB in the last\n", second, last);
    CHECK(last <= second + second / 50 + 1024, "memory grows: %ld to %ld KiB", second, last);
    /* Threads that nobody joins end a moment after what they did, and the model that they compute with is closed then. */
    int open = 1, running = 1;
    for (int i = 0; i < 100 && (open > 0 || running > 0); i++) {
        usleep(20000);
        open = entries("/proc/self/fd") - descriptors_before;
        running = entries("/proc/self/task") - threads_before;
    }
    CHECK(open == 0, "%d descriptors are still open", open);
    CHECK(running == 0, "%d threads still run", running);
    return finish();
}
