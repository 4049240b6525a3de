// 16 groups of integer weights in pairs of AVX registers, and what split.h and integer_matmul.h do with them. Byte products go
// through 16-bit sums.
#ifndef CK_AVX2_INTEGERS_H
#define CK_AVX2_INTEGERS_H

#include "lanes.h"

#include "../split.h"
#include "../vector/tile.h"

/// The most weight rows, and rows of x, in a tile of integer products.
#define CK_INTEGER_TILE 4

/// One slot of a block: four weights, as unsigned bytes, of the groups in lanes 0 ... 7 and in lanes 8 ... 15.
typedef struct slot {
    __m256i half[2];
} slot;

/// 32 integers, eight in each of q, as signed bytes in order; they fit.
CK_INLINE __m256i narrow(const __m256i q[4]) {
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/// A group's 32 bytes, in order, to its four of each slot; `to` are those of the first.
CK_INLINE void store_in_slots(void *to, __m256i bytes) {
    _Alignas(32) uint32_t words[CK_SPLIT_SLOTS];
    _mm256_store_si256((__m256i *)words, bytes_in_slots(bytes));
    for (size_t k = 0; k < CK_SPLIT_SLOTS; k++) memcpy((unsigned char *)to + k * 4 * CK_SPLIT_GROUPS, &words[k], 4);
}

/// 32 floats as integers, nearest and ties to even, eight in each of q.
CK_INLINE void round_group(__m256i q[4], lanes first, lanes second) {
    q[0] = _mm256_cvtps_epi32(first.low);
    q[1] = _mm256_cvtps_epi32(first.high);
    q[2] = _mm256_cvtps_epi32(second.low);
    q[3] = _mm256_cvtps_epi32(second.high);
}

/// Writes a group's 32 integers, given as 16 and 16 floats to be rounded, part by part, and the offsets.
CK_INLINE void store_group(split_block *to, size_t lane, lanes first, lanes second) {
    const __m256i half = _mm256_set1_epi32(128);
    __m256i q[4], top[4], high[4], low[4], sum = _mm256_setzero_si256(), top_sum = sum;
    round_group(q, first, second);
    for (size_t k = 0; k < 4; k++) {
        __m256i rest = _mm256_srai_epi32(_mm256_add_epi32(q[k], half), 8);
        top[k] = _mm256_srai_epi32(_mm256_add_epi32(rest, half), 8);
        high[k] = _mm256_sub_epi32(rest, _mm256_slli_epi32(top[k], 8));
        low[k] = _mm256_sub_epi32(q[k], _mm256_slli_epi32(rest, 8));
        sum = _mm256_add_epi32(sum, q[k]);
        top_sum = _mm256_add_epi32(top_sum, top[k]);
    }
    store_in_slots(&to->low[0][4 * lane], narrow(low));
    store_in_slots(&to->high[0][4 * lane], narrow(high));
    store_in_slots(&to->top[0][4 * lane], narrow(top));
    int32_t upper = sum_of_eight(top_sum);
    to->top_offset[lane] = -8 * upper;
    to->offset[lane] = -8 * (sum_of_eight(sum) - 65536 * upper);
}

/// Writes a group's 32 values, given as 16 and 16 floats to be rounded, as unsigned bytes: the value + 128.
CK_INLINE void store_bytes(unsigned char *to, lanes first, lanes second) {
    __m256i q[4];
    round_group(q, first, second);
    store_in_slots(to, _mm256_xor_si256(narrow(q), _mm256_set1_epi8(-128)));
}

/// The slots of 16 groups of nibbles, 256 bytes: a transposition of words, four by four within halves of registers, then the
/// nibbles of each byte apart.
CK_INLINE void load_nibbles(slot w[CK_SPLIT_SLOTS], const unsigned char *bytes) {
    const __m256i nibble = _mm256_set1_epi8(15);
    for (size_t h = 0; h < 2; h++) {
        __m256i a[4];
        for (size_t j = 0; j < 4; j++) // groups 4j + 2h and the next
            a[j] = _mm256_loadu_si256((const __m256i *)(bytes + 64 * j + 32 * h));
        __m256i near_low = _mm256_unpacklo_epi32(a[0], a[1]), near_high = _mm256_unpackhi_epi32(a[0], a[1]);
        __m256i far_low = _mm256_unpacklo_epi32(a[2], a[3]), far_high = _mm256_unpackhi_epi32(a[2], a[3]);
        __m256i word[4] = {_mm256_unpacklo_epi64(near_low, far_low), _mm256_unpackhi_epi64(near_low, far_low),
                           _mm256_unpacklo_epi64(near_high, far_high), _mm256_unpackhi_epi64(near_high, far_high)};
        for (size_t d = 0; d < 4; d++) {
            w[2 * d].half[h] = _mm256_and_si256(word[d], nibble);
            w[2 * d + 1].half[h] = _mm256_and_si256(_mm256_srli_epi16(word[d], 4), nibble);
        }
    }
}

/// The scales of 16 groups in the order of lanes.
CK_INLINE lanes load_scales(const void *scales) {
    // Words 4 apart become neighbours in each half, then the halves' pairs take turns.
    const __m256i pairs = _mm256_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15, //
                                           0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    __m256i words = _mm256_shuffle_epi8(_mm256_loadu_si256(scales), pairs);
    words = _mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    __m256i low = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(words));
    __m256i high = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(words, 1));
    return CK_LANES(_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(high, 16)));
}
/// Of the first count (1 ... 15) groups, and zeros.
CK_INLINE lanes load_scales_part(const void *scales, size_t count) {
    uint16_t words[CK_SPLIT_GROUPS] = {0};
    memcpy(words, scales, 2 * count);
    return load_scales(words);
}

