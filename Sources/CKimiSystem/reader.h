// What reader.c and its two ways of reading share.
#ifndef READER_H
#define READER_H

#include "cks_reader.h"

#include <stddef.h>
#include <stdint.h>

/// The most pieces that are under way at once.
enum { piece_count = 64 };
/// The bytes of a piece, or up to an eighth more. With 64 of them under way a device has enough to do, and one piece is over soon.
enum { piece_bytes = 1 << 20 };

/// A part of a request that is read by one call.
typedef struct piece {
    uint32_t request;
    int32_t descriptor;
    uint32_t tries;
    int64_t offset;
    char *to;
    size_t count;
    size_t needed;
    int64_t result;
} piece;

/// A way of reading. Pieces are begun by their number and come back by it, with their `result` set.
typedef struct read_backend {
    /// NULL if the system does not allow it.
    void *(*create)(piece *pieces);
    void (*begin)(void *state, uint32_t number);
    /// Has what was begun reach the system. Called once for several.
    void (*flush)(void *state);
    /// Stores up to piece_count numbers of pieces that have ended; waits for one at most so many milliseconds.
    size_t (*wait)(void *state, int milliseconds, uint32_t *numbers);
    void (*destroy)(void *state);
} read_backend;

extern const read_backend read_by_ring;
extern const read_backend read_by_threads;

#endif
