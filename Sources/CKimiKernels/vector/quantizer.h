// Floats as integers with one step for all.
#ifndef CK_VECTOR_QUANTIZER_H
#define CK_VECTOR_QUANTIZER_H

#include "../quantizer.h"

CK_INLINE lanes load_some(const float *x, size_t n) { return n == 16 ? lanes_load(x) : lanes_load_part(x, n); }

CK_INLINE quantizer measure(const float *x, size_t n, float limit) {
    lanes most = lanes_zero();
    int bad = 0;
    for (size_t i = 0; i < n; i += 16) {
        lanes value = load_some(x + i, ck_smaller(n - i, 16));
        bad |= lanes_any_not_finite(value);
        most = lanes_max(lanes_absolute(value), most);
    }
    return quantizer_for(bad ? 0 : lanes_largest(most), bad, limit);
}

/// The first n (1 ... 16) of x before rounding. A run that does not count is zeros, whatever its values are.
CK_INLINE lanes scaled_lanes(const float *x, size_t n, quantizer by) {
    return by.factor == 0 ? lanes_zero() : lanes_mul(load_some(x, n), lanes_all(by.factor));
}

#endif
