// Stored weights as floats.
#ifndef CK_VECTOR_WIDEN_H
#define CK_VECTOR_WIDEN_H

#include "tile.h"

CK_INLINE void widen_floats(float *y, const unsigned char *row, size_t n, int32_t type) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) lanes_store(y + i, load_weights(row, i, type));
    if (i < n) lanes_store_part(y + i, load_weights_part(row, i, type, n - i), n - i);
}

CK_INLINE void widen_int4(float *y, const unsigned char *row, const unsigned char *scales, size_t n) {
    for (size_t first = 0; first < n; first += CK_SCALES * CK_INT4_GROUP) {
        _Alignas(64) float scale[CK_SCALES];
        size_t groups = ck_smaller((n - first) / CK_INT4_GROUP, CK_SCALES);
        widen_scales(scale, scales + first / CK_INT4_GROUP * 2, groups);
        for (size_t g = 0; g < groups; g++) {
            lanes weights[2];
            size_t i = first + g * CK_INT4_GROUP;
            lanes_load_int4(weights, row + i / 2, scale[g]);
            lanes_store(y + i, weights[0]);
            lanes_store(y + i + 16, weights[1]);
        }
    }
}

/// y[c] = weight first + c of a row of w, for c < n. For CK_INT4 first and n are multiples of 32.
CK_INLINE void widen_span(float *y, const ck_matrix *w, size_t row, size_t first, size_t n) {
    const unsigned char *weights = ck_row(w, row);
    switch (w->type) {
    case CK_BF16: widen_floats(y, weights + 2 * first, n, CK_BF16); break;
    case CK_F16: widen_floats(y, weights + 2 * first, n, CK_F16); break;
    case CK_F32: widen_floats(y, weights + 4 * first, n, CK_F32); break;
    default: widen_int4(y, weights + first / 2, ck_row_scales(w, row) + first / CK_INT4_GROUP * 2, n); break;
    }
}

#endif
