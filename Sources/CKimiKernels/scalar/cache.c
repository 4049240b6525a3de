// Tokens written to the latent cache, and queries made ready for an int8 cache.
#include "../latent.h"
#include "specification.h"

/// q[i] = x[i] * factor rounded to an integer, handed to `put`; the step is returned.
CK_INLINE quantiser measure(const float *x, size_t n, float limit) {
    float most = 0;
    int bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude = ck_bits_of_float(x[i]) & 0x7fffffff;
        bad |= magnitude >= 0x7f800000;
        float size = ck_float_of_bits(magnitude);
        most = size > most ? size : most;
    }
    return quantiser_for(most, bad, limit);
}

/// A run that does not count is zeros, whatever its values are.
CK_INLINE int32_t integer(float x, quantiser by) { return by.factor == 0 ? 0 : (int32_t)rintf(x * by.factor); }

CK_SPECIFICATION void ck_scalar_cache_token(void *to, const float *x, size_t latent, size_t rope, int32_t cache_type) {
    if (cache_type == CK_F32) {
        memcpy(to, x, 4 * (latent + rope));
        return;
    }
    if (cache_type == CK_BF16) {
        ck_scalar_round_bf16(to, x, latent + rope);
        return;
    }
    unsigned char *bytes = to;
    memset(bytes + latent, 0, ck_cache_token_bytes(CK_INT8, latent, rope) - latent);
    quantiser by = measure(x, latent, CK_LATENT_LIMIT);
    for (size_t i = 0; i < latent; i++) bytes[i] = (unsigned char)(int8_t)integer(x[i], by);
    for (size_t i = 0; i < rope; i++) {
        uint16_t word;
        ck_scalar_round_bf16(&word, x + latent + i, 1);
        memcpy(bytes + latent + 2 * i, &word, sizeof word);
    }
    memcpy(bytes + latent + 2 * rope, &by.step, sizeof by.step);
}

CK_SPECIFICATION void ck_scalar_query_int8(float *q, size_t ldq, size_t n, size_t latent) {
    for (size_t r = 0; r < n; r++, q += ldq) {
        quantiser by = measure(q, latent, CK_QUERY_LIMIT);
        // In place: an integer takes half the room of the float it comes from.
        for (size_t i = 0; i < latent; i++) {
            int16_t word = (int16_t)integer(q[i], by);
            memcpy((unsigned char *)q + 2 * i, &word, sizeof word);
        }
        q[latent - 1] = by.step;
    }
}
