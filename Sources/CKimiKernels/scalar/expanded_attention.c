// Attention to the expanded keys and values of one block of tokens, with an online softmax, one query after another.
#include "../exp.h"
#include "specification.h"

/// One query over the first `seen` tokens of the block, its elements CK_PACKED_ROWS apart.
CK_INLINE void attend(float *out, float *state, const float *q, size_t seen, const ck_expanded_block *b) {
    const int first = b->start == 0;
    float score[CK_CACHE_BLOCK];
    float top = first ? -INFINITY : state[0];
    for (size_t t = 0; t < seen; t++) {
        const float *key = b->keys + t * b->stride;
        float sum = 0;
        for (size_t d = 0; d < b->key; d++) sum = fmaf(q[d * CK_PACKED_ROWS], key[d], sum);
        score[t] = sum * b->scale;
        top = score[t] > top ? score[t] : top; // a NaN never becomes the largest
    }
    float factor = first ? 0.0f : ck_exp_inline(state[0] - top);
    float sum = 0;
    for (size_t t = 0; t < seen; t++) {
        score[t] = ck_exp_inline(score[t] - top);
        sum = sum + score[t];
    }
    float carried = first ? 0.0f : state[1] * factor;
    state[0] = top;
    state[1] = carried + sum;
    for (size_t c = 0; c < b->value; c++) out[c] = first ? 0.0f : out[c] * factor;
    for (size_t t = 0; t < seen; t++) {
        const float *value = b->values + t * b->stride;
        for (size_t c = 0; c < b->value; c++) out[c] = fmaf(score[t], value[c], out[c]);
    }
}

CK_SPECIFICATION void ck_scalar_expanded_attention(float *out, float *state, const float *q, const ck_expanded_block *b) {
    const size_t rows = (b->rows + CK_PACKED_ROWS - 1) / CK_PACKED_ROWS * CK_PACKED_ROWS;
    for (size_t r = 0; r < rows; r++) {
        size_t all = b->tokens + r;
        if (all <= b->start) continue;
        const float *query = q + r / CK_PACKED_ROWS * b->key * CK_PACKED_ROWS + r % CK_PACKED_ROWS;
        attend(out + r * b->value, state + 2 * r, query, ck_smaller(all - b->start, b->count), b);
    }
}
