// The processors that the calling thread may run on.
#ifndef CKS_AFFINITY_H
#define CKS_AFFINITY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What a thread was allowed before it was bound; `bytes` is 0 if it was not bound.
typedef struct cks_affinity {
    uint64_t mask[64];
    int32_t bytes;
    int32_t reserved;
} cks_affinity;

/// Binds the calling thread to one processor and stores what it was allowed before. If the system refuses, or the machine has more
/// than 4096 processors, nothing changes and `before->bytes` is 0.
void cks_affinity_bind(uint32_t processor, cks_affinity *before);

/// Gives the calling thread back what it had.
void cks_affinity_restore(const cks_affinity *before);

#ifdef __cplusplus
}
#endif
#endif
