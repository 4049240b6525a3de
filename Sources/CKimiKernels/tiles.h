// The layout of tiles, shared by the twins.
#ifndef CK_TILES_LAYOUT_H
#define CK_TILES_LAYOUT_H

#include "kernels.h"
#include "include/ck_thirds.h"
#include "include/ck_tiles.h"

/// Bytes of a tile.
#define CK_TILE_BYTES 1024

CK_INLINE size_t tile_steps(size_t columns) { return (columns + CK_TILE_STEP - 1) / CK_TILE_STEP; }

// Attention's products are computed the other way round: a key is a row of its tile, a query a column of its own, so that scores of
// 16 queries stand side by side and softmax goes down a column.

/// Tiles of 16 queries or keys.
///
/// Pairs: for each 32 elements that are there two, a query's low and then its high halves, a key's high and then its low ones, so
/// that of the three products two follow each other with the same tile loaded. The elements that are left over would leave tiles
/// empty; so the three products of those stand together, high, low and high halves of the query one below the other against high,
/// high and low of the key side by side. One half: a tile for each 32 elements. Keys of 32 tokens: for each of these the tile of
/// the first 16 and that of the others.
CK_INLINE size_t whole_steps(size_t size) { return size / CK_TILE_STEP; }
CK_INLINE size_t rest_steps(size_t size) { return tile_steps(3 * (size % CK_TILE_STEP)); }
CK_INLINE size_t query_tiles(size_t size, size_t halves) {
    return halves == 1 ? tile_steps(size) : 2 * whole_steps(size) + rest_steps(size);
}
/// Products of tiles that make a score of pairs.
CK_INLINE size_t score_steps(size_t size) { return 3 * whole_steps(size) + rest_steps(size); }
/// Tiles of 32 values: a row for each element, those of high halves first, then low ones or, with one half, one row of ones, with
/// words of token t beside those of token t + 16; and the tiles that hold high halves.
CK_INLINE size_t value_tiles(size_t size, size_t halves) {
    return ((halves == 1 ? size + 1 : 2 * size) + CK_TILE - 1) / CK_TILE;
}
CK_INLINE size_t high_value_tiles(size_t size) { return (size + CK_TILE - 1) / CK_TILE; }

/// 1 as a bfloat16.
#define CK_HALF_ONE 0x3f80

/// log2(e)
#define CK_LOG2_E 1.44269504088896340736f

/// A score that is no one's.
#define CK_NO_SCORE -1e30f
/// How far scores may pass the m that weights are relative to.
#define CK_SCORE_SLACK 8.0f

/// 2^f for 0 <= f < 1, with the smallest relative error: 2.6e-6, where a pair of halves that are cut off keeps 2^-16 = 1.5e-5.
#define CK_EXP2_0 1.0000026f
#define CK_EXP2_1 6.9300383e-1f
#define CK_EXP2_2 2.4144276e-1f
#define CK_EXP2_3 5.2011460e-2f
#define CK_EXP2_4 1.3534168e-2f

// Weights of one half are made by integers: 1.5 * 2^23 + 1024 x has 1024 x in its low bits, six of whole powers of two and ten of
// the fraction, of which a table takes what 2^f - 1 is below f; but for three bits that is a bfloat16, with exponents from 64 on.

/// What is added to 1024 (score - m): so many powers of two below m a weight is the smallest, and 4 rounds what is left of the
/// fraction.
#define CK_HALF_ROUNDER (12582912.0f + 56 * 1024 + 4)
/// The smallest sum, from which a table's number can be taken; and that of the first score that passes m by 8 powers of two.
#define CK_HALF_LOWEST (12582912.0f + 8)
#define CK_HALF_BOUND 0x4b410000

/// 1024 (f - (2^f - 1)) to the nearest, for f = (16 i + 4) / 1024. With the three bits that are cut off a weight is off by 1.8e-3
/// (one deviation), where rounding alone makes 1.7e-3.
#define CK_HALF_EXP2                                                                                                  \
    { 1,  6, 11, 15, 20, 24, 28, 32, 36, 40, 44, 47, 51, 54, 57, 60,                                                  \
     63, 66, 68, 71, 73, 75, 77, 79, 80, 82, 83, 84, 85, 86, 87, 88,                                                  \
     88, 88, 88, 88, 88, 87, 86, 86, 84, 83, 82, 80, 78, 76, 74, 72,                                                  \
     69, 66, 63, 60, 57, 53, 49, 45, 41, 36, 32, 27, 22, 16, 10,  5}

