// Reads of files that are under way while their owner computes: many at once, each in pieces, so that a device is kept busy.
#ifndef CKS_READER_H
#define CKS_READER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cks_reader cks_reader;

/// How reads are made.
enum {
    CKS_READ_BEST = 0,    ///< the ring if the system allows it, else threads
    CKS_READ_RING = 1,    ///< io_uring
    CKS_READ_THREADS = 2, ///< pread on threads of the reader's own
};

/// A request: `count` bytes at `offset` of an open file. Only the first `needed` of them must be there: what lies behind them, up to
/// whole blocks, may be past the end of the file.
typedef struct cks_read {
    int32_t descriptor;
    int32_t reserved;
    int64_t offset;
    void *to;
    size_t count;
    size_t needed;
    uint64_t tag;
} cks_read;

/// A request that has come to its end: its tag, and 0 or a negated errno; -ENODATA where the file ends before what is needed.
typedef struct cks_read_end {
    uint64_t tag;
    int64_t result;
} cks_read_end;

/// Makes a reader for at most `requests` (1 to 2^20) that have not ended at once. NULL if memory, or what `backend` asks for, cannot
/// be had. For one thread at a time.
cks_reader *cks_reader_create(size_t requests, int backend);

/// CKS_READ_RING or CKS_READ_THREADS.
int cks_reader_backend(const cks_reader *reader);

/// Begins to read, in the order of submission. 1; or 0 if as many requests as there may be have not ended. The memory must live until the
/// request has ended. Allocates nothing.
int cks_reader_submit(cks_reader *reader, const cks_read *read);

/// Stores up to `capacity` requests that have ended and returns how many; waits for the first of them at most so many milliseconds.
size_t cks_reader_wait(cks_reader *reader, int milliseconds, cks_read_end *ends, size_t capacity);

/// Requests that have not been stored as ended.
size_t cks_reader_pending(const cks_reader *reader);

/// Bytes that have come in, and pieces that were read again after an error or a short read.
uint64_t cks_reader_bytes(const cks_reader *reader);
uint64_t cks_reader_retries(const cks_reader *reader);

/// For tests: is asked what a piece's read is to have given in place of `result`, bytes or a negated errno; CKS_READ_AGAIN has it read
/// once more, as if the device were slow.
typedef int64_t (*cks_read_fault)(void *context, int descriptor, int64_t offset, size_t count, int64_t result);
#define CKS_READ_AGAIN INT64_MIN
void cks_reader_set_fault(cks_reader *reader, cks_read_fault fault, void *context);

/// Waits for all reads that are under way, and frees the reader. NULL is fine.
void cks_reader_destroy(cks_reader *reader);

/// Opens a file once more, to be read past the page cache (O_DIRECT); -errno where the file system cannot. `block` gets what offsets,
/// lengths and addresses must be multiples of.
int cks_file_open_direct(const char *path, size_t *block);

#ifdef __cplusplus
}
#endif
#endif
