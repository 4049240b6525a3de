// By system call, not by hwloc: it happens twice in every step and must not allocate.

#define _GNU_SOURCE
#include "cks_affinity.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void cks_affinity_bind(uint32_t processor, cks_affinity *before) {
    before->bytes = 0;
    uint64_t one[64];
    if (processor >= sizeof one * 8) return;
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof before->mask, before->mask);
    if (bytes <= 0) return;
    memset(one, 0, sizeof one);
    one[processor / 64] = (uint64_t)1 << processor % 64;
    if (syscall(SYS_sched_setaffinity, 0, sizeof one, one) == 0) before->bytes = (int32_t)bytes;
}

void cks_affinity_restore(const cks_affinity *before) {
    if (before->bytes > 0) syscall(SYS_sched_setaffinity, 0, (size_t)before->bytes, before->mask);
}
