// Memory on nodes, and how much of it there is.
#ifndef CKS_MEMORY_H
#define CKS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Has the pages of a range that is not touched yet come from a node as long as that has any, and from others after that. 0 or -errno.
/// `start` at a page's begin.
int cks_memory_prefer(void *start, size_t count, uint32_t node);

/// Has the pages of a range come from the nodes of a mask of 1024 bits in turn. 0 or -errno.
int cks_memory_interleave(void *start, size_t count, const uint64_t mask[16]);

/// Asks where pages of a range lie: at most `most` of them, spread evenly. Adds to `here` those on `node`, to `elsewhere` those on others,
/// to `absent` those that nobody has touched. 0 or -errno; -EPERM or -ENOSYS where the system does not tell.
int cks_memory_where(const void *start, size_t count, uint32_t node, size_t most, size_t *here, size_t *elsewhere, size_t *absent);

/// A limit of a group of processes: descriptors of the files with what is used and how, and the limit. Both kinds of cgroups.
typedef struct cks_memory_group {
    int32_t usage;
    int32_t statistics;
    int64_t limit;
} cks_memory_group;

/// The bytes that could be taken at this moment: what the machine has, and each group has left, page cache counted as free. `meminfo` is
/// a descriptor of /proc/meminfo. -1 if nothing tells. Allocates nothing.
int64_t cks_memory_available(int meminfo, const cks_memory_group *groups, size_t count);

#ifdef __cplusplus
}
#endif
#endif
