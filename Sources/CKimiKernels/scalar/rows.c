// Single rows of a matrix: widened, or combined with factors.
#include "specification.h"

CK_INLINE void widen(float *y, const unsigned char *row, const unsigned char *scales, size_t n, int32_t type) {
    for (size_t c = 0; c < n; c++) y[c] = ck_weight(row, scales, c, type);
}

CK_SPECIFICATION void ck_scalar_widen_row(float *y, const ck_matrix *w, size_t row) {
    const unsigned char *weights = ck_row(w, row);
    switch (w->type) {
    case CK_BF16: widen(y, weights, NULL, w->columns, CK_BF16); break;
    case CK_F16: widen(y, weights, NULL, w->columns, CK_F16); break;
    case CK_F32: widen(y, weights, NULL, w->columns, CK_F32); break;
    default: widen(y, weights, ck_row_scales(w, row), w->columns, CK_INT4); break;
    }
}

CK_INLINE void combine(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w, size_t first,
                       size_t count, int32_t type) {
    for (size_t r = 0; r < n; r++, y += ldy, x += ldx) {
        for (size_t c = 0; c < w->columns; c++) y[c] = 0;
        for (size_t d = 0; d < count; d++) {
            const unsigned char *row = ck_row(w, first + d);
            for (size_t c = 0; c < w->columns; c++) y[c] = fmaf(x[d], ck_weight(row, NULL, c, type), y[c]);
        }
    }
}

CK_SPECIFICATION void ck_scalar_combine_rows(float *y, size_t ldy, const float *x, size_t ldx, size_t n,
                                             const ck_matrix *w, size_t first, size_t count) {
    switch (w->type) {
    case CK_BF16: combine(y, ldy, x, ldx, n, w, first, count, CK_BF16); break;
    case CK_F16: combine(y, ldy, x, ldx, n, w, first, count, CK_F16); break;
    default: combine(y, ldy, x, ldx, n, w, first, count, CK_F32); break;
    }
}
