// Tile registers, and what is written for them.
#ifndef CK_AMX_TILES_H
#define CK_AMX_TILES_H

#include <immintrin.h>
#include <math.h>

#include "../tiles.h"

#pragma clang attribute push(                                                                                         \
    __attribute__((target("amx-tile,amx-bf16,avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx512bf16,fma,avx2"))), \
    apply_to = function)

/// Has register t hold a tile of rows[t] rows of 64 bytes; tiles_release gives them back to the thread.
CK_INLINE void tiles_shape(const uint8_t rows[8]) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.row_bytes[t] = 64;
        config.rows[t] = rows[t];
    }
    _tile_loadconfig(&config);
}

/// The same with 16 rows each.
CK_INLINE void tiles_use(void) {
    static const uint8_t rows[8] = {CK_TILE, CK_TILE, CK_TILE, CK_TILE, CK_TILE, CK_TILE, CK_TILE, CK_TILE};
    tiles_shape(rows);
}

CK_INLINE void tiles_release(void) { _tile_release(); }

/// 16 bfloat16 as floats.
CK_INLINE __m512 widened(__m256i words) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}

/// 32 floats, as two registers, to the nearest bfloat16; and what that leaves.
CK_INLINE void split_lanes(__m512i *high, __m512i *low, __m512 a, __m512 b) {
    __m512i h = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    __m512 ha = widened(_mm512_castsi512_si256(h)), hb = widened(_mm512_extracti64x4_epi64(h, 1));
    *high = h;
    *low = (__m512i)_mm512_cvtne2ps_pbh(_mm512_sub_ps(b, hb), _mm512_sub_ps(a, ha));
}

/// 32 floats, of which there are `count`.
CK_INLINE void load_part(__m512 to[2], const float *x, size_t count) {
    const __mmask32 mask = count >= 32 ? 0xffffffff : (__mmask32)((1u << count) - 1);
    to[0] = _mm512_maskz_loadu_ps((__mmask16)mask, x);
    to[1] = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), x + 16);
}

/// 2^x for x <= 0, or a little above.
CK_INLINE __m512 power(__m512 x) {
    __m512 f = _mm512_reduce_ps(x, 1); // less its floor
    __m512 p = _mm512_set1_ps(CK_EXP2_4);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CK_EXP2_3));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CK_EXP2_2));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CK_EXP2_1));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CK_EXP2_0));
    return _mm512_scalef_ps(p, x);
}

/// Element j of register i becomes element i of register j.
CK_INLINE void transpose(__m512i r[16]) {
    __m512i t[16];
    CK_UNROLL for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    CK_UNROLL for (size_t i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    CK_UNROLL for (size_t i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    CK_UNROLL for (size_t i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

#endif
