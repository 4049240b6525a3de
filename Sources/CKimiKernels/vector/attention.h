// Absorbed latent attention over a span of the cache with an online softmax. The span is walked block by block for up to
// CK_QUERIES queries (heads of one or several rows), so that each block comes from memory once for all of them; within a block
// register tiles of heads and tokens share what has been loaded.
#include "exp.h"
#include "tile.h"

/// Queries that go through a block together: their scores fill 16 KiB of stack.
#define CK_QUERIES 64

/// The next block's bytes, brought into the cache line by line while the arithmetic of this one goes on: a tile has a share of
/// them, and asks for a line at a time, since many at once would hold up its own loads.
typedef struct cache_ahead {
    const unsigned char *next, *end;
    size_t share; ///< bytes for a tile
} cache_ahead;

/// The end of a tile's share, which begins at `next`.
CK_INLINE const unsigned char *fetch_end(const cache_ahead *ahead) {
    if (ahead->next >= ahead->end) return ahead->end; // no arithmetic with the NULL of the last block
    return ahead->next + ck_smaller(ahead->share, (size_t)(ahead->end - ahead->next));
}

CK_INLINE const unsigned char *fetch_line(const unsigned char *next, const unsigned char *end) {
    if (next >= end) return next;
    __builtin_prefetch(next, 0, 2);
    return next + 64;
}

#include "attention_int8.h"

/// One block of the cache.
typedef struct cache_block {
    const unsigned char *tokens;
    size_t start; ///< the number of its first token
    size_t token_bytes, token_size, latent;
    float scale; ///< of the scores
    int first;   ///< nothing has been summed before
    cache_ahead ahead;
    int8_block int8; ///< the same for an int8 cache
} cache_block;

/// Some heads of some rows, at most CK_QUERIES in all, with what has been summed for them.
typedef struct queries {
    const float *q;
    float *out, *state;
    size_t rows, heads;
    size_t q_stride, out_stride, state_stride; ///< from row to row
    size_t seen, end;                          ///< tokens that row 0 sees, and where the span ends
} queries;

/// How many of a block's tokens row r sees.
CK_INLINE size_t seen_of_block(const queries *s, size_t r, const cache_block *b) {
    size_t seen = ck_smaller(s->seen + r, s->end);
    return seen > b->start ? ck_smaller(seen - b->start, CK_CACHE_BLOCK) : 0;
}

/// score[h * CK_CACHE_BLOCK + t] = dot(query h, token t) * scale for th heads and tt tokens (constants) from token t on.
CK_INLINE void score_tile(float *score, const float *q, size_t th, size_t tt, size_t t, cache_block *b, int32_t type) {
    const unsigned char *next = b->ahead.next, *end = fetch_end(&b->ahead);
    const unsigned char *token = b->tokens + t * b->token_bytes;
    const size_t size = b->token_size, stride = b->token_bytes;
    lanes sum[CK_SCORE_HEADS * CK_SCORE_TOKENS];
    CK_UNROLL for (size_t k = 0; k < th * tt; k++) sum[k] = lanes_zero();
    size_t i = 0;
    for (; i + 16 <= size; i += 16) {
        lanes key[CK_SCORE_TOKENS];
        next = fetch_line(next, end);
        CK_UNROLL for (size_t j = 0; j < tt; j++) key[j] = load_weights(token + j * stride, i, type);
        CK_UNROLL for (size_t h = 0; h < th; h++) {
            lanes x = lanes_load(q + h * size + i);
            CK_UNROLL for (size_t j = 0; j < tt; j++) sum[h * tt + j] = lanes_fma(x, key[j], sum[h * tt + j]);
        }
    }
    if (i < size) {
        size_t part = size - i;
        CK_UNROLL for (size_t j = 0; j < tt; j++) {
            lanes key = load_weights_part(token + j * stride, i, type, part);
            CK_UNROLL for (size_t h = 0; h < th; h++)
                sum[h * tt + j] = lanes_fma_part(lanes_load_part(q + h * size + i, part), key, sum[h * tt + j], part);
        }
    }
    b->ahead.next = next;
    float sums[CK_SCORE_HEADS * CK_SCORE_TOKENS];
    if (th * tt == 16)
        lanes_sum_sixteen(sums, sum, 1);
    else
        CK_UNROLL for (size_t k = 0; k < th * tt; k++) sums[k] = lanes_sum(sum[k]);
    CK_UNROLL for (size_t h = 0; h < th; h++)
        CK_UNROLL for (size_t j = 0; j < tt; j++) score[h * CK_CACHE_BLOCK + t + j] = sums[h * tt + j] * b->scale;
}

