// y = x w^T for weights of few bits, with x as integers: exact integer sums within a group, one fma a group.
#include "../split.h"
#include "specification.h"

/// The integer weight of element i of group g of a row.
CK_INLINE int32_t integer_weight(const unsigned char *row, size_t g, size_t i, int32_t type) {
    if (type == CK_INT8) {
        const unsigned char *block = row + g / CK_SPLIT_GROUPS * CK_SPLIT_BLOCK;
        return block[split_slot(i) * 4 * CK_SPLIT_GROUPS + 4 * split_lane(g % CK_SPLIT_GROUPS) + split_byte(i)] - 128;
    }
    return (row[(g * CK_INT4_GROUP + i) / 2] >> (i % 2 * 4) & 15) - 8;
}

CK_INLINE float integer_dot(const void *x, const unsigned char *row, const unsigned char *scales, size_t columns,
                            int32_t type, int32_t parts) {
    float lane[CK_LANES] = {0};
    size_t groups = columns / CK_INT4_GROUP;
    for (size_t g = 0; g < split_blocks(columns) * CK_SPLIT_GROUPS; g++) {
        const split_block *block = split_at(x, g / CK_SPLIT_GROUPS, parts);
        size_t l = split_lane(g % CK_SPLIT_GROUPS);
        int32_t sum = 0, top = 0;
        float scale = 0.0f;
        if (g < groups) {
            for (size_t i = 0; i < CK_INT4_GROUP; i++) {
                size_t slot = split_slot(i), byte = 4 * l + split_byte(i);
                int32_t weight = integer_weight(row, g, i, type);
                sum += weight * block->low[slot][byte];
                if (parts == 3) {
                    sum += weight * 256 * block->high[slot][byte];
                    top += weight * block->top[slot][byte];
                }
            }
            scale = ck_float_of_bf16(ck_word_at(scales, g));
        }
        float whole = parts == 3 ? fmaf(65536.0f, (float)top, (float)sum) : (float)sum;
        lane[l] = fmaf(whole, block->scale[l] * scale, lane[l]);
    }
    return ck_sum_lanes(lane);
}

CK_INLINE void multiply_integers(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w, size_t begin,
                                 size_t end, int32_t type, int32_t parts) {
    for (size_t j = begin; j < end; j++)
        for (size_t r = 0; r < n; r++) {
            const unsigned char *row = ck_row(w, j), *scales = ck_row_scales(w, j);
            y[r * ldy + j] = integer_dot(x[r], row, scales, w->columns, type, parts);
        }
}

CK_SPECIFICATION void ck_scalar_matmul_split(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w,
                                             size_t begin, size_t end, int32_t parts) {
    // Each case for itself, so that the compiler sees the constants.
    if (w->type == CK_INT8 && parts == 3) multiply_integers(y, ldy, x, n, w, begin, end, CK_INT8, 3);
    else if (w->type == CK_INT8) multiply_integers(y, ldy, x, n, w, begin, end, CK_INT8, 1);
    else if (parts == 3) multiply_integers(y, ldy, x, n, w, begin, end, CK_INT4, 3);
    else multiply_integers(y, ldy, x, n, w, begin, end, CK_INT4, 1);
}
