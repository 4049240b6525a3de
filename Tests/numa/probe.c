/*
 * One process that opens a model, evaluates fixed tokens, and says what it saw, as one line of JSON: probe MODEL [NAME=VALUE...]
 *
 * What the library reports stands beside what the kernel says about the same process, read from /proc: the processors each
 * thread may run on, and the memory nodes its pages lie on. Nothing is judged here. The status is 0 if the line is complete,
 * whether the model opened or not.
 *
 *   threads=N placement=N nodes=N load=N isa=N pages=N chunk=N memory=BYTES resident=BYTES    fields of kimi_model_options
 *   tokens=N     of the first evaluation; each has its logits
 *   steps=N      single tokens after those
 *   deny=CALLS   system calls that fail with EPERM from before the model is opened: mbind (with all that place pages),
 *                move_pages (with get_mempolicy), affinity; several with a comma
 *   MODEL "-"    opens nothing: kimi_features only
 */
#include <kimi.h>

#include <dirent.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { most_nodes = 16, most_kinds = 64, most_messages = 32, most_threads = 64, most_masks = 8 };

static void fail(const char *what) {
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---------------------------------------------------------------------------------------------------------------------
 * JSON
 */

static void put_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') putchar('\\');
        if ((unsigned char)*text < ' ') printf("\\u%04x", *text);
        else putchar(*text);
    }
    putchar('"');
}

static void put_member(const char *name, const char *text) {
    printf(", \"%s\": ", name);
    put_string(text);
}

/* ---------------------------------------------------------------------------------------------------------------------
 * Refused system calls
 */

static const struct {
    const char *name;
    int calls[6];
} refusals[] = {
    {"mbind", {SYS_mbind, SYS_set_mempolicy, SYS_migrate_pages, 450 /* set_mempolicy_home_node */}},
    {"move_pages", {SYS_move_pages, SYS_get_mempolicy}},
    {"affinity", {SYS_sched_setaffinity}},
};

static void refuse(int call) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) fail("a seccomp filter");
}

static void deny(const char *names) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
    bool known = false;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        if (!strstr(names, refusals[i].name)) continue;
        known = true;
        for (const int *call = refusals[i].calls; *call; call++) refuse(*call);
    }
    if (!known) {
        fprintf(stderr, "probe: deny=%s names nothing that is known\n", names);
        exit(2);
    }
}

/* ---------------------------------------------------------------------------------------------------------------------
 * Threads, as the kernel sees them
 */

/* A line of a thread's status file, without its name; "" if the thread is gone. */
static void status_line(int thread, const char *name, char *value, size_t size) {
    char path[64], line[512];
    *value = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
    FILE *file = fopen(path, "r");
    if (!file) return;
    size_t length = strlen(name);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, name, length) != 0 || line[length] != ':') continue;
        char *text = line + length + 1 + strspn(line + length + 1, " \t");
        text[strcspn(text, "\n")] = 0;
        snprintf(value, size, "%s", text);
    }
    fclose(file);
}

/* The processor that a thread ran on last; -1 if it is gone. */
static int last_processor(int thread) {
    char path[64], line[1024];
    int processor = -1;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    /* The name in parentheses may hold blanks: fields are counted from behind it, where the 3rd is. */
    char *text = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    for (int field = 2; text && field < 39; field++) text = strchr(text + 1, ' ');
    if (text) processor = atoi(text);
    fclose(file);
    return processor;
}

static int compare_numbers(const void *left, const void *right) { return *(const int *)left - *(const int *)right; }

/* The process's threads but the first, in the order they were made in. */
static int other_threads(int *threads) {
    DIR *folder = opendir("/proc/self/task");
    if (!folder) fail("/proc/self/task");
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL && count < most_threads;) {
        int thread = atoi(entry->d_name);
        if (thread > 0 && thread != getpid()) threads[count++] = thread;
    }
    closedir(folder);
    qsort(threads, (size_t)count, sizeof *threads, compare_numbers);
    return count;
}

/* What the threads that were there before are allowed now, and where they ran last. */
static void put_threads(const int *threads, int count) {
    char allowed[256];
    printf(", \"workers\": [");
    for (int i = 0; i < count; i++) {
        status_line(threads[i], "Cpus_allowed_list", allowed, sizeof allowed);
        printf("%s{\"allowed\": \"%s\", \"ran_on\": %d}", i ? ", " : "", allowed, last_processor(threads[i]));
    }
    printf("]");
}

/* Looks again and again at what the caller's thread is allowed, while that computes. */
typedef struct {
    char masks[most_masks][64];
    int count;
    atomic_bool ends;
} watcher;

