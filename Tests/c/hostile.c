/*
 * Every public function with NULL, 0, -1, the largest numbers, and handles that are none. Each group runs in a child process
 * of its own, forked before anything is opened: a signal fails the group and the others still run.
 */
#include "hostile.h"

#include <sys/wait.h>
#include <unistd.h>

kimi_model *model;
kimi_session *session;
static kimi_decoder *decoder;

#define STRANGE_COUNT 88
static void *strangers[STRANGE_COUNT];

/* Addresses that look like handles and are not: NULL, small and large numbers, live memory, handles that were destroyed. */
static void collect_strangers(void) {
    static char zeros[256];
    char *on_heap = calloc(1, 256);
    int count = 0;
    void *first[] = {NULL, (void *)1, (void *)8, (void *)4096, (void *)-1, (void *)-8, (void *)INTPTR_MAX, (void *)INTPTR_MIN,
                     zeros, zeros + 1, on_heap, on_heap + 7, &count, (void *)(uintptr_t)&collect_strangers};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) strangers[count++] = first[i];

    kimi_error *error = NULL;
    kimi_model *closed = open_model(NULL);
    kimi_session *destroyed = new_session(closed);
    kimi_decoder *undone = NULL;
    EXPECT(KIMI_OK, kimi_decoder_create(closed, &undone, &error));
    kimi_generation *ended = NULL;
    int32_t id = 1;
    EXPECT(KIMI_OK, kimi_generation_start(destroyed, &id, 1, NULL, &ended, &error));
    kimi_model_open(NULL, 0, NULL, NULL, NULL, &(kimi_model *){NULL}, &error);
    strangers[count++] = closed;
    strangers[count++] = destroyed;
    strangers[count++] = undone;
    strangers[count++] = ended;
    strangers[count++] = error;
    kimi_generation_destroy(ended);
    kimi_decoder_destroy(undone);
    kimi_session_destroy(destroyed);
    kimi_model_close(closed);
    kimi_error_destroy(error);

    /* Neighbours of real handles, whatever their form. */
    for (int shift = 0; shift < 64; shift += 4) strangers[count++] = (void *)((uintptr_t)closed ^ (uintptr_t)1 << shift);

    uint64_t random = 88172645463325252u;
    while (count < STRANGE_COUNT) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        strangers[count] = (void *)(uintptr_t)(count % 2 ? random : random & 0x7fffffffffff);
        count++;
    }
}

/* Opens one of each, so that a handle of another kind can be tried, and those that are new do not lie where a stranger lay. */
void open_all(void) {
    collect_strangers();
    kimi_error *error = NULL;
    model = open_model(NULL);
    session = new_session(model);
    EXPECT(KIMI_OK, kimi_decoder_create(model, &decoder, &error));
}

/* The i-th thing that is no handle of the kind `own`; gives false behind the last. */
bool stranger(int i, enum kind own, void **out) {
    void *others[] = {own == MODEL ? NULL : (void *)model, own == SESSION ? NULL : (void *)session,
                      own == DECODER ? NULL : (void *)decoder};
    if (i < 3) *out = others[i];
    else if (i < 3 + STRANGE_COUNT) *out = strangers[i - 3];
    else return false;
    /* An address that was freed may be a live handle's again; then it is no stranger. */
    if (*out && ((own == MODEL && *out == model) || (own == SESSION && *out == session) || (own == DECODER && *out == decoder)))
        *out = NULL;
    return true;
}

static void errors(void) {
    const int32_t none[] = {1, 42, -14, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 5; i++)
        CHECK(strcmp(kimi_status_name(none[i]), "unknown status") == 0, "%d is '%s'", none[i], kimi_status_name(none[i]));
    for (int code = -13; code <= 0; code++) {
        const char *name = kimi_status_name(code);
        CHECK(strncmp(name, code ? "KIMI_ERROR_" : "KIMI_OK", code ? 11 : 8) == 0, "%d is '%s'", code, name);
    }
    open_all();
    void *bad;
    for (int i = 0; stranger(i, OTHER, &bad); i++) {
        CHECK(kimi_error_code(bad) == KIMI_ERROR_INVALID_HANDLE, "stranger %d has code %d", i, kimi_error_code(bad));
        CHECK(kimi_error_message(bad) != NULL, "stranger %d has no message", i);
        CHECK(kimi_error_file(bad) == NULL && kimi_error_subject(bad) == NULL, "stranger %d names a file or subject", i);
        kimi_error_destroy(bad);
        kimi_free(bad);
    }
    /* Twice, and into the middle. */
    char *json = NULL;
    kimi_error *error = NULL;
    EXPECT(KIMI_OK, kimi_features(&json, NULL, &error));
    kimi_free(json + 1);
    kimi_free(json);
    kimi_free(json);
    kimi_model_open(NULL, 0, NULL, NULL, NULL, &(kimi_model *){NULL}, &error);
    kimi_error_destroy(error);
    kimi_error_destroy(error);
    /* What was not freed by mistake still works. */
    free(evaluate(session, (int32_t[]){1, 2}, 2));
}

