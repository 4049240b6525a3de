// Workers wait for a new epoch, first spinning, since in a decode step the next job comes within microseconds, then asleep on a
// futex, so that an idle model costs no processor time. A job is one atomic counter from which everybody takes pieces:
// a worker that has a slow neighbour simply takes fewer. A job has a gate: the caller opens it, does pieces like everybody,
// closes it when none are left, and waits only for the workers that are inside. A worker that was asleep, or had lost its
// core to another process, finds the gate closed and is not waited for.
//
// Work that belongs to memory nodes has a counter for each of them, from which the node's own workers take. The caller keeps the gate
// open until all of it is taken, and helps out where a node's workers do not come for a while, so that one which has lost
// its core delays a job but never stops it.

#define _GNU_SOURCE
#include "cks_pool.h"

#include "cks_float.h"

#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/// How long a thread spins before it sleeps. Long enough for the caller's serial work between two jobs of a step.
enum { spin_nanoseconds = 100 * 1000 };

/// The items of a job that the workers of one node take, or all of them.
typedef struct queue {
    _Alignas(64) _Atomic size_t next;
    size_t count;
    size_t workers;
} queue;

typedef struct worker_start {
    cks_pool *pool;
    size_t worker;
} worker_start;

struct cks_pool {
    // Written by the caller, spun upon by the workers.
    _Alignas(64) _Atomic uint32_t epoch;
    _Atomic uint32_t sleepers;
    // The job; stable while an epoch runs. One of the two tasks is there.
    cks_task task;
    cks_node_task node_task;
    void *context;
    size_t grain;
    int stopping;
    // What all take from, and what each node's workers take from.
    queue shared;
    queue *queues;
    size_t nodes;
    uint8_t *node_of; ///< of each worker
    // The epoch whose job is open in the high half, 0 if none is; how many workers are inside in the low half.
    _Alignas(64) _Atomic uint64_t gate;
    // Counts the times the last worker left a closed gate; the caller waits on it.
    _Atomic uint32_t emptied;
    _Atomic uint32_t caller_sleeps;

