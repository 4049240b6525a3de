// Absorbed latent attention with an online softmax, one head after another, block by block of the cache.
#include "../exp.h"
#include "specification.h"

/// The running state of one head's softmax.
typedef struct softmax {
    float top;   ///< m, the largest score so far
    float total; ///< l, the sum of the weights so far, relative to exp(top)
} softmax;

/// Turns the scores of one block into weights, in place, and returns the factor for what was summed before.
CK_INLINE float weigh(softmax *state, float *score, size_t count, int first) {
    float top = state->top;
    for (size_t t = 0; t < count; t++) top = score[t] > top ? score[t] : top; // a NaN never becomes the largest
    float factor = first ? 0.0f : ck_exp_inline(state->top - top);
    float lane[CK_LANES] = {0};
    for (size_t t = 0; t < count; t++) {
        score[t] = ck_exp_inline(score[t] - top);
        lane[t % CK_LANES] = lane[t % CK_LANES] + score[t];
    }
    float sum = ck_sum_lanes(lane);
    float carried = state->total * factor;
    state->total = carried + sum;
    state->top = top;
    return factor;
}

CK_INLINE void attend(float *out, const float *q, const ck_attention *a, int32_t type) {
    size_t token_size = a->latent + a->rope;
    size_t token_bytes = token_size * ck_type_bits(type) / 8;
    softmax state = {-INFINITY, 0.0f};
    for (size_t start = 0; start < a->tokens; start += CK_CACHE_BLOCK) {
        const unsigned char *block = (const unsigned char *)a->blocks[start / CK_CACHE_BLOCK] + a->layer_offset;
        size_t count = ck_smaller(a->tokens - start, CK_CACHE_BLOCK);
        float score[CK_CACHE_BLOCK];
        for (size_t t = 0; t < count; t++)
            score[t] = ck_dot(q, block + t * token_bytes, NULL, token_size, type) * a->scale;
        int first = start == 0;
        float factor = weigh(&state, score, count, first);
        for (size_t c = 0; c < a->latent; c++) out[c] = first ? 0.0f : out[c] * factor;
        for (size_t t = 0; t < count; t++) {
            const unsigned char *token = block + t * token_bytes;
            for (size_t c = 0; c < a->latent; c++) out[c] = fmaf(score[t], ck_weight(token, NULL, c, type), out[c]);
        }
    }
    float scale = 1.0f / state.total;
    for (size_t c = 0; c < a->latent; c++) out[c] = out[c] * scale;
}

CK_SPECIFICATION void ck_scalar_attention(float *out, const float *q, size_t heads, const ck_attention *a) {
    for (size_t h = 0; h < heads; h++) {
        float *result = out + h * a->latent;
        const float *query = q + h * (a->latent + a->rope);
        if (a->cache_type == CK_BF16)
            attend(result, query, a, CK_BF16);
        else
            attend(result, query, a, CK_F32);
    }
}
