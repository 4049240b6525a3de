// Activations as narrow integers, group by group.
#include "../narrow.h"
#include "quantizer.h"

CK_INLINE void narrow_group(void *block, size_t g, const float *x, size_t count, int32_t bits) {
    quantizer by = measure(x, count, bits == 16 ? CK_NARROW_16 : CK_NARROW_8);
    float value[CK_INT4_GROUP] = {0}, lane[CK_LANES] = {0};
    for (size_t i = 0; i < count; i++) value[i] = by.factor == 0 ? 0 : x[i] * by.factor;
    if (bits == 16) {
        for (size_t i = 0; i < CK_INT4_GROUP; i++) lane[i % CK_LANES] = fmaf(value[i], value[i], lane[i % CK_LANES]);
        float norm = narrow_norm(ck_sum_lanes(lane)), shrink = CK_NARROW_NORM / norm;
        for (size_t i = 0; i < CK_INT4_GROUP; i++) value[i] *= shrink;
        by.step *= norm / CK_NARROW_NORM;
    }
    int32_t sum = 0;
    for (size_t i = 0; i < CK_INT4_GROUP; i++) {
        int32_t q = (int32_t)rintf(value[i]);
        size_t place = g * CK_INT4_GROUP + narrow_place(i, bits);
        if (bits == 16)
            ((int16_t *)block)[place] = (int16_t)q;
        else
            ((int8_t *)block)[place] = (int8_t)q;
        sum += q;
    }
    narrow_tail_of(block, bits)->offset[g] = -8 * sum;
    narrow_tail_of(block, bits)->scale[g] = by.step;
}

CK_SPECIFICATION void ck_scalar_narrow(void *to, const float *x, size_t first, size_t count, int32_t bits) {
    for (size_t i = 0; i < count; i += CK_INT4_GROUP) {
        size_t g = (first + i) / CK_INT4_GROUP;
        void *block = narrow_at(to, g / CK_SPLIT_GROUPS, bits);
        narrow_group(block, g % CK_SPLIT_GROUPS, x + i, ck_smaller(count - i, CK_INT4_GROUP), bits);
    }
}
