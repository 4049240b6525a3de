#if defined(__x86_64__)
#include "lanes.h"

/// Eight floats, each in two lanes.
CK_INLINE lanes lanes_twice(const float *p) {
    const __m512i order = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(order, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}
CK_INLINE lanes lanes_swap_pairs(lanes a) { return _mm512_permute_ps(a, 0xb1); }
/// The sign of lanes 0, 2, 4, ... turned.
CK_INLINE lanes lanes_turn_even(lanes a) { return _mm512_xor_ps(a, _mm512_castsi512_ps(_mm512_set1_epi64(0x80000000))); }

#include "../vector/rope.h"

#pragma clang attribute pop
#endif
