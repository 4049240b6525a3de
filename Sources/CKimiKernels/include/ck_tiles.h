// Products of matrices in tile registers (Intel AMX): activations as pairs of bfloat16 or as single ones, weights as they are.
//
// A float is written as hi + lo, both bfloat16: hi is x rounded to the nearest (ties to even), lo is x - hi rounded likewise, so
// that hi + lo has 16 to 17 bits of x. Weights are bfloat16 already, so a product with both halves is as good as one in floats but
// for 2^-17 of each x: measured on the published vision vectors 8e-6 of the features' scale. With high halves alone, which is what
// plain bfloat16 activations are, it takes half the products, and features are off by 5e-3.
//
// One multiplication of tiles adds, for a row i of the first, column j of the second and k = 0 ... 15 in order,
//   even = fma(a[i][2k], b[k][2j], even), odd = fma(a[i][2k + 1], b[k][2j + 1], odd), both from 0, and then c[i][j] += even + odd,
// denormal numbers counting as zeros before and after. The scalar twin does the same, bit for bit. Results do not depend on how many rows
// or columns a call has.
#ifndef CK_TILES_H
#define CK_TILES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ck_matrix;

/// Rows and columns of a tile of results, and the columns of x that one multiplication takes.
#define CK_TILE 16
#define CK_TILE_STEP 32

/// Rows of a call of `matmul`, and steps times halves at a time, that it is fastest with: so many rows stay in the second cache
/// while all weights pass by, even where a neighbour on the same core has half of it. Of more steps sums go to y and back.
#define CK_TILE_PASS_ROWS 128
#define CK_TILE_PASS_HALVES 72

/// Keys that are taken at a time in attention of pairs, and those that are summed at a time with one half; keys that pass by all
/// queries of a call before the next ones do, and the most queries of a call.
#define CK_TILE_KEYS 128
#define CK_HALF_KEYS 256
#define CK_TILE_SPAN 512
#define CK_TILE_ROWS 256

/// Keys from which on attention of pairs has weights of one half instead of two: roundings of so many average out, and a weight of
/// nearly all is nearly exact, as the total is that of the rounded ones.
#define CK_TILE_AVERAGED 1024

typedef struct ck_tiles {
    /// Halves of what products read: 2 or 1.
    size_t halves;

    /// Writes columns first ... first + count - 1 of row `row` (of 16) of a block of rows as halves. `first` is a multiple of 32,
    /// and so is the count unless it ends with the row; what is missing to the next multiple becomes 0. A block has
    /// ck_block_bytes(columns, halves) bytes, aligned to 64: for each step of 32 columns the 16 rows' high halves, then the low
    /// ones.
    void (*split_rows)(void *block, size_t row, const float *x, size_t first, size_t count);

    /// Writes rows first ... first + rows - 1 of w, CK_BF16, as matmul reads them: a block of 16 rows after the other, each of
    /// ck_block_bytes(columns, 1) bytes, rows and columns that are missing being 0. `to` is aligned to 64.
    void (*pack_weights)(void *to, const struct ck_matrix *w, size_t first, size_t rows);

    /// y[r * ldy + j] = row r of x times row j of w, for 16 row_blocks rows and 16 column_blocks outputs: whole tiles are
    /// written. x are blocks of `columns` columns written by split_rows, w rows written by pack_weights.
    /// For each step of 32 columns in order, the high halves are multiplied and then the low ones.
    void (*matmul)(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w, size_t column_blocks, size_t columns);

    /// Writes one head's queries of 16 tokens, the first `rows` of which there are, each times `scale` and log2(e), for
    /// `attention`; `to` has ck_query_bytes(size, halves) bytes, aligned to 64. Keys and values are those of 32 tokens, without
    /// those that are not there.
    void (*pack_queries)(void *to, const float *q, size_t ldq, size_t rows, size_t size, float scale);
    void (*pack_keys)(void *to, const float *k, size_t ldk, size_t rows, size_t size);
    void (*pack_values)(void *to, const float *v, size_t ldv, size_t rows, size_t size);

    /// Softmax attention of one head: row_blocks (1 ... CK_TILE_ROWS / 16) blocks of queries to all `tokens` keys, without a mask.
    /// y[r * ldy + d], d < size, for all 16 row_blocks rows. `scratch` has ck_attention_scratch(size, halves) bytes, aligned to 64.
    ///
    /// Pairs: query and key low and high, high and high, high and low, for each 32 elements in turn, and of what is left over high
    /// and high, low and high, high and low; weights high and all of the value, low and the value's high half; from
    /// CK_TILE_AVERAGED tokens on weights are rounded to the nearest half, which meets all of the value. Keys are taken by
    /// CK_TILE_KEYS in rising order; weights are 2^(score - m) with m the row's largest score of the first keys, which later ones
    /// raise only where they pass it by more than 8 (sums are multiplied by 2^(m - m') then).
    ///
    /// One half: keys are taken by 32; weights are 2^(score - m - 7) to 8 bits, made by integers, and the least one is 2^-63. The
    /// total is the sum of a value that is 1.
    void (*attention)(float *y, size_t ldy, const void *q, size_t row_blocks, const void *k, const void *v, size_t tokens,
                      size_t size, void *scratch);
} ck_tiles;

/// Bytes of 16 rows as halves.
size_t ck_block_bytes(size_t columns, size_t halves);
/// Bytes of the queries of 16 tokens; of the keys, and of the values, of 32; of the scratch memory of `attention`.
size_t ck_query_bytes(size_t size, size_t halves);
size_t ck_key_bytes(size_t size, size_t halves);
size_t ck_value_bytes(size_t size, size_t halves);
size_t ck_attention_scratch(size_t size, size_t halves);

/// The functions for an instruction-set level (CK_ISA_...) that read `halves` (1 or 2) of numbers: NULL unless the level has tiles.
/// CK_ISA_SCALAR has the twin, for tests.
const ck_tiles *ck_tiles_for(int32_t isa, size_t halves);

#ifdef __cplusplus
}
#endif
#endif
