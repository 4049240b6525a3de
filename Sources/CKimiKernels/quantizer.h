// How runs of floats become integers: activations, cached latents, and the weights and queries that meet these.
#ifndef CK_QUANTIZER_H
#define CK_QUANTIZER_H

#include "kernels.h"

/// Values that are all below this count as zeros: a limit divided by the largest must stay a normal float.
#define CK_QUANTIZER_LEAST 0x1p-100f

/// q = x * factor rounded to the nearest, ties to even, and x = q * step nearly. Where a value is not finite, q is 0 and `step` is
/// NaN.
typedef struct quantizer {
    float factor, step;
} quantizer;

/// For values of which the largest magnitude is `most`, `limit` being the integer that it becomes.
CK_INLINE quantizer quantizer_for(float most, int bad, float limit) {
    if (bad) return (quantizer){0, ck_float_of_bits(0x7fc00000)};
    if (!(most >= CK_QUANTIZER_LEAST)) return (quantizer){0, 0};
    return (quantizer){limit / most, most * (1.0f / limit)};
}

#endif
