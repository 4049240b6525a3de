// 16 weight rows side by side: a 32-bit word of each in two AVX registers, and what narrow.h and narrow_matmul.h do with them.
#ifndef CK_AVX2_INTERLEAVE_H
#define CK_AVX2_INTERLEAVE_H

#include "lanes.h"

#include "../narrow.h"
#include "../vector/tile.h"

/// Rows of x in a tile, for registers' sake.
#define CK_NARROW_X 2
#define CK_NARROW_X_16 2
#define CK_NARROW_X_8 2

/// A word of each of 16 weight rows, 0 ... 7 and 8 ... 15: four bytes, two 16-bit integers, or their sums.
typedef struct sixteen {
    __m256i low, high;
} sixteen;

CK_INLINE sixteen sixteen_of(__m256i low, __m256i high) { return (sixteen){low, high}; }
CK_INLINE sixteen sixteen_zero(void) { return sixteen_of(_mm256_setzero_si256(), _mm256_setzero_si256()); }
/// The word at p in all lanes.
CK_INLINE sixteen sixteen_all(const void *p) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    return sixteen_of(_mm256_set1_epi32(word), _mm256_set1_epi32(word));
}
CK_INLINE sixteen sixteen_shifted(sixteen a, int by) {
    return sixteen_of(_mm256_slli_epi32(a.low, by), _mm256_slli_epi32(a.high, by));
}
CK_INLINE lanes lanes_of_sixteen(sixteen a) { return CK_LANES(_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)); }
/// The low (0) or high (1) bfloat16 of each of eight words.
CK_INLINE __m256 eight_of_word(__m256i a, size_t high) {
    return _mm256_castsi256_ps(high ? _mm256_and_si256(a, _mm256_set1_epi32((int)0xffff0000)) : _mm256_slli_epi32(a, 16));
}
CK_INLINE lanes lanes_of_word(sixteen a, size_t high) { return CK_LANES(eight_of_word(a.low, high), eight_of_word(a.high, high)); }

/// The products of eight words' integers, added within words.
CK_INLINE __m256i eight_products(__m256i w, __m256i x, int32_t type, int32_t bits) {
    if (bits == 16) return _mm256_madd_epi16(w, x);
    const __m256i one = _mm256_set1_epi16(1), nibble = _mm256_set1_epi8(15);
    if (type == CK_INT4) return _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), one);
    // Bytes go as two nibbles, since sums of their products would not fit 16 bits.
    __m256i low = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_and_si256(w, nibble), x), one);
    __m256i high = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(w, 4), nibble), x), one);
    return _mm256_add_epi32(low, _mm256_slli_epi32(high, 4));
}

/// sum + the products of each word's integers, weights in w and activations in x.
CK_INLINE sixteen sixteen_add(sixteen sum, sixteen w, sixteen x, int32_t type, int32_t bits) {
    return sixteen_of(_mm256_add_epi32(sum.low, eight_products(w.low, x.low, type, bits)),
                      _mm256_add_epi32(sum.high, eight_products(w.high, x.high, type, bits)));
}

/// An even number of bytes, at most 64, of at most 16 rows, and zeros: rows of words to words of rows, through memory.
CK_INLINE void interleave_part(sixteen to[16], const unsigned char *from, size_t stride, size_t rows, size_t bytes) {
    uint32_t turned[16][16] = {{0}};
    for (size_t r = 0; r < rows; r++) {
        uint32_t word[16] = {0};
        memcpy(word, from + r * stride, bytes);
        for (size_t k = 0; k < 16; k++) turned[k][r] = word[k];
    }
    for (size_t k = 0; k < 16; k++)
        to[k] = sixteen_of(_mm256_loadu_si256((const __m256i *)turned[k]), _mm256_loadu_si256((const __m256i *)(turned[k] + 8)));
}
/// 64 bytes each of 16 rows.
CK_INLINE void interleave_whole(sixteen to[16], const unsigned char *from, size_t stride) {
    interleave_part(to, from, stride, 16, 64);
}

/// Eight nibbles of each of eight rows to a word: of bytes, or of 16-bit integers.
CK_INLINE __m256i nibbles_of_eight(__m256i a, size_t k, int32_t bits) {
    if (bits == 8) return _mm256_and_si256(_mm256_srli_epi16(a, (int)(4 * k)), _mm256_set1_epi8(15));
    return _mm256_and_si256(_mm256_srli_epi32(a, (int)(4 * k)), _mm256_set1_epi32(0x000f000f));
}
/// Eight nibbles of each row to two words of bytes or four of 16-bit integers, `step` words apart.
CK_INLINE void nibbles_apart(sixteen *to, size_t step, sixteen a, int32_t bits) {
    CK_UNROLL for (size_t k = 0; k < (size_t)(bits == 8 ? 2 : 4); k++)
        to[k * step] = sixteen_of(nibbles_of_eight(a.low, k, bits), nibbles_of_eight(a.high, k, bits));
}

/// 2^(exponent - 127) where `counts`, else 0.
CK_INLINE __m256 eight_powers(__m256i exponent, __m256i counts) {
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_slli_epi32(exponent, 23), counts));
}

