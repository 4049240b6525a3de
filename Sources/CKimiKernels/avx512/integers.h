// 16 groups of integer weights in AVX-512 registers, and what split.h and integer_matmul.h do with them. With CK_VNNI byte
// products are single instructions; without, they go through 16-bit sums, to the same integers.
#ifndef CK_AVX512_INTEGERS_H
#define CK_AVX512_INTEGERS_H

#include "lanes.h"

#include "../split.h"
#include "../vector/tile.h"

/// The most weight rows, and rows of x, in a tile of integer products.
#define CK_INTEGER_TILE 4

/// One slot of a block: four weights, as unsigned bytes, of each of 16 groups.
typedef __m512i slot;

/// 32 integers, 16 in each of q, as their lowest bytes in order.
CK_INLINE __m256i narrow(const __m512i q[2]) { return _mm256_set_m128i(_mm512_cvtepi32_epi8(q[1]), _mm512_cvtepi32_epi8(q[0])); }

/// A group's 32 bytes, in order, to its four of each slot; `to` are those of the first.
CK_INLINE void store_in_slots(void *to, __m256i bytes) {
    _Alignas(32) uint32_t words[CK_SPLIT_SLOTS];
    _mm256_store_si256((__m256i *)words, bytes_in_slots(bytes));
    for (size_t k = 0; k < CK_SPLIT_SLOTS; k++) memcpy((unsigned char *)to + k * 4 * CK_SPLIT_GROUPS, &words[k], 4);
}

/// Writes a group's 32 integers, given as 16 and 16 floats to be rounded, part by part, and the offsets.
CK_INLINE void store_group(split_block *to, size_t lane, lanes first, lanes second) {
    const __m512i half = _mm512_set1_epi32(128);
    __m512i q[2] = {_mm512_cvtps_epi32(first), _mm512_cvtps_epi32(second)}, rest[2], top[2];
    for (size_t k = 0; k < 2; k++) {
        rest[k] = _mm512_srai_epi32(_mm512_add_epi32(q[k], half), 8);
        top[k] = _mm512_srai_epi32(_mm512_add_epi32(rest[k], half), 8);
    }
    store_in_slots(&to->low[0][4 * lane], narrow(q)); // the low byte of each, signed, is what the upper parts leave
    int32_t sum = _mm512_reduce_add_epi32(_mm512_add_epi32(q[0], q[1]));
    store_in_slots(&to->high[0][4 * lane], narrow(rest));
    store_in_slots(&to->top[0][4 * lane], narrow(top));
    int32_t top_sum = _mm512_reduce_add_epi32(_mm512_add_epi32(top[0], top[1]));
    to->top_offset[lane] = -8 * top_sum;
    to->offset[lane] = -8 * (sum - 65536 * top_sum);
}

/// Writes a group's 32 values, given as 16 and 16 floats to be rounded, as unsigned bytes: the value + 128.
CK_INLINE void store_bytes(unsigned char *to, lanes first, lanes second) {
    const __m512i q[2] = {_mm512_cvtps_epi32(first), _mm512_cvtps_epi32(second)};
    store_in_slots(to, _mm256_xor_si256(narrow(q), _mm256_set1_epi8(-128)));
}

/// The slots of 16 groups of nibbles, 256 bytes: a transposition of words, four by four within quarters of registers, which runs
/// beside the products; then the nibbles of each byte apart.
CK_INLINE void load_nibbles(slot w[CK_SPLIT_SLOTS], const unsigned char *bytes) {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i a[4];
    for (size_t j = 0; j < 4; j++) a[j] = _mm512_loadu_si512(bytes + 64 * j); // groups 4j ... 4j + 3
    __m512i near_low = _mm512_unpacklo_epi32(a[0], a[1]), near_high = _mm512_unpackhi_epi32(a[0], a[1]);
    __m512i far_low = _mm512_unpacklo_epi32(a[2], a[3]), far_high = _mm512_unpackhi_epi32(a[2], a[3]);
    __m512i word[4] = {_mm512_unpacklo_epi64(near_low, far_low), _mm512_unpackhi_epi64(near_low, far_low),
                       _mm512_unpacklo_epi64(near_high, far_high), _mm512_unpackhi_epi64(near_high, far_high)};
    for (size_t d = 0; d < 4; d++) {
        w[2 * d] = _mm512_and_si512(word[d], nibble);
        w[2 * d + 1] = _mm512_and_si512(_mm512_srli_epi16(word[d], 4), nibble);
    }
}

/// The scales of 16 groups, or of the first count (1 ... 15) and zeros, in the order of lanes.
CK_INLINE lanes scales_in_lanes(__m256i words) {
    const __m256i order = _mm256_setr_epi16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return lanes_of_bf16(_mm256_permutexvar_epi16(order, words));
}
CK_INLINE lanes load_scales(const void *scales) { return scales_in_lanes(_mm256_loadu_si256(scales)); }
CK_INLINE lanes load_scales_part(const void *scales, size_t count) { return scales_in_lanes(words_part(scales, count)); }

CK_INLINE void load_bytes(slot w[CK_SPLIT_SLOTS], const unsigned char *bytes) {
    for (size_t k = 0; k < CK_SPLIT_SLOTS; k++) w[k] = _mm512_loadu_si512(bytes + 64 * k);
}

#ifdef CK_VNNI
/// The sums of 16 groups, part by part.
typedef struct part_sums {
    __m512i low, high, top;
} part_sums;

