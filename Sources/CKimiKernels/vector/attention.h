// Absorbed latent attention with an online softmax. The cache is walked block by block once for many heads, and a token
// that has been loaded serves several heads.
#include "exp.h"
#include "tile.h"

/// Heads whose running softmax is kept at once, and heads that go through a block together.
#define CK_HEADS_MOST 128
#define CK_HEAD_GROUP 16

/// The running state of each head's softmax.
typedef struct softmax {
    float top[CK_HEADS_MOST];   ///< m, the largest score so far
    float total[CK_HEADS_MOST]; ///< l, the sum of the weights so far, relative to exp(top)
} softmax;

/// One block of the cache.
typedef struct cache_block {
    const unsigned char *tokens;
    size_t count, token_bytes, token_size, latent;
    int first; ///< nothing has been summed before
} cache_block;

/// score[h * CK_CACHE_BLOCK + t] for tx heads (a constant) from their queries.
CK_INLINE void score_heads(float *score, const float *q, size_t tx, const cache_block *b, float scale, int32_t type) {
    lanes sum[CK_TILE_X * CK_TILE_W];
    size_t t = 0;
    for (; t + CK_TILE_W <= b->count; t += CK_TILE_W) {
        dot_tile(sum, tx, CK_TILE_W, q, b->token_size, b->tokens + t * b->token_bytes, b->token_bytes, type,
                 b->token_size, 16, 0, NULL);
        CK_UNROLL for (size_t h = 0; h < tx; h++)
            CK_UNROLL for (size_t j = 0; j < CK_TILE_W; j++)
                score[h * CK_CACHE_BLOCK + t + j] = lanes_sum(sum[h * CK_TILE_W + j]) * scale;
    }
    for (; t < b->count; t++) {
        dot_tile(sum, tx, 1, q, b->token_size, b->tokens + t * b->token_bytes, b->token_bytes, type, b->token_size, 16,
                 0, NULL);
        CK_UNROLL for (size_t h = 0; h < tx; h++) score[h * CK_CACHE_BLOCK + t] = lanes_sum(sum[h]) * scale;
    }
}

/// Turns one head's scores into weights, in place, and returns the factor for what was summed before.
static float weigh(float *top, float *total, float *score, const cache_block *b) {
    const lanes nothing = lanes_all(-INFINITY);
    lanes most = lanes_all(*top), sum = lanes_zero();
    size_t whole = b->count / 16 * 16, rest = b->count - whole;
    // A NaN never becomes the largest.
    for (size_t t = 0; t < whole; t += 16) most = lanes_max(lanes_load(score + t), most);
    if (rest) most = lanes_max(lanes_choose_part(lanes_load_part(score + whole, rest), nothing, rest), most);
    float largest = lanes_largest(most);
    float factor = b->first ? 0.0f : ck_exp_inline(*top - largest);
    for (size_t t = 0; t < whole; t += 16) {
        lanes weight = lanes_exp(lanes_sub(lanes_load(score + t), lanes_all(largest)));
        lanes_store(score + t, weight);
        sum = lanes_add(sum, weight);
    }
    if (rest) {
        lanes weight = lanes_exp(lanes_sub(lanes_load_part(score + whole, rest), lanes_all(largest)));
        lanes_store_part(score + whole, weight, rest);
        sum = lanes_choose_part(lanes_add(sum, weight), sum, rest);
    }
    float carried = *total * factor;
    *total = carried + lanes_sum(sum);
    *top = largest;
    return factor;
}

/// Adds a block's weighted latents to tx heads' outputs, for tw * 16 columns from c on, or, if part > 0 (then tw is 1),
/// for the first `part` of 16.
CK_INLINE void add_columns(float *out, const float *weight, const float *factor, size_t tx, size_t tw, size_t c,
                           size_t part, const cache_block *b, int32_t type) {
    lanes sum[CK_VALUE_HEADS * CK_VALUE_W];
    CK_UNROLL for (size_t h = 0; h < tx; h++)
        CK_UNROLL for (size_t k = 0; k < tw; k++) {
            const float *o = out + h * b->latent + c + 16 * k;
            if (b->first)
                sum[h * tw + k] = lanes_zero();
            else
                sum[h * tw + k] = lanes_mul(part ? lanes_load_part(o, part) : lanes_load(o), lanes_all(factor[h]));
        }
    for (size_t t = 0; t < b->count; t++) {
        const unsigned char *token = b->tokens + t * b->token_bytes;
        lanes latent[CK_VALUE_W];
        CK_UNROLL for (size_t k = 0; k < tw; k++)
            latent[k] = part ? load_weights_part(token, c, type, part) : load_weights(token, c + 16 * k, type);
        CK_UNROLL for (size_t h = 0; h < tx; h++) {
            lanes p = lanes_all(weight[h * CK_CACHE_BLOCK + t]);
            CK_UNROLL for (size_t k = 0; k < tw; k++) sum[h * tw + k] = lanes_fma(p, latent[k], sum[h * tw + k]);
        }
    }
    CK_UNROLL for (size_t h = 0; h < tx; h++)
        CK_UNROLL for (size_t k = 0; k < tw; k++) {
            float *o = out + h * b->latent + c + 16 * k;
            if (part)
                lanes_store_part(o, sum[h * tw + k], part);
            else
                lanes_store(o, sum[h * tw + k]);
        }
}

