// The product for a few rows of x, bound by memory: each weight is widened in a register and used at once.
#ifndef CK_VECTOR_STREAM_H
#define CK_VECTOR_STREAM_H

#include "product.h"

/// Elements of a weight row that are used before it is the next row's turn: measured, see dot_tile.
#define CK_RUN 128

/// How many weight rows go together for n rows of x: enough sums to hide the latency of the FMA, few enough to stay in
/// registers. A constant where it is used.
CK_INLINE size_t stream_width(size_t n) {
    return n == 1 ? CK_STREAM_W_ONE : ck_smaller(CK_STREAM_W, CK_STREAM_SUMS / n);
}

/// The outputs of tw weight rows from `row` on, for n rows of x; n, tw and type are constants. With `fetch` the rows
/// after them are brought into the cache meanwhile.
CK_INLINE void stream_rows(const product *p, size_t row, size_t n, size_t tw, int32_t type, int fetch) {
    const ck_matrix *w = p->w;
    const unsigned char *next = ck_row(w, row + tw);
    lanes sum[CK_STREAM_X * CK_STREAM_W];
    dot_tile(sum, n, tw, p->x, p->ldx, ck_row(w, row), ck_row_bytes(w), type, w->columns, CK_RUN, fetch, next);
    CK_UNROLL for (size_t r = 0; r < n; r++)
        CK_UNROLL for (size_t j = 0; j < tw; j++) p->y[r * p->ldy + row + j] = lanes_sum(sum[r * tw + j]);
}

CK_INLINE void stream(const product *p, size_t n, int32_t type) {
    const size_t tw = stream_width(n);
    if (p->end - p->begin < tw) {
        for (size_t row = p->begin; row < p->end; row++) stream_rows(p, row, n, 1, type, 0);
        return;
    }
    // The last tile may overlap the one before it: the same sums are written twice.
    for (size_t row = p->begin; row < p->end; row += tw) stream_rows(p, ck_smaller(row, p->end - tw), n, tw, type, 1);
}

// One function for each count of rows and each type.
typedef void streaming(const product *);
#define CK_STREAM(n, type) \
    static __attribute__((noinline)) void stream_##n##_##type(const product *p) { stream(p, n, CK_##type); }
#define CK_STREAM_FOUR(type) CK_STREAM(1, type) CK_STREAM(2, type) CK_STREAM(3, type) CK_STREAM(4, type)
#define CK_NAMES_FOUR(type) stream_1_##type, stream_2_##type, stream_3_##type, stream_4_##type
#if CK_STREAM_X == 8
#define CK_STREAMS(type) \
    CK_STREAM_FOUR(type) CK_STREAM(5, type) CK_STREAM(6, type) CK_STREAM(7, type) CK_STREAM(8, type)
#define CK_NAMES(type) {CK_NAMES_FOUR(type), stream_5_##type, stream_6_##type, stream_7_##type, stream_8_##type}
#else
#define CK_STREAMS(type) CK_STREAM_FOUR(type)
#define CK_NAMES(type) {CK_NAMES_FOUR(type)}
#endif
CK_STREAMS(BF16)
CK_STREAMS(F16)
CK_STREAMS(F32)
/// By element type and count of rows of x less one.
static streaming *const streams[][CK_STREAM_X] = {
    CK_NAMES(BF16),
    CK_NAMES(F16),
    CK_NAMES(F32),
};

#endif
