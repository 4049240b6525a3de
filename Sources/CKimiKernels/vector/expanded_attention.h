// Attention to the expanded keys and values of one block of tokens. Scores have rows in their lanes, so the softmax needs no
// sums across lanes and keys are used as they lie: an element of theirs meets sixteen rows at a time. Sums of values have columns
// in their lanes. A band of rows goes through both while its scores are in the nearest cache.
#include "exp.h"
#include "tile.h"

/// Rows of a band: as many as a tile of scores.
#define CK_BAND (CK_EXPANDED_ROWS * CK_PACKED_ROWS)

/// Some rows of the queries, a band or the rest of one.
typedef struct band {
    const float *q;
    float *out, *state;
    size_t groups; ///< sixteens of rows
    ptrdiff_t seen; ///< how many of the block's tokens the first row would see if there were always more; below 1 it sees none
    const unsigned char *next, *end; ///< what is to be brought into the cache, a line at a time
} band;

/// score[t * CK_BAND + r] = dot(query r, key t) * scale for tg sixteens of rows and tt tokens (constants) from token t on.
CK_INLINE void score_tile(float *score, const float *q, size_t tg, size_t tt, size_t t, band *s, const ck_expanded_block *b) {
    const unsigned char *next = s->next, *end = s->end;
    const size_t size = b->key, stride = b->stride;
    const float *key = b->keys + t * stride;
    lanes sum[CK_EXPANDED_ROWS * CK_EXPANDED_TOKENS];
    CK_UNROLL for (size_t k = 0; k < tg * tt; k++) sum[k] = lanes_zero();
    for (size_t d = 0; d < size; d++) {
        lanes x[CK_EXPANDED_ROWS];
        if (next < end) __builtin_prefetch(next, 0, 2), next += 64;
        CK_UNROLL for (size_t g = 0; g < tg; g++) x[g] = lanes_load(q + (g * size + d) * CK_PACKED_ROWS);
        CK_UNROLL for (size_t j = 0; j < tt; j++) {
            lanes element = lanes_all(key[j * stride + d]);
            CK_UNROLL for (size_t g = 0; g < tg; g++) sum[j * tg + g] = lanes_fma(x[g], element, sum[j * tg + g]);
        }
    }
    s->next = next;
    const lanes scale = lanes_all(b->scale);
    CK_UNROLL for (size_t j = 0; j < tt; j++)
        CK_UNROLL for (size_t g = 0; g < tg; g++)
            lanes_store(score + (t + j) * CK_BAND + g * CK_PACKED_ROWS, lanes_mul(sum[j * tg + g], scale));
}

/// The scores of tg sixteens of rows (a constant) for the block's first `count` tokens.
CK_INLINE void score_band(float *score, const float *q, size_t tg, size_t count, band *s, const ck_expanded_block *b) {
    size_t t = 0;
    for (; t + CK_EXPANDED_TOKENS <= count; t += CK_EXPANDED_TOKENS) score_tile(score, q, tg, CK_EXPANDED_TOKENS, t, s, b);
    for (; t < count; t++) score_tile(score, q, tg, 1, t, s, b);
}

