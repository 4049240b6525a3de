// By system call, without libnuma: two calls need no library on the host.

#define _GNU_SOURCE
#include "cks_memory.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { mask_bits = 1024, page = 4096, batch = 512 };

int cks_memory_prefer(void *start, size_t count, uint32_t node) {
    if (node >= mask_bits) return -EINVAL;
    uint64_t mask[mask_bits / 64] = {0};
    mask[node / 64] = (uint64_t)1 << node % 64;
    // Not MPOL_BIND: where a node is full, that ends in the death of the process. Where the pages came to lie is asked afterwards.
    return syscall(SYS_mbind, start, count, MPOL_PREFERRED, mask, mask_bits + 1, 0) == 0 ? 0 : -errno;
}

int cks_memory_interleave(void *start, size_t count, const uint64_t mask[16]) {
    return syscall(SYS_mbind, start, count, MPOL_INTERLEAVE, mask, mask_bits + 1, 0) == 0 ? 0 : -errno;
}

int cks_memory_where(const void *start, size_t count, uint32_t node, size_t most, size_t *here, size_t *elsewhere, size_t *absent) {
    size_t pages = count / page;
    if (pages == 0 || most == 0) return 0;
    size_t wanted = pages < most ? pages : most;
    const void *addresses[batch];
    int status[batch];
    for (size_t done = 0; done < wanted;) {
        size_t n = wanted - done < batch ? wanted - done : batch;
        for (size_t i = 0; i < n; i++) {
            // The pages lie evenly over the range; multiplied in 128 bits, since both numbers may be large.
            size_t index = (size_t)((unsigned __int128)(done + i) * pages / wanted);
            addresses[i] = (const char *)start + index * page;
        }
        if (syscall(SYS_move_pages, 0, n, addresses, NULL, status, 0) < 0) return -errno;
        for (size_t i = 0; i < n; i++) {
            if (status[i] < 0) ++*absent;
            else if ((uint32_t)status[i] == node) ++*here;
            else ++*elsewhere;
        }
        done += n;
    }
    return 0;
}