/// The scores of th heads (a constant) for the block's first `count` tokens.
CK_INLINE void score_heads(float *score, const float *q, size_t th, size_t count, cache_block *b, int32_t type) {
    size_t t = 0;
    for (; t + CK_SCORE_TOKENS <= count; t += CK_SCORE_TOKENS) score_tile(score, q, th, CK_SCORE_TOKENS, t, b, type);
    for (; t < count; t++) score_tile(score, q, th, 1, t, b, type);
}

/// Turns one head's scores into weights, in place, and returns the factor for what was summed before.
CK_INLINE float weigh(float *state, float *score, size_t count, int first) {
    const lanes nothing = lanes_all(-INFINITY);
    float top = first ? -INFINITY : state[0], total = first ? 0.0f : state[1];
    lanes most = lanes_all(top), sum = lanes_zero();
    size_t whole = count / 16 * 16, rest = count - whole;
    // A NaN never becomes the largest.
    for (size_t t = 0; t < whole; t += 16) most = lanes_max(lanes_load(score + t), most);
    if (rest) most = lanes_max(lanes_choose_part(lanes_load_part(score + whole, rest), nothing, rest), most);
    float largest = lanes_largest(most);
    float factor = first ? 0.0f : ck_exp_inline(top - largest);
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
    float carried = total * factor;
    state[0] = largest;
    state[1] = carried + lanes_sum(sum);
    return factor;
}

/// Adds the weighted latents of `count` tokens to th heads' outputs, for tc * 16 columns from c on, or, if part > 0 (then tc is
/// 1), for the first `part` of 16.
CK_INLINE void add_columns(float *out, const float *weight, const float *factor, size_t th, size_t tc, size_t c,
                           size_t part, size_t count, cache_block *b, int32_t type) {
    const unsigned char *next = b->ahead.next, *end = fetch_end(&b->ahead);
    lanes sum[CK_VALUE_HEADS * CK_VALUE_W];
    CK_UNROLL for (size_t h = 0; h < th; h++)
        CK_UNROLL for (size_t k = 0; k < tc; k++) {
            const float *o = out + h * b->latent + c + 16 * k;
            if (b->first)
                sum[h * tc + k] = lanes_zero();
            else
                sum[h * tc + k] = lanes_mul(part ? lanes_load_part(o, part) : lanes_load(o), lanes_all(factor[h]));
        }
    for (size_t t = 0; t < count; t++) {
        const unsigned char *token = b->tokens + t * b->token_bytes;
        lanes latent[CK_VALUE_W];
        next = fetch_line(next, end);
        CK_UNROLL for (size_t k = 0; k < tc; k++)
            latent[k] = part ? load_weights_part(token, c, type, part) : load_weights(token, c + 16 * k, type);
        CK_UNROLL for (size_t h = 0; h < th; h++) {
            lanes p = lanes_all(weight[h * CK_CACHE_BLOCK + t]);
            CK_UNROLL for (size_t k = 0; k < tc; k++) sum[h * tc + k] = lanes_fma(p, latent[k], sum[h * tc + k]);
        }
    }
    b->ahead.next = next;
    CK_UNROLL for (size_t h = 0; h < th; h++)
        CK_UNROLL for (size_t k = 0; k < tc; k++) {
            float *o = out + h * b->latent + c + 16 * k;
            if (part)
                lanes_store_part(o, sum[h * tc + k], part);
            else
                lanes_store(o, sum[h * tc + k]);
        }
}

/// The same for all queries: a slice of columns of the block stays in the core's nearest cache for all of them.
CK_INLINE void add_slice(const queries *s, const float *weight, const float *factor, size_t tc, size_t c, size_t part,
                         cache_block *b, int32_t type) {
    for (size_t r = 0; r < s->rows; r++) {
        size_t count = seen_of_block(s, r, b), h = 0;
        if (count == 0) continue;
        float *out = s->out + r * s->out_stride;
        const float *w = weight + r * s->heads * CK_CACHE_BLOCK, *f = factor + r * s->heads;
        for (; h + CK_VALUE_HEADS <= s->heads; h += CK_VALUE_HEADS)
            add_columns(out + h * b->latent, w + h * CK_CACHE_BLOCK, f + h, CK_VALUE_HEADS, tc, c, part, count, b, type);
        for (; h + CK_VALUE_HEADS / 2 <= s->heads; h += CK_VALUE_HEADS / 2)
            add_columns(out + h * b->latent, w + h * CK_CACHE_BLOCK, f + h, CK_VALUE_HEADS / 2, tc, c, part, count, b, type);
        for (; h < s->heads; h++)
            add_columns(out + h * b->latent, w + h * CK_CACHE_BLOCK, f + h, 1, tc, c, part, count, b, type);
    }
}

