// y = x w^T. One to four rows of x are streamed over: bound by memory, each weight is widened in a register and used at
// once. More rows go block by block: a block of weight rows is widened a slice of columns at a time and used for up to
// CK_BLOCK_X rows of x; the partial sums wait in memory between slices, so that the order of additions is the same.
#include "widen.h"

/// Which part of the product a call makes.
typedef struct product {
    float *y;
    size_t ldy;
    const float *x;
    size_t ldx;
    const ck_matrix *w;
    size_t begin, end;
} product;

// ---- one to four rows of x

CK_INLINE void store_sums(const product *p, size_t row, const lanes *sum, size_t n, size_t tw) {
    CK_UNROLL for (size_t r = 0; r < n; r++)
        CK_UNROLL for (size_t j = 0; j < tw; j++) p->y[r * p->ldy + row + j] = lanes_sum(sum[r * tw + j]);
}

/// The outputs of tw weight rows from `row` on, for n rows of x; n, tw and type are constants.
CK_INLINE void stream_rows(const product *p, size_t row, size_t n, size_t tw, int32_t type, int fetch,
                            const unsigned char *next) {
    const ck_matrix *w = p->w;
    lanes sum[4 * CK_TILE_W_MOST];
    if (type == CK_INT4)
        dot_tile_int4(sum, n, tw, p->x, p->ldx, ck_row(w, row), ck_row_bytes(w), ck_row_scales(w, row),
                      w->columns / CK_INT4_GROUP * 2, w->columns, fetch, next);
    else
        dot_tile(sum, n, tw, p->x, p->ldx, ck_row(w, row), ck_row_bytes(w), type, w->columns, 128, fetch, next);
    store_sums(p, row, sum, n, tw);
}

CK_INLINE void stream(const product *p, size_t n, size_t tw, int32_t type) {
    if (p->end - p->begin < tw) {
        for (size_t row = p->begin; row < p->end; row++) stream_rows(p, row, n, 1, type, 0, NULL);
        return;
    }
    // The last tile may overlap the one before it: the same sums are written twice.
    for (size_t row = p->begin; row < p->end; row += tw)
        stream_rows(p, ck_smaller(row, p->end - tw), n, tw, type, 1, ck_row(p->w, row + tw));
}

#define CK_STREAM(n, type)                                                                                              \
    static __attribute__((noinline)) void stream_##n##_##type(const product *p) { stream(p, n, CK_STREAM_##n, CK_##type); }
#define CK_STREAMS(type) CK_STREAM(1, type) CK_STREAM(2, type) CK_STREAM(3, type) CK_STREAM(4, type)
CK_STREAMS(BF16) CK_STREAMS(F16) CK_STREAMS(F32) CK_STREAMS(INT4)

typedef void streaming(const product *);
static streaming *const streams[CK_TYPE_COUNT][4] = {
    {stream_1_BF16, stream_2_BF16, stream_3_BF16, stream_4_BF16},
    {stream_1_F16, stream_2_F16, stream_3_F16, stream_4_F16},
    {stream_1_F32, stream_2_F32, stream_3_F32, stream_4_F32},
    {stream_1_INT4, stream_2_INT4, stream_3_INT4, stream_4_INT4},
};

// ---- more rows of x

/// Weight rows in a block, columns in a slice, and rows of x that share a widened slice: 32 KiB and 16 KiB of stack.
#ifndef CK_BLOCK_W
#define CK_BLOCK_W 16
#endif
#ifndef CK_SLICE
#define CK_SLICE 512
#endif
#ifndef CK_BLOCK_X
#define CK_BLOCK_X 16
#endif

typedef struct block {
    _Alignas(64) float weights[CK_BLOCK_W][CK_SLICE];
    lanes sum[CK_BLOCK_X][CK_BLOCK_W];
} block;

/// Adds a slice's products to the sums of tx rows of x from `r` on and tw weight rows from `j` on.
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

/// A slice's products for all weight rows of the block (a multiple of CK_TILE_W) and tx rows of x from `r` on.
CK_INLINE void add_tiles(block *b, size_t r, size_t rows, size_t tx, const float *x, size_t ldx, size_t columns, int fresh) {
    for (size_t j = 0; j < rows; j += CK_TILE_W) add_tile(b, r, j, tx, CK_TILE_W, x, ldx, columns, fresh);
}

static __attribute__((noinline)) void add_slice(block *b, size_t rows, const float *x, size_t ldx, size_t n, size_t columns,
                                                int fresh) {
    size_t r = 0;
    for (; r + CK_TILE_X <= n; r += CK_TILE_X) add_tiles(b, r, rows, CK_TILE_X, x + r * ldx, ldx, columns, fresh);
    for (; r < n; r++) add_tiles(b, r, rows, 1, x + r * ldx, ldx, columns, fresh);
}

/// The outputs of n (at most CK_BLOCK_X) rows of x from `first` on and `rows` (at most CK_BLOCK_W) weight rows from `row` on.
static void multiply_block(block *b, const product *p, size_t first, size_t n, size_t row, size_t rows) {
    const float *x = p->x + first * p->ldx;
    size_t whole_tiles = (rows + CK_TILE_W - 1) / CK_TILE_W * CK_TILE_W;
    for (size_t i = 0; i < p->w->columns; i += CK_SLICE) {
        size_t columns = ck_smaller(p->w->columns - i, CK_SLICE);
        for (size_t j = 0; j < rows; j++) widen_span(b->weights[j], p->w, row + j, i, columns);
        // Rows that fill up the last tile are multiplied too and their sums dropped.
        for (size_t j = rows; j < whole_tiles; j++) memset(b->weights[j], 0, sizeof b->weights[j]);
        if (columns % 16)
            for (size_t j = 0; j < rows; j++) memset(&b->weights[j][columns], 0, (16 - columns % 16) * sizeof(float));
        add_slice(b, whole_tiles, x + i, p->ldx, n, columns, i == 0);
    }
    for (size_t r = 0; r < n; r++)
        for (size_t j = 0; j < rows; j++) p->y[(first + r) * p->ldy + row + j] = lanes_sum(b->sum[r][j]);
}

static __attribute__((noinline)) void multiply_blocks(const product *p, size_t n) {
    block b;
    // Equal shares rather than full blocks and a small rest.
    size_t shares = (n + CK_BLOCK_X - 1) / CK_BLOCK_X;
    for (size_t row = p->begin; row < p->end; row += CK_BLOCK_W) {
        size_t rows = ck_smaller(p->end - row, CK_BLOCK_W);
        for (size_t share = 0, first = 0; share < shares; share++) {
            size_t next = first + (n - first) / (shares - share);
            multiply_block(&b, p, first, next - first, row, rows);
            first = next;
        }
    }
}

void CK_NAME(matmul)(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w, size_t begin, size_t end) {
    if (n == 0 || begin >= end) return;
    product p = {y, ldy, x, ldx, w, begin, end};
    if (n <= 4)
        streams[w->type][n - 1](&p);
    else
        multiply_blocks(&p, n);
}
