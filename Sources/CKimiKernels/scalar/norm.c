// Root-mean-square normalisation.
#include "specification.h"

CK_SPECIFICATION void ck_scalar_rms_norm(float *y, const float *x, const float *w, size_t n, float eps) {
    float squares = ck_dot(x, (const unsigned char *)x, n, CK_F32);
    float r = 1.0f / sqrtf(squares / (float)n + eps);
    for (size_t i = 0; i < n; i++) {
        float t = x[i] * r;
        y[i] = t * w[i];
    }
}
