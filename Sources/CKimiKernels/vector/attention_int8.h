// The two halves of attention for an int8 cache, in integers: 16-bit queries with signed bytes, and 16-bit weights with signed
// bytes, two tokens at a time. Twice as many products an instruction as in floats.
#ifndef CK_VECTOR_ATTENTION_INT8_H
#define CK_VECTOR_ATTENTION_INT8_H

#include "../latent.h"
#include "quantizer.h"

/// A block of int8 tokens.
typedef struct int8_block {
    const unsigned char *tokens;
    size_t token_bytes, latent, rope, count; ///< count: tokens that the query sees
    const float *scale;                      ///< of each token
} int8_block;

/// sum[h * CK_CACHE_BLOCK + t] = the integer part of the scores as a float, key[...] their rope part, for th heads and tt tokens
/// (constants) from token t on; `size` floats from a query to the next.
CK_INLINE void score_tile_int8(float *sum, float *key, const float *q, size_t size, size_t th, size_t tt, size_t t,
                               const int8_block *b, cache_ahead *ahead) {
    const unsigned char *next = ahead->next, *fetched = fetch_end(ahead);
    const unsigned char *token = b->tokens + t * b->token_bytes;
    const size_t stride = b->token_bytes;
    float total[CK_SCORE_HEADS_INT8 * CK_SCORE_TOKENS_INT8];
    for (size_t run = 0; run < b->latent; run += CK_LATENT_RUN) {
        size_t end = ck_smaller(run + CK_LATENT_RUN, b->latent), i = run;
        sums s[CK_SCORE_HEADS_INT8 * CK_SCORE_TOKENS_INT8];
        CK_UNROLL for (size_t k = 0; k < th * tt; k++) s[k] = sums_zero();
        for (; i + 32 <= end; i += 32) {
            words latent[CK_SCORE_TOKENS_INT8];
            next = fetch_line(next, fetched);
            CK_UNROLL for (size_t j = 0; j < tt; j++) latent[j] = words_of_bytes(token + j * stride + i);
            CK_UNROLL for (size_t h = 0; h < th; h++) {
                words x = words_load((const int16_t *)(const void *)(q + h * size) + i);
                CK_UNROLL for (size_t j = 0; j < tt; j++) s[h * tt + j] = sums_add(s[h * tt + j], x, latent[j]);
            }
        }
        if (i < end)
            CK_UNROLL for (size_t h = 0; h < th; h++) {
                words x = words_load_part((const int16_t *)(const void *)(q + h * size) + i, end - i);
                CK_UNROLL for (size_t j = 0; j < tt; j++)
                    s[h * tt + j] = sums_add(s[h * tt + j], x, words_of_bytes_part(token + j * stride + i, end - i));
            }
        sums_totals(total, s, th * tt);
        CK_UNROLL for (size_t h = 0; h < th; h++)
            CK_UNROLL for (size_t j = 0; j < tt; j++) {
                float *y = sum + h * CK_CACHE_BLOCK + t + j;
                *y = run == 0 ? total[h * tt + j] : *y + total[h * tt + j];
            }
    }
    ahead->next = next;
    lanes dot[CK_SCORE_HEADS_INT8 * CK_SCORE_TOKENS_INT8];
    CK_UNROLL for (size_t k = 0; k < th * tt; k++) dot[k] = lanes_zero();
    const float *x = q + b->latent;
    const unsigned char *rotated = token + b->latent;
    size_t i = 0;
    for (; i + 16 <= b->rope; i += 16) {
        lanes w[CK_SCORE_TOKENS_INT8];
        CK_UNROLL for (size_t j = 0; j < tt; j++) w[j] = lanes_load_bf16(rotated + j * stride + 2 * i);
        CK_UNROLL for (size_t h = 0; h < th; h++) {
            lanes value = lanes_load(x + h * size + i);
            CK_UNROLL for (size_t j = 0; j < tt; j++) dot[h * tt + j] = lanes_fma(value, w[j], dot[h * tt + j]);
        }
    }
    if (i < b->rope) {
        size_t part = b->rope - i;
        CK_UNROLL for (size_t h = 0; h < th; h++)
            CK_UNROLL for (size_t j = 0; j < tt; j++)
                dot[h * tt + j] = lanes_fma_part(lanes_load_part(x + h * size + i, part),
                                                 lanes_load_bf16_part(rotated + j * stride + 2 * i, part), dot[h * tt + j], part);
    }
    if (th * tt == 16)
        lanes_sum_sixteen(total, dot, 1);
    else
        CK_UNROLL for (size_t k = 0; k < th * tt; k++) total[k] = lanes_sum(dot[k]);
    CK_UNROLL for (size_t h = 0; h < th; h++)
        CK_UNROLL for (size_t j = 0; j < tt; j++) key[h * CK_CACHE_BLOCK + t + j] = total[h * tt + j];
}

