// 32 integers of 16 bits in an AVX-512 register, for products with int8 latents.
#ifndef CK_AVX512_WORDS_H
#define CK_AVX512_WORDS_H

#include "lanes.h"

// Register tiles: scores are heads x tokens, the sum over tokens is heads x 32 columns.
#define CK_SCORE_HEADS_INT8 4
#define CK_SCORE_TOKENS_INT8 4
#define CK_VALUE_HEADS_INT8 8

/// 32 words; 16 sums of their products by twos.
typedef __m512i words;
typedef __m512i sums;

CK_INLINE __mmask32 first_words(size_t count) { return (__mmask32)(((uint64_t)1 << count) - 1); }

/// a rounded to integers that fit, as words and as bytes; n (1 ... 16) of them are written.
CK_INLINE void lanes_store_words(void *p, lanes a, size_t n) {
    __m256i rounded = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a));
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), rounded);
}
CK_INLINE void lanes_store_bytes(void *p, lanes a, size_t n) {
    __m128i rounded = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a));
    _mm_mask_storeu_epi8(p, (__mmask16)((1u << n) - 1), rounded);
}

/// 16 signed bytes as floats.
CK_INLINE lanes lanes_of_bytes(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }
CK_INLINE lanes lanes_load_bytes(const void *p) { return lanes_of_bytes(_mm_loadu_si128(p)); }
CK_INLINE lanes lanes_load_bytes_part(const void *p, size_t count) {
    return lanes_of_bytes(_mm_maskz_loadu_epi8(first_lanes(count), p));
}

CK_INLINE words words_load(const void *p) { return _mm512_loadu_si512(p); }
/// The words from count (0 ... 31) on are 0.
CK_INLINE words words_load_part(const void *p, size_t count) { return _mm512_maskz_loadu_epi16(first_words(count), p); }
/// 32 signed bytes.
CK_INLINE words words_of_bytes(const void *p) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256(p)); }
CK_INLINE words words_of_bytes_part(const void *p, size_t count) {
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(first_words(count), p));
}
CK_INLINE words words_zero(void) { return _mm512_setzero_si512(); }
/// The same two words everywhere.
CK_INLINE words words_all_pairs(const int16_t *pair) {
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return _mm512_set1_epi32(both);
}
/// Word i of a beside word i of b, the pairs of half the columns in each, in an order that sums_columns undoes.
CK_INLINE void words_interleave(words to[2], words a, words b) {
    to[0] = _mm512_unpacklo_epi16(a, b);
    to[1] = _mm512_unpackhi_epi16(a, b);
}

CK_INLINE sums sums_zero(void) { return _mm512_setzero_si512(); }
#ifdef CK_VNNI
CK_INLINE sums sums_add(sums s, words a, words b) { return lanes_add_pairs(s, a, b); }
#else
CK_INLINE sums sums_add(sums s, words a, words b) { return _mm512_add_epi32(s, _mm512_madd_epi16(a, b)); }
#endif
/// The sums of interleaved columns 0 ... 15 and 16 ... 31 as floats.
CK_INLINE void sums_columns(lanes to[2], sums first, sums second) {
    const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i high = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    to[0] = _mm512_cvtepi32_ps(_mm512_permutex2var_epi32(first, low, second));
    to[1] = _mm512_cvtepi32_ps(_mm512_permutex2var_epi32(first, high, second));
}
/// y[j] = the total of s[j], as a float, for n (at most 16) of them.
CK_INLINE void sums_totals(float *y, const sums *s, size_t n) {
    if (n < 16) {
        for (size_t j = 0; j < n; j++) y[j] = (float)_mm512_reduce_add_epi32(s[j]);
        return;
    }
    // The shuffles of lanes_sum_sixteen.
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i a[8];
    for (size_t j = 0; j < 8; j++) {
        __m512i p = s[2 * j], q = s[2 * j + 1];
        a[j] = _mm512_add_epi32(_mm512_shuffle_i32x4(p, q, 0x44), _mm512_shuffle_i32x4(p, q, 0xee));
    }
    for (size_t j = 0; j < 4; j++)
        a[j] = _mm512_add_epi32(_mm512_shuffle_i32x4(a[2 * j], a[2 * j + 1], 0x88),
                                _mm512_shuffle_i32x4(a[2 * j], a[2 * j + 1], 0xdd));
    for (size_t j = 0; j < 2; j++)
        a[j] = _mm512_add_epi32(_mm512_unpacklo_epi64(a[2 * j], a[2 * j + 1]), _mm512_unpackhi_epi64(a[2 * j], a[2 * j + 1]));
    __m512 p = _mm512_castsi512_ps(a[0]), q = _mm512_castsi512_ps(a[1]);
    __m512i sum = _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(p, q, 0x88)),
                                   _mm512_castps_si512(_mm512_shuffle_ps(p, q, 0xdd)));
    _mm512_storeu_ps(y, _mm512_cvtepi32_ps(_mm512_permutexvar_epi32(order, sum)));
}

#endif
