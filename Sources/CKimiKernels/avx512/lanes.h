// The 16 lanes of a dot product in one AVX-512 register, and the operations that vector/*.h are written in.
//
// Including this file opens a region in which functions may use AVX-512 F, BW, DQ and VL; a source file ends with
// `#pragma clang attribute pop`. "part" functions touch only the first `count` (1 ... 15) elements of memory.
#ifndef CK_AVX512_LANES_H
#define CK_AVX512_LANES_H

#include "../exp.h"

#include <immintrin.h>

#ifdef CK_VNNI // byte products in one instruction: ../avx512vnni
#define CK_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c"
#else
#define CK_TARGET "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c"
#endif
#pragma clang attribute push(__attribute__((target(CK_TARGET))), apply_to = function)

#ifdef CK_VNNI
#define CK_NAME(function) ck_avx512vnni_##function
#else
#define CK_NAME(function) ck_avx512_##function
#endif

// Register tiles, out of 32 registers of 16 lanes. A product with many rows of x: weight rows x rows of x.
#define CK_PANEL_W 8
#define CK_PANEL_X 3
// A streamed product: up to CK_STREAM_X rows of x, at most CK_STREAM_W weight rows
// (CK_STREAM_W_ONE for one row of x), and so many sums.
#define CK_STREAM_X 8
#define CK_STREAM_W 8
#define CK_STREAM_W_ONE 4
#define CK_STREAM_SUMS 24
// Attention's scores: heads x tokens; and its sum over tokens: heads x 16 columns.
#define CK_SCORE_HEADS 8
#define CK_SCORE_TOKENS 2
#define CK_VALUE_HEADS 8
#define CK_VALUE_W 2
// Expanded attention's scores: sixteens of rows x tokens; and its sum over tokens: rows x 16 columns.
#define CK_EXPANDED_ROWS 2
#define CK_EXPANDED_TOKENS 8
#define CK_EXPANDED_SUMS 8
#define CK_EXPANDED_W 2

typedef __m512 lanes;

CK_INLINE __mmask16 first_lanes(size_t count) { return (__mmask16)((1u << count) - 1); }

CK_INLINE lanes lanes_zero(void) { return _mm512_setzero_ps(); }
CK_INLINE lanes lanes_all(float value) { return _mm512_set1_ps(value); }

CK_INLINE lanes lanes_load(const void *p) { return _mm512_loadu_ps(p); }
/// The lanes from count on are 0.
CK_INLINE lanes lanes_load_part(const void *p, size_t count) { return _mm512_maskz_loadu_ps(first_lanes(count), p); }
CK_INLINE void lanes_store(float *p, lanes a) { _mm512_storeu_ps(p, a); }
CK_INLINE void lanes_store_part(float *p, lanes a, size_t count) { _mm512_mask_storeu_ps(p, first_lanes(count), a); }

CK_INLINE lanes lanes_of_bf16(__m256i words) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}
CK_INLINE __m256i words_part(const void *p, size_t count) { return _mm256_maskz_loadu_epi16(first_lanes(count), p); }
CK_INLINE lanes lanes_load_bf16(const void *p) { return lanes_of_bf16(_mm256_loadu_si256(p)); }
CK_INLINE lanes lanes_load_bf16_part(const void *p, size_t count) { return lanes_of_bf16(words_part(p, count)); }
CK_INLINE lanes lanes_load_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
CK_INLINE lanes lanes_load_f16_part(const void *p, size_t count) { return _mm512_cvtph_ps(words_part(p, count)); }

/// The 32 weights of an int4 group from its 16 bytes, times their scale.
CK_INLINE void lanes_load_int4(lanes w[2], const void *bytes, float scale) {
    // Each weight is looked up in a table of the 16 products; a permutation reads only the low 4 bits of its index.
    const __m512 values = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    // Lane i gets byte i / 2 of the first eight (weights 0 ... 15) and, above it, of the last eight (16 ... 31) ...
    const __m512i spread = _mm512_setr_epi32(0x0800, 0x0800, 0x0901, 0x0901, 0x0a02, 0x0a02, 0x0b03, 0x0b03, //
                                             0x0c04, 0x0c04, 0x0d05, 0x0d05, 0x0e06, 0x0e06, 0x0f07, 0x0f07);
    // ... and odd lanes want the high nibble.
    const __m512i nibble = _mm512_set1_epi64(4ll << 32);
    __m512 table = _mm512_mul_ps(values, _mm512_set1_ps(scale));
    __m512i group = _mm512_broadcast_i32x4(_mm_loadu_si128(bytes));
    __m512i index = _mm512_srlv_epi32(_mm512_shuffle_epi8(group, spread), nibble);
    w[0] = _mm512_permutexvar_ps(index, table);
    w[1] = _mm512_permutexvar_ps(_mm512_srli_epi32(index, 8), table);
}

#ifdef CK_VNNI
/// sum + the products of pairs of 16-bit integers. In assembler, because the compiler takes the instruction apart again where it
/// does not know the processor, and then half of the speed is gone.
CK_INLINE __m512i lanes_add_pairs(__m512i sum, __m512i a, __m512i b) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}
#endif

