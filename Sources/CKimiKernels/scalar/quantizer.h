// Floats as integers with one step for all.
#ifndef CK_SCALAR_QUANTIZER_H
#define CK_SCALAR_QUANTIZER_H

#include "../quantizer.h"
#include "specification.h"

/// The largest magnitude of n values, and whether there is an infinity or a NaN among them.
CK_INLINE float largest(const float *x, size_t n, int *bad) {
    float most = 0;
    *bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude = ck_bits_of_float(x[i]) & 0x7fffffff;
        *bad |= magnitude >= 0x7f800000;
        float size = ck_float_of_bits(magnitude);
        most = size > most ? size : most;
    }
    return most;
}

CK_INLINE quantizer measure(const float *x, size_t n, float limit) {
    int bad;
    float most = largest(x, n, &bad);
    return quantizer_for(most, bad, limit);
}

/// A run that does not count is zeros, whatever its values are.
CK_INLINE int32_t integer(float x, quantizer by) { return by.factor == 0 ? 0 : (int32_t)rintf(x * by.factor); }

#endif
