// The int8 form of a cached token, and the integers that queries and weights become to meet it: constants of that form.
//
// A token is `latent` signed bytes, `rope` bfloat16 words, and the f32 scale of the bytes, padded to whole 16 bytes.
#ifndef CK_LATENT_H
#define CK_LATENT_H

#include "kernels.h"

/// The largest byte, and the largest 16-bit integer of a query or a weight.
#define CK_LATENT_LIMIT 127.0f
#define CK_QUERY_LIMIT 32767.0f
/// Values that are all below this count as zeros: a limit divided by the largest must stay a normal float.
#define CK_LATENT_LEAST 0x1p-100f
/// Products that are summed as integers before they become a float: 512 * 128 * 32767 fits 32 bits.
#define CK_LATENT_RUN 512

CK_INLINE const unsigned char *latent_key(const unsigned char *token, size_t latent) { return token + latent; }
CK_INLINE float latent_scale(const unsigned char *token, size_t latent, size_t rope) {
    return ck_float_at(token + latent + 2 * rope, 0);
}

/// How a run of values becomes integers: q = x * factor rounded, x = q * step. `step` is NaN where a value is not finite.
typedef struct quantiser {
    float factor, step;
} quantiser;

CK_INLINE quantiser quantiser_for(float most, int bad, float limit) {
    if (bad) return (quantiser){0, ck_float_of_bits(0x7fc00000)};
    if (!(most >= CK_LATENT_LEAST)) return (quantiser){0, 0};
    return (quantiser){limit / most, most * (1.0f / limit)};
}

#endif
