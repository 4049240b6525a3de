// Element by element: the gated activation, scaled addition, the check for infinities and NaN.
#include "../exp.h"
#include "specification.h"

CK_SPECIFICATION void ck_scalar_swiglu(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float silu = gate[i] / (1.0f + ck_exp_inline(-gate[i]));
        y[i] = silu * up[i];
    }
}

CK_SPECIFICATION void ck_scalar_add_scaled(float *y, float a, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

CK_SPECIFICATION int32_t ck_scalar_all_finite(const float *x, size_t n) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) bad |= (ck_bits_of_float(x[i]) & 0x7f800000) == 0x7f800000;
    return !bad;
}