static void *watch(void *context) {
    watcher *seen = context;
    char allowed[64];
    while (!seen->ends) {
        status_line(getpid(), "Cpus_allowed_list", allowed, sizeof allowed);
        int known = 0;
        while (known < seen->count && strcmp(seen->masks[known], allowed) != 0) known++;
        if (known == seen->count && known < most_masks) strcpy(seen->masks[seen->count++], allowed);
        usleep(500);
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------------------------
 * Memory, as the kernel sees it
 */

typedef struct {
    char policy[32];
    const char *kind;
    int page_kilobytes;
    long long bytes[most_nodes];
} mappings;

/* Sums up /proc/self/numa_maps by policy, kind and size of page. */
static void put_memory(const char *name) {
    mappings all[most_kinds];
    int count = 0;
    char line[8192];
    FILE *file = fopen("/proc/self/numa_maps", "r");
    printf(", \"%s\": [", name);
    if (file) {
        while (fgets(line, sizeof line, file)) {
            mappings one = {.kind = "anonymous", .page_kilobytes = 4};
            char *rest = NULL;
            strtok_r(line, " \n", &rest);
            char *word = strtok_r(NULL, " \n", &rest);
            if (!word) continue;
            snprintf(one.policy, sizeof one.policy, "%s", word);
            /* One policy has a blank in its name: "prefer (many):0-1". */
            if (*rest == '(' && (word = strtok_r(NULL, " \n", &rest)) != NULL)
                snprintf(one.policy, sizeof one.policy, "prefer %.24s", word);
            long long pages[most_nodes] = {0};
            while ((word = strtok_r(NULL, " \n", &rest)) != NULL) {
                int node;
                long long number;
                /* A pool of huge pages is a file to the kernel; its mappings are anonymous memory to us. */
                if (strncmp(word, "file=/anon_hugepage", 19) == 0) one.kind = "anonymous";
                else if (strncmp(word, "file=", 5) == 0) one.kind = "file";
                else if (strcmp(word, "heap") == 0) one.kind = "heap";
                else if (strncmp(word, "stack", 5) == 0) one.kind = "stack";
                else if (sscanf(word, "kernelpagesize_kB=%d", &one.page_kilobytes) == 1) continue;
                else if (sscanf(word, "N%d=%lld", &node, &number) == 2 && node >= 0 && node < most_nodes) pages[node] = number;
            }
            int at = 0;
            while (at < count && (strcmp(all[at].policy, one.policy) != 0 || strcmp(all[at].kind, one.kind) != 0 ||
                                  all[at].page_kilobytes != one.page_kilobytes)) at++;
            if (at == most_kinds) continue;
            if (at == count) all[count++] = one;
            for (int node = 0; node < most_nodes; node++) all[at].bytes[node] += pages[node] * one.page_kilobytes * 1024;
        }
        fclose(file);
    }
    for (int i = 0; i < count; i++) {
        printf("%s{\"policy\": \"%s\", \"kind\": \"%s\", \"page_kb\": %d, \"nodes\": [", i ? ", " : "", all[i].policy, all[i].kind,
               all[i].page_kilobytes);
        for (int node = 0; node < most_nodes; node++) printf("%s%lld", node ? ", " : "", all[i].bytes[node]);
        printf("]}");
    }
    printf("]");
}

/* Bytes in transparent huge pages. */
static void put_transparent_huge(void) {
    char line[256];
    long long kilobytes = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "AnonHugePages: %lld", &kilobytes);
    if (file) fclose(file);
    printf(", \"transparent_huge_bytes\": %lld", kilobytes < 0 ? -1 : kilobytes * 1024);
}

/* ---------------------------------------------------------------------------------------------------------------------
 * The model
 */

static struct {
    int32_t level;
    char text[512];
} messages[most_messages];
static int message_count;
static pthread_mutex_t message_lock = PTHREAD_MUTEX_INITIALIZER;

static void on_message(int32_t level, const char *text, void *user_data) {
    (void)user_data;
    pthread_mutex_lock(&message_lock);
    if (message_count < most_messages) {
        messages[message_count].level = level;
        snprintf(messages[message_count++].text, sizeof messages->text, "%s", text);
    }
    pthread_mutex_unlock(&message_lock);
}

static void put_messages(void) {
    printf(", \"log\": [");
    for (int i = 0; i < message_count; i++) {
        printf("%s{\"level\": %d", i ? ", " : "", messages[i].level);
        put_member("message", messages[i].text);
        printf("}");
    }
    printf("]");
}

static void put_status(kimi_status status, kimi_error *error) {
    put_member("status", kimi_status_name(status));
    if (!error) return;
    put_member("message", kimi_error_message(error));
    put_member("subject", kimi_error_subject(error) ? kimi_error_subject(error) : "");
    kimi_error_destroy(error);
}

/* FNV-1a, 64 bits: every bit of every logit counts. */
static uint64_t hash(uint64_t value, const void *bytes, size_t count) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < count; i++) value = (value ^ byte[i]) * 0x100000001b3;
    return value;
}

/* The same ids on every machine, none of them special. */
static int32_t token(size_t index, int32_t vocabulary) {
    return (int32_t)((index * 7919 + 13) % (size_t)(vocabulary > 256 ? vocabulary - 256 : 1));
}