/// The scores of all heads of one row.
CK_INLINE void score_row(float *score, const float *q, size_t heads, size_t count, cache_block *b, int32_t type) {
    size_t h = 0;
    for (; h + CK_SCORE_HEADS <= heads; h += CK_SCORE_HEADS)
        score_heads(score + h * CK_CACHE_BLOCK, q + h * b->token_size, CK_SCORE_HEADS, count, b, type);
    for (; CK_SCORE_HEADS >= 4 && h + CK_SCORE_HEADS / 2 <= heads; h += CK_SCORE_HEADS / 2)
        score_heads(score + h * CK_CACHE_BLOCK, q + h * b->token_size, CK_SCORE_HEADS / 2, count, b, type);
    for (; h < heads; h++) score_heads(score + h * CK_CACHE_BLOCK, q + h * b->token_size, 1, count, b, type);
}

CK_INLINE void score_row_int8(float *score, const float *q, size_t heads, cache_block *b) {
    const size_t size = b->token_size;
    size_t h = 0;
    for (; h + CK_SCORE_HEADS_INT8 <= heads; h += CK_SCORE_HEADS_INT8)
        score_heads_int8(score + h * CK_CACHE_BLOCK, q + h * size, size, CK_SCORE_HEADS_INT8, b->scale, &b->int8, &b->ahead);
    for (; h < heads; h++) score_heads_int8(score + h * CK_CACHE_BLOCK, q + h * size, size, 1, b->scale, &b->int8, &b->ahead);
}

/// The scores of all queries, made weights, with each query's factor for what was summed before; for int8 as integers with a step.
CK_INLINE void weigh_block(const queries *s, float *score, float *factor, float *step, cache_block *b, int32_t type) {
    for (size_t r = 0; r < s->rows; r++) {
        size_t count = seen_of_block(s, r, b);
        if (count == 0) continue;
        const float *q = s->q + r * s->q_stride;
        b->int8.count = count;
        if (type == CK_INT8)
            score_row_int8(score + r * s->heads * CK_CACHE_BLOCK, q, s->heads, b);
        else
            score_row(score + r * s->heads * CK_CACHE_BLOCK, q, s->heads, count, b, type);
        for (size_t h = 0; h < s->heads; h++) {
            float *weight = score + (r * s->heads + h) * CK_CACHE_BLOCK;
            factor[r * s->heads + h] = weigh(s->state + r * s->state_stride + 2 * h, weight, count, b->first);
            if (type == CK_INT8) step[r * s->heads + h] = weights_int8(weight, &b->int8);
        }
    }
}

/// As add_slice, for up to 32 columns of an int8 cache.
CK_INLINE void add_slice_int8(const queries *s, const float *weight, const float *factor, const float *step, size_t c,
                              size_t columns, cache_block *b) {
    for (size_t r = 0; r < s->rows; r++) {
        size_t first = r * s->heads, h = 0;
        b->int8.count = seen_of_block(s, r, b);
        if (b->int8.count == 0) continue;
        float *out = s->out + r * s->out_stride;
        for (; h + CK_VALUE_HEADS_INT8 <= s->heads; h += CK_VALUE_HEADS_INT8)
            add_columns_int8(out + h * b->latent, weight + (first + h) * CK_CACHE_BLOCK, factor + first + h, step + first + h,
                             CK_VALUE_HEADS_INT8, c, columns, b->first, &b->int8, &b->ahead);
        for (; h < s->heads; h++)
            add_columns_int8(out + h * b->latent, weight + (first + h) * CK_CACHE_BLOCK, factor + first + h, step + first + h, 1,
                             c, columns, b->first, &b->int8, &b->ahead);
    }
}

