#include "malloc_count.h"

#include <sched.h>

static _Thread_local int counted;
static _Thread_local long calls;

static void note(void) {
    if (counted) calls++;
}

// ThreadSanitizer has functions of its own by these names, and must be there before any of ours is called. Nothing is counted then.
#if !__has_feature(thread_sanitizer)
#include "malloc_calls.h"
#endif

void malloc_count_meet(void *meeting, size_t begin, size_t end, size_t worker) {
    (void)begin, (void)end, (void)worker;
    malloc_count_meeting *m = meeting;
    __atomic_fetch_add(&m->total, calls, __ATOMIC_RELAXED);
    calls = 0;
    counted = m->counts;
    __atomic_fetch_add(&m->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&m->arrived, __ATOMIC_ACQUIRE) < m->wanted) sched_yield();
}
