// Tokens written to the latent cache, and queries made ready for an int8 cache.
#include "../latent.h"
#include "quantizer.h"

/// x rounded to bfloat16, to any address.
CK_INLINE void round_bf16(unsigned char *to, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = ck_bits_of_float(x[i]);
        // Adding just under half of the last place kept, plus its own bit, carries exactly when rounding goes up.
        uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        uint32_t quiet = bits >> 16 | 0x40; // a NaN whose payload lies in the lower half must not become infinity
        uint16_t word = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
        memcpy(to + 2 * i, &word, sizeof word);
    }
}

CK_SPECIFICATION void ck_scalar_cache_token(void *to, const float *x, size_t latent, size_t rope, int32_t cache_type) {
    if (cache_type == CK_F32) {
        memcpy(to, x, 4 * (latent + rope));
        return;
    }
    if (cache_type == CK_BF16) {
        round_bf16(to, x, latent + rope);
        return;
    }
    unsigned char *bytes = to;
    memset(bytes + latent, 0, ck_cache_token_bytes(CK_INT8, latent, rope) - latent);
    quantizer by = measure(x, latent, CK_LATENT_LIMIT);
    for (size_t i = 0; i < latent; i++) bytes[i] = (unsigned char)(int8_t)integer(x[i], by);
    round_bf16(bytes + latent, x + latent, rope);
    memcpy(bytes + latent + 2 * rope, &by.step, sizeof by.step);
}

CK_SPECIFICATION void ck_scalar_widen_token(float *y, const void *from, size_t latent, size_t rope, int32_t cache_type) {
    const unsigned char *token = from;
    if (cache_type == CK_F32) {
        memcpy(y, token, 4 * (latent + rope));
        return;
    }
    if (cache_type == CK_BF16) {
        for (size_t i = 0; i < latent + rope; i++) y[i] = ck_weight(token, i, CK_BF16);
        return;
    }
    float scale = latent_scale(token, latent, rope);
    for (size_t i = 0; i < latent; i++) y[i] = (float)(int8_t)token[i] * scale;
    for (size_t i = 0; i < rope; i++) y[latent + i] = ck_weight(latent_key(token, latent), i, CK_BF16);
}

CK_SPECIFICATION void ck_scalar_query_int8(float *q, size_t ldq, size_t n, size_t latent) {
    for (size_t r = 0; r < n; r++, q += ldq) {
        quantizer by = measure(q, latent, CK_QUERY_LIMIT);
        // In place: an integer takes half the room of the float it comes from.
        for (size_t i = 0; i < latent; i++) {
            int16_t word = (int16_t)integer(q[i], by);
            memcpy((unsigned char *)q + 2 * i, &word, sizeof word);
        }
        q[latent - 1] = by.step;
    }
}
