// Element by element: the gated activation, scaled addition, the check for infinities and NaN.
#include "exp.h"

CK_INLINE lanes gated(lanes gate, lanes up) {
    lanes e = lanes_exp(lanes_sub(lanes_all(-0.0f), gate)); // -0 - g is -g for every g
    return lanes_mul(lanes_div(gate, lanes_add(lanes_all(1.0f), e)), up);
}

void CK_NAME(swiglu)(float *y, const float *gate, const float *up, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) lanes_store(y + i, gated(lanes_load(gate + i), lanes_load(up + i)));
    if (i < n) {
        size_t count = n - i;
        lanes_store_part(y + i, gated(lanes_load_part(gate + i, count), lanes_load_part(up + i, count)), count);
    }
}

void CK_NAME(add_scaled)(float *y, float a, const float *x, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) lanes_store(y + i, lanes_fma(lanes_all(a), lanes_load(x + i), lanes_load(y + i)));
    if (i < n) {
        size_t count = n - i;
        lanes sum = lanes_fma(lanes_all(a), lanes_load_part(x + i, count), lanes_load_part(y + i, count));
        lanes_store_part(y + i, sum, count);
    }
}

int32_t CK_NAME(all_finite)(const float *x, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        if (lanes_any_not_finite(lanes_load(x + i))) return 0;
    return i == n || !lanes_any_not_finite(lanes_load_part(x + i, n - i));
}
