// 32 integers of 16 bits in two AVX registers, for products with int8 latents.
#ifndef CK_AVX2_WORDS_H
#define CK_AVX2_WORDS_H

#include "lanes.h"

// Register tiles: scores are heads x tokens, the sum over tokens is heads x 32 columns.
#define CK_SCORE_HEADS_INT8 2
#define CK_SCORE_TOKENS_INT8 2
#define CK_VALUE_HEADS_INT8 2

/// 32 words; 16 sums of their products by twos.
typedef struct words {
    __m256i low, high;
} words;
typedef words sums;

#define CK_WORDS(low, high) ((words){low, high})

CK_INLINE __m256i sixteen_words(lanes a) {
    __m256i packed = _mm256_packs_epi32(_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high));
    return _mm256_permute4x64_epi64(packed, 0xd8);
}
/// a rounded to integers that fit, as words and as bytes; n (1 ... 16) of them are written.
CK_INLINE void lanes_store_words(void *p, lanes a, size_t n) {
    int16_t rounded[16];
    _mm256_storeu_si256((__m256i *)rounded, sixteen_words(a));
    memcpy(p, rounded, 2 * n);
}
CK_INLINE void lanes_store_bytes(void *p, lanes a, size_t n) {
    __m256i rounded = sixteen_words(a);
    int8_t bytes[16];
    _mm_storeu_si128((__m128i *)bytes, _mm_packs_epi16(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1)));
    memcpy(p, bytes, n);
}

/// 16 signed bytes as floats.
CK_INLINE lanes lanes_load_bytes(const void *p) {
    __m128i bytes = _mm_loadu_si128(p);
    return CK_LANES(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))));
}
CK_INLINE lanes lanes_load_bytes_part(const void *p, size_t count) {
    int8_t bytes[16] = {0};
    memcpy(bytes, p, count);
    return lanes_load_bytes(bytes);
}

CK_INLINE words words_load(const void *p) {
    return CK_WORDS(_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1));
}
/// The words from count (0 ... 31) on are 0.
CK_INLINE words words_load_part(const void *p, size_t count) {
    int16_t part[32] = {0};
    memcpy(part, p, 2 * count);
    return words_load(part);
}
/// 32 signed bytes.
CK_INLINE words words_of_bytes(const void *p) {
    return CK_WORDS(_mm256_cvtepi8_epi16(_mm_loadu_si128(p)), _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p + 1)));
}
CK_INLINE words words_of_bytes_part(const void *p, size_t count) {
    int8_t part[32] = {0};
    memcpy(part, p, count);
    return words_of_bytes(part);
}
CK_INLINE words words_zero(void) { return CK_WORDS(_mm256_setzero_si256(), _mm256_setzero_si256()); }
/// The same two words everywhere.
CK_INLINE words words_all_pairs(const int16_t *pair) {
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return CK_WORDS(_mm256_set1_epi32(both), _mm256_set1_epi32(both));
}
/// Word i of a beside word i of b, the pairs of half the columns in each, in an order that sums_columns undoes.
CK_INLINE void words_interleave(words to[2], words a, words b) {
    to[0] = CK_WORDS(_mm256_unpacklo_epi16(a.low, b.low), _mm256_unpacklo_epi16(a.high, b.high));
    to[1] = CK_WORDS(_mm256_unpackhi_epi16(a.low, b.low), _mm256_unpackhi_epi16(a.high, b.high));
}

CK_INLINE sums sums_zero(void) { return words_zero(); }
CK_INLINE sums sums_add(sums s, words a, words b) {
    return CK_WORDS(_mm256_add_epi32(s.low, _mm256_madd_epi16(a.low, b.low)),
                    _mm256_add_epi32(s.high, _mm256_madd_epi16(a.high, b.high)));
}
/// The sums of interleaved columns 0 ... 15 and 16 ... 31 as floats.
CK_INLINE void sums_columns(lanes to[2], sums first, sums second) {
    to[0] = CK_LANES(_mm256_cvtepi32_ps(_mm256_permute2x128_si256(first.low, second.low, 0x20)),
                     _mm256_cvtepi32_ps(_mm256_permute2x128_si256(first.low, second.low, 0x31)));
    to[1] = CK_LANES(_mm256_cvtepi32_ps(_mm256_permute2x128_si256(first.high, second.high, 0x20)),
                     _mm256_cvtepi32_ps(_mm256_permute2x128_si256(first.high, second.high, 0x31)));
}
/// y[j] = the total of s[j], as a float, for n of them.
CK_INLINE void sums_totals(float *y, const sums *s, size_t n) {
    for (size_t j = 0; j < n; j++) {
        __m256i eight = _mm256_add_epi32(s[j].low, s[j].high);
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        y[j] = (float)_mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
    }
}

#endif
