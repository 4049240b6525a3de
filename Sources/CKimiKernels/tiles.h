// The layout of tiles, shared by the twins.
#ifndef CK_TILES_LAYOUT_H
#define CK_TILES_LAYOUT_H

#include "kernels.h"
#include "include/ck_tiles.h"

/// Bytes of a tile.
#define CK_TILE_BYTES 1024

CK_INLINE size_t tile_steps(size_t columns) { return (columns + CK_TILE_STEP - 1) / CK_TILE_STEP; }

// Attention's products are computed the other way round: a key is a row of its tile, a query a column of its own, so that scores of
// 16 queries stand side by side and softmax goes down a column.

/// Tiles of 16 queries or keys: for each 32 elements that are there two, a query's low and then its high halves, a key's high and then
/// its low ones, so that of the three products two follow each other with the same tile loaded. The elements that are left over would
/// leave tiles empty; so the three products of those stand together, high, low and high halves of the query one below the other against
/// high, high and low of the key side by side. Keys of 32 tokens: for each of these the tile of the first 16 and that of the others.
CK_INLINE size_t whole_steps(size_t size) { return size / CK_TILE_STEP; }
CK_INLINE size_t rest_steps(size_t size) { return tile_steps(3 * (size % CK_TILE_STEP)); }
CK_INLINE size_t query_tiles(size_t size) { return 2 * whole_steps(size) + rest_steps(size); }
/// Products of tiles that make a score.
CK_INLINE size_t score_steps(size_t size) { return 3 * whole_steps(size) + rest_steps(size); }
/// Tiles of 32 values: a row for each element, those of high halves first, then low ones, with words of token t beside those of token
/// t + 16; and the tiles that hold high halves.
CK_INLINE size_t value_tiles(size_t size) { return (2 * size + CK_TILE - 1) / CK_TILE; }
CK_INLINE size_t high_value_tiles(size_t size) { return (size + CK_TILE - 1) / CK_TILE; }

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
    s.most = s.sums + CK_TILE_ROWS * value_tiles(size) * CK_TILE;
    s.totals = s.most + CK_TILE_ROWS;
    return s;
}

#define CK_DECLARE_TILES(level)                                                                                       \
    void ck_##level##_split_pairs(void *block, size_t row, const float *x, size_t first, size_t count);               \
    void ck_##level##_pack_weights(void *to, const ck_matrix *w, size_t first, size_t rows);                          \
    void ck_##level##_matmul_pairs(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w,             \
                                   size_t column_blocks, size_t columns);                                             \
    void ck_##level##_pack_queries(void *to, const float *q, size_t ldq, size_t rows, size_t size, float scale);      \
    void ck_##level##_pack_keys(void *to, const float *k, size_t ldk, size_t rows, size_t size);                      \
    void ck_##level##_pack_values(void *to, const float *v, size_t ldv, size_t rows, size_t size);                    \
    void ck_##level##_tile_attention(float *y, size_t ldy, const void *q, size_t row_blocks, const void *k,           \
                                     const void *v, size_t tokens, size_t size, void *scratch);

CK_DECLARE_TILES(scalar)
#if defined(__x86_64__)
CK_DECLARE_TILES(amx)
#endif

#endif
