// Single rows of a matrix: widened, or combined with factors.
#include "widen.h"

void CK_NAME(widen_row)(float *y, const ck_matrix *w, size_t row) { widen_span(y, w, row, 0, w->columns); }

/// How many rows are combined in one pass over y.
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

CK_INLINE void combine(float *y, const float *a, const ck_matrix *w, size_t first, size_t count, int32_t type) {
    size_t stride = ck_row_bytes(w), columns = w->columns, d = 0;
    const unsigned char *rows = ck_row(w, first);
    for (; d + CK_COMBINED <= count; d += CK_COMBINED)
        combine_pass(y, a + d, rows + d * stride, stride, columns, CK_COMBINED, d == 0, type);
    for (; d < count; d++) combine_pass(y, a + d, rows + d * stride, stride, columns, 1, d == 0, type);
    if (count == 0) memset(y, 0, columns * sizeof *y);
}

void CK_NAME(combine_rows)(float *y, const float *a, const ck_matrix *w, size_t first, size_t count) {
    switch (w->type) {
    case CK_BF16: combine(y, a, w, first, count, CK_BF16); break;
    case CK_F16: combine(y, a, w, first, count, CK_F16); break;
    default: combine(y, a, w, first, count, CK_F32); break;
    }
}
