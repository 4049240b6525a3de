// Single rows of a matrix: widened, or combined with factors.
#include "specification.h"

CK_INLINE void widen(float *y, const unsigned char *row, size_t n, int32_t type) {
    for (size_t c = 0; c < n; c++) y[c] = ck_weight(row, c, type);
}

CK_INLINE void widen_int4(float *y, const unsigned char *row, const unsigned char *scales, size_t n) {
    for (size_t c = 0; c < n; c++) {
        int nibble = row[c / 2] >> (c % 2 * 4) & 15;
        y[c] = (float)(nibble - 8) * ck_float_of_bf16(ck_word_at(scales, c / CK_INT4_GROUP));
    }
}

CK_SPECIFICATION void ck_scalar_widen_row(float *y, const ck_matrix *w, size_t row) {
    const unsigned char *weights = ck_row(w, row);
    switch (w->type) {
    case CK_BF16: widen(y, weights, w->columns, CK_BF16); break;
    case CK_F16: widen(y, weights, w->columns, CK_F16); break;
    case CK_F32: widen(y, weights, w->columns, CK_F32); break;
    default: widen_int4(y, weights, ck_row_scales(w, row), w->columns); break;
    }
}

CK_INLINE void combine(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w, size_t first,
                       size_t count, int32_t type) {
    for (size_t r = 0; r < n; r++, y += ldy, x += ldx) {
        for (size_t c = 0; c < w->columns; c++) y[c] = 0;
        for (size_t d = 0; d < count; d++) {
            const unsigned char *row = ck_row(w, first + d);
            for (size_t c = 0; c < w->columns; c++) y[c] = fmaf(x[d], ck_weight(row, c, type), y[c]);
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
