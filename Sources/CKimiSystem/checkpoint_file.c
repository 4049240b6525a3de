#define _GNU_SOURCE
#include "cks_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int cks_file_open(const char *path, int64_t *size) {
    int descriptor;
    /* O_NONBLOCK: opening a pipe must not wait for a writer; regular files do not know it. */
    do descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) return -errno;

    struct stat status;
    int error = 0;
    if (fstat(descriptor, &status) != 0) error = errno;
    else if (S_ISDIR(status.st_mode)) error = EISDIR;
    else if (!S_ISREG(status.st_mode)) error = ENODEV;
    if (error) {
        close(descriptor);
        return -error;
    }
    *size = (int64_t)status.st_size;
    return descriptor;
}

void cks_file_close(int descriptor) { close(descriptor); }

int64_t cks_file_size(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) == 0 ? (int64_t)status.st_size : -(int64_t)errno;
}

int64_t cks_file_modified(int descriptor) {
    struct stat status;
    if (fstat(descriptor, &status) != 0) return -1;
    return (int64_t)((uint64_t)status.st_mtim.tv_sec * 1000000000u + (uint64_t)status.st_mtim.tv_nsec);
}

int cks_file_is_same(int a, int b) {
    struct stat first, second;
    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

int64_t cks_file_read(int descriptor, void *to, size_t count, int64_t offset) {
    size_t done = 0;
    while (done < count) {
        ssize_t got = pread(descriptor, (char *)to + done, count - done, (off_t)offset + (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -(int64_t)errno;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

/* Whether the system says of all pages of a mapped range that they are in memory. */
static int is_cached(const void *mapping, size_t count) {
    enum { page = 4096, batch = 1024 };
    unsigned char states[batch];
    uintptr_t begin = (uintptr_t)mapping / page * page;
    size_t pages = ((uintptr_t)mapping + count - begin + page - 1) / page;
    while (pages > 0) {
        size_t n = pages < batch ? pages : batch;
        /* Where pages are larger than that, the address may be refused: then reading tells. */
        if (mincore((void *)begin, n * page, states) != 0) return errno == EINVAL;
        for (size_t i = 0; i < n; i++)
            if (!(states[i] & 1)) return 0;
        begin += n * page;
        pages -= n;
    }
    return 1;
}

int64_t cks_file_read_cached(int descriptor, const void *mapping, void *to, size_t count, int64_t offset) {
    if (count == 0 || !is_cached(mapping, count)) return 0;
    /* Of files that are neither ours nor ours to write, the system says that all is cached. A read that must not wait has what it
       misses read ahead, so one of a single byte goes first: at any place, since its page stays in the cache. */
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    struct iovec part = {to, 1};
    ssize_t got = preadv2(descriptor, &part, 1, (off_t)offset + (off_t)((size_t)time.tv_nsec % count), RWF_NOWAIT);
    size_t done = 0;
    while (got > 0 && done < count) {
        part = (struct iovec){(char *)to + done, count - done};
        got = preadv2(descriptor, &part, 1, (off_t)offset + (off_t)done, RWF_NOWAIT);
        if (got > 0) done += (size_t)got;
    }
    if (got < 0 && errno != EAGAIN && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR) return -(int64_t)errno;
    return (int64_t)done;
}

const void *cks_file_map(int descriptor, size_t size, int *error) {
    void *start = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (start != MAP_FAILED) return start;
    *error = errno;
    return NULL;
}

void cks_file_unmap(const void *start, size_t size) { munmap((void *)start, size); }

int cks_file_hold(int descriptor) {
    /* The kernel names this process as the one to be told of a waiting writer. Nobody is to be told, it is asked for instead;
       and for the moment in between the signal is one that is ignored by default. */
    if (fcntl(descriptor, F_SETSIG, SIGURG) != 0 || fcntl(descriptor, F_SETLEASE, F_RDLCK) != 0) return 0;
    fcntl(descriptor, F_SETOWN, 0);
    return 1;
}

int cks_file_hold_lasts(int descriptor) { return fcntl(descriptor, F_GETLEASE) == F_RDLCK; }

void cks_file_let_go(int descriptor) { fcntl(descriptor, F_SETLEASE, F_UNLCK); }

void cks_error_text(int error, char *text, size_t size) {
    if (size == 0) return;
    char space[128];
    const char *words = strerror_r(error, space, sizeof space); /* the GNU one: returns the words */
    size_t length = strlen(words);
    if (length >= size) length = size - 1;
    memcpy(text, words, length);
    text[length] = 0;
}
