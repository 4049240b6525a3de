/// Files that nobody trusts: opening, reading and mapping with the errno as a value, and a 128-bit digest (XXH3).
///
/// Every function is safe from any thread; a digest object belongs to one thread at a time. Nothing here prints.
#ifndef CKS_FILE_H
#define CKS_FILE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Opens a regular file for reading (close-on-exec, symbolic links followed, never blocks on a pipe or device).
/// Returns the descriptor, which the caller closes with cks_file_close, and its size; or -errno.
/// -EISDIR: a folder; -ENODEV: neither a file nor a folder.
int cks_file_open(const char *path, int64_t *size);
void cks_file_close(int descriptor);

/// The size of the open file now, or -errno. One fstat, no allocation.
int64_t cks_file_size(int descriptor);

/// When the file's contents were last changed, in nanoseconds, or -1 if that cannot be told. One fstat, no allocation.
int64_t cks_file_modified(int descriptor);
/// 1 if both descriptors are of one file.
int cks_file_is_same(int a, int b);

/// Reads `count` bytes at `offset`, over short reads and EINTR. Returns the bytes read, fewer than `count` only at the
/// end of the file, or -errno.
int64_t cks_file_read(int descriptor, void *to, size_t count, int64_t offset);

/// Reads `count` bytes at `offset` if all of them are in the page cache; never waits for a device, and has next to nothing read
/// ahead. `mapping` is where a mapping of the file has the byte at `offset`. Returns `count`; less if they are not all there, or the
/// file system does not tell; or -errno. What was stored in `to` is of no use then.
int64_t cks_file_read_cached(int descriptor, const void *mapping, void *to, size_t count, int64_t offset);

/// Maps the whole file read-only and shared. NULL on failure with the errno in *error. size must not be 0.
const void *cks_file_map(int descriptor, size_t size, int *error);
void cks_file_unmap(const void *start, size_t size);

/// Takes a read lease on the file: until it is let go, whoever wants to cut it or open it for writing waits (the system ends
/// the wait after /proc/sys/fs/lease-break-time, 45 s). Returns 1 if the lease is held, 0 if there is none to be had: not our
/// file and no CAP_LEASE, a file system without leases, or a writer that is there already. No signal is sent to anybody.
int cks_file_hold(int descriptor);
/// 1 while nobody waits for the lease's end; 0 if somebody does, or it was taken away.
int cks_file_hold_lasts(int descriptor);
/// Gives the lease back.
void cks_file_let_go(int descriptor);

/// The words for an errno. Copied into `text`, always terminated.
void cks_error_text(int error, char *text, size_t size);

/// XXH3-128, fed piece by piece.
typedef struct cks_digest cks_digest;
/// NULL: out of memory; free with cks_digest_destroy
cks_digest *cks_digest_create(void);
void cks_digest_update(cks_digest *digest, const void *bytes, size_t count);
/// canonical: most significant byte first
void cks_digest_finish(const cks_digest *digest, uint8_t out[16]);
/// NULL is a no-op
void cks_digest_destroy(cks_digest *digest);

#ifdef __cplusplus
}
#endif

#endif
