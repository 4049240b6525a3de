// The limit that kernels are judged by: memory read with nothing else to do.
#include "CKimiKernels.h"

uint64_t ck_read(const void *memory, size_t bytes) {
    const uint64_t *words = memory;
    const size_t count = bytes / sizeof *words;
    // Enough independent sums for the compiler to keep the loads going.
    uint64_t sums[16] = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (size_t j = 0; j < 16; j++) sums[j] += words[i + j];
    for (; i < count; i++) sums[0] += words[i];
    uint64_t sum = 0;
    for (size_t j = 0; j < 16; j++) sum += sums[j];
    return sum;
}
