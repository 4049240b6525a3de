// The 16 lanes of a dot product in two AVX registers, and the operations that vector/*.h are written in.
//
// Including this file opens a region in which functions may use AVX2, FMA and F16C; a source file ends with
// `#pragma clang attribute pop`. "part" functions touch only the first `count` (1 ... 15) elements of memory.
#ifndef CK_AVX2_LANES_H
#define CK_AVX2_LANES_H

#include "../exp.h"

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define CK_NAME(function) ck_avx2_##function

// Register tiles, out of 16 registers of 8 lanes. A product with many rows of x: weight rows x rows of x.
#define CK_PANEL_W 2
#define CK_PANEL_X 2
// A streamed product: up to CK_STREAM_X rows of x, at most CK_STREAM_W weight rows
// (CK_STREAM_W_ONE for one row of x), so many sums of two registers.
#define CK_STREAM_X 4
#define CK_STREAM_W 4
#define CK_STREAM_W_ONE 4
#define CK_STREAM_SUMS 6
// Attention's scores: heads x tokens; and its sum over tokens: heads x 16 columns.
#define CK_SCORE_HEADS 3
#define CK_SCORE_TOKENS 2
#define CK_VALUE_HEADS 4
#define CK_VALUE_W 1
// Expanded attention's scores: sixteens of rows x tokens; and its sum over tokens: rows x 16 columns.
#define CK_EXPANDED_ROWS 1
#define CK_EXPANDED_TOKENS 4
#define CK_EXPANDED_SUMS 4
#define CK_EXPANDED_W 1

/// Lanes 0 ... 7 and 8 ... 15.
typedef struct lanes {
    __m256 low, high;
} lanes;

#define CK_LANES(low, high) ((lanes){low, high})

/// All ones in the lanes below count, of the eight that start at `from`.
CK_INLINE __m256i first_lanes(size_t count, int from) {
    const __m256i number = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count - from), number);
}

CK_INLINE lanes lanes_zero(void) { return CK_LANES(_mm256_setzero_ps(), _mm256_setzero_ps()); }
CK_INLINE lanes lanes_all(float value) { return CK_LANES(_mm256_set1_ps(value), _mm256_set1_ps(value)); }

CK_INLINE lanes lanes_load(const void *p) {
    return CK_LANES(_mm256_loadu_ps(p), _mm256_loadu_ps((const float *)p + 8));
}
/// The lanes from count on are 0.
CK_INLINE lanes lanes_load_part(const void *p, size_t count) {
    return CK_LANES(_mm256_maskload_ps(p, first_lanes(count, 0)),
                    _mm256_maskload_ps((const float *)p + 8, first_lanes(count, 8)));
}
CK_INLINE void lanes_store(float *p, lanes a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}
CK_INLINE void lanes_store_part(float *p, lanes a, size_t count) {
    _mm256_maskstore_ps(p, first_lanes(count, 0), a.low);
    _mm256_maskstore_ps(p + 8, first_lanes(count, 8), a.high);
}

CK_INLINE __m256 eight_of_bf16(__m128i words) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
}
CK_INLINE lanes lanes_load_bf16(const void *p) {
    return CK_LANES(eight_of_bf16(_mm_loadu_si128(p)), eight_of_bf16(_mm_loadu_si128((const __m128i *)p + 1)));
}
CK_INLINE lanes lanes_load_bf16_part(const void *p, size_t count) {
    uint16_t words[16] = {0};
    memcpy(words, p, 2 * count);
    return lanes_load_bf16(words);
}
CK_INLINE lanes lanes_load_f16(const void *p) {
    return CK_LANES(_mm256_cvtph_ps(_mm_loadu_si128(p)), _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p + 1)));
}
CK_INLINE lanes lanes_load_f16_part(const void *p, size_t count) {
    uint16_t words[16] = {0};
    memcpy(words, p, 2 * count);
    return lanes_load_f16(words);
}

/// Eight int4 weights from 4 bytes, times their scale.
CK_INLINE __m256 eight_of_int4(const unsigned char *bytes, __m256 scale) {
    const __m256i shift = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    __m256i nibble = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(word), shift), _mm256_set1_epi32(15));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(nibble, _mm256_set1_epi32(8))), scale);
}
/// The 32 weights of an int4 group from its 16 bytes, times their scale.
CK_INLINE void lanes_load_int4(lanes w[2], const void *bytes, float scale) {
    const unsigned char *p = bytes;
    __m256 s = _mm256_set1_ps(scale);
    w[0] = CK_LANES(eight_of_int4(p, s), eight_of_int4(p + 4, s));
    w[1] = CK_LANES(eight_of_int4(p + 8, s), eight_of_int4(p + 12, s));
}

#define CK_EACH(operation, a, b) CK_LANES(operation(a.low, b.low), operation(a.high, b.high))
CK_INLINE lanes lanes_add(lanes a, lanes b) { return CK_EACH(_mm256_add_ps, a, b); }
CK_INLINE lanes lanes_sub(lanes a, lanes b) { return CK_EACH(_mm256_sub_ps, a, b); }
CK_INLINE lanes lanes_mul(lanes a, lanes b) { return CK_EACH(_mm256_mul_ps, a, b); }
CK_INLINE lanes lanes_div(lanes a, lanes b) { return CK_EACH(_mm256_div_ps, a, b); }
/// b where either is NaN.
CK_INLINE lanes lanes_max(lanes a, lanes b) { return CK_EACH(_mm256_max_ps, a, b); }
CK_INLINE lanes lanes_min(lanes a, lanes b) { return CK_EACH(_mm256_min_ps, a, b); }
CK_INLINE lanes lanes_absolute(lanes a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return CK_LANES(_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high));
}