CK_INLINE void add_values(float *out, const float *weight, const float *factor, size_t tx, const cache_block *b,
                          int32_t type) {
    size_t c = 0;
    for (; c + 16 * CK_VALUE_W <= b->latent; c += 16 * CK_VALUE_W)
        add_columns(out, weight, factor, tx, CK_VALUE_W, c, 0, b, type);
    for (; c + 16 <= b->latent; c += 16) add_columns(out, weight, factor, tx, 1, c, 0, b, type);
    if (c < b->latent) add_columns(out, weight, factor, tx, 1, c, b->latent - c, b, type);
}

/// One block of the cache for up to CK_HEAD_GROUP heads.
CK_INLINE void attend_block(float *out, const float *q, size_t heads, float *top, float *total, const cache_block *b,
                            float scale, int32_t type) {
    _Alignas(64) float score[CK_HEAD_GROUP * CK_CACHE_BLOCK];
    float factor[CK_HEAD_GROUP];
    size_t h = 0;
    for (; h + CK_TILE_X <= heads; h += CK_TILE_X)
        score_heads(score + h * CK_CACHE_BLOCK, q + h * b->token_size, CK_TILE_X, b, scale, type);
    for (; h < heads; h++) score_heads(score + h * CK_CACHE_BLOCK, q + h * b->token_size, 1, b, scale, type);
    for (h = 0; h < heads; h++) factor[h] = weigh(&top[h], &total[h], score + h * CK_CACHE_BLOCK, b);
    for (h = 0; h + CK_VALUE_HEADS <= heads; h += CK_VALUE_HEADS)
        add_values(out + h * b->latent, score + h * CK_CACHE_BLOCK, factor + h, CK_VALUE_HEADS, b, type);
    for (; h < heads; h++) add_values(out + h * b->latent, score + h * CK_CACHE_BLOCK, factor + h, 1, b, type);
}

/// All of the cache for up to CK_HEADS_MOST heads.
CK_INLINE void attend(float *out, const float *q, size_t heads, const ck_attention *a, int32_t type) {
    softmax state;
    cache_block b = {.token_size = a->latent + a->rope, .latent = a->latent};
    b.token_bytes = b.token_size * (type == CK_BF16 ? 2 : 4);
    for (size_t h = 0; h < heads; h++) {
        state.top[h] = -INFINITY;
        state.total[h] = 0;
    }
    for (size_t start = 0; start < a->tokens; start += CK_CACHE_BLOCK) {
        b.tokens = (const unsigned char *)a->blocks[start / CK_CACHE_BLOCK] + a->layer_offset;
        b.count = ck_smaller(a->tokens - start, CK_CACHE_BLOCK);
        b.first = start == 0;
        for (size_t h = 0; h < heads; h += CK_HEAD_GROUP)
            attend_block(out + h * a->latent, q + h * b.token_size, ck_smaller(heads - h, CK_HEAD_GROUP), state.top + h,
                         state.total + h, &b, a->scale, type);
    }
    for (size_t h = 0; h < heads; h++) {
        float *o = out + h * a->latent;
        lanes scale = lanes_all(1.0f / state.total[h]);
        size_t c = 0;
        for (; c + 16 <= a->latent; c += 16) lanes_store(o + c, lanes_mul(lanes_load(o + c), scale));
        if (c < a->latent)
            lanes_store_part(o + c, lanes_mul(lanes_load_part(o + c, a->latent - c), scale), a->latent - c);
    }
}

void CK_NAME(attention)(float *out, const float *q, size_t heads, const ck_attention *a) {
    for (size_t h = 0; h < heads; h += CK_HEADS_MOST) {
        float *result = out + h * a->latent;
        const float *queries = q + h * (a->latent + a->rope);
        size_t count = ck_smaller(heads - h, CK_HEADS_MOST);
        if (a->cache_type == CK_BF16)
            attend(result, queries, count, a, CK_BF16);
        else
            attend(result, queries, count, a, CK_F32);
    }
}