/// Turns the scores of sixteen rows, of which the first sees `seen` tokens, into weights, in place, and writes each row's factor
/// for what was summed before: 1 if it sees none.
CK_INLINE void weigh(float *state, float *score, float *factor, ptrdiff_t seen, size_t count, int first) {
    // Tokens that all sixteen see; then those that the first `blind` rows do not see, one more with each token.
    const size_t whole = seen > 0 ? ck_smaller((size_t)seen, count) : 0;
    const size_t end = seen > -15 ? ck_smaller((size_t)(seen + 15), count) : 0;
    float before[CK_PACKED_ROWS], total[CK_PACKED_ROWS];
    for (size_t r = 0; r < CK_PACKED_ROWS; r++) {
        before[r] = first ? -INFINITY : state[2 * r];
        total[r] = first ? 0.0f : state[2 * r + 1];
    }
    lanes top = lanes_load(before), most = top, sum = lanes_zero();
    // A NaN never becomes the largest.
    for (size_t t = 0; t < whole; t++) most = lanes_max(lanes_load(score + t * CK_BAND), most);
    for (size_t t = whole; t < end; t++) {
        size_t blind = (size_t)((ptrdiff_t)t - seen + 1);
        most = lanes_choose_part(most, lanes_max(lanes_load(score + t * CK_BAND), most), blind);
    }
    for (size_t t = 0; t < whole; t++) {
        lanes weight = lanes_exp(lanes_sub(lanes_load(score + t * CK_BAND), most));
        lanes_store(score + t * CK_BAND, weight);
        sum = lanes_add(sum, weight);
    }
    for (size_t t = whole; t < end; t++) {
        size_t blind = (size_t)((ptrdiff_t)t - seen + 1);
        lanes weight = lanes_exp(lanes_sub(lanes_load(score + t * CK_BAND), most));
        lanes_store(score + t * CK_BAND, weight);
        sum = lanes_choose_part(sum, lanes_add(sum, weight), blind);
    }
    lanes scale = first ? lanes_zero() : lanes_exp(lanes_sub(top, most));
    lanes_store(factor, scale);
    lanes_store(before, most);
    lanes_store(total, lanes_add(first ? lanes_zero() : lanes_mul(lanes_load(total), scale), sum));
    for (size_t r = 0; r < CK_PACKED_ROWS; r++) {
        state[2 * r] = before[r];
        state[2 * r + 1] = total[r];
    }
}

/// Adds the weighted values to the results of th rows, of which the first sees `seen` tokens, for tc * 16 columns from c on, or,
/// if part > 0 (then tc is 1), for the first `part` of 16. A value that a row does not see does not touch it, not even times 0.
CK_INLINE void add_columns(float *out, const float *weight, const float *factor, ptrdiff_t seen, size_t th, size_t tc, size_t c,
                           size_t part, const ck_expanded_block *b) {
    const size_t whole = seen > 0 ? ck_smaller((size_t)seen, b->count) : 0;
    const size_t end = seen + (ptrdiff_t)th > 1 ? ck_smaller((size_t)(seen + (ptrdiff_t)th - 1), b->count) : 0;
    const float *values = b->values + c;
    lanes sum[CK_EXPANDED_SUMS * CK_EXPANDED_W];
    CK_UNROLL for (size_t h = 0; h < th; h++)
        CK_UNROLL for (size_t k = 0; k < tc; k++) {
            const float *o = out + h * b->value + c + 16 * k;
            if (b->start == 0)
                sum[h * tc + k] = lanes_zero();
            else
                sum[h * tc + k] = lanes_mul(part ? lanes_load_part(o, part) : lanes_load(o), lanes_all(factor[h]));
        }
    for (size_t t = 0; t < whole; t++) {
        lanes value[CK_EXPANDED_W];
        CK_UNROLL for (size_t k = 0; k < tc; k++)
            value[k] = part ? lanes_load_part(values + t * b->stride, part) : lanes_load(values + t * b->stride + 16 * k);
        CK_UNROLL for (size_t h = 0; h < th; h++) {
            lanes p = lanes_all(weight[t * CK_BAND + h]);
            CK_UNROLL for (size_t k = 0; k < tc; k++) sum[h * tc + k] = lanes_fma(p, value[k], sum[h * tc + k]);
        }
    }
    for (size_t t = whole; t < end; t++) {
        const ptrdiff_t blind = (ptrdiff_t)t - seen + 1;
        lanes value[CK_EXPANDED_W];
        CK_UNROLL for (size_t k = 0; k < tc; k++)
            value[k] = part ? lanes_load_part(values + t * b->stride, part) : lanes_load(values + t * b->stride + 16 * k);
        CK_UNROLL for (size_t h = 0; h < th; h++) {
            if ((ptrdiff_t)h < blind) continue;
            lanes p = lanes_all(weight[t * CK_BAND + h]);
            CK_UNROLL for (size_t k = 0; k < tc; k++) sum[h * tc + k] = lanes_fma(p, value[k], sum[h * tc + k]);
        }
    }
    CK_UNROLL for (size_t h = 0; h < th; h++)
        CK_UNROLL for (size_t k = 0; k < tc; k++) {
            float *o = out + h * b->value + c + 16 * k;
            if (part)
                lanes_store_part(o, sum[h * tc + k], part);
            else
                lanes_store(o, sum[h * tc + k]);
        }
}

