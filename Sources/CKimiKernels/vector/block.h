// The product for many rows of x, bound by arithmetic: a block of weight rows is widened a slice of columns at a time
// and used for up to CK_BLOCK_X rows of x. The partial sums wait in memory between slices, so that the order of
// additions is that of one long dot product.
#ifndef CK_VECTOR_BLOCK_H
#define CK_VECTOR_BLOCK_H

#include "product.h"
#include "widen.h"

/// Weight rows in a block, columns in a slice, rows of x that share a widened slice: 32 KiB and 16 KiB of stack.
#define CK_BLOCK_W 16
#define CK_SLICE 512
#define CK_BLOCK_X 16

typedef struct block {
    _Alignas(64) float weights[CK_BLOCK_W][CK_SLICE];
    lanes sum[CK_BLOCK_X][CK_BLOCK_W];
} block;

/// Stored bytes that will be widened next, the same number from each of some rows; fetched into the cache a part at a
/// time while the arithmetic goes on.
typedef struct upcoming {
    const unsigned char *first;
    size_t stride, lines, rows; ///< from row to row in bytes; cache lines in a row; rows
    size_t line, row;           ///< what is to be fetched next
} upcoming;

CK_INLINE void fetch_part(upcoming *u, size_t lines) {
    for (; lines > 0 && u->row < u->rows; lines--) {
        fetch_ahead(u->first + u->row * u->stride + u->line * 64);
        if (++u->line >= u->lines) {
            u->line = 0;
            u->row++;
        }
    }
}

/// Adds a slice's products to the sums of tx rows of x and tw weight rows, from rows r and j of the block on.
CK_INLINE void add_tile(block *b, size_t r, size_t j, size_t tx, size_t tw, const float *x, size_t ldx, size_t columns,
                        int fresh) {
    lanes sum[CK_TILE_X * CK_TILE_W];
    CK_UNROLL for (size_t k = 0; k < tx; k++)
        CK_UNROLL for (size_t l = 0; l < tw; l++) sum[k * tw + l] = fresh ? lanes_zero() : b->sum[r + k][j + l];
    size_t i = 0;
    for (; i + 16 <= columns; i += 16) {
        lanes weights[CK_TILE_W];
        CK_UNROLL for (size_t l = 0; l < tw; l++) weights[l] = lanes_load(&b->weights[j + l][i]);
        CK_UNROLL for (size_t k = 0; k < tx; k++) {
            lanes values = lanes_load(x + k * ldx + i);
            CK_UNROLL for (size_t l = 0; l < tw; l++) sum[k * tw + l] = lanes_fma(values, weights[l], sum[k * tw + l]);
        }
    }
    if (i < columns) {
        size_t count = columns - i;
        CK_UNROLL for (size_t k = 0; k < tx; k++) {
            lanes values = lanes_load_part(x + k * ldx + i, count);
            CK_UNROLL for (size_t l = 0; l < tw; l++)
                sum[k * tw + l] = lanes_fma_part(values, lanes_load(&b->weights[j + l][i]), sum[k * tw + l], count);
        }
    }
    CK_UNROLL for (size_t k = 0; k < tx; k++)
        CK_UNROLL for (size_t l = 0; l < tw; l++) b->sum[r + k][j + l] = sum[k * tw + l];
}

/// A slice's products for `rows` weight rows (a multiple of CK_TILE_W) and n rows of x; u is fetched meanwhile.
static __attribute__((noinline)) void add_slice(block *b, size_t rows, const float *x, size_t ldx, size_t n,
                                                size_t columns, int fresh, upcoming *u) {
    size_t tiles = (n / CK_TILE_X + n % CK_TILE_X) * (rows / CK_TILE_W);
    size_t part = (u->lines * u->rows + tiles - 1) / tiles;
    size_t r = 0;
    for (; r + CK_TILE_X <= n; r += CK_TILE_X)
        for (size_t j = 0; j < rows; j += CK_TILE_W) {
            fetch_part(u, part);
            add_tile(b, r, j, CK_TILE_X, CK_TILE_W, x + r * ldx, ldx, columns, fresh);
        }
    for (; r < n; r++)
        for (size_t j = 0; j < rows; j += CK_TILE_W) {
            fetch_part(u, part);
            add_tile(b, r, j, 1, CK_TILE_W, x + r * ldx, ldx, columns, fresh);
        }
}

/// What follows the slice from column i on of the rows from `row` on: the next slice, or the next block's first one.
CK_INLINE upcoming following(const product *p, size_t row, size_t rows, size_t i) {
    const ck_matrix *w = p->w;
    upcoming u = {.stride = ck_row_bytes(w), .rows = rows};
    if (i + CK_SLICE < w->columns) {
        i += CK_SLICE;
    } else {
        i = 0;
        row += rows;
        u.rows = ck_smaller(rows, p->end - row);
    }
    size_t bits = ck_type_bits(w->type);
    u.first = ck_row(w, row) + i * bits / 8;
    u.lines = (ck_smaller(w->columns - i, CK_SLICE) * bits / 8 + 63) / 64;
    return u;
}

/// The outputs of n (at most CK_BLOCK_X) rows of x from `first` on and `rows` (at most CK_BLOCK_W) weight rows from
/// `row` on. With `fetch` the weights are still in memory, and those to come are fetched.
static void multiply_block(block *b, const product *p, size_t first, size_t n, size_t row, size_t rows, int fetch) {
    const ck_matrix *w = p->w;
    const float *x = p->x + first * p->ldx;
    size_t whole_tiles = (rows + CK_TILE_W - 1) / CK_TILE_W * CK_TILE_W;
    for (size_t i = 0; i < w->columns; i += CK_SLICE) {
        size_t columns = ck_smaller(w->columns - i, CK_SLICE);
        for (size_t j = 0; j < rows; j++) widen_span(b->weights[j], w, row + j, i, columns);
        // Rows that fill up the last tile are multiplied too and their sums dropped.
        for (size_t j = rows; j < whole_tiles; j++) memset(b->weights[j], 0, sizeof b->weights[j]);
        if (columns % 16)
            for (size_t j = 0; j < rows; j++) memset(&b->weights[j][columns], 0, (16 - columns % 16) * sizeof(float));
        upcoming u = {0};
        if (fetch) u = following(p, row, rows, i);
        add_slice(b, whole_tiles, x + i, p->ldx, n, columns, i == 0, &u);
    }
    for (size_t r = 0; r < n; r++)
        for (size_t j = 0; j < rows; j++) p->y[(first + r) * p->ldy + row + j] = lanes_sum(b->sum[r][j]);
}

static __attribute__((noinline)) void multiply_blocks(const product *p, size_t n) {
    block b;
    // Equal shares rather than full ones and a small rest.
    size_t shares = (n + CK_BLOCK_X - 1) / CK_BLOCK_X;
    for (size_t row = p->begin; row < p->end; row += CK_BLOCK_W) {
        size_t rows = ck_smaller(p->end - row, CK_BLOCK_W);
        for (size_t share = 0, first = 0; share < shares; share++) {
            size_t next = first + (n - first) / (shares - share);
            multiply_block(&b, p, first, next - first, row, rows, share == 0);
            first = next;
        }
    }
}

#endif
