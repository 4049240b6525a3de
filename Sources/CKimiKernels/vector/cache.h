// Tokens written to the latent cache, and queries made ready for an int8 cache.
#include "../latent.h"
#include "quantizer.h"

/// x rounded to bfloat16, to any address.
CK_INLINE void round_bf16(unsigned char *to, const float *x, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) lanes_store_bf16(to + 2 * i, lanes_load(x + i));
    if (i < n) lanes_store_bf16_part(to + 2 * i, lanes_load_part(x + i, n - i), n - i);
}

void CK_NAME(cache_token)(void *to, const float *x, size_t latent, size_t rope, int32_t cache_type) {
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
    for (size_t i = 0; i < latent; i += 16) {
        size_t n = ck_smaller(latent - i, 16);
        lanes_store_bytes(bytes + i, scaled_lanes(x + i, n, by), n);
    }
    round_bf16(bytes + latent, x + latent, rope);
    memcpy(bytes + latent + 2 * rope, &by.step, sizeof by.step);
}

CK_INLINE void widen_bf16(float *y, const unsigned char *words, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) lanes_store(y + i, lanes_load_bf16(words + 2 * i));
    if (i < n) lanes_store_part(y + i, lanes_load_bf16_part(words + 2 * i, n - i), n - i);
}

void CK_NAME(widen_token)(float *y, const void *from, size_t latent, size_t rope, int32_t cache_type) {
    const unsigned char *token = from;
    if (cache_type == CK_F32) {
        memcpy(y, token, 4 * (latent + rope));
        return;
    }
    if (cache_type == CK_BF16) {
        widen_bf16(y, token, latent + rope);
        return;
    }
    lanes scale = lanes_all(latent_scale(token, latent, rope));
    size_t i = 0;
    for (; i + 16 <= latent; i += 16) lanes_store(y + i, lanes_mul(lanes_load_bytes(token + i), scale));
    if (i < latent) {
        size_t rest = latent - i;
        lanes_store_part(y + i, lanes_mul(lanes_load_bytes_part(token + i, rest), scale), rest);
    }
    widen_bf16(y + latent, latent_key(token, latent), rope);
}

void CK_NAME(query_int8)(float *q, size_t ldq, size_t n, size_t latent) {
    for (size_t r = 0; r < n; r++, q += ldq) {
        quantizer by = measure(q, latent, CK_QUERY_LIMIT);
        // In place: an integer takes half the room of the float it comes from.
        for (size_t i = 0; i < latent; i += 16) {
            size_t part = ck_smaller(latent - i, 16);
            lanes_store_words((unsigned char *)q + 2 * i, scaled_lanes(q + i, part, by), part);
        }
        q[latent - 1] = by.step;
    }
}
