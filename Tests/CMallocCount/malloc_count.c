#include "malloc_count.h"

#include <errno.h>
#include <sched.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Thread_local int counted;
static _Thread_local long calls;

static void note(void) {
    if (counted) calls++;
}

void *malloc(size_t size) {
    note();
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    note();
    return __libc_calloc(count, size);
}
void *realloc(void *memory, size_t size) {
    note();
    return __libc_realloc(memory, size);
}
void *memalign(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}
int posix_memalign(void **out, size_t alignment, size_t size) {
    note();
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

void malloc_count_meet(void *meeting, size_t begin, size_t end, size_t worker) {
    (void)begin, (void)end, (void)worker;
    malloc_count_meeting *m = meeting;
    __atomic_fetch_add(&m->total, calls, __ATOMIC_RELAXED);
    calls = 0;
    counted = m->counts;
    __atomic_fetch_add(&m->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&m->arrived, __ATOMIC_ACQUIRE) < m->wanted) sched_yield();
}
