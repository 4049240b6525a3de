/*
 * After warm-up a decode step allocates nothing, on any thread: this program defines malloc and its kin, counts the calls, and hands
 * them on to the C library.
 */
#include "support.h"

#include <stdatomic.h>

static atomic_int counting;
static atomic_long calls;

static void note(void) {
    if (atomic_load_explicit(&counting, memory_order_relaxed)) atomic_fetch_add(&calls, 1);
}

#include "../CMallocCount/malloc_calls.h"

/* Evaluates one token at a time and names each step that allocated. */
static void decode(kimi_session *session, int steps, const char *what, bool with_logits) {
    static float logits[4096];
    size_t room = with_logits ? sizeof logits / sizeof *logits : 0;
    long total = 0;
    for (int i = 0; i < steps; i++) {
        int32_t id = (i * 31 + 7) % 1500;
        int64_t position = kimi_session_position(session);
        kimi_error *error = NULL;
        atomic_store(&calls, 0);
        atomic_store(&counting, 1);
        kimi_status status = kimi_session_evaluate(session, &id, 1, 0, with_logits ? logits : NULL, room, &error);
        atomic_store(&counting, 0);
        long made = atomic_load(&calls);
        CHECK(status == KIMI_OK, "%s: %s", what, kimi_error_message(error));
        CHECK(made == 0, "%s: %ld allocations in the step at position %lld", what, made, (long long)position);
        total += made;
    }
    printf("%s: %ld allocations in %d steps\n", what, total, steps);
}

int main(int count, char **arguments) {
    begin(count, arguments);
    /* That the counting works at all, with the library's own calls. */
    atomic_store(&counting, 1);
    char *json = NULL;
    kimi_features(&json, NULL, NULL);
    atomic_store(&counting, 0);
    CHECK(atomic_load(&calls) > 0, "the library's allocations are not seen");
    kimi_free(json);

    for (int threads = 1; threads <= 3; threads++) {
        kimi_model_options options;
        kimi_model_options_init(&options, sizeof options);
        options.threads = threads;
        kimi_model *model = open_model(&options);
        kimi_session *session = new_session(model);
        int32_t warm[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        free(evaluate(session, warm, 8));
        for (int i = 0; i < 4; i++) free(evaluate(session, warm, 1));
        char what[64];
        snprintf(what, sizeof what, "%d threads", threads);
        /* From position 12 across the borders of three blocks of 64 tokens. */
        decode(session, 200, what, true);
        decode(session, 20, what, false);
        kimi_session_destroy(session);
        kimi_model_close(model);
    }
    return finish();
}
