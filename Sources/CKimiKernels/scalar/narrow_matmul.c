// y = x w^T with x as narrow integers: exact integer sums within a group, one fma a group.
#include "../narrow.h"
#include "specification.h"

/// The integers of a group of bf16 weights, in order of columns, and their scale.
CK_INLINE float narrow_weights(int32_t q[CK_INT4_GROUP], const unsigned char *row, size_t first, size_t count) {
    uint32_t most = 0;
    float value[CK_INT4_GROUP] = {0}, part[4] = {0};
    for (size_t i = 0; i < count; i++) {
        uint32_t size = ck_word_at(row, first + i) & 0x7fff;
        most = size > most ? size : most;
        value[i] = ck_float_of_bf16(ck_word_at(row, first + i));
    }
    memset(q, 0, CK_INT4_GROUP * sizeof *q);
    if (most < CK_NARROW_LEAST) return 0;
    if (most >= 0x7f80) return ck_float_of_bits(0x7fc00000);
    int32_t shift = narrow_shift(most);
    for (size_t i = 0; i < CK_INT4_GROUP; i++) {
        float scaled = value[i] * ck_power_of_two(shift);
        part[i % 4] = fmaf(scaled, scaled, part[i % 4]);
    }
    shift -= narrow_drop((part[0] + part[2]) + (part[1] + part[3]));
    for (size_t i = 0; i < CK_INT4_GROUP; i++) q[i] = (int32_t)rintf(value[i] * ck_power_of_two(shift));
    return ck_power_of_two(-shift);
}

CK_INLINE float narrow_dot(const void *x, const ck_matrix *w, size_t row, int32_t bits) {
    const unsigned char *weights = ck_row(w, row);
    float total = 0;
    for (size_t g = 0; g * CK_INT4_GROUP < w->columns; g++) {
        const void *block = narrow_at(x, g / CK_SPLIT_GROUPS, bits);
        int32_t q[CK_INT4_GROUP], sum = 0;
        float scale;
        if (w->type == CK_BF16) {
            scale = narrow_weights(q, weights, g * CK_INT4_GROUP, ck_smaller(w->columns - g * CK_INT4_GROUP, CK_INT4_GROUP));
        } else {
            for (size_t i = 0; i < CK_INT4_GROUP; i++) q[i] = stored_integer(weights, g, i, w->type);
            scale = ck_float_of_bf16(ck_word_at(ck_row_scales(w, row), g));
        }
        for (size_t i = 0; i < CK_INT4_GROUP; i++) {
            size_t place = g % CK_SPLIT_GROUPS * CK_INT4_GROUP + narrow_place(i, bits);
            sum += q[i] * (bits == 16 ? ((const int16_t *)block)[place] : ((const int8_t *)block)[place]);
        }
        total = fmaf((float)sum, narrow_tail_of(block, bits)->scale[g % CK_SPLIT_GROUPS] * scale, total);
    }
    return total;
}

CK_SPECIFICATION void ck_scalar_matmul_narrow(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w,
                                              size_t begin, size_t end, int32_t bits) {
    for (size_t j = begin; j < end; j++)
        for (size_t r = 0; r < n; r++) y[r * ldy + j] = narrow_dot(x[r], w, j, bits);
}
