// y = x w^T for weights of few bits, with x as integers: exact integer sums within a group, one fma a group.
#include "../split.h"
#include "specification.h"

CK_INLINE float integer_dot(const void *x, const unsigned char *row, const unsigned char *scales, size_t columns,
                            int32_t type) {
    float lane[CK_LANES] = {0};
    size_t groups = columns / CK_INT4_GROUP;
    for (size_t g = 0; g < split_blocks(columns) * CK_SPLIT_GROUPS; g++) {
        const split_block *block = split_at(x, g / CK_SPLIT_GROUPS);
        size_t l = split_lane(g % CK_SPLIT_GROUPS);
        int32_t sum = 0, top = 0;
        float scale = 0.0f;
        if (g < groups) {
            for (size_t i = 0; i < CK_INT4_GROUP; i++) {
                size_t slot = split_slot(i), byte = 4 * l + split_byte(i);
                int32_t weight = stored_integer(row, g, i, type);
                sum += weight * (256 * block->high[slot][byte] + block->low[slot][byte]);
                top += weight * block->top[slot][byte];
            }
            scale = ck_float_of_bf16(ck_word_at(scales, g));
        }
        float whole = fmaf(65536.0f, (float)top, (float)sum);
        lane[l] = fmaf(whole, block->scale[l] * scale, lane[l]);
    }
    return ck_sum_lanes(lane);
}

CK_INLINE void multiply_integers(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w, size_t begin,
                                 size_t end, int32_t type) {
    for (size_t j = begin; j < end; j++)
        for (size_t r = 0; r < n; r++) {
            const unsigned char *row = ck_row(w, j), *scales = ck_row_scales(w, j);
            y[r * ldy + j] = integer_dot(x[r], row, scales, w->columns, type);
        }
}

CK_SPECIFICATION void ck_scalar_matmul_split(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w,
                                             size_t begin, size_t end) {
    // Each case for itself, so that the compiler sees the constants.
    if (w->type == CK_INT8) multiply_integers(y, ldy, x, n, w, begin, end, CK_INT8);
    else multiply_integers(y, ldy, x, n, w, begin, end, CK_INT4);
}