/// What of the scratch memory of attention a block of keys needs, for two blocks of queries: twice, so that vectors can work on one
/// while tiles work on the other.
typedef struct block_scratch {
    float *scores; ///< [2 of queries, CK_TILE_KEYS / 2, 2, 16 queries]: token t of a group of 32 beside token t + 16
    char *high;    ///< [2 of queries, CK_TILE_KEYS / 32] tiles of weights' high halves
    char *low;     ///< and low ones
} block_scratch;

typedef struct tile_scratch {
    block_scratch block[2];
    float *sums;   ///< [CK_TILE_ROWS / 32, value tiles, 2] tiles: element, query
    float *most;   ///< [CK_TILE_ROWS] what weights are relative to
    float *totals; ///< [CK_TILE_ROWS] sums of weights
} tile_scratch;

CK_INLINE tile_scratch scratch_parts(void *memory, size_t size) {
    tile_scratch s;
    char *at = memory;
    for (size_t b = 0; b < 2; b++) {
        s.block[b].scores = (float *)(void *)at;
        s.block[b].high = at + 32 * CK_TILE_KEYS * 4;
        s.block[b].low = at + 32 * CK_TILE_KEYS * 6;
        at += 32 * CK_TILE_KEYS * 8;
    }
    s.sums = (float *)(void *)at;
    s.most = s.sums + CK_TILE_ROWS * value_tiles(size, 2) * CK_TILE;
    s.totals = s.most + CK_TILE_ROWS;
    return s;
}

/// The same of one half: scores of 32 keys, of these and of the ones before, and weights of CK_HALF_KEYS.
typedef struct half_scratch {
    float *scores[2]; ///< [2 of queries, 16, 2, 16 queries]
    char *weights;    ///< [2 of queries, CK_HALF_KEYS / 32] tiles
    float *sums;      ///< [CK_TILE_ROWS / 32, value tiles, 2] tiles
    float *most;      ///< [CK_TILE_ROWS]
} half_scratch;

CK_INLINE half_scratch half_scratch_parts(void *memory, size_t size) {
    half_scratch s;
    char *at = memory;
    s.scores[0] = (float *)(void *)at;
    s.scores[1] = s.scores[0] + 32 * 32;
    s.weights = at + 2 * 32 * 32 * 4;
    s.sums = (float *)(void *)(s.weights + 32 * CK_HALF_KEYS * 2);
    s.most = s.sums + CK_TILE_ROWS * value_tiles(size, 1) * CK_TILE;
    return s;
}

#define CK_DECLARE_TILES(level)                                                                                       \
    void ck_##level##_split_rows(void *block, size_t row, const float *x, size_t first, size_t count);                \
    void ck_##level##_tile_matmul(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w,              \
                                  size_t column_blocks, size_t columns);                                              \
    void ck_##level##_pack_queries(void *to, const float *q, size_t ldq, size_t rows, size_t size, float scale);      \
    void ck_##level##_pack_keys(void *to, const float *k, size_t ldk, size_t rows, size_t size);                      \
    void ck_##level##_pack_values(void *to, const float *v, size_t ldv, size_t rows, size_t size);                    \
    void ck_##level##_tile_attention(float *y, size_t ldy, const void *q, size_t row_blocks, const void *k,           \
                                     const void *v, size_t tokens, size_t size, void *scratch);

#define CK_DECLARE_THIRDS(level)                                                                                      \
    void ck_##level##_write_thirds(void *to, const float *x, size_t first, size_t count, size_t thirds);              \
    void ck_##level##_matmul_thirds(float *y, size_t ldy, const void *x, size_t ldx, size_t n, const ck_matrix *w,    \
                                    size_t begin, size_t end, size_t thirds);                                         \
    void ck_##level##_combine_thirds(float *y, size_t ldy, const void *x, size_t ldx, size_t n, const ck_matrix *w,   \
                                     size_t first, size_t count, size_t thirds);

CK_DECLARE_THIRDS(scalar)
CK_DECLARE_TILES(scalar)
CK_DECLARE_TILES(scalar_half)
void ck_scalar_pack_weights(void *to, const ck_matrix *w, size_t first, size_t rows);
#if defined(__x86_64__)
CK_DECLARE_THIRDS(amx)
CK_DECLARE_TILES(amx)
CK_DECLARE_TILES(amx_half)
void ck_amx_pack_weights(void *to, const ck_matrix *w, size_t first, size_t rows);
#endif

#endif
