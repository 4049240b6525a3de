// Gaussian error linear units, by tanh and by erf.
#include "../gelu.h"
#include "specification.h"

CK_SPECIFICATION void ck_scalar_gelu_tanh(float *y, const float *x, const float *bias, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float t = x[i] + bias[i];
        float u = t * fmaf(t * t, CK_GELU_CUBIC, CK_GELU_LINEAR);
        y[i] = t / (1.0f + ck_exp_inline(-u));
    }
}

/// erfc(z) exp(z^2)
CK_INLINE float scaled_erfc(float z) {
    const float c[] = {CK_ERFC_P0, CK_ERFC_P1, CK_ERFC_P2, CK_ERFC_P3, CK_ERFC_P4, CK_ERFC_P5,
                       CK_ERFC_P6, CK_ERFC_P7, CK_ERFC_P8, CK_ERFC_P9, CK_ERFC_P10};
    float q = (z - 2.0f) / (z + 2.0f);
    float p = c[10];
    for (int k = 9; k >= 0; k--) p = fmaf(p, q, c[k]);
    return p / fmaf(2.0f, z, 1.0f);
}

CK_SPECIFICATION void ck_scalar_gelu_erf(float *y, const float *x, const float *bias, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float t = x[i] + bias[i];
        float size = fabsf(t);
        float a = size > CK_GELU_HIGHEST ? CK_GELU_HIGHEST : size;
        float square = a * a;
        float rest = fmaf(a, a, -square);
        float e = ck_exp_inline(-0.5f * square);
        e = fmaf(-(e * 0.5f), rest, e);
        float tail = e * 0.5f * scaled_erfc(a * CK_GELU_ROOT_HALF);
        y[i] = fmaf(-size, tail, t > 0 ? t : 0.0f);
    }
}
