// Requests are cut into pieces, and as many pieces as a device needs are under way; the rest waits its turn. A piece that comes back
// short goes on where it ended, one that failed is tried once more.

#define _GNU_SOURCE
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/// How often a piece that failed is read again; of interruptions any number is forgiven.
enum { second_tries = 1 };
/// What is asked for if the system does not say what direct reads need; devices have blocks of 512 or 4096.
enum { usual_block = 4096 };

typedef struct request {
    cks_read read;
    size_t begun;    ///< bytes that pieces were made of
    uint32_t pieces; ///< under way
    int64_t error;
    uint32_t next;   ///< in whichever list it is
} request;

/// A list of requests, first in, first out.
typedef struct list {
    uint32_t first, last;
} list;

static const uint32_t none = UINT32_MAX;

struct cks_reader {
    const read_backend *backend;
    void *state;
    piece pieces[piece_count];
    uint32_t free_pieces[piece_count];
    size_t free_count;
    request *requests;
    list vacant, waiting, ended;
    size_t pending;
    uint64_t bytes, retries;
    cks_read_fault fault;
    void *fault_context;
};

static void append(cks_reader *reader, list *list, uint32_t number) {
    reader->requests[number].next = none;
    if (list->first == none) list->first = number;
    else reader->requests[list->last].next = number;
    list->last = number;
}

static uint32_t take_first(cks_reader *reader, list *list) {
    uint32_t number = list->first;
    if (number != none) list->first = reader->requests[number].next;
    return number;
}

cks_reader *cks_reader_create(size_t requests, int backend) {
    if (requests == 0 || requests > 1 << 20) return NULL;
    cks_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return NULL;
    reader->requests = calloc(requests, sizeof *reader->requests);
    if (!reader->requests) {
        free(reader);
        return NULL;
    }
    reader->vacant = reader->waiting = reader->ended = (list){none, none};
    for (size_t i = 0; i < requests; i++) append(reader, &reader->vacant, (uint32_t)i);
    for (uint32_t i = 0; i < piece_count; i++) reader->free_pieces[reader->free_count++] = i;
    const read_backend *ways[] = {&read_by_ring, &read_by_threads};
    for (int way = 0; way < 2 && !reader->state; way++) {
        if (backend != CKS_READ_BEST && backend != way + CKS_READ_RING) continue;
        reader->backend = ways[way];
        reader->state = ways[way]->create(reader->pieces);
    }
    if (!reader->state) {
        free(reader->requests);
        free(reader);
        return NULL;
    }
    return reader;
}

int cks_reader_backend(const cks_reader *reader) {
    return reader->backend == &read_by_ring ? CKS_READ_RING : CKS_READ_THREADS;
}

/// Makes pieces of the requests that wait, as many as may be under way.
static void begin_pieces(cks_reader *reader) {
    int begun = 0;
    while (reader->free_count > 0 && reader->waiting.first != none) {
        uint32_t number = reader->waiting.first;
        request *request = &reader->requests[number];
        size_t count = request->read.count - request->begun;
        // What is left over is read with the last piece if it is little: whole blocks about a megabyte would be a read of their own.
        if (count > piece_bytes + piece_bytes / 8) count = piece_bytes;
        uint32_t slot = reader->free_pieces[--reader->free_count];
        size_t needed = request->read.needed > request->begun ? request->read.needed - request->begun : 0;
        reader->pieces[slot] = (piece){
            number, request->read.descriptor, 0, request->read.offset + (int64_t)request->begun,
            (char *)request->read.to + request->begun, count, needed < count ? needed : count, 0};
        request->begun += count;
        request->pieces++;
        if (request->begun == request->read.count || request->error) take_first(reader, &reader->waiting);
        reader->backend->begin(reader->state, slot);
        begun = 1;
    }
    if (begun) reader->backend->flush(reader->state);
}

int cks_reader_submit(cks_reader *reader, const cks_read *read) {
    uint32_t number = take_first(reader, &reader->vacant);
    if (number == none) return 0;
    reader->requests[number] = (request){.read = *read};
    reader->pending++;
    if (read->count == 0) append(reader, &reader->ended, number);
    else append(reader, &reader->waiting, number);
    begin_pieces(reader);
    return 1;
}

