/// Counts a thread's allocations. Whatever links this gets the C library's allocator through functions that count first; only
/// threads that asked for it are counted.
#ifndef MALLOC_COUNT_H
#define MALLOC_COUNT_H

#include <stddef.h>

/// Threads of a pool that meet; for `malloc_count_meet`.
typedef struct malloc_count_meeting {
    int wanted;  ///< threads of the pool
    int counts;  ///< 1: they are counted from now on; 0: no longer
    int arrived; ///< 0 at first
    long total;  ///< allocations of all of them since they were counted; 0 at first
} malloc_count_meeting;

/// A pool's task of one item a thread: no thread leaves before all have come, so that each of them comes once.
void malloc_count_meet(void *meeting, size_t begin, size_t end, size_t worker);

#endif
