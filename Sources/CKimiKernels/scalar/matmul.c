// y = x w^T, one dot product an output.
#include "specification.h"

CK_INLINE void multiply(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w, size_t begin,
                        size_t end, int32_t type) {
    for (size_t j = begin; j < end; j++) {
        const unsigned char *row = ck_row(w, j);
        for (size_t r = 0; r < n; r++) y[r * ldy + j] = ck_dot(x + r * ldx, row, w->columns, type);
    }
}

CK_SPECIFICATION void ck_scalar_matmul(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w,
                                       size_t begin, size_t end) {
    // The type is a constant in each call, so that the loop inside knows it.
    switch (w->type) {
    case CK_BF16: multiply(y, ldy, x, ldx, n, w, begin, end, CK_BF16); break;
    case CK_F16: multiply(y, ldy, x, ldx, n, w, begin, end, CK_F16); break;
    default: multiply(y, ldy, x, ldx, n, w, begin, end, CK_F32); break;
    }
}
