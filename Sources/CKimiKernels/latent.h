// The int8 form of a cached token, and the integers that queries and weights become to meet it: constants of that form.
//
// A token is `latent` signed bytes, `rope` bfloat16 words, and the f32 scale of the bytes, padded to whole 16 bytes.
#ifndef CK_LATENT_H
#define CK_LATENT_H

#include "quantizer.h"

/// The largest byte, and the largest 16-bit integer of a query or a weight.
#define CK_LATENT_LIMIT 127.0f
#define CK_QUERY_LIMIT 32767.0f
/// Products that are summed as integers before they become a float: 512 * 128 * 32767 fits 32 bits.
#define CK_LATENT_RUN 512

CK_INLINE const unsigned char *latent_key(const unsigned char *token, size_t latent) { return token + latent; }
CK_INLINE float latent_scale(const unsigned char *token, size_t latent, size_t rope) {
    return ck_float_at(token + latent + 2 * rope, 0);
}

#endif
