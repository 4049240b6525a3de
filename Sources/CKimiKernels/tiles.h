// The layout of tiles, shared by the twins.
#ifndef CK_TILES_LAYOUT_H
#define CK_TILES_LAYOUT_H

#include "kernels.h"
#include "include/ck_tiles.h"

/// Bytes of a tile.
#define CK_TILE_BYTES 1024

CK_INLINE size_t tile_steps(size_t columns) { return (columns + CK_TILE_STEP - 1) / CK_TILE_STEP; }

/// Tiles of 16 queries or keys: high, low and high halves of the query side by side, against high, high and low of the key.
CK_INLINE size_t query_steps(size_t size) { return tile_steps(3 * size); }
/// Tiles of 32 values: high halves and low ones side by side; and those that hold high halves.
CK_INLINE size_t value_tiles(size_t size) { return (2 * size + CK_TILE - 1) / CK_TILE; }
CK_INLINE size_t high_value_tiles(size_t size) { return (size + CK_TILE - 1) / CK_TILE; }

/// log2(e)
#define CK_LOG2_E 1.44269504088896340736f

/// A score that is no one's.
#define CK_NO_SCORE -1e30f
/// How far scores may pass the m that weights are relative to.
#define CK_SCORE_SLACK 8.0f

/// 2^f for 0 <= f < 1, by its Chebyshev approximation: off by 2e-7.
#define CK_EXP2_0 9.9999994e-1f
#define CK_EXP2_1 6.9315308e-1f
#define CK_EXP2_2 2.4015361e-1f
#define CK_EXP2_3 5.5826318e-2f
#define CK_EXP2_4 8.9893397e-3f
#define CK_EXP2_5 1.8775767e-3f

/// The parts of the scratch memory of attention; the numbers of floats, or of words.
typedef struct tile_scratch {
    float *scores;   ///< [32, CK_TILE_KEYS]
    uint16_t *high;  ///< [2, CK_TILE_KEYS / 32, 16, 32] weights' high halves
    uint16_t *low;   ///< and low ones
    float *sums;     ///< [CK_TILE_ROWS, value tiles * 16]
    float *totals;   ///< [CK_TILE_ROWS, 16] sums of weights, by lanes
    float *most;     ///< [CK_TILE_ROWS] what weights are relative to
} tile_scratch;

CK_INLINE tile_scratch scratch_parts(void *memory, size_t size) {
    tile_scratch s;
    char *at = memory;
    s.scores = (float *)(void *)at;
    at += 32 * CK_TILE_KEYS * 4;
    s.high = (uint16_t *)(void *)at;
    at += 32 * CK_TILE_KEYS * 2;
    s.low = (uint16_t *)(void *)at;
    at += 32 * CK_TILE_KEYS * 2;
    s.sums = (float *)(void *)at;
    at += CK_TILE_ROWS * value_tiles(size) * 64;
    s.totals = (float *)(void *)at;
    at += CK_TILE_ROWS * 64;
    s.most = (float *)(void *)at;
    return s;
}

#define CK_DECLARE_TILES(level)                                                                                       \
    void ck_##level##_split_pairs(void *block, size_t row, const float *x, size_t first, size_t count);               \
    void ck_##level##_pack_weights(void *to, const ck_matrix *w, size_t first, size_t rows);                          \
    void ck_##level##_matmul_pairs(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w,             \
                                   size_t column_blocks, size_t columns);                                             \
    void ck_##level##_pack_queries(void *to, const float *q, size_t ldq, size_t rows, size_t size, float scale);      \
    void ck_##level##_pack_keys(void *to, const float *k, size_t ldk, size_t rows, size_t size);                      \
    void ck_##level##_pack_values(void *to, const float *v, size_t ldv, size_t rows, size_t size, size_t half);       \
    void ck_##level##_tile_attention(float *y, size_t ldy, const void *q, size_t row_blocks, const void *k,           \
                                     const void *v, size_t tokens, size_t size, void *scratch);

CK_DECLARE_TILES(scalar)
#if defined(__x86_64__)
CK_DECLARE_TILES(amx)
#endif

#endif