/// a * b + c
CK_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
    return CK_LANES(_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high));
}
/// c - a * b
CK_INLINE lanes lanes_fma_negated(lanes a, lanes b, lanes c) {
    return CK_LANES(_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high));
}
/// a in the first count lanes, b in the others.
CK_INLINE lanes lanes_choose_part(lanes a, lanes b, size_t count) {
    return CK_LANES(_mm256_blendv_ps(b.low, a.low, _mm256_castsi256_ps(first_lanes(count, 0))),
                    _mm256_blendv_ps(b.high, a.high, _mm256_castsi256_ps(first_lanes(count, 8))));
}
/// a * b + c in the first count lanes, c in the others: adding 0 * 0 would turn a -0 into +0.
CK_INLINE lanes lanes_fma_part(lanes a, lanes b, lanes c, size_t count) {
    return lanes_choose_part(lanes_fma(a, b, c), c, count);
}
/// 0 where x < limit, else y.
CK_INLINE lanes lanes_zero_below(lanes x, lanes limit, lanes y) {
    return CK_LANES(_mm256_and_ps(_mm256_cmp_ps(x.low, limit.low, _CMP_NLT_UQ), y.low),
                    _mm256_and_ps(_mm256_cmp_ps(x.high, limit.high, _CMP_NLT_UQ), y.high));
}

/// p * 2^n for the n in the low bits of `shifted` (exp.h), in two steps because 2^128 is not a float.
CK_INLINE __m256 eight_times_power(__m256 p, __m256 shifted) {
    const __m256i bias = _mm256_set1_epi32(127);
    __m256i power = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(_mm256_set1_ps(CK_EXP_ROUNDER)));
    __m256i half = _mm256_srai_epi32(power, 1);
    __m256i rest = _mm256_sub_epi32(power, half);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}
/// The same for 16 lanes; `n` as a float is what AVX-512 wants.
CK_INLINE lanes lanes_times_power(lanes p, lanes n, lanes shifted) {
    (void)n;
    return CK_EACH(eight_times_power, p, shifted);
}

/// The end of every dot product: halves added until one lane is left.
CK_INLINE float lanes_sum(lanes a) {
    __m256 eight = _mm256_add_ps(a.low, a.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// y[j] = lanes_sum(a[j * stride]) for j < 16.
CK_INLINE void lanes_sum_sixteen(float *y, const lanes *a, size_t stride) {
    for (size_t j = 0; j < 16; j++) y[j] = lanes_sum(a[j * stride]);
}

/// y[j] = lanes_sum(a[j]) for j < CK_PANEL_W.
CK_INLINE void lanes_sum_panel(float *y, const lanes *a) {
    for (size_t j = 0; j < CK_PANEL_W; j++) y[j] = lanes_sum(a[j]);
}

/// The largest lane; none may be NaN.
CK_INLINE float lanes_largest(lanes a) {
    __m256 eight = _mm256_max_ps(a.low, a.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/// Whether any lane is infinite or NaN.
CK_INLINE int lanes_any_not_finite(lanes a) {
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);
    __m256i low = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(a.low), exponent), exponent);
    __m256i high = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(a.high), exponent), exponent);
    return _mm256_movemask_epi8(_mm256_or_si256(low, high)) != 0;
}

/// Rounds eight floats to bfloat16 in the low half of each 32-bit lane: nearest, ties to even; NaN becomes quiet.
CK_INLINE __m256i eight_to_bf16(__m256 a) {
    __m256i bits = _mm256_castps_si256(a);
    __m256i high = _mm256_srli_epi32(bits, 16);
    __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    return _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
}
CK_INLINE void lanes_store_bf16(void *p, lanes a) {
    // Packing works within 128-bit halves; the permutation puts the quarters back in order.
    __m256i packed = _mm256_packus_epi32(eight_to_bf16(a.low), eight_to_bf16(a.high));
    _mm256_storeu_si256(p, _mm256_permute4x64_epi64(packed, 0xd8));
}
CK_INLINE void lanes_store_bf16_part(void *p, lanes a, size_t count) {
    uint16_t words[16];
    lanes_store_bf16(words, a);
    memcpy(p, words, 2 * count);
}

CK_INLINE int32_t sum_of_eight(__m256i a) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

/// A group's 32 bytes, in order of columns, as its words of all slots lie one after another (split.h).
CK_INLINE __m256i bytes_in_slots(__m256i bytes) {
    const __m256i order = _mm256_set_epi8(15, 13, 11, 9, 14, 12, 10, 8, 7, 5, 3, 1, 6, 4, 2, 0, //
                                          15, 13, 11, 9, 14, 12, 10, 8, 7, 5, 3, 1, 6, 4, 2, 0);
    return _mm256_shuffle_epi8(bytes, order);
}

#endif
