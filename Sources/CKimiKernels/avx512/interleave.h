// 16 weight rows side by side: a 32-bit word of each in one AVX-512 register, and what narrow.h and narrow_matmul.h do with them.
// With CK_VNNI products of words are single instructions.
#ifndef CK_AVX512_INTERLEAVE_H
#define CK_AVX512_INTERLEAVE_H

#include "lanes.h"

#include "../narrow.h"
#include "../vector/tile.h"

/// Rows of x in a tile: what was measured best, see the design note.
#define CK_NARROW_X 7
#define CK_NARROW_X_16 7
#define CK_NARROW_X_8 5

/// A word of each of 16 weight rows: four bytes, two 16-bit integers, or their sums.
typedef __m512i sixteen;

CK_INLINE sixteen sixteen_zero(void) { return _mm512_setzero_si512(); }
/// The word at p in all lanes.
CK_INLINE sixteen sixteen_all(const void *p) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
}
CK_INLINE sixteen sixteen_shifted(sixteen a, int by) { return _mm512_slli_epi32(a, (unsigned)by); }
CK_INLINE lanes lanes_of_sixteen(sixteen a) { return _mm512_cvtepi32_ps(a); }
/// The low (0) or high (1) bfloat16 of each word.
CK_INLINE lanes lanes_of_word(sixteen a, size_t high) {
    return _mm512_castsi512_ps(high ? _mm512_and_si512(a, _mm512_set1_epi32((int)0xffff0000)) : _mm512_slli_epi32(a, 16));
}

/// sum + the products of each word's integers, weights in w and activations in x.
CK_INLINE sixteen sixteen_add(sixteen sum, sixteen w, sixteen x, int32_t type, int32_t bits) {
#ifdef CK_VNNI
    (void)type;
    return bits == 16 ? lanes_add_pairs(sum, w, x) : _mm512_dpbusd_epi32(sum, w, x);
#else
    if (bits == 16) return _mm512_add_epi32(sum, _mm512_madd_epi16(w, x));
    const __m512i one = _mm512_set1_epi16(1), nibble = _mm512_set1_epi8(15);
    if (type == CK_INT4) return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(w, x), one));
    // Bytes go as two nibbles, since sums of their products would not fit 16 bits.
    __m512i low = _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_and_si512(w, nibble), x), one);
    __m512i high = _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_and_si512(_mm512_srli_epi16(w, 4), nibble), x), one);
    return _mm512_add_epi32(sum, _mm512_add_epi32(low, _mm512_slli_epi32(high, 4)));
#endif
}

/// Rows of 16 words to words of 16 rows.
CK_INLINE void transpose(sixteen a[16]) {
    sixteen t[16];
    CK_UNROLL for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    CK_UNROLL for (size_t i = 0; i < 16; i += 4)
        CK_UNROLL for (size_t k = 0; k < 2; k++) {
            a[i + 2 * k] = _mm512_unpacklo_epi64(t[i + k], t[i + 2 + k]);
            a[i + 2 * k + 1] = _mm512_unpackhi_epi64(t[i + k], t[i + 2 + k]);
        }
    // a[4i + k] now has words k, 4 + k, 8 + k and 12 + k of rows 4i ... 4i + 3, a quarter of the register each.
    CK_UNROLL for (size_t k = 0; k < 4; k++) {
        sixteen low = _mm512_shuffle_i32x4(a[k], a[4 + k], 0x88), high = _mm512_shuffle_i32x4(a[k], a[4 + k], 0xdd);
        sixteen low_more = _mm512_shuffle_i32x4(a[8 + k], a[12 + k], 0x88);
        sixteen high_more = _mm512_shuffle_i32x4(a[8 + k], a[12 + k], 0xdd);
        t[k] = _mm512_shuffle_i32x4(low, low_more, 0x88);
        t[8 + k] = _mm512_shuffle_i32x4(low, low_more, 0xdd);
        t[4 + k] = _mm512_shuffle_i32x4(high, high_more, 0x88);
        t[12 + k] = _mm512_shuffle_i32x4(high, high_more, 0xdd);
    }
    CK_UNROLL for (size_t i = 0; i < 16; i++) a[i] = t[i];
}

/// 64 bytes each of 16 rows.
CK_INLINE void interleave_whole(sixteen to[16], const unsigned char *from, size_t stride) {
    CK_UNROLL for (size_t r = 0; r < 16; r++) to[r] = _mm512_loadu_si512(from + r * stride);
    transpose(to);
}
/// An even number of bytes, at most 64, of at most 16 rows, and zeros.
CK_INLINE void interleave_part(sixteen to[16], const unsigned char *from, size_t stride, size_t rows, size_t bytes) {
    const __mmask32 words = (__mmask32)(((uint64_t)1 << bytes / 2) - 1);
    CK_UNROLL for (size_t r = 0; r < 16; r++)
        to[r] = r < rows ? _mm512_maskz_loadu_epi16(words, from + r * stride) : sixteen_zero();
    transpose(to);
}

