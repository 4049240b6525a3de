// Reading by pread on threads, where io_uring is not allowed.

#define _GNU_SOURCE
#include "reader.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/// Reads at once: fewer than by the ring, since each takes a thread.
enum { thread_count = 16 };

/// Numbers of pieces, first in, first out; there are never more than there are pieces.
typedef struct numbers {
    uint32_t entries[piece_count];
    size_t first, count;
} numbers;

typedef struct readers {
    pthread_mutex_t mutex;
    pthread_cond_t begun, ended;
    piece *pieces;
    numbers todo, done;
    int stopping;
    size_t started;
    pthread_t threads[thread_count];
} readers;

static void put(numbers *list, uint32_t number) { list->entries[(list->first + list->count++) % piece_count] = number; }

static uint32_t get(numbers *list) {
    uint32_t number = list->entries[list->first];
    list->first = (list->first + 1) % piece_count;
    list->count--;
    return number;
}

static void *read_main(void *argument) {
    readers *readers = argument;
    pthread_mutex_lock(&readers->mutex);
    for (;;) {
        while (readers->todo.count == 0 && !readers->stopping) pthread_cond_wait(&readers->begun, &readers->mutex);
        if (readers->stopping) break;
        uint32_t number = get(&readers->todo);
        piece *piece = &readers->pieces[number];
        pthread_mutex_unlock(&readers->mutex);
        ssize_t got = pread(piece->descriptor, piece->to, piece->count, (off_t)piece->offset);
        int64_t result = got >= 0 ? (int64_t)got : -(int64_t)errno;
        pthread_mutex_lock(&readers->mutex);
        piece->result = result;
        put(&readers->done, number);
        pthread_cond_signal(&readers->ended);
    }
    pthread_mutex_unlock(&readers->mutex);
    return NULL;
}

static void destroy(void *state) {
    readers *readers = state;
    pthread_mutex_lock(&readers->mutex);
    readers->stopping = 1;
    pthread_cond_broadcast(&readers->begun);
    pthread_mutex_unlock(&readers->mutex);
    for (size_t i = 0; i < readers->started; i++) pthread_join(readers->threads[i], NULL);
    pthread_cond_destroy(&readers->begun);
    pthread_cond_destroy(&readers->ended);
    pthread_mutex_destroy(&readers->mutex);
    free(readers);
}

static void *create(piece *pieces) {
    readers *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->pieces = pieces;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->begun, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    // The host's signals are the host's: its handlers must not run on these threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; made->started < thread_count; made->started++) {
        if (pthread_create(&made->threads[made->started], NULL, read_main, made) != 0) break;
        pthread_setname_np(made->threads[made->started], "kimi-reader");
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (made->started > 0) return made;
    destroy(made);
    return NULL;
}

static void begin(void *state, uint32_t number) {
    readers *readers = state;
    pthread_mutex_lock(&readers->mutex);
    put(&readers->todo, number);
    pthread_cond_signal(&readers->begun);
    pthread_mutex_unlock(&readers->mutex);
}

static void flush(void *state) { (void)state; }

static size_t wait(void *state, int milliseconds, uint32_t *found) {
    readers *readers = state;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    long long nanoseconds = until.tv_nsec + (long long)(milliseconds % 1000) * 1000000;
    until.tv_sec += milliseconds / 1000 + nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&readers->mutex);
    while (readers->done.count == 0 && milliseconds > 0)
        if (pthread_cond_timedwait(&readers->ended, &readers->mutex, &until) != 0) break;
    size_t count = 0;
    while (readers->done.count > 0) found[count++] = get(&readers->done);
    pthread_mutex_unlock(&readers->mutex);
    return count;
}

const read_backend read_by_threads = {create, begin, flush, wait, destroy};