/// A piece has come back. 1 if it is over, 0 if it was begun again.
static int settle(cks_reader *reader, uint32_t slot) {
    piece *piece = &reader->pieces[slot];
    request *request = &reader->requests[piece->request];
    int64_t result = piece->result;
    if (reader->fault) {
        result = reader->fault(reader->fault_context, piece->descriptor, piece->offset, piece->count, result);
        if (result > (int64_t)piece->count) result = (int64_t)piece->count;
    }
    int again = result == CKS_READ_AGAIN || result == -EINTR || result == -EAGAIN;
    if (!again && result < 0 && piece->tries++ < second_tries) again = 1;
    if (!again && result >= 0) {
        reader->bytes += (uint64_t)result;
        if ((size_t)result >= piece->needed) return 1;
        // The file ends here, or there is more to come.
        if (result == 0) result = -ENODATA;
        else {
            piece->offset += result;
            piece->to += result;
            piece->count -= (size_t)result;
            piece->needed -= (size_t)result;
            again = 1;
        }
    }
    if (again && !request->error) {
        reader->retries++;
        reader->backend->begin(reader->state, slot);
        return 0;
    }
    if (!request->error) request->error = result < 0 && result != CKS_READ_AGAIN ? result : -EIO;
    return 1;
}

/// No more pieces are made of a request that has failed.
static void forget_rest(cks_reader *reader, uint32_t number) {
    request *request = &reader->requests[number];
    if (request->begun == request->read.count) return;
    request->begun = request->read.count;
    // It is the first that waits, if it waits at all: pieces are made in order.
    if (reader->waiting.first == number) take_first(reader, &reader->waiting);
}

static void take_pieces(cks_reader *reader, int milliseconds) {
    if (reader->free_count == piece_count) return;
    uint32_t numbers[piece_count];
    size_t count = reader->backend->wait(reader->state, milliseconds, numbers);
    int begun = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t number = reader->pieces[numbers[i]].request;
        request *request = &reader->requests[number];
        if (!settle(reader, numbers[i])) {
            begun = 1;
            continue;
        }
        reader->free_pieces[reader->free_count++] = numbers[i];
        request->pieces--;
        if (request->error) forget_rest(reader, number);
        if (request->pieces == 0 && request->begun == request->read.count) append(reader, &reader->ended, number);
    }
    if (begun) reader->backend->flush(reader->state);
    begin_pieces(reader);
}

size_t cks_reader_wait(cks_reader *reader, int milliseconds, cks_read_end *ends, size_t capacity) {
    take_pieces(reader, reader->ended.first == none ? milliseconds : 0);
    size_t count = 0;
    while (count < capacity && reader->ended.first != none) {
        uint32_t number = take_first(reader, &reader->ended);
        request *request = &reader->requests[number];
        ends[count++] = (cks_read_end){request->read.tag, request->error};
        append(reader, &reader->vacant, number);
        reader->pending--;
    }
    return count;
}

size_t cks_reader_pending(const cks_reader *reader) { return reader->pending; }
uint64_t cks_reader_bytes(const cks_reader *reader) { return reader->bytes; }
uint64_t cks_reader_retries(const cks_reader *reader) { return reader->retries; }

void cks_reader_set_fault(cks_reader *reader, cks_read_fault fault, void *context) {
    reader->fault = fault;
    reader->fault_context = context;
}

void cks_reader_destroy(cks_reader *reader) {
    if (!reader) return;
    // What waits is not begun any more; what is under way writes into somebody's memory.
    for (uint32_t number; (number = take_first(reader, &reader->waiting)) != none;)
        reader->requests[number].begun = reader->requests[number].read.count;
    reader->fault = NULL;
    while (reader->free_count < piece_count) take_pieces(reader, 100);
    reader->backend->destroy(reader->state);
    free(reader->requests);
    free(reader);
}

int cks_file_open_direct(const char *path, size_t *block) {
    int descriptor;
    do descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_DIRECT);
    while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) return -errno;
    *block = usual_block;
    // Some file systems accept the flag and refuse the reads.
    void *trial = aligned_alloc(usual_block, usual_block);
    ssize_t got = trial ? pread(descriptor, trial, usual_block, 0) : -1;
    int error = trial ? errno : ENOMEM;
    free(trial);
    if (got >= 0) return descriptor;
    close(descriptor);
    return -error;
}
