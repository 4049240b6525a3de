// Gaussian error linear units, by tanh and by erf.
#include "../gelu.h"
#include "exp.h"

CK_INLINE lanes gelu_tanh_lanes(lanes t) {
    lanes u = lanes_mul(t, lanes_fma(lanes_mul(t, t), lanes_all(CK_GELU_CUBIC), lanes_all(CK_GELU_LINEAR)));
    lanes e = lanes_exp(lanes_sub(lanes_all(-0.0f), u)); // -0 - u is -u for every u
    return lanes_div(t, lanes_add(lanes_all(1.0f), e));
}

/// erfc(z) exp(z^2)
CK_INLINE lanes scaled_erfc(lanes z) {
    const float c[] = {CK_ERFC_P0, CK_ERFC_P1, CK_ERFC_P2, CK_ERFC_P3, CK_ERFC_P4, CK_ERFC_P5,
                       CK_ERFC_P6, CK_ERFC_P7, CK_ERFC_P8, CK_ERFC_P9};
    const lanes two = lanes_all(2.0f);
    lanes q = lanes_div(lanes_sub(z, two), lanes_add(z, two));
    lanes p = lanes_all(CK_ERFC_P10);
    _Pragma("clang loop unroll(full)") for (int k = 9; k >= 0; k--) p = lanes_fma(p, q, lanes_all(c[k]));
    return lanes_div(p, lanes_fma(two, z, lanes_all(1.0f)));
}

CK_INLINE lanes gelu_erf_lanes(lanes t) {
    const lanes half = lanes_all(0.5f);
    lanes size = lanes_absolute(t);
    lanes a = lanes_min(lanes_all(CK_GELU_HIGHEST), size);
    lanes square = lanes_mul(a, a);
    lanes rest = lanes_fma(a, a, lanes_sub(lanes_all(-0.0f), square));
    lanes e = lanes_exp(lanes_mul(lanes_all(-0.5f), square));
    e = lanes_fma_negated(lanes_mul(e, half), rest, e);
    lanes tail = lanes_mul(lanes_mul(e, half), scaled_erfc(lanes_mul(a, lanes_all(CK_GELU_ROOT_HALF))));
    return lanes_fma_negated(size, tail, lanes_max(t, lanes_zero()));
}

/// y = gelu(x + bias), by lanes of 16 and a rest.
#define CK_GELU(name)                                                                                                 \
    void CK_NAME(name)(float *y, const float *x, const float *bias, size_t n) {                                       \
        size_t i = 0;                                                                                                 \
        for (; i + 16 <= n; i += 16)                                                                                  \
            lanes_store(y + i, name##_lanes(lanes_add(lanes_load(x + i), lanes_load(bias + i))));                     \
        if (i < n) {                                                                                                  \
            size_t count = n - i;                                                                                     \
            lanes t = lanes_add(lanes_load_part(x + i, count), lanes_load_part(bias + i, count));                     \
            lanes_store_part(y + i, name##_lanes(t), count);                                                          \
        }                                                                                                             \
    }

CK_GELU(gelu_tanh)
CK_GELU(gelu_erf)
