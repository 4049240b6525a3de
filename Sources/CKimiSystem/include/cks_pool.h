// A pool of worker threads for one model: fork, work on ranges, join.
#ifndef CKS_POOL_H
#define CKS_POOL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Works on items begin ..< end of a job. `worker` is 0 for the caller's thread, 1 ... for the pool's own, and no two calls
/// with the same number run at once: it may index scratch memory.
typedef void (*cks_task)(void *context, size_t begin, size_t end, size_t worker);

/// The same for items of one memory node, which each have a numbering of their own.
typedef void (*cks_node_task)(void *context, size_t node, size_t begin, size_t end, size_t worker);

typedef struct cks_pool cks_pool;

/// Makes a pool of workers_of[k] (at least 1) workers for each node k of `nodes` (1 to 256), the caller's thread being the first of
/// node 0. NULL, with nothing left behind, if memory or a thread could not be had.
cks_pool *cks_pool_create(const size_t *workers_of, size_t nodes);

/// The thread of worker 1 ..< workers.
pthread_t cks_pool_thread(const cks_pool *pool, size_t worker);

/// Calls `task` for all items 0 ..< count on all workers, in pieces of `grain` (at least 1) or a multiple of it, the first ones the
/// largest, and returns when all are done. Not for two threads at once. Allocates nothing.
void cks_pool_run(cks_pool *pool, cks_task task, void *context, size_t count, size_t grain);

/// The node of each worker.
const uint8_t *cks_pool_nodes(const cks_pool *pool);

/// Calls `task` for the items 0 ..< counts[k] of each node k, on the workers of that node (and on the caller where they do not come for
/// a while), otherwise as cks_pool_run.
void cks_pool_run_nodes(cks_pool *pool, cks_node_task task, void *context, const size_t *counts, size_t grain);

/// Ends the threads and frees the pool. Not while a job runs. NULL is fine.
void cks_pool_destroy(cks_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