/// Eight nibbles of each row to two words of bytes or four of 16-bit integers, `step` registers apart.
CK_INLINE void nibbles_apart(sixteen *to, size_t step, sixteen a, int32_t bits) {
    if (bits == 8) {
        const __m512i nibble = _mm512_set1_epi8(15);
        to[0] = _mm512_and_si512(a, nibble);
        to[step] = _mm512_and_si512(_mm512_srli_epi16(a, 4), nibble);
        return;
    }
    const __m512i nibble = _mm512_set1_epi32(0x000f000f);
    CK_UNROLL for (size_t k = 0; k < 4; k++) to[k * step] = _mm512_and_si512(_mm512_srli_epi32(a, (unsigned)(4 * k)), nibble);
}

/// The low (0) or high (1) bfloat16 of two words as 16-bit integers side by side.
CK_INLINE sixteen integers(sixteen near, sixteen far, size_t high, lanes factor, __mmask16 counts) {
    __m512i a = _mm512_maskz_cvtps_epi32(counts, lanes_mul(lanes_of_word(near, high), factor));
    __m512i b = _mm512_maskz_cvtps_epi32(counts, lanes_mul(lanes_of_word(far, high), factor));
    return _mm512_mask_blend_epi16(0xaaaaaaaa, a, _mm512_slli_epi32(b, 16));
}

/// Makes the bf16 weights of a group, two in a word, integers of 16 bits; returns their scales.
CK_INLINE lanes integers_of_bf16(sixteen word[16]) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fff7fff);
    __m512i most = _mm512_and_si512(word[0], magnitude);
    CK_UNROLL for (size_t k = 1; k < 16; k++) most = _mm512_max_epu16(most, _mm512_and_si512(word[k], magnitude));
    most = _mm512_and_si512(_mm512_max_epu16(most, _mm512_srli_epi32(most, 16)), _mm512_set1_epi32(0xffff));
    const __mmask16 bad = _mm512_cmpge_epu32_mask(most, _mm512_set1_epi32(0x7f80));
    const __mmask16 counts = _mm512_cmpge_epu32_mask(most, _mm512_set1_epi32(CK_NARROW_LEAST)) & ~bad;
    // Exponents with their bias, as floats keep them.
    __m512i shift = _mm512_sub_epi32(_mm512_set1_epi32(14 + 127 + 127), _mm512_srli_epi32(most, 7));
    lanes factor = _mm512_castsi512_ps(_mm512_maskz_slli_epi32(counts, shift, 23)), part[4];
    CK_UNROLL for (size_t k = 0; k < 4; k++) part[k] = lanes_zero();
    CK_UNROLL for (size_t k = 0; k < 16; k++) {
        lanes even = lanes_mul(lanes_of_word(word[k], 0), factor), odd = lanes_mul(lanes_of_word(word[k], 1), factor);
        part[2 * (k % 2)] = lanes_fma(even, even, part[2 * (k % 2)]);
        part[2 * (k % 2) + 1] = lanes_fma(odd, odd, part[2 * (k % 2) + 1]);
    }
    lanes squares = lanes_add(lanes_add(part[0], part[2]), lanes_add(part[1], part[3]));
    CK_UNROLL for (size_t k = 0; k < 3; k++) {
        lanes limit = lanes_all((float)(1 << 2 * k) * CK_NARROW_SQUARES);
        shift = _mm512_mask_sub_epi32(shift, _mm512_cmp_ps_mask(squares, limit, _CMP_GT_OQ), shift, _mm512_set1_epi32(1));
    }
    factor = _mm512_castsi512_ps(_mm512_maskz_slli_epi32(counts, shift, 23));
    // Of eight columns, two in a word: 0 and 4, 1 and 5, 2 and 6, 3 and 7.
    CK_UNROLL for (size_t k = 0; k < 16; k += 4) {
        const sixteen from[4] = {word[k], word[k + 1], word[k + 2], word[k + 3]};
        CK_UNROLL for (size_t j = 0; j < 4; j++) word[k + j] = integers(from[j / 2], from[2 + j / 2], j % 2, factor, counts);
    }
    __m512i scale = _mm512_maskz_slli_epi32(counts, _mm512_sub_epi32(_mm512_set1_epi32(254), shift), 23);
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(scale, bad, _mm512_set1_epi32(0x7fc00000)));
}

/// Writes 32 values, given as 16 and 16 floats to be rounded, as 16-bit integers; returns their sum.
CK_INLINE int32_t store_words(int16_t *to, lanes first, lanes second) {
    const __m256i order = _mm256_set_epi8(15, 14, 7, 6, 13, 12, 5, 4, 11, 10, 3, 2, 9, 8, 1, 0, //
                                          15, 14, 7, 6, 13, 12, 5, 4, 11, 10, 3, 2, 9, 8, 1, 0);
    __m512i a = _mm512_cvtps_epi32(first), b = _mm512_cvtps_epi32(second);
    _mm256_storeu_si256((__m256i *)to, _mm256_shuffle_epi8(_mm512_cvtepi32_epi16(a), order));
    _mm256_storeu_si256((__m256i *)to + 1, _mm256_shuffle_epi8(_mm512_cvtepi32_epi16(b), order));
    return _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
}

/// The same as bytes, in the order of slots.
CK_INLINE int32_t store_slots(int8_t *to, lanes first, lanes second) {
    __m512i a = _mm512_cvtps_epi32(first), b = _mm512_cvtps_epi32(second);
    __m256i bytes = _mm256_set_m128i(_mm512_cvtepi32_epi8(b), _mm512_cvtepi32_epi8(a));
    _mm256_storeu_si256((__m256i *)to, bytes_in_slots(bytes));
    return _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
}

#endif
