// Rotation of pairs by the angles of a position.
#include "specification.h"

CK_SPECIFICATION void ck_scalar_rope(float *y, const float *x, const float *angles, size_t pairs) {
    for (size_t i = 0; i < pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1], cosine = angles[i], sine = angles[pairs + i];
        float ac = a * cosine, bs = b * sine, bc = b * cosine, as = a * sine;
        y[2 * i] = ac - bs;
        y[2 * i + 1] = bc + as;
    }
}