static void versions(void) {
    CHECK(strcmp(kimi_version(), "0.1.0") == 0, "'%s'", kimi_version());
    CHECK(kimi_abi_version() == KIMI_ABI_VERSION, "%d", kimi_abi_version());
    CHECK(kimi_struct_size(NULL) == 0, "of NULL");
    CHECK(kimi_struct_size("") == 0, "of nothing");
    CHECK(kimi_struct_size("kimi_model") == 0, "of a handle");
    CHECK(kimi_struct_size("\xff\xfe") == 0, "of what is not UTF-8");
    char *endless = malloc(1 << 20);
    memset(endless, 'k', 1 << 20);
    endless[(1 << 20) - 1] = 0;
    CHECK(kimi_struct_size(endless) == 0, "of 1 MiB of k");
    free(endless);
    kimi_error *error = NULL;
    size_t length = 7;
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_features(NULL, &length, &error));
    EXPECT_STATUS(KIMI_ERROR_INVALID_ARGUMENT, kimi_features(NULL, NULL, NULL));
    char *json = NULL;
    EXPECT_STATUS(KIMI_OK, kimi_features(&json, &length, NULL));
    CHECK(json && strlen(json) == length, "%zu", length);
    kimi_free(json);
}

/* The five _init functions are one contract. */
static void inits(void) {
    union {
        kimi_model_options a;
        kimi_session_options b;
        kimi_generation_options c;
        kimi_chat_options d;
        kimi_plan_options e;
        kimi_swarm_options f;
        kimi_reward_options g;
        unsigned char bytes[512];
    } options;
#define INIT(type, of) \
    for (size_t size = 0; size < 4; size++) EXPECT_STATUS(KIMI_ERROR_INVALID_ARGUMENT, type##_init(&options.of, size)); \
    EXPECT_STATUS(KIMI_ERROR_INVALID_ARGUMENT, type##_init(NULL, sizeof(type))); \
    EXPECT_STATUS(KIMI_ERROR_INVALID_ARGUMENT, type##_init(NULL, SIZE_MAX)); \
    EXPECT_STATUS(KIMI_ERROR_INVALID_ARGUMENT, type##_init(&options.of, SIZE_MAX)); \
    EXPECT_STATUS(KIMI_ERROR_INVALID_ARGUMENT, type##_init(&options.of, SIZE_MAX / 2)); \
    for (size_t size = 4; size <= sizeof options; size++) { \
        memset(&options, 0xa5, sizeof options); \
        EXPECT_STATUS(KIMI_OK, type##_init(&options.of, size)); \
        CHECK(options.of.struct_size == size, #type " of %zu bytes says %u", size, options.of.struct_size); \
        for (size_t i = size; i < sizeof options; i++) \
            if (!CHECK(options.bytes[i] == 0xa5, #type "_init wrote byte %zu of %zu", i, size)) break; \
        for (size_t i = sizeof(type); i < size; i++) \
            if (!CHECK(options.bytes[i] == 0, #type "_init left byte %zu of %zu", i, size)) break; \
    }
    INIT(kimi_model_options, a)
    INIT(kimi_session_options, b)
    INIT(kimi_generation_options, c)
    INIT(kimi_chat_options, d)
    INIT(kimi_plan_options, e)
    INIT(kimi_swarm_options, f)
    INIT(kimi_reward_options, g)
}

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {
    {"errors", errors},         {"versions", versions},     {"inits", inits},
    {"open", hostile_open},     {"model", hostile_model},   {"tokenizer", hostile_tokenizer},
    {"decoder", hostile_decoder}, {"session", hostile_session}, {"evaluate", hostile_evaluate},
    {"files", hostile_files},   {"options", hostile_options}, {"generate", hostile_generate},
    {"polling", hostile_polling}, {"statistics", hostile_statistics},
    {"chat", hostile_chat},     {"chat options", hostile_chat_options},
    {"requests", hostile_requests}, {"tools", hostile_tools},
    {"swarm", hostile_swarm},   {"swarm options", hostile_swarm_options},
    {"swarm tools", hostile_swarm_tools}, {"swarm blocking", hostile_swarm_blocking},
    {"swarm hosts", hostile_swarm_hosts}, {"swarm names", hostile_swarm_names},
};

int main(int count, char **arguments) {
    begin(count, arguments);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            failures = 0;
            groups[i].run();
            fflush(stdout);
            _exit(failures ? 1 : 0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        CHECK(!WIFSIGNALED(status), "group %s: signal %d", groups[i].name, WTERMSIG(status));
        CHECK(!WIFEXITED(status) || WEXITSTATUS(status) == 0, "group %s", groups[i].name);
    }
    return finish();
}
