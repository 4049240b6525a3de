// Plain reading: the limit of everything that is bound by memory.
#include "../include/CKimiKernels.h"

/// Bytes that a round of the loops below reads.
enum { stride = 512, ahead = 1024 };

static uint64_t sum_words(const unsigned char *p, size_t bytes) {
    const uint64_t *words = (const void *)p;
    // Enough independent sums for the compiler to keep the loads going.
    uint64_t sums[16] = {0};
    size_t i = 0;
    for (; i + 16 <= bytes / 8; i += 16)
        for (size_t j = 0; j < 16; j++) sums[j] += words[i + j];
    for (; i < bytes / 8; i++) sums[0] += words[i];
    uint64_t sum = 0;
    for (size_t j = 0; j < 16; j++) sum += sums[j];
    return sum;
}

#if defined(__x86_64__)
#include <immintrin.h>

/// One loop over `streams` equal parts of `bytes`, a multiple of `stride` each; sums of 64-bit words in registers of `width` bytes.
#define READ_PARTS(vector, width, zero, load, add)                                                                    \
    vector sums[stride / (width)];                                                                                    \
    for (size_t j = 0; j < stride / (width); j++) sums[j] = zero();                                                   \
    for (size_t i = 0; i < part; i += stride) {                                                                       \
        for (size_t s = 0; s < streams; s++) {                                                                        \
            const unsigned char *from = p + s * part + i;                                                             \
            if (way == CK_READ_AHEAD)                                                                                 \
                for (size_t line = 0; line < stride; line += 64)                                                      \
                    _mm_prefetch((const char *)from + ahead + line, _MM_HINT_NTA);                                    \
            for (size_t j = 0; j < stride / (width); j++)                                                             \
                sums[j] = add(sums[j], load((const void *)(from + j * (width))));                                     \
        }                                                                                                             \
    }                                                                                                                 \
    uint64_t words[stride / 8];                                                                                       \
    __builtin_memcpy(words, sums, sizeof words);                                                                      \
    return sum_words((const unsigned char *)words, sizeof words)

__attribute__((target("avx512f"))) static uint64_t read_avx512(const unsigned char *p, size_t part, size_t streams,
                                                               int32_t way) {
    READ_PARTS(__m512i, 64, _mm512_setzero_si512, _mm512_loadu_si512, _mm512_add_epi64);
}

__attribute__((target("avx2"))) static uint64_t read_avx2(const unsigned char *p, size_t part, size_t streams,
                                                          int32_t way) {
    READ_PARTS(__m256i, 32, _mm256_setzero_si256, _mm256_loadu_si256, _mm256_add_epi64);
}

uint64_t ck_read(const void *memory, size_t bytes, int32_t way) {
    const unsigned char *p = memory;
    // Asked once: cpuid costs a virtual machine as much as reading a MiB. Every thread would find the same.
    static _Atomic int32_t known = -1;
    int32_t isa = known;
    if (isa < 0) known = isa = ck_isa_best();
    if (isa == CK_ISA_SCALAR) return sum_words(p, bytes);
    const size_t streams = way == CK_READ_STREAMS ? 2 : 1;
    const size_t part = bytes / streams / stride * stride, done = part * streams;
    uint64_t sum = isa == CK_ISA_AVX2 ? read_avx2(p, part, streams, way) : read_avx512(p, part, streams, way);
    return sum + sum_words(p + done, bytes - done);
}
#else
uint64_t ck_read(const void *memory, size_t bytes, int32_t way) {
    (void)way;
    return sum_words(memory, bytes);
}
#endif
