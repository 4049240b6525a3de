#if defined(__x86_64__)
#include "integers.h"

/// Writes a group's 32 values, given as 16 and 16 and rounded here, in its four bytes of each slot.
CK_INLINE void store_bytes(unsigned char *to, lanes first, lanes second) {
    const __m256i order = _mm256_set_epi8(15, 13, 11, 9, 14, 12, 10, 8, 7, 5, 3, 1, 6, 4, 2, 0, //
                                          15, 13, 11, 9, 14, 12, 10, 8, 7, 5, 3, 1, 6, 4, 2, 0);
    __m128i low = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(first)), high = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(second));
    __m256i q = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), order);
    _Alignas(32) uint32_t words[CK_SPLIT_SLOTS];
    _mm256_store_si256((__m256i *)words, _mm256_xor_si256(q, _mm256_set1_epi8(-128))); // + 128
    for (size_t k = 0; k < CK_SPLIT_SLOTS; k++) memcpy(to + k * 4 * CK_SPLIT_GROUPS, &words[k], 4);
}

#include "../vector/quantize.h"

#pragma clang attribute pop
#endif
