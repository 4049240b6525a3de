// Activations as integers, group by group.
#include "../split.h"
#include "quantizer.h"

CK_INLINE void split_group(split_block *to, size_t lane, const float *x) {
    quantizer by = measure(x, CK_INT4_GROUP, CK_SPLIT_LIMIT);
    int32_t sum = 0, top_sum = 0;
    for (size_t i = 0; i < CK_INT4_GROUP; i++) {
        int32_t q = integer(x[i], by);
        int32_t rest = (q + 128) >> 8; // 256 * top + high
        int32_t top = (rest + 128) >> 8;
        size_t slot = split_slot(i), byte = 4 * lane + split_byte(i);
        to->low[slot][byte] = (int8_t)(q - 256 * rest);
        to->high[slot][byte] = (int8_t)(rest - 256 * top);
        to->top[slot][byte] = (int8_t)top;
        sum += q - 65536 * top;
        top_sum += top;
    }
    to->offset[lane] = -8 * sum;
    to->top_offset[lane] = -8 * top_sum;
    to->scale[lane] = by.step;
}

CK_SPECIFICATION void ck_scalar_split(void *to, const float *x, size_t first, size_t count, size_t columns) {
    static const float nothing[CK_INT4_GROUP] = {0};
    size_t end = (first + count) / CK_INT4_GROUP;
    for (size_t g = first / CK_INT4_GROUP; g < end; g++, x += CK_INT4_GROUP)
        split_group(split_at(to, g / CK_SPLIT_GROUPS), split_lane(g % CK_SPLIT_GROUPS), x);
    if (first + count == columns)
        for (size_t g = end; g % CK_SPLIT_GROUPS; g++)
            split_group(split_at(to, g / CK_SPLIT_GROUPS), split_lane(g % CK_SPLIT_GROUPS), nothing);
}
