// Single rows of a matrix: widened, or combined with factors.
#include "tile.h"

CK_INLINE void widen_floats(float *y, const unsigned char *row, size_t n, int32_t type) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) lanes_store(y + i, load_weights(row, i, type));
    if (i < n) lanes_store_part(y + i, load_weights_part(row, i, type, n - i), n - i);
}

CK_INLINE void widen_int4(float *y, const unsigned char *row, const unsigned char *scales, size_t n) {
    for (size_t g = 0; g < n / CK_INT4_GROUP; g++, y += CK_INT4_GROUP) {
        lanes weights[2];
        lanes_load_int4(weights, row + g * CK_INT4_GROUP / 2, ck_float_of_bf16(ck_word_at(scales, g)));
        lanes_store(y, weights[0]);
        lanes_store(y + 16, weights[1]);
    }
}

void CK_NAME(widen_row)(float *y, const ck_matrix *w, size_t row) {
    const unsigned char *weights = ck_row(w, row);
    switch (w->type) {
    case CK_BF16: widen_floats(y, weights, w->columns, CK_BF16); break;
    case CK_F16: widen_floats(y, weights, w->columns, CK_F16); break;
    case CK_F32: widen_floats(y, weights, w->columns, CK_F32); break;
    default: widen_int4(y, weights, ck_row_scales(w, row), w->columns); break;
    }
}

/// How many rows of w are combined in one pass over a single y.
#define CK_COMBINED 8

/// y += the `count` (a constant) rows at w, each times its factor; y starts from zero if `first`.
CK_INLINE void combine_pass(float *y, const float *a, const unsigned char *w, size_t stride, size_t columns,
                            size_t count, int first, int32_t type) {
    size_t c = 0;
    for (; c + 16 <= columns; c += 16) {
        lanes sum = first ? lanes_zero() : lanes_load(y + c);
        CK_UNROLL for (size_t d = 0; d < count; d++)
            sum = lanes_fma(lanes_all(a[d]), load_weights(w + d * stride, c, type), sum);
        lanes_store(y + c, sum);
    }
    if (c < columns) {
        size_t part = columns - c;
        lanes sum = first ? lanes_zero() : lanes_load_part(y + c, part);
        CK_UNROLL for (size_t d = 0; d < count; d++)
            sum = lanes_fma(lanes_all(a[d]), load_weights_part(w + d * stride, c, type, part), sum);
        lanes_store_part(y + c, sum, part);
    }
}

/// A single y: bound by memory, so w is read in its own order.
CK_INLINE void combine_one(float *y, const float *a, const unsigned char *w, size_t stride, size_t columns, size_t count,
                           int32_t type) {
    size_t d = 0;
    for (; d + CK_COMBINED <= count; d += CK_COMBINED)
        combine_pass(y, a + d, w + d * stride, stride, columns, CK_COMBINED, d == 0, type);
    for (; d < count; d++) combine_pass(y, a + d, w + d * stride, stride, columns, 1, d == 0, type);
    if (count == 0) memset(y, 0, columns * sizeof *y);
}

/// tn (a constant) rows of y, for tc * 16 columns from c on, or, if part > 0 (then tc is 1), for the first `part` of 16: bound
/// by arithmetic, so the sums stay in registers.
CK_INLINE void combine_tile(float *y, size_t ldy, const float *x, size_t ldx, size_t tn, const unsigned char *w,
                            size_t stride, size_t count, size_t c, size_t tc, size_t part, int32_t type) {
    lanes sum[CK_VALUE_HEADS * CK_VALUE_W];
    CK_UNROLL for (size_t k = 0; k < tn * tc; k++) sum[k] = lanes_zero();
    for (size_t d = 0; d < count; d++) {
        lanes weights[CK_VALUE_W];
        CK_UNROLL for (size_t k = 0; k < tc; k++)
            weights[k] = part ? load_weights_part(w + d * stride, c, type, part) : load_weights(w + d * stride, c + 16 * k, type);
        CK_UNROLL for (size_t r = 0; r < tn; r++) {
            lanes a = lanes_all(x[r * ldx + d]);
            CK_UNROLL for (size_t k = 0; k < tc; k++) sum[r * tc + k] = lanes_fma(a, weights[k], sum[r * tc + k]);
        }
    }
    CK_UNROLL for (size_t r = 0; r < tn; r++)
        CK_UNROLL for (size_t k = 0; k < tc; k++) {
            if (part)
                lanes_store_part(y + r * ldy + c, sum[r * tc + k], part);
            else
                lanes_store(y + r * ldy + c + 16 * k, sum[r * tc + k]);
        }
}

/// A slice of columns for all rows of y: it stays in the core's nearest cache meanwhile.
CK_INLINE void combine_slice(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const unsigned char *w,
                             size_t stride, size_t count, size_t c, size_t tc, size_t part, int32_t type) {
    size_t r = 0;
    for (; r + CK_VALUE_HEADS <= n; r += CK_VALUE_HEADS)
        combine_tile(y + r * ldy, ldy, x + r * ldx, ldx, CK_VALUE_HEADS, w, stride, count, c, tc, part, type);
    for (; r + 2 <= n; r += 2) combine_tile(y + r * ldy, ldy, x + r * ldx, ldx, 2, w, stride, count, c, tc, part, type);
    for (; r < n; r++) combine_tile(y + r * ldy, ldy, x + r * ldx, ldx, 1, w, stride, count, c, tc, part, type);
}

CK_INLINE void combine(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w, size_t first,
                       size_t count, int32_t type) {
    size_t stride = ck_row_bytes(w), columns = w->columns, c = 0;
    const unsigned char *rows = ck_row(w, first);
    if (n == 1) return combine_one(y, x, rows, stride, columns, count, type);
    for (; c + 16 * CK_VALUE_W <= columns; c += 16 * CK_VALUE_W)
        combine_slice(y, ldy, x, ldx, n, rows, stride, count, c, CK_VALUE_W, 0, type);
    for (; c + 16 <= columns; c += 16) combine_slice(y, ldy, x, ldx, n, rows, stride, count, c, 1, 0, type);
    if (c < columns) combine_slice(y, ldy, x, ldx, n, rows, stride, count, c, 1, columns - c, type);
}

void CK_NAME(combine_rows)(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w, size_t first,
                           size_t count) {
    switch (w->type) {
    case CK_BF16: combine(y, ldy, x, ldx, n, w, first, count, CK_BF16); break;
    case CK_F16: combine(y, ldy, x, ldx, n, w, first, count, CK_F16); break;
    default: combine(y, ldy, x, ldx, n, w, first, count, CK_F32); break;
    }
}