/// The same for all rows of a band: a slice of columns of the block stays in the core's nearest cache for all of them.
CK_INLINE void add_slice(const band *s, const float *weight, const float *factor, size_t tc, size_t c, size_t part,
                         const ck_expanded_block *b) {
    for (size_t r = 0; r < s->groups * CK_PACKED_ROWS; r += CK_EXPANDED_SUMS) {
        ptrdiff_t seen = s->seen + (ptrdiff_t)r;
        if (seen + CK_EXPANDED_SUMS <= 1) continue;
        add_columns(s->out + r * b->value, weight + r, factor + r, seen, CK_EXPANDED_SUMS, tc, c, part, b);
    }
}

static __attribute__((noinline)) void attend_band(band *s, const ck_expanded_block *b) {
    _Alignas(64) float score[CK_BAND * CK_CACHE_BLOCK];
    _Alignas(64) float factor[CK_BAND];
    const size_t most = ck_smaller((size_t)(s->seen + (ptrdiff_t)(s->groups * CK_PACKED_ROWS) - 1), b->count);
    // Whole tiles where the block has the tokens: scores that no row of the band sees are left alone.
    const size_t tiles = (most + CK_EXPANDED_TOKENS - 1) / CK_EXPANDED_TOKENS * CK_EXPANDED_TOKENS;
    const size_t count = ck_smaller(tiles, b->count);
    if (s->groups == CK_EXPANDED_ROWS)
        score_band(score, s->q, CK_EXPANDED_ROWS, count, s, b);
    else
        for (size_t g = 0; g < s->groups; g++)
            score_band(score + g * CK_PACKED_ROWS, s->q + g * b->key * CK_PACKED_ROWS, 1, count, s, b);
    for (size_t g = 0; g < s->groups; g++) {
        const size_t r = g * CK_PACKED_ROWS;
        weigh(s->state + 2 * r, score + r, factor + r, s->seen + (ptrdiff_t)r, b->count, b->start == 0);
    }
    size_t c = 0;
    for (; c + 16 * CK_EXPANDED_W <= b->value; c += 16 * CK_EXPANDED_W) add_slice(s, score, factor, CK_EXPANDED_W, c, 0, b);
    for (; c + 16 <= b->value; c += 16) add_slice(s, score, factor, 1, c, 0, b);
    if (c < b->value) add_slice(s, score, factor, 1, c, b->value - c, b);
}

void CK_NAME(expanded_attention)(float *out, float *state, const float *q, const ck_expanded_block *b) {
    const size_t groups = (b->rows + CK_PACKED_ROWS - 1) / CK_PACKED_ROWS;
    band s = {.next = b->ahead, .end = b->ahead ? (const unsigned char *)b->ahead + b->ahead_bytes : NULL};
    for (size_t g = 0; g < groups; g += CK_EXPANDED_ROWS) {
        const size_t r = g * CK_PACKED_ROWS;
        s.q = q + r * b->key, s.out = out + r * b->value, s.state = state + 2 * r;
        s.groups = ck_smaller(groups - g, CK_EXPANDED_ROWS);
        s.seen = (ptrdiff_t)(b->tokens + r) - (ptrdiff_t)b->start;
        if (s.seen + (ptrdiff_t)(s.groups * CK_PACKED_ROWS) > 1) attend_band(&s, b);
    }
}