static kimi_status evaluate(kimi_model *model, size_t tokens, size_t steps, uint64_t *value, kimi_error **error) {
    int32_t vocabulary = kimi_model_vocabulary_size(model);
    size_t count = tokens + steps, row = (size_t)vocabulary;
    float *logits = malloc(tokens * row * sizeof *logits);
    int32_t *ids = malloc(count * sizeof *ids);
    if (!logits || !ids) fail("logits");
    for (size_t i = 0; i < count; i++) ids[i] = token(i, vocabulary);

    kimi_session *session = NULL;
    kimi_status status = kimi_session_create(model, NULL, &session, error);
    if (status == KIMI_OK)
        status = kimi_session_evaluate(session, ids, tokens, KIMI_EVALUATE_ALL, logits, tokens * row, error);
    if (status == KIMI_OK) *value = hash(0xcbf29ce484222325, logits, tokens * row * sizeof *logits);
    for (size_t i = tokens; i < count && status == KIMI_OK; i++) {
        status = kimi_session_evaluate(session, ids + i, 1, 0, logits, row, error);
        *value = hash(*value, logits, row * sizeof *logits);
    }
    put_memory("memory");
    put_transparent_huge();
    kimi_session_destroy(session);
    free(logits);
    free(ids);
    return status;
}

static void put_json(const char *name, kimi_status status, char *json, kimi_error *error) {
    if (status == KIMI_OK) printf(", \"%s\": %s", name, json);
    else put_status(status, error);
    kimi_free(json);
}

static void put_info(const char *name, kimi_model *model) {
    kimi_error *error = NULL;
    char *json = NULL;
    kimi_status status = kimi_model_info(model, &json, NULL, &error);
    put_json(name, status, json, error);
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "usage: probe MODEL|- [NAME=VALUE...]\n");
        return 2;
    }
    kimi_model_options options;
    kimi_model_options_init(&options, sizeof options);
    options.log = on_message;
    options.log_level = KIMI_LOG_INFO;
    size_t tokens = 8, steps = 4;
    const char *denied = NULL;
    for (int i = 2; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (!value) fail(arguments[i]);
        size_t length = (size_t)(value++ - arguments[i]);
        long long number = atoll(value);
#define IS(word) (length == sizeof(word) - 1 && strncmp(arguments[i], word, length) == 0)
        if (IS("threads")) options.threads = (int32_t)number;
        else if (IS("load")) options.load_policy = (int32_t)number;
        else if (IS("isa")) options.isa = (int32_t)number;
        else if (IS("placement")) options.placement = (int32_t)number;
        else if (IS("nodes")) options.nodes = (int32_t)number;
        else if (IS("pages")) options.huge_pages = (int32_t)number;
        else if (IS("chunk")) options.chunk_size = (int32_t)number;
        else if (IS("memory")) options.memory_limit = number;
        else if (IS("resident")) options.resident_bytes = number;
        else if (IS("tokens")) tokens = (size_t)number;
        else if (IS("steps")) steps = (size_t)number;
        else if (IS("deny")) denied = value;
        else {
            fprintf(stderr, "probe: unknown: %s\n", arguments[i]);
            return 2;
        }
#undef IS
    }

    char allowed[64];
    status_line(getpid(), "Cpus_allowed_list", allowed, sizeof allowed);
    printf("{\"caller_allowed\": \"%s\"", allowed);
    char *json = NULL;
    kimi_error *error = NULL;
    kimi_status status = kimi_features(&json, NULL, &error);
    put_json("features", status, json, error);
    if (strcmp(arguments[1], "-") == 0) {
        printf("}\n");
        return 0;
    }

    if (denied) deny(denied);
    put_memory("memory_before");
    kimi_model *model = NULL;
    error = NULL;
    status = kimi_model_open(arguments[1], KIMI_NUL, &options, NULL, NULL, &model, &error);
    if (status == KIMI_OK) {
        /* Before anything is evaluated: what asks for a node now is weights, and room for experts. */
        put_memory("memory_opened");
        put_info("info_opened", model);
        int workers[most_threads], worker_count = other_threads(workers);
        watcher seen = {.count = 0};
        pthread_t thread;
        if (pthread_create(&thread, NULL, watch, &seen) != 0) fail("a thread");
        uint64_t value = 0;
        status = evaluate(model, tokens, steps, &value, &error);
        seen.ends = true;
        pthread_join(thread, NULL);
        put_threads(workers, worker_count);
        printf(", \"caller_seen\": [");
        for (int i = 0; i < seen.count; i++) printf("%s\"%s\"", i ? ", " : "", seen.masks[i]);
        status_line(getpid(), "Cpus_allowed_list", allowed, sizeof allowed);
        printf("], \"caller_after\": \"%s\"", allowed);
        if (status == KIMI_OK) printf(", \"logits\": \"%016llx\"", (unsigned long long)value);
        put_info("info", model);
        kimi_model_close(model);
    }
    put_status(status, error);
    put_messages();
    printf("}\n");
    return 0;
}
