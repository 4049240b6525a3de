// A pool of worker threads for one model: fork, work on ranges, join.
#ifndef CKS_POOL_H
#define CKS_POOL_H

#include <pthread.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Works on items begin ..< end of a job. `worker` is 0 for the caller's thread, 1 ... for the pool's own, and no two calls
/// with the same number run at once: it may index scratch memory.
typedef void (*cks_task)(void *context, size_t begin, size_t end, size_t worker);

typedef struct cks_pool cks_pool;

/// Makes a pool of `workers` (at least 1) of which the caller's thread is one. NULL, with nothing left behind, if memory or
/// a thread could not be had.
cks_pool *cks_pool_create(size_t workers);

/// The thread of worker 1 ..< workers.
pthread_t cks_pool_thread(const cks_pool *pool, size_t worker);

/// Calls `task` for all items 0 ..< count on all workers, in pieces of `grain` (at least 1) or a multiple of it, the first ones the
/// largest, and returns when all are done. Not for two threads at once. Allocates nothing.
void cks_pool_run(cks_pool *pool, cks_task task, void *context, size_t count, size_t grain);

/// Ends the threads and frees the pool. Not while a job runs. NULL is fine.
void cks_pool_destroy(cks_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