CK_INLINE void load_bytes(slot w[CK_SPLIT_SLOTS], const unsigned char *bytes) {
    for (size_t k = 0; k < CK_SPLIT_SLOTS; k++)
        for (size_t h = 0; h < 2; h++) w[k].half[h] = _mm256_loadu_si256((const __m256i *)(bytes + 64 * k + 32 * h));
}

/// Sums of four products of nibbles and signed bytes: at most 8 * 2 * 15 * 128 on the way, which fits 16 bits.
CK_INLINE __m256i nibble_sums(const slot w[CK_SPLIT_SLOTS], size_t h, const int8_t x[CK_SPLIT_SLOTS][64]) {
    __m256i sum = _mm256_maddubs_epi16(w[0].half[h], _mm256_load_si256((const __m256i *)(x[0] + 32 * h)));
    CK_UNROLL for (size_t k = 1; k < CK_SPLIT_SLOTS; k++)
        sum = _mm256_add_epi16(
            sum, _mm256_maddubs_epi16(w[k].half[h], _mm256_load_si256((const __m256i *)(x[k] + 32 * h))));
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}

/// The sums of the two lower parts.
CK_INLINE __m256i lower_sums(const slot w[CK_SPLIT_SLOTS], size_t h, const split_block *x) {
    __m256i low = nibble_sums(w, h, x->low);
    return _mm256_add_epi32(_mm256_slli_epi32(nibble_sums(w, h, x->high), 8), low);
}

CK_INLINE __m256 half_sums(const slot w[CK_SPLIT_SLOTS], size_t h, const split_block *x, int32_t type) {
    const __m256 unit = _mm256_set1_ps(65536.0f);
    __m256i offset = _mm256_load_si256((const __m256i *)(x->offset + 8 * h));
    __m256i top_offset = _mm256_load_si256((const __m256i *)(x->top_offset + 8 * h));
    if (type == CK_INT4) {
        __m256 lower = _mm256_cvtepi32_ps(_mm256_add_epi32(lower_sums(w, h, x), offset));
        return _mm256_fmadd_ps(unit, _mm256_cvtepi32_ps(_mm256_add_epi32(nibble_sums(w, h, x->top), top_offset)), lower);
    }
    // Bytes go as two nibbles, since sums of their products would not fit 16 bits.
    slot upper[CK_SPLIT_SLOTS], lower[CK_SPLIT_SLOTS];
    CK_UNROLL for (size_t k = 0; k < CK_SPLIT_SLOTS; k++) {
        lower[k].half[h] = _mm256_and_si256(w[k].half[h], _mm256_set1_epi8(15));
        upper[k].half[h] = _mm256_and_si256(_mm256_srli_epi16(w[k].half[h], 4), _mm256_set1_epi8(15));
    }
    __m256i sum = _mm256_slli_epi32(_mm256_add_epi32(lower_sums(upper, h, x), offset), 4);
    __m256 low = _mm256_cvtepi32_ps(_mm256_add_epi32(sum, lower_sums(lower, h, x)));
    sum = _mm256_slli_epi32(_mm256_add_epi32(nibble_sums(upper, h, x->top), top_offset), 4);
    return _mm256_fmadd_ps(unit, _mm256_cvtepi32_ps(_mm256_add_epi32(sum, nibble_sums(lower, h, x->top))), low);
}

/// sum[r][k] = the integer sums of 16 groups of weight row k and row r of x, offsets included, as floats.
CK_INLINE void group_sums(lanes sum[][CK_INTEGER_TILE], const slot *const w[], size_t rows, const split_block *const x[], size_t n,
                          int32_t type) {
    CK_UNROLL for (size_t r = 0; r < n; r++)
        CK_UNROLL for (size_t k = 0; k < rows; k++)
            sum[r][k] = CK_LANES(half_sums(w[k], 0, x[r], type), half_sums(w[k], 1, x[r], type));
}

#endif
