// What the twins of tiles have in common: halves of a float, and one multiplication of tiles.
#ifndef CK_SCALAR_TILES_H
#define CK_SCALAR_TILES_H

#include "../tiles.h"

#include <math.h>

CK_INLINE float widened(uint16_t word) {
    uint32_t bits = (uint32_t)word << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

CK_INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

/// To the nearest bfloat16, ties to even; a NaN stays one.
CK_INLINE uint16_t rounded(float x) {
    uint32_t bits = bits_of(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    // As the instruction has it, denormal numbers are zeros.
    if ((bits & 0x7f800000) == 0) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

CK_INLINE void split_pair(uint16_t *high, uint16_t *low, float x) {
    *high = rounded(x);
    *low = rounded(x - widened(*high));
}

CK_INLINE uint16_t *word_at(void *tile, size_t byte) { return (uint16_t *)(void *)((char *)tile + byte); }

CK_INLINE float flushed(float x) { return (bits_of(x) & 0x7f800000) == 0 ? copysignf(0, x) : x; }

/// c += a b for one element of a tile: row i of a, column j of b.
static float add_products(float c, const char *a, const char *b, size_t i, size_t j) {
    float sum[2] = {0, 0};
    for (size_t k = 0; k < CK_TILE_STEP; k++) {
        float x = flushed(widened(*word_at((void *)(uintptr_t)a, i * 64 + k * 2)));
        float y = flushed(widened(*word_at((void *)(uintptr_t)b, k / 2 * 64 + j * 4 + k % 2 * 2)));
        sum[k % 2] = flushed(fmaf(x, y, sum[k % 2]));
    }
    return flushed(flushed(c) + flushed(sum[0] + sum[1]));
}

/// 2^x for x <= 0, or a little above.
CK_INLINE float power(float x) {
    float whole = floorf(x), f = x - whole, p = CK_EXP2_4;
    p = fmaf(p, f, CK_EXP2_3);
    p = fmaf(p, f, CK_EXP2_2);
    p = fmaf(p, f, CK_EXP2_1);
    p = fmaf(p, f, CK_EXP2_0);
    return ldexpf(p, whole < -400 ? -400 : (int)whole);
}

#endif
