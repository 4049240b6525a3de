// Reading by io_uring, through liburing.

#define _GNU_SOURCE
#include "reader.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

typedef struct ring {
    struct io_uring ring;
    piece *pieces;
    unsigned begun; ///< but not known to the system yet
} ring;

static void *create(piece *pieces) {
    ring *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->pieces = pieces;
    if (io_uring_queue_init(piece_count, &made->ring, 0) != 0) {
        free(made);
        return NULL;
    }
    return made;
}

static void flush(void *state) {
    ring *ring = state;
    while (ring->begun > 0) {
        int count = io_uring_submit(&ring->ring);
        // Interrupted, or short of memory for a moment: `wait` comes here again.
        if (count <= 0) return;
        ring->begun -= (unsigned)count;
    }
}

static void begin(void *state, uint32_t number) {
    ring *ring = state;
    // There is an entry for every piece.
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
    if (!entry) return;
    piece *piece = &ring->pieces[number];
    io_uring_prep_read(entry, piece->descriptor, piece->to, (unsigned)piece->count, (__u64)piece->offset);
    io_uring_sqe_set_data64(entry, number);
    ring->begun++;
}

static size_t wait(void *state, int milliseconds, uint32_t *numbers) {
    ring *ring = state;
    flush(ring);
    struct io_uring_cqe *entries[piece_count];
    unsigned count = io_uring_peek_batch_cqe(&ring->ring, entries, piece_count);
    if (count == 0 && milliseconds > 0) {
        struct __kernel_timespec time = {milliseconds / 1000, (long long)(milliseconds % 1000) * 1000000};
        struct io_uring_cqe *first;
        if (io_uring_wait_cqe_timeout(&ring->ring, &first, &time) == 0)
            count = io_uring_peek_batch_cqe(&ring->ring, entries, piece_count);
    }
    size_t found = 0;
    for (unsigned i = 0; i < count; i++) {
        // A time-out that the library queued by itself on old systems has a mark of its own.
        __u64 number = io_uring_cqe_get_data64(entries[i]);
        if (number >= piece_count) continue;
        ring->pieces[number].result = entries[i]->res;
        numbers[found++] = (uint32_t)number;
    }
    io_uring_cq_advance(&ring->ring, count);
    return found;
}

static void destroy(void *state) {
    ring *ring = state;
    io_uring_queue_exit(&ring->ring);
    free(ring);
}

const read_backend read_by_ring = {create, begin, flush, wait, destroy};
