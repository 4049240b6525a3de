#if defined(__x86_64__)
#include "tiles.h"

// High halves of queries, keys and values of a head as attention by tiles reads them: see ../tiles.h.

/// 32 floats times a factor, of which there are `count`, as bfloat16.
CK_INLINE __m512i high_lanes(const float *x, size_t count, __m512 factor) {
    __m512 part[2];
    load_part(part, x, count);
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(part[1], factor), _mm512_mul_ps(part[0], factor));
}

/// One step of a row; without x it is 0.
CK_INLINE __m512i high_step(const float *x, size_t step, size_t size, __m512 factor) {
    if (x == NULL) return _mm512_setzero_si512();
    return high_lanes(x + step * CK_TILE_STEP, size - step * CK_TILE_STEP, factor);
}

void ck_amx_half_pack_queries(void *to, const float *q, size_t ldq, size_t rows, size_t size, float scale) {
    const __m512 factor = _mm512_set1_ps(scale * CK_LOG2_E);
    for (size_t s = 0; s < tile_steps(size); s++) {
        __m512i r[16];
        CK_UNROLL for (size_t i = 0; i < 16; i++) r[i] = high_step(i < rows ? q + i * ldq : NULL, s, size, factor);
        transpose(r);
        CK_UNROLL for (size_t i = 0; i < 16; i++) _mm512_store_si512((char *)to + s * CK_TILE_BYTES + i * 64, r[i]);
    }
}

void ck_amx_half_pack_keys(void *to, const float *k, size_t ldk, size_t rows, size_t size) {
    const __m512 one = _mm512_set1_ps(1);
    for (size_t r = 0; r < 32; r++)
        for (size_t s = 0; s < tile_steps(size); s++) {
            char *tile = (char *)to + (2 * s + r / CK_TILE) * CK_TILE_BYTES;
            _mm512_store_si512(tile + r % CK_TILE * 64, high_step(r < rows ? k + r * ldk : NULL, s, size, one));
        }
}

/// 16 elements of a token's value and the 1 behind them; without x there are none.
CK_INLINE __m512 value_lanes(const float *x, size_t first, size_t size) {
    if (x == NULL) return _mm512_setzero_ps();
    const size_t count = ck_smaller(size - first, CK_TILE);
    const __mmask16 there = (__mmask16)((1u << count) - 1), behind = count < CK_TILE ? (__mmask16)(1u << count) : 0;
    return _mm512_mask_mov_ps(_mm512_maskz_loadu_ps(there, x + first), behind, _mm512_set1_ps(1));
}

void ck_amx_half_pack_values(void *to, const float *v, size_t ldv, size_t rows, size_t size) {
    // Word i of the one token beside word i of the other.
    static const _Alignas(64) uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                    8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i beside = _mm512_load_si512(order);
    for (size_t t = 0; t < value_tiles(size, 1); t++) {
        __m512i r[16];
        CK_UNROLL for (size_t i = 0; i < 16; i++) {
            const __m512 a = value_lanes(i < rows ? v + i * ldv : NULL, t * CK_TILE, size);
            const __m512 b = value_lanes(i + 16 < rows ? v + (i + 16) * ldv : NULL, t * CK_TILE, size);
            r[i] = _mm512_permutexvar_epi16(beside, (__m512i)_mm512_cvtne2ps_pbh(b, a));
        }
        transpose(r);
        CK_UNROLL for (size_t i = 0; i < 16; i++) _mm512_store_si512((char *)to + t * CK_TILE_BYTES + i * 64, r[i]);
    }
}

#pragma clang attribute pop
#endif