    size_t workers;
    pthread_t *threads;
    worker_start *starts;
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void futex_wait(_Atomic uint32_t *word, uint32_t expected) {
    syscall(SYS_futex, (uint32_t *)word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int count) {
    syscall(SYS_futex, (uint32_t *)word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/// The items of the next piece: half of a fair share of what is left, in whole grains. Long pieces first, so that memory is read in
/// long stretches; short ones last, so that nobody waits long for who got the last.
static size_t piece_size(const queue *queue, size_t grain, size_t left) {
    size_t share = left / (2 * queue->workers) / grain * grain;
    if (share < grain) share = grain;
    return share < left ? share : left;
}

static void take_from(cks_pool *pool, queue *queue, size_t node, size_t worker) {
    const size_t count = queue->count;
    size_t begin = atomic_load_explicit(&queue->next, memory_order_relaxed);
    while (begin < count) {
        size_t size = piece_size(queue, pool->grain, count - begin);
        if (!atomic_compare_exchange_weak_explicit(&queue->next, &begin, begin + size, memory_order_relaxed, memory_order_relaxed))
            continue;
        if (pool->task) pool->task(pool->context, begin, begin + size, worker);
        else pool->node_task(pool->context, node, begin, begin + size, worker);
        begin = atomic_load_explicit(&queue->next, memory_order_relaxed);
    }
}

static void take_pieces(cks_pool *pool, size_t worker) {
    if (pool->task) {
        take_from(pool, &pool->shared, 0, worker);
    } else {
        size_t node = pool->node_of[worker];
        take_from(pool, &pool->queues[node], node, worker);
    }
}

/// Returns when all items of all nodes are taken; takes those of a node that has not begun with them for a while.
static void see_all_taken(cks_pool *pool) {
    for (size_t node = 0; node < pool->nodes; node++) {
        queue *queue = &pool->queues[node];
        size_t seen = 0;
        uint64_t deadline = 0;
        for (unsigned round = 1;; round++) {
            size_t next = atomic_load_explicit(&queue->next, memory_order_relaxed);
            if (next >= queue->count) break;
            relax();
            if (round % 64 != 0) continue;
            uint64_t time = now();
            if (deadline == 0 || next != seen) {
                seen = next;
                deadline = time + spin_nanoseconds;
            } else if (time > deadline) {
                take_from(pool, queue, node, 0);
            }
        }
    }
}

/// Returns when *word is no longer `seen`.
static void wait_for_change(_Atomic uint32_t *word, uint32_t seen, _Atomic uint32_t *sleepers) {
    uint64_t deadline = 0;
    for (unsigned round = 1;; round++) {
        if (atomic_load_explicit(word, memory_order_acquire) != seen) return;
        relax();
        // The clock is asked every 64 rounds only.
        if (round % 64 == 0) {
            uint64_t time = now();
            if (deadline == 0) deadline = time + spin_nanoseconds;
            else if (time > deadline) break;
        }
    }
    // Announce, look again, sleep. Sequentially consistent on both sides, so either the waker sees the sleeper or the
    // sleeper sees the change.
    atomic_fetch_add(sleepers, 1);
    while (atomic_load(word) == seen) futex_wait(word, seen);
    atomic_fetch_sub(sleepers, 1);
}

/// Goes through the gate if the job of `epoch` is still open.
static int enter(cks_pool *pool, uint32_t epoch) {
    uint64_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    while ((uint32_t)(gate >> 32) == epoch) {
        if (atomic_compare_exchange_weak_explicit(&pool->gate, &gate, gate + 1, memory_order_acquire, memory_order_relaxed))
            return 1;
    }
    return 0;
}

static void leave(cks_pool *pool) {
    // Exactly 1 before: the gate is closed and nobody else is inside.
    if (atomic_fetch_sub(&pool->gate, 1) != 1) return;
    atomic_fetch_add(&pool->emptied, 1);
    if (atomic_load(&pool->caller_sleeps)) futex_wake(&pool->emptied, 1);
}

static void *worker_main(void *argument) {
    worker_start *start = argument;
    cks_pool *pool = start->pool;
    uint32_t seen = 0;
    // A thread inherits the settings of the one that made it, which is the host's.
    cks_float_use_default();
    for (;;) {
        wait_for_change(&pool->epoch, seen, &pool->sleepers);
        seen = atomic_load_explicit(&pool->epoch, memory_order_acquire);
        if (pool->stopping) return NULL;
        if (enter(pool, seen)) {
            take_pieces(pool, start->worker);
            leave(pool);
        }
    }
}

/// Tells the workers that something is new; `job` opens the gate for it.
static void start_epoch(cks_pool *pool, int job) {
    uint32_t next = atomic_load_explicit(&pool->epoch, memory_order_relaxed) + 1;
    if (next == 0) next = 1; // 0 means a closed gate
    if (job) atomic_store_explicit(&pool->gate, (uint64_t)next << 32, memory_order_release);
    atomic_store(&pool->epoch, next);
    if (atomic_load(&pool->sleepers)) futex_wake(&pool->epoch, INT_MAX);
}

static void stop_threads(cks_pool *pool, size_t started) {
    pool->stopping = 1;
    start_epoch(pool, 0);
    for (size_t i = 0; i < started; i++) pthread_join(pool->threads[i], NULL);
}

static void free_pool(cks_pool *pool) {
    free(pool->queues);
    free(pool->node_of);
    free(pool->threads);
    free(pool->starts);
    free(pool);
}

/// Gives each worker its node and each node its queue. 0 if memory could not be had.
static int make_queues(cks_pool *pool, const size_t *workers_of, size_t nodes) {
    pool->shared.workers = pool->workers;
    pool->nodes = nodes;
    pool->queues = aligned_alloc(64, nodes * sizeof(queue));
    pool->node_of = malloc(pool->workers);
    if (!pool->queues || !pool->node_of) return 0;
    memset(pool->queues, 0, nodes * sizeof(queue));
    size_t worker = 0;
    for (size_t node = 0; node < nodes; node++) {
        pool->queues[node].workers = workers_of[node];
        for (size_t i = 0; i < workers_of[node]; i++) pool->node_of[worker++] = (uint8_t)node;
    }
    return 1;
}

cks_pool *cks_pool_create(const size_t *workers_of, size_t nodes) {
    if (nodes == 0 || nodes > 256) return NULL;
    size_t workers = 0;
    for (size_t node = 0; node < nodes; node++) {
        if (workers_of[node] == 0 || workers_of[node] > 1 << 16) return NULL;
        workers += workers_of[node];
    }
    if (workers > 1 << 16) return NULL;
    cks_pool *pool = aligned_alloc(64, sizeof(cks_pool));
    if (!pool) return NULL;
    *pool = (cks_pool){.workers = workers};
    if (!make_queues(pool, workers_of, nodes)) {
        free_pool(pool);
        return NULL;
    }
    if (workers == 1) return pool;
    pool->threads = calloc(workers - 1, sizeof *pool->threads);
    pool->starts = calloc(workers - 1, sizeof *pool->starts);
    if (!pool->threads || !pool->starts) {
        free_pool(pool);
        return NULL;
    }
    // The host's signals are the host's: its handlers must not run on these threads.
    sigset_t all, before;
    sigfillset(&all);
    // Faults of the thread itself stay deliverable: blocked, they would kill the process past a host's own handler.
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    size_t started = 0;
    for (; started + 1 < workers; started++) {
        pool->starts[started] = (worker_start){pool, started + 1};
        if (pthread_create(&pool->threads[started], NULL, worker_main, &pool->starts[started]) != 0) break;
        pthread_setname_np(pool->threads[started], "kimi-worker");
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started + 1 < workers) {
        stop_threads(pool, started);
        free_pool(pool);
        return NULL;
    }
    return pool;
}

pthread_t cks_pool_thread(const cks_pool *pool, size_t worker) { return pool->threads[worker - 1]; }

const uint8_t *cks_pool_nodes(const cks_pool *pool) { return pool->node_of; }

/// Runs the job that the pool describes, and waits for its end.
static void run_job(cks_pool *pool) {
    start_epoch(pool, 1);
    take_pieces(pool, 0);
    if (!pool->task) see_all_taken(pool);
    // Closes the gate; who is inside stays counted.
    uint64_t inside = atomic_fetch_and(&pool->gate, UINT32_MAX) & UINT32_MAX;
    while (inside != 0) {
        uint32_t seen = atomic_load(&pool->emptied);
        inside = atomic_load_explicit(&pool->gate, memory_order_acquire);
        if (inside != 0) wait_for_change(&pool->emptied, seen, &pool->caller_sleeps);
    }
}

static void open_queue(queue *queue, size_t count) {
    queue->count = count;
    atomic_store_explicit(&queue->next, 0, memory_order_relaxed);
}

void cks_pool_run(cks_pool *pool, cks_task task, void *context, size_t count, size_t grain) {
    if (count == 0) return;
    if (grain == 0) grain = 1;
    if (pool->workers == 1 || count <= grain) {
        task(context, 0, count, 0);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->grain = grain;
    open_queue(&pool->shared, count);
    run_job(pool);
}

void cks_pool_run_nodes(cks_pool *pool, cks_node_task task, void *context, const size_t *counts, size_t grain) {
    size_t total = 0;
    for (size_t node = 0; node < pool->nodes; node++) total += counts[node];
    if (total == 0) return;
    if (grain == 0) grain = 1;
    if (pool->workers == 1 || (pool->nodes == 1 && total <= grain)) {
        for (size_t node = 0; node < pool->nodes; node++)
            if (counts[node]) task(context, node, 0, counts[node], 0);
        return;
    }
    pool->task = NULL;
    pool->node_task = task;
    pool->context = context;
    pool->grain = grain;
    for (size_t node = 0; node < pool->nodes; node++) open_queue(&pool->queues[node], counts[node]);
    run_job(pool);
}

void cks_pool_destroy(cks_pool *pool) {
    if (!pool) return;
    if (pool->workers > 1) stop_threads(pool, pool->workers - 1);
    free_pool(pool);
}