CK_INLINE part_sums first_sums(const split_block *x, int32_t type) {
    const int by = type == CK_INT8 ? 4 : 0; // 128 is 16 times 8
    part_sums s = {.low = _mm512_slli_epi32(_mm512_load_si512(x->offset), by)};
    s.high = _mm512_setzero_si512();
    s.top = _mm512_slli_epi32(_mm512_load_si512(x->top_offset), by);
    return s;
}

CK_INLINE void add_slot(part_sums *s, __m512i w, const split_block *x, size_t slot) {
    s->low = _mm512_dpbusd_epi32(s->low, w, _mm512_load_si512(x->low[slot]));
    s->high = _mm512_dpbusd_epi32(s->high, w, _mm512_load_si512(x->high[slot]));
    s->top = _mm512_dpbusd_epi32(s->top, w, _mm512_load_si512(x->top[slot]));
}

CK_INLINE lanes whole_sums(const part_sums *s) {
    lanes lower = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(s->high, 8), s->low));
    return lanes_fma(lanes_all(65536.0f), _mm512_cvtepi32_ps(s->top), lower);
}

/// sum[r][k] = the integer sums of 16 groups of weight row k and row r of x, offsets included, as floats. A part of an output is a
/// chain of instructions; from eight chains on their latency is hidden.
CK_INLINE void group_sums(lanes sum[][CK_INTEGER_TILE], const slot *const w[], size_t rows, const split_block *const x[], size_t n,
                          int32_t type) {
    part_sums s[CK_INTEGER_TILE][CK_INTEGER_TILE];
    CK_UNROLL for (size_t r = 0; r < n; r++)
        CK_UNROLL for (size_t k = 0; k < rows; k++) s[r][k] = first_sums(x[r], type);
    CK_UNROLL for (size_t i = 0; i < CK_SPLIT_SLOTS; i++)
        CK_UNROLL for (size_t r = 0; r < n; r++)
            CK_UNROLL for (size_t k = 0; k < rows; k++) add_slot(&s[r][k], w[k][i], x[r], i);
    CK_UNROLL for (size_t r = 0; r < n; r++)
        CK_UNROLL for (size_t k = 0; k < rows; k++) sum[r][k] = whole_sums(&s[r][k]);
}
#else
/// Sums of four products of nibbles and signed bytes: at most 8 * 2 * 15 * 128 on the way, which fits 16 bits.
CK_INLINE __m512i nibble_sums(const slot w[CK_SPLIT_SLOTS], const int8_t x[CK_SPLIT_SLOTS][64]) {
    __m512i sum = _mm512_maddubs_epi16(w[0], _mm512_load_si512(x[0]));
    CK_UNROLL for (size_t k = 1; k < CK_SPLIT_SLOTS; k++)
        sum = _mm512_add_epi16(sum, _mm512_maddubs_epi16(w[k], _mm512_load_si512(x[k])));
    return _mm512_madd_epi16(sum, _mm512_set1_epi16(1));
}

/// The sums of the two lower parts.
CK_INLINE __m512i lower_sums(const slot w[CK_SPLIT_SLOTS], const split_block *x) {
    __m512i low = nibble_sums(w, x->low);
    return _mm512_add_epi32(_mm512_slli_epi32(nibble_sums(w, x->high), 8), low);
}

CK_INLINE lanes row_sums(const slot w[CK_SPLIT_SLOTS], const split_block *x, int32_t type) {
    const lanes unit = lanes_all(65536.0f);
    __m512i offset = _mm512_load_si512(x->offset);
    __m512i top_offset = _mm512_load_si512(x->top_offset);
    if (type == CK_INT4) {
        lanes lower = _mm512_cvtepi32_ps(_mm512_add_epi32(lower_sums(w, x), offset));
        return lanes_fma(unit, _mm512_cvtepi32_ps(_mm512_add_epi32(nibble_sums(w, x->top), top_offset)), lower);
    }
    // Bytes go as two nibbles, since sums of their products would not fit 16 bits.
    slot upper[CK_SPLIT_SLOTS], lower[CK_SPLIT_SLOTS];
    CK_UNROLL for (size_t k = 0; k < CK_SPLIT_SLOTS; k++) {
        lower[k] = _mm512_and_si512(w[k], _mm512_set1_epi8(15));
        upper[k] = _mm512_and_si512(_mm512_srli_epi16(w[k], 4), _mm512_set1_epi8(15));
    }
    __m512i sum = _mm512_slli_epi32(_mm512_add_epi32(lower_sums(upper, x), offset), 4);
    lanes low = _mm512_cvtepi32_ps(_mm512_add_epi32(sum, lower_sums(lower, x)));
    sum = _mm512_slli_epi32(_mm512_add_epi32(nibble_sums(upper, x->top), top_offset), 4);
    return lanes_fma(unit, _mm512_cvtepi32_ps(_mm512_add_epi32(sum, nibble_sums(lower, x->top))), low);
}

/// sum[r][k] = the integer sums of 16 groups of weight row k and row r of x, offsets included, as floats.
CK_INLINE void group_sums(lanes sum[][CK_INTEGER_TILE], const slot *const w[], size_t rows, const split_block *const x[], size_t n,
                          int32_t type) {
    CK_UNROLL for (size_t r = 0; r < n; r++)
        CK_UNROLL for (size_t k = 0; k < rows; k++) sum[r][k] = row_sums(w[k], x[r], type);
}
#endif

#endif