CK_INLINE lanes lanes_add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
CK_INLINE lanes lanes_sub(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
CK_INLINE lanes lanes_mul(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
CK_INLINE lanes lanes_div(lanes a, lanes b) { return _mm512_div_ps(a, b); }
/// b where either is NaN.
CK_INLINE lanes lanes_max(lanes a, lanes b) { return _mm512_max_ps(a, b); }
CK_INLINE lanes lanes_min(lanes a, lanes b) { return _mm512_min_ps(a, b); }
CK_INLINE lanes lanes_absolute(lanes a) { return _mm512_abs_ps(a); }

/// a * b + c
CK_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); }
/// c - a * b
CK_INLINE lanes lanes_fma_negated(lanes a, lanes b, lanes c) { return _mm512_fnmadd_ps(a, b, c); }
/// a * b + c in the first count lanes, c in the others: adding 0 * 0 would turn a -0 into +0.
CK_INLINE lanes lanes_fma_part(lanes a, lanes b, lanes c, size_t count) {
    return _mm512_mask3_fmadd_ps(a, b, c, first_lanes(count));
}
/// a in the first count lanes, b in the others.
CK_INLINE lanes lanes_choose_part(lanes a, lanes b, size_t count) {
    return _mm512_mask_blend_ps(first_lanes(count), b, a);
}
/// 0 where x < limit, else y.
CK_INLINE lanes lanes_zero_below(lanes x, lanes limit, lanes y) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), y);
}
/// p * 2^n for the n that lies in the low bits of `shifted` (exp.h); `n` is the same as a float.
CK_INLINE lanes lanes_times_power(lanes p, lanes n, lanes shifted) {
    (void)shifted;
    return _mm512_scalef_ps(p, n);
}

/// The end of every dot product: halves added until one lane is left.
CK_INLINE float lanes_sum(lanes a) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// y[j] = lanes_sum(a[j * stride]) for j < 16, all at once: each level of additions halves the registers.
CK_INLINE void lanes_sum_sixteen(float *y, const lanes *a, size_t stride) {
    // Where level after level has left each sum.
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    lanes s[8];
    for (size_t j = 0; j < 8; j++) {
        lanes p = a[2 * j * stride], q = a[(2 * j + 1) * stride];
        s[j] = _mm512_add_ps(_mm512_shuffle_f32x4(p, q, 0x44), _mm512_shuffle_f32x4(p, q, 0xee));
    }
    for (size_t j = 0; j < 4; j++)
        s[j] = _mm512_add_ps(_mm512_shuffle_f32x4(s[2 * j], s[2 * j + 1], 0x88),
                             _mm512_shuffle_f32x4(s[2 * j], s[2 * j + 1], 0xdd));
    for (size_t j = 0; j < 2; j++) {
        __m512d p = _mm512_castps_pd(s[2 * j]), q = _mm512_castps_pd(s[2 * j + 1]);
        s[j] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(p, q)), _mm512_castpd_ps(_mm512_unpackhi_pd(p, q)));
    }
    lanes sum = _mm512_add_ps(_mm512_shuffle_ps(s[0], s[1], 0x88), _mm512_shuffle_ps(s[0], s[1], 0xdd));
    _mm512_storeu_ps(y, _mm512_permutexvar_ps(order, sum));
}

/// y[j] = lanes_sum(a[j]) for j < CK_PANEL_W = 8.
CK_INLINE void lanes_sum_panel(float *y, const lanes *a) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 4, 8, 12, 1, 5, 9, 13);
    lanes s[4];
    for (size_t j = 0; j < 4; j++)
        s[j] = _mm512_add_ps(_mm512_shuffle_f32x4(a[2 * j], a[2 * j + 1], 0x44),
                             _mm512_shuffle_f32x4(a[2 * j], a[2 * j + 1], 0xee));
    for (size_t j = 0; j < 2; j++)
        s[j] = _mm512_add_ps(_mm512_shuffle_f32x4(s[2 * j], s[2 * j + 1], 0x88),
                             _mm512_shuffle_f32x4(s[2 * j], s[2 * j + 1], 0xdd));
    __m512d p = _mm512_castps_pd(s[0]), q = _mm512_castps_pd(s[1]);
    lanes t = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(p, q)), _mm512_castpd_ps(_mm512_unpackhi_pd(p, q)));
    lanes sum = _mm512_add_ps(_mm512_shuffle_ps(t, t, 0x88), _mm512_shuffle_ps(t, t, 0xdd));
    _mm256_storeu_ps(y, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, sum)));
}

/// The largest lane; none may be NaN.
CK_INLINE float lanes_largest(lanes a) { return _mm512_reduce_max_ps(a); }

/// Whether any lane is infinite or NaN.
CK_INLINE int lanes_any_not_finite(lanes a) {
    __m512i exponent = _mm512_set1_epi32(0x7f800000);
    return _mm512_cmpeq_epi32_mask(_mm512_and_si512(_mm512_castps_si512(a), exponent), exponent) != 0;
}

/// Rounds to bfloat16: nearest, ties to even; NaN becomes a quiet NaN.
CK_INLINE __m256i lanes_to_bf16(lanes a) {
    __m512i bits = _mm512_castps_si512(a);
    __m512i high = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    __m512i quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), rounded, quiet));
}
CK_INLINE void lanes_store_bf16(void *p, lanes a) { _mm256_storeu_si256(p, lanes_to_bf16(a)); }
CK_INLINE void lanes_store_bf16_part(void *p, lanes a, size_t count) {
    _mm256_mask_storeu_epi16(p, first_lanes(count), lanes_to_bf16(a));
}

/// A group's 32 bytes, in order of columns, as its words of all slots lie one after another (split.h).
CK_INLINE __m256i bytes_in_slots(__m256i bytes) {
    const __m256i order = _mm256_set_epi8(15, 13, 11, 9, 14, 12, 10, 8, 7, 5, 3, 1, 6, 4, 2, 0, //
                                          15, 13, 11, 9, 14, 12, 10, 8, 7, 5, 3, 1, 6, 4, 2, 0);
    return _mm256_shuffle_epi8(bytes, order);
}

#endif
