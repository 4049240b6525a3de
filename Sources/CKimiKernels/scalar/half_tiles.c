// Attention by tiles with one half of everything: the specification. Far too slow for anything but tests.
#include "tiles.h"

void ck_scalar_half_pack_queries(void *to, const float *q, size_t ldq, size_t rows, size_t size, float scale) {
    memset(to, 0, ck_query_bytes(size, 1));
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d < size; d++) {
            char *tile = (char *)to + d / CK_TILE_STEP * CK_TILE_BYTES;
            *word_at(tile, d % CK_TILE_STEP / 2 * 64 + r * 4 + d % 2 * 2) = rounded(q[r * ldq + d] * (scale * CK_LOG2_E));
        }
}

void ck_scalar_half_pack_keys(void *to, const float *k, size_t ldk, size_t rows, size_t size) {
    memset(to, 0, ck_key_bytes(size, 1));
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d < size; d++) {
            char *tile = (char *)to + (d / CK_TILE_STEP * 2 + r / CK_TILE) * CK_TILE_BYTES;
            *word_at(tile, r % CK_TILE * 64 + d % CK_TILE_STEP * 2) = rounded(k[r * ldk + d]);
        }
}

void ck_scalar_half_pack_values(void *to, const float *v, size_t ldv, size_t rows, size_t size) {
    memset(to, 0, ck_value_bytes(size, 1));
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d <= size; d++)
            *word_at(to, d * 64 + r % CK_TILE * 4 + r / CK_TILE * 2) = d < size ? rounded(v[r * ldv + d]) : CK_HALF_ONE;
}

/// 1024 (score - m) on CK_HALF_ROUNDER; a NaN stays one.
CK_INLINE float placed(float score, float most) {
    const float x = fmaf(score, 1024, fmaf(most, -1024, CK_HALF_ROUNDER));
    return CK_HALF_LOWEST > x ? CK_HALF_LOWEST : x;
}

/// A weight as a bfloat16.
CK_INLINE uint16_t weight(float score, float most) {
    static const uint8_t fractions[64] = CK_HALF_EXP2;
    const uint16_t word = (uint16_t)bits_of(placed(score, most));
    return (uint16_t)((1u << 16 | (uint16_t)(word - fractions[word >> 4 & 63])) >> 3);
}

void ck_scalar_half_tile_attention(float *y, size_t ldy, const void *q, size_t row_blocks, const void *k, const void *v,
                                   size_t tokens, size_t size, void *scratch) {
    char *weights = half_scratch_parts(scratch, size).weights;
    const size_t tiles = value_tiles(size, 1), steps = tile_steps(size);
    for (size_t row = 0; row < row_blocks * CK_TILE; row++) {
        const char *queries = (const char *)q + row / CK_TILE * ck_query_bytes(size, 1);
        float sums[4096 + 16] = {0}, most = 0;
        for (size_t block = 0; block < tokens; block += 32) {
            float x[32], largest = CK_NO_SCORE;
            int is_above = 0;
            for (size_t t = 0; t < 32; t++) {
                const char *keys = (const char *)k + block / 32 * ck_key_bytes(size, 1) + t / CK_TILE * CK_TILE_BYTES;
                x[t] = 0;
                for (size_t s = 0; s < steps; s++)
                    x[t] = add_products(
                        x[t], keys + 2 * s * CK_TILE_BYTES, queries + s * CK_TILE_BYTES, t % CK_TILE, row % CK_TILE);
                if (block + t >= tokens) x[t] = CK_NO_SCORE;
                if (!(x[t] < INFINITY))
                    largest = NAN;
                else if (x[t] > largest)
                    largest = x[t];
            }
            if (block == 0) most = largest;
            for (size_t t = 0; t < 32; t++) is_above |= bits_of(placed(x[t], most)) >= CK_HALF_BOUND;
            if (is_above) {
                const float factor = power(most - largest);
                most = largest;
                for (size_t c = 0; c < tiles * CK_TILE; c++) sums[c] *= factor;
            }
            for (size_t t = 0; t < 32; t++) *word_at(weights, t % CK_TILE * 64 + t / CK_TILE * 2) = weight(x[t], most);
            const char *values = (const char *)v + block / 32 * ck_value_bytes(size, 1);
            for (size_t c = 0; c < tiles * CK_TILE; c++)
                sums[c] = add_products(sums[c], values + c / CK_TILE * CK_TILE_BYTES, weights, c % CK_TILE, 0);
        }
        const float factor = 1 / sums[size];
        for (size_t d = 0; d < size; d++) y[row * ldy + d] = sums[d] * factor;
    }
}
