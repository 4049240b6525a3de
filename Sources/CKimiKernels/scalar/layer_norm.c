// Layer normalisation.
#include "specification.h"

CK_SPECIFICATION void ck_scalar_layer_norm(float *y, const float *x, const float *w, const float *b, size_t n, float eps) {
    float sum[CK_LANES] = {0}, squares[CK_LANES] = {0};
    for (size_t i = 0; i < n; i++) sum[i % CK_LANES] = sum[i % CK_LANES] + x[i];
    float mean = ck_sum_lanes(sum) / (float)n;
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - mean;
        squares[i % CK_LANES] = fmaf(d, d, squares[i % CK_LANES]);
    }
    float r = 1.0f / sqrtf(ck_sum_lanes(squares) / (float)n + eps);
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - mean;
        y[i] = fmaf(d * r, w[i], b[i]);
    }
}