/// Eight rows of integers_of_bf16.
CK_INLINE __m256 eight_integers_of_bf16(__m256i word[16]) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fff7fff);
    __m256i most = _mm256_and_si256(word[0], magnitude);
    for (size_t k = 1; k < 16; k++) most = _mm256_max_epu16(most, _mm256_and_si256(word[k], magnitude));
    most = _mm256_and_si256(_mm256_max_epu16(most, _mm256_srli_epi32(most, 16)), _mm256_set1_epi32(0xffff));
    const __m256i bad = _mm256_cmpgt_epi32(most, _mm256_set1_epi32(0x7f7f));
    const __m256i counts = _mm256_andnot_si256(bad, _mm256_cmpgt_epi32(most, _mm256_set1_epi32(CK_NARROW_LEAST - 1)));
    // Exponents with their bias, as floats keep them.
    __m256i shift = _mm256_sub_epi32(_mm256_set1_epi32(14 + 127 + 127), _mm256_srli_epi32(most, 7));
    __m256 factor = eight_powers(shift, counts), part[4];
    for (size_t k = 0; k < 4; k++) part[k] = _mm256_setzero_ps();
    for (size_t k = 0; k < 16; k++)
        for (size_t odd = 0; odd < 2; odd++) {
            __m256 value = _mm256_mul_ps(eight_of_word(word[k], odd), factor), *to = &part[2 * (k % 2) + odd];
            *to = _mm256_fmadd_ps(value, value, *to);
        }
    __m256 squares = _mm256_add_ps(_mm256_add_ps(part[0], part[2]), _mm256_add_ps(part[1], part[3]));
    for (size_t k = 0; k < 3; k++) { // a comparison is -1 where it holds
        __m256 limit = _mm256_set1_ps((float)(1 << 2 * k) * CK_NARROW_SQUARES);
        shift = _mm256_add_epi32(shift, _mm256_castps_si256(_mm256_cmp_ps(squares, limit, _CMP_GT_OQ)));
    }
    factor = eight_powers(shift, counts);
    // Of eight columns, two in a word: 0 and 4, 1 and 5, 2 and 6, 3 and 7.
    for (size_t k = 0; k < 16; k += 4) {
        const __m256i from[4] = {word[k], word[k + 1], word[k + 2], word[k + 3]};
        for (size_t j = 0; j < 4; j++) {
            __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(eight_of_word(from[j / 2], j % 2), factor));
            __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(eight_of_word(from[2 + j / 2], j % 2), factor));
            word[k + j] = _mm256_and_si256(_mm256_blend_epi16(a, _mm256_slli_epi32(b, 16), 0xaa), counts);
        }
    }
    __m256 scale = eight_powers(_mm256_sub_epi32(_mm256_set1_epi32(254), shift), counts);
    return _mm256_blendv_ps(scale, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000)), _mm256_castsi256_ps(bad));
}

/// Makes the bf16 weights of a group, two in a word, integers of 16 bits; returns their scales.
CK_INLINE lanes integers_of_bf16(sixteen word[16]) {
    __m256i low[16], high[16];
    for (size_t k = 0; k < 16; k++) {
        low[k] = word[k].low;
        high[k] = word[k].high;
    }
    lanes scale = CK_LANES(eight_integers_of_bf16(low), eight_integers_of_bf16(high));
    for (size_t k = 0; k < 16; k++) word[k] = sixteen_of(low[k], high[k]);
    return scale;
}

/// 32 floats as 16-bit integers in order, nearest and ties to even; returns their sum.
CK_INLINE int32_t words_of_lanes(__m256i words[2], lanes first, lanes second) {
    __m256i a = _mm256_cvtps_epi32(first.low), b = _mm256_cvtps_epi32(first.high);
    __m256i c = _mm256_cvtps_epi32(second.low), d = _mm256_cvtps_epi32(second.high);
    // Packing works within 128-bit halves; the permutation puts the quarters back in order.
    words[0] = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    words[1] = _mm256_permute4x64_epi64(_mm256_packs_epi32(c, d), 0xd8);
    return sum_of_eight(_mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d)));
}

/// Writes 32 values, given as 16 and 16 floats to be rounded, as 16-bit integers; returns their sum.
CK_INLINE int32_t store_words(int16_t *to, lanes first, lanes second) {
    const __m256i order = _mm256_set_epi8(15, 14, 7, 6, 13, 12, 5, 4, 11, 10, 3, 2, 9, 8, 1, 0, //
                                          15, 14, 7, 6, 13, 12, 5, 4, 11, 10, 3, 2, 9, 8, 1, 0);
    __m256i words[2];
    int32_t sum = words_of_lanes(words, first, second);
    _mm256_storeu_si256((__m256i *)to, _mm256_shuffle_epi8(words[0], order));
    _mm256_storeu_si256((__m256i *)to + 1, _mm256_shuffle_epi8(words[1], order));
    return sum;
}

/// The same as bytes, in the order of slots.
CK_INLINE int32_t store_slots(int8_t *to, lanes first, lanes second) {
    __m256i words[2];
    int32_t sum = words_of_lanes(words, first, second);
    __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(words[0], words[1]), 0xd8);
    _mm256_storeu_si256((__m256i *)to, bytes_in_slots(bytes));
    return sum;
}

#endif
