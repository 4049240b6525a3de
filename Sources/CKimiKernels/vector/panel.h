// The product for many rows of x, bound by arithmetic: a panel of weight rows stays in the second-level cache while
// tiles of x pass by. Weights are widened in registers as often as they are used, because that goes on beside the FMAs;
// what takes their place is stores, so a tile's sums stay in registers from the first column to the last.
#ifndef CK_VECTOR_PANEL_H
#define CK_VECTOR_PANEL_H

#include "product.h"

/// The bytes of a panel.
#define CK_PANEL_BYTES (600 << 10)

/// The rows of x that a call uses for all its weights before it goes on to others take no more bytes than this.
#define CK_SHARE_BYTES (6 << 20)

/// A panel of one tile is enough while the rows of x take no more bytes than this.
#define CK_PANEL_X_BYTES (600 << 10)

/// The outputs of tx rows of x (ldx floats apart) and tw rows of weights (stride bytes apart); tx, tw, type and fetch
/// are constants. With `fetch` four bytes a column are brought into the second-level cache meanwhile, from `next` on.
CK_INLINE void multiply_tile(float *y, size_t ldy, size_t tx, size_t tw, const float *x, size_t ldx,
                             const unsigned char *w, size_t stride, int32_t type, size_t columns, int fetch,
                             const unsigned char *next) {
    lanes sum[CK_PANEL_X * CK_PANEL_W];
    CK_UNROLL for (size_t k = 0; k < tx * tw; k++) sum[k] = lanes_zero();
    size_t i = 0;
    for (; i + 16 <= columns; i += 16) {
        if (fetch) __builtin_prefetch(next + 4 * i, 0, 2);
        lanes values[CK_PANEL_X];
        CK_UNROLL for (size_t r = 0; r < tx; r++) values[r] = lanes_load(x + r * ldx + i);
        CK_UNROLL for (size_t j = 0; j < tw; j++) {
            lanes weights = load_weights(w + j * stride, i, type);
            CK_UNROLL for (size_t r = 0; r < tx; r++) sum[r * tw + j] = lanes_fma(values[r], weights, sum[r * tw + j]);
        }
    }
    if (i < columns) {
        size_t count = columns - i;
        CK_UNROLL for (size_t j = 0; j < tw; j++) {
            lanes weights = load_weights_part(w + j * stride, i, type, count);
            CK_UNROLL for (size_t r = 0; r < tx; r++)
                sum[r * tw + j] = lanes_fma_part(lanes_load_part(x + r * ldx + i, count), weights, sum[r * tw + j], count);
        }
    }
    CK_UNROLL for (size_t r = 0; r < tx; r++) {
        if (tw == CK_PANEL_W)
            lanes_sum_panel(y + r * ldy, &sum[r * tw]);
        else
            CK_UNROLL for (size_t j = 0; j < tw; j++) y[r * ldy + j] = lanes_sum(sum[r * tw + j]);
    }
}

// One function for each type and size of tile; the last argument is NULL if nothing is to be fetched.
typedef void multiplying(float *, size_t, const float *, size_t, const unsigned char *, size_t, size_t,
                         const unsigned char *);
#define CK_MULTIPLY(name, tx, tw, type)                                                                               \
    static __attribute__((noinline)) void name##_##type(float *y, size_t ldy, const float *x, size_t ldx,             \
                                                        const unsigned char *w, size_t stride, size_t columns,        \
                                                        const unsigned char *next) {                                  \
        if (next)                                                                                                     \
            multiply_tile(y, ldy, tx, tw, x, ldx, w, stride, CK_##type, columns, 1, next);                            \
        else                                                                                                          \
            multiply_tile(y, ldy, tx, tw, x, ldx, w, stride, CK_##type, columns, 0, next);                            \
    }
#define CK_MULTIPLIES(type)                                                                                           \
    CK_MULTIPLY(multiply_most, CK_PANEL_X, CK_PANEL_W, type)                                                          \
    CK_MULTIPLY(multiply_fewer, CK_PANEL_X - 1, CK_PANEL_W, type)                                                     \
    CK_MULTIPLY(multiply_most_by_one, CK_PANEL_X, 1, type)                                                            \
    CK_MULTIPLY(multiply_fewer_by_one, CK_PANEL_X - 1, 1, type)
#define CK_MULTIPLY_NAMES(type)                                                                                       \
    {{multiply_most_##type, multiply_fewer_##type}, {multiply_most_by_one_##type, multiply_fewer_by_one_##type}}
CK_MULTIPLIES(BF16)
CK_MULTIPLIES(F16)
CK_MULTIPLIES(F32)
/// By element type, whether the tile has one weight row only, and whether it has one row of x fewer than CK_PANEL_X.
static multiplying *const multiplies[][2][2] = {
    CK_MULTIPLY_NAMES(BF16),
    CK_MULTIPLY_NAMES(F16),
    CK_MULTIPLY_NAMES(F32),
};

/// n is a sum of CK_PANEL_X and CK_PANEL_X - 1, each as often as it takes: every n from
/// (CK_PANEL_X - 1) * (CK_PANEL_X - 2) on.
static void multiply_panels(const product *p, size_t n) {
    const ck_matrix *w = p->w;
    const size_t stride = ck_row_bytes(w);
    const size_t tiles = (n + CK_PANEL_X - 1) / CK_PANEL_X;
    const size_t most = n - tiles * (CK_PANEL_X - 1); // tiles of CK_PANEL_X rows of x; the others have one fewer
    const int by_one = p->end - p->begin < CK_PANEL_W;
    const size_t tw = by_one ? 1 : CK_PANEL_W;
    size_t panel = tw;
    if (n * w->columns * sizeof(float) > CK_PANEL_X_BYTES)
        while ((panel + tw) * stride <= CK_PANEL_BYTES && panel < p->end - p->begin) panel += tw;
    // So many tiles of x bring the panel that follows, the last ones.
    const size_t parts = tw * ck_bits_of_type(w->type) / 32;
    for (size_t row = p->begin; row < p->end; row += panel) {
        const size_t end = ck_smaller(row + panel, p->end);
        for (size_t t = 0, r = 0; t < tiles; t++) {
            for (size_t j = row; j < end; j += tw) {
                // The last tile may overlap the one before it: the same outputs are written twice.
                const size_t from = ck_smaller(j, p->end - tw);
                const unsigned char *next = NULL;
                if (t + parts >= tiles)
                    next = ck_row(w, j + panel) + (tiles < parts ? t : t + parts - tiles) * 4 * w->columns;
                multiplies[w->type][by_one][t >= most](p->y + r * p->ldy + from, p->ldy, p->x + r * p->ldx, p->ldx,
                                                       ck_row(w, from), stride, w->columns, next);
            }
            r += t < most ? CK_PANEL_X : CK_PANEL_X - 1;
        }
    }
}

/// Rows of x in equal shares that stay in the last-level cache for all panels of a call.
static __attribute__((noinline)) void multiply_shares(const product *p, size_t n) {
    const size_t shares = ck_smaller(n * p->w->columns * sizeof(float) / CK_SHARE_BYTES + 1, n / CK_STREAM_X);
    product part = *p;
    for (size_t share = 0, first = 0; share < shares; share++) {
        const size_t rows = (n - first) / (shares - share);
        part.x = p->x + first * p->ldx;
        part.y = p->y + first * p->ldy;
        multiply_panels(&part, rows);
        first += rows;
    }
}

#endif
