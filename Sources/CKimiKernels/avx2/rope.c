#if defined(__x86_64__)
#include "lanes.h"

CK_INLINE __m256 four_twice(const float *p) {
    __m128 four = _mm_loadu_ps(p);
    return _mm256_set_m128(_mm_unpackhi_ps(four, four), _mm_unpacklo_ps(four, four));
}
/// Eight floats, each in two lanes.
CK_INLINE lanes lanes_twice(const float *p) { return CK_LANES(four_twice(p), four_twice(p + 4)); }
CK_INLINE lanes lanes_swap_pairs(lanes a) { return CK_LANES(_mm256_permute_ps(a.low, 0xb1), _mm256_permute_ps(a.high, 0xb1)); }
/// The sign of lanes 0, 2, 4, ... turned.
CK_INLINE lanes lanes_turn_even(lanes a) {
    const __m256 sign = _mm256_castsi256_ps(_mm256_set1_epi64x(0x80000000));
    return CK_LANES(_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign));
}

#include "../vector/rope.h"

#pragma clang attribute pop
#endif
