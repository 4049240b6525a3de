// Root-mean-square normalisation.
#include "tile.h"

void CK_NAME(rms_norm)(float *y, const float *x, const float *w, size_t n, float eps) {
    lanes squares;
    dot_tile(&squares, 1, 1, x, 0, (const unsigned char *)x, 0, CK_F32, n, 16, 0, NULL);
    float r = 1.0f / sqrtf(lanes_sum(squares) / (float)n + eps);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        lanes t = lanes_mul(lanes_load(x + i), lanes_all(r));
        lanes_store(y + i, lanes_mul(t, lanes_load(w + i)));
    }
    if (i < n) {
        size_t count = n - i;
        lanes t = lanes_mul(lanes_load_part(x + i, count), lanes_all(r));
        lanes_store_part(y + i, lanes_mul(t, lanes_load_part(w + i, count)), count);
    }
}