/// score[t] = fma(integer part, step * scale of the token, rope part) * scale, for one query; `score` holds the integer parts.
CK_INLINE void join_scores(float *score, const float *key, float step, float scale, const int8_block *b) {
    for (size_t t = 0; t < b->count; t += 16) {
        // Beyond the count there is room, and what is computed there is never read.
        lanes factor = lanes_mul(lanes_all(step), lanes_load(b->scale + t));
        lanes sum = lanes_fma(lanes_load(score + t), factor, lanes_load(key + t));
        lanes_store(score + t, lanes_mul(sum, lanes_all(scale)));
    }
}

/// The scores of th heads (a constant) for the tokens that the query sees.
CK_INLINE void score_heads_int8(float *score, const float *q, size_t size, size_t th, float scale, const int8_block *b,
                                cache_ahead *ahead) {
    _Alignas(64) float key[CK_SCORE_HEADS_INT8 * CK_CACHE_BLOCK];
    size_t t = 0;
    for (; t + CK_SCORE_TOKENS_INT8 <= b->count; t += CK_SCORE_TOKENS_INT8)
        score_tile_int8(score, key, q, size, th, CK_SCORE_TOKENS_INT8, t, b, ahead);
    for (; t < b->count; t++) score_tile_int8(score, key, q, size, th, 1, t, b, ahead);
    for (size_t h = 0; h < th; h++)
        join_scores(score + h * CK_CACHE_BLOCK, key + h * CK_CACHE_BLOCK, q[h * size + b->latent - 1], scale, b);
}

/// A block's weights times the tokens' scales as integers, in place of the weights (they take half the room); returns the step.
/// An odd last token gets a neighbour of weight 0.
CK_INLINE float weights_int8(float *weight, const int8_block *b) {
    for (size_t t = 0; t < b->count; t += 16) {
        size_t n = ck_smaller(b->count - t, 16);
        lanes scaled = lanes_mul(lanes_load(weight + t), lanes_load(b->scale + t));
        if (n < 16) scaled = lanes_choose_part(scaled, lanes_zero(), n);
        lanes_store(weight + t, scaled);
    }
    quantizer by = measure(weight, b->count, CK_QUERY_LIMIT);
    for (size_t t = 0; t < b->count; t += 16)
        lanes_store_words((int16_t *)(void *)weight + t, scaled_lanes(weight + t, 16, by), 16);
    return by.step;
}

/// Adds the weighted latents to th heads' outputs (`latent` floats apart), for `columns` (at most 32) columns from c on.
CK_INLINE void add_columns_int8(float *out, const float *weight, const float *factor, const float *step, size_t th, size_t c,
                                size_t columns, int first, const int8_block *b, cache_ahead *ahead) {
    const unsigned char *next = ahead->next, *fetched = fetch_end(ahead);
    sums s[CK_VALUE_HEADS_INT8][2];
    CK_UNROLL for (size_t h = 0; h < th; h++) s[h][0] = s[h][1] = sums_zero();
    const unsigned char *token = b->tokens + c;
    for (size_t t = 0; t < b->count; t += 2, token += 2 * b->token_bytes) {
        words pairs[2], one, two = words_zero();
        next = fetch_line(next, fetched);
        one = columns == 32 ? words_of_bytes(token) : words_of_bytes_part(token, columns);
        if (t + 1 < b->count)
            two = columns == 32 ? words_of_bytes(token + b->token_bytes) : words_of_bytes_part(token + b->token_bytes, columns);
        words_interleave(pairs, one, two);
        CK_UNROLL for (size_t h = 0; h < th; h++) {
            words p = words_all_pairs((const int16_t *)(const void *)(weight + h * CK_CACHE_BLOCK) + t);
            s[h][0] = sums_add(s[h][0], pairs[0], p);
            s[h][1] = sums_add(s[h][1], pairs[1], p);
        }
    }
    ahead->next = next;
    CK_UNROLL for (size_t h = 0; h < th; h++) {
        lanes sum[2];
        sums_columns(sum, s[h][0], s[h][1]);
        CK_UNROLL for (size_t k = 0; k < 2; k++) {
            float *o = out + h * b->latent + c + 16 * k;
            if (columns >= 16 * (k + 1)) {
                lanes before = first ? lanes_zero() : lanes_mul(lanes_load(o), lanes_all(factor[h]));
                lanes_store(o, lanes_fma(sum[k], lanes_all(step[h]), before));
            } else if (columns > 16 * k) {
                size_t part = columns - 16 * k;
                lanes before = first ? lanes_zero() : lanes_mul(lanes_load_part(o, part), lanes_all(factor[h]));
                lanes_store_part(o, lanes_fma(sum[k], lanes_all(step[h]), before), part);
            }
        }
    }
}

#endif