/// One block of the cache for all queries.
CK_INLINE void attend_block(const queries *s, cache_block *b, int32_t type) {
    _Alignas(64) float score[CK_QUERIES * CK_CACHE_BLOCK];
    float factor[CK_QUERIES], step[CK_QUERIES];
    weigh_block(s, score, factor, step, b, type);
    size_t c = 0;
    if (type == CK_INT8) {
        for (; c + 32 <= b->latent; c += 32) add_slice_int8(s, score, factor, step, c, 32, b);
        if (c < b->latent) add_slice_int8(s, score, factor, step, c, b->latent - c, b);
        return;
    }
    for (; c + 16 * CK_VALUE_W <= b->latent; c += 16 * CK_VALUE_W) add_slice(s, score, factor, CK_VALUE_W, c, 0, b, type);
    for (; c + 16 <= b->latent; c += 16) add_slice(s, score, factor, 1, c, 0, b, type);
    if (c < b->latent) add_slice(s, score, factor, 1, c, b->latent - c, b, type);
}

/// Bytes that each tile fetches of the next block's, whole lines.
CK_INLINE size_t share_of_tile(size_t queries, size_t latent, size_t bytes, int32_t type) {
    size_t scores = type == CK_INT8 ? CK_CACHE_BLOCK / CK_SCORE_TOKENS_INT8 / CK_SCORE_HEADS_INT8
                                    : CK_CACHE_BLOCK / CK_SCORE_TOKENS / CK_SCORE_HEADS;
    size_t values = type == CK_INT8 ? latent / 32 / CK_VALUE_HEADS_INT8 : latent / (16 * CK_VALUE_W) / CK_VALUE_HEADS;
    return (bytes / (queries * (scores + values) + 1) + 63) / 64 * 64;
}

/// The whole span for up to CK_QUERIES queries.
CK_INLINE void attend(const queries *s, const ck_attention *a, int32_t type) {
    cache_block b = {.token_size = a->latent + a->rope, .latent = a->latent, .scale = a->scale, .first = 1};
    b.token_bytes = ck_cache_token_bytes(type, a->latent, a->rope);
    _Alignas(64) float token_scale[CK_CACHE_BLOCK] = {0};
    b.int8 = (int8_block){.token_bytes = b.token_bytes, .latent = a->latent, .rope = a->rope, .scale = token_scale};
    size_t end = ck_smaller(s->end, s->seen + s->rows - 1); // of what the last row sees
    b.ahead.share = share_of_tile(s->rows * s->heads, a->latent, CK_CACHE_BLOCK * b.token_bytes, type);
    for (b.start = a->begin; b.start < end; b.start += CK_CACHE_BLOCK) {
        size_t block = b.start / CK_CACHE_BLOCK, left = end - b.start;
        b.tokens = (const unsigned char *)a->blocks[block] + a->layer_offset;
        size_t next = left > CK_CACHE_BLOCK ? ck_smaller(left - CK_CACHE_BLOCK, CK_CACHE_BLOCK) : 0;
        b.ahead.next = next ? (const unsigned char *)a->blocks[block + 1] + a->layer_offset : NULL;
        b.ahead.end = next ? b.ahead.next + next * b.token_bytes : NULL;
        if (type == CK_INT8) {
            b.int8.tokens = b.tokens;
            for (size_t t = 0; t < ck_smaller(left, CK_CACHE_BLOCK); t++)
                token_scale[t] = latent_scale(b.tokens + t * b.token_bytes, a->latent, a->rope);
        }
        attend_block(s, &b, type);
        b.first = 0;
    }
}

static __attribute__((noinline)) void attend_f32(const queries *s, const ck_attention *a) { attend(s, a, CK_F32); }
static __attribute__((noinline)) void attend_bf16(const queries *s, const ck_attention *a) { attend(s, a, CK_BF16); }
static __attribute__((noinline)) void attend_int8(const queries *s, const ck_attention *a) { attend(s, a, CK_INT8); }

void CK_NAME(attention)(float *out, float *state, const float *q, const ck_attention *a) {
    size_t heads = ck_smaller(a->heads, CK_QUERIES), rows = CK_QUERIES / heads, size = a->latent + a->rope;
    queries s = {.q_stride = a->query_stride, .out_stride = a->heads * a->latent, .state_stride = 2 * a->heads, .end = a->end};
    for (size_t r = 0; r < a->rows; r += rows)
        for (size_t h = 0; h < a->heads; h += heads) {
            s.q = q + r * s.q_stride + h * size;
            s.out = out + r * s.out_stride + h * a->latent;
            s.state = state + r * s.state_stride + 2 * h;
            s.rows = ck_smaller(a->rows - r, rows);
            s.heads = ck_smaller(a->heads - h, heads);
            s.seen = a->tokens + r;
            switch (a->cache_type) {
            case CK_BF16: attend_bf16(&s, a); break;
            case CK_INT8: attend_int8(&s, a); break;
            default: attend_f32(&s, a); break;
            }
        }
}
