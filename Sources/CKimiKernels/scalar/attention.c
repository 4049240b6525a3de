// Absorbed latent attention with an online softmax, one query after another, block by block of the span.
#include "../exp.h"
#include "../latent.h"
#include "quantizer.h"

/// Turns the scores of one block into weights, in place, and returns the factor for what was summed before. `state` holds m,
/// the largest score so far, and l, the sum of the weights so far, relative to exp(m).
CK_INLINE float weigh(float *state, float *score, size_t count, int first) {
    float top = state[0];
    for (size_t t = 0; t < count; t++) top = score[t] > top ? score[t] : top; // a NaN never becomes the largest
    float factor = first ? 0.0f : ck_exp_inline(state[0] - top);
    float lane[CK_LANES] = {0};
    for (size_t t = 0; t < count; t++) {
        score[t] = ck_exp_inline(score[t] - top);
        lane[t % CK_LANES] = lane[t % CK_LANES] + score[t];
    }
    float sum = ck_sum_lanes(lane);
    float carried = state[1] * factor;
    state[0] = top;
    state[1] = carried + sum;
    return factor;
}

/// The score of an int8 token against a query that query_int8 has made ready.
CK_INLINE float score_int8(const float *q, const unsigned char *token, const ck_attention *a) {
    float sum = 0;
    for (size_t run = 0; run < a->latent; run += CK_LATENT_RUN) {
        int32_t products = 0;
        for (size_t i = run; i < ck_smaller(run + CK_LATENT_RUN, a->latent); i++)
            products += (int16_t)ck_word_at(q, i) * (int8_t)token[i];
        sum = run == 0 ? (float)products : sum + (float)products;
    }
    float step = q[a->latent - 1] * latent_scale(token, a->latent, a->rope);
    float key = ck_dot(q + a->latent, latent_key(token, a->latent), a->rope, CK_BF16);
    return fmaf(sum, step, key) * a->scale;
}

/// out = out * factor, then the weighted int8 latents of a block.
CK_INLINE void add_int8(float *out, const float *weight, float factor, int first, const unsigned char *tokens,
                        size_t token_bytes, size_t count, const ck_attention *a) {
    float scaled[CK_CACHE_BLOCK];
    for (size_t t = 0; t < count; t++) scaled[t] = weight[t] * latent_scale(tokens + t * token_bytes, a->latent, a->rope);
    quantizer by = measure(scaled, count, CK_QUERY_LIMIT);
    for (size_t c = 0; c < a->latent; c++) {
        int32_t sum = 0;
        for (size_t t = 0; t < count; t++) sum += integer(scaled[t], by) * (int8_t)tokens[t * token_bytes + c];
        out[c] = fmaf((float)sum, by.step, first ? 0.0f : out[c] * factor);
    }
}

/// One query over the tokens begin ..< end.
CK_INLINE void attend(float *out, float *state, const float *q, size_t end, const ck_attention *a, int32_t type) {
    size_t token_bytes = ck_cache_token_bytes(type, a->latent, a->rope);
    state[0] = -INFINITY;
    state[1] = 0;
    for (size_t start = a->begin; start < end; start += CK_CACHE_BLOCK) {
        const unsigned char *block = (const unsigned char *)a->blocks[start / CK_CACHE_BLOCK] + a->layer_offset;
        size_t count = ck_smaller(end - start, CK_CACHE_BLOCK);
        int first = start == a->begin;
        float score[CK_CACHE_BLOCK];
        for (size_t t = 0; t < count; t++) {
            const unsigned char *token = block + t * token_bytes;
            score[t] = type == CK_INT8 ? score_int8(q, token, a)
                                       : ck_dot(q, token, a->latent + a->rope, type) * a->scale;
        }
        float factor = weigh(state, score, count, first);
        if (type == CK_INT8) {
            add_int8(out, score, factor, first, block, token_bytes, count, a);
            continue;
        }
        for (size_t c = 0; c < a->latent; c++) out[c] = first ? 0.0f : out[c] * factor;
        for (size_t t = 0; t < count; t++) {
            const unsigned char *token = block + t * token_bytes;
            for (size_t c = 0; c < a->latent; c++) out[c] = fmaf(score[t], ck_weight(token, c, type), out[c]);
        }
    }
}

CK_SPECIFICATION void ck_scalar_attention(float *out, float *state, const float *q, const ck_attention *a) {
    for (size_t r = 0; r < a->rows; r++)
        for (size_t h = 0; h < a->heads; h++) {
            size_t index = r * a->heads + h;
            const float *query = q + r * a->query_stride + h * (a->latent + a->rope);
            size_t end = ck_smaller(a->end, a->tokens + r);
            float *result = out + index * a->latent, *sums = state + 2 * index;
            switch (a->cache_type) {
            case CK_BF16: attend(result, sums, query, end, a, CK_BF16); break;
            case CK_INT8: attend(result, sums, query, end, a, CK_INT8); break;
            default: attend(result, sums, query, end, a, CK_F32); break;
            }
        }
}
