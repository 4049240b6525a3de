// Activations as narrow integers, group by group.
#include "../narrow.h"
#include "quantizer.h"

CK_INLINE void narrow_group(void *block, size_t g, const float *x, size_t count, int32_t bits) {
    lanes a = load_some(x, ck_smaller(count, 16)), b = count > 16 ? load_some(x + 16, count - 16) : lanes_zero();
    int bad = lanes_any_not_finite(a) || lanes_any_not_finite(b);
    float most = bad ? 0.0f : lanes_largest(lanes_max(lanes_absolute(a), lanes_absolute(b)));
    quantizer by = quantizer_for(most, bad, bits == 16 ? CK_NARROW_16 : CK_NARROW_8);
    // A group that does not count is zeros, whatever its values are.
    int counts = by.factor != 0;
    lanes factor = lanes_all(by.factor);
    a = counts ? lanes_mul(a, factor) : lanes_zero();
    b = counts ? lanes_mul(b, factor) : lanes_zero();
    int32_t sum;
    if (bits == 16) {
        float norm = narrow_norm(lanes_sum(lanes_fma(b, b, lanes_mul(a, a))));
        lanes shrink = lanes_all(CK_NARROW_NORM / norm);
        sum = store_words((int16_t *)block + g * CK_INT4_GROUP, lanes_mul(a, shrink), lanes_mul(b, shrink));
        by.step *= norm / CK_NARROW_NORM;
    } else {
        sum = store_slots((int8_t *)block + g * CK_INT4_GROUP, a, b);
    }
    narrow_tail_of(block, bits)->offset[g] = -8 * sum;
    narrow_tail_of(block, bits)->scale[g] = by.step;
}

CK_INLINE void narrow_row(void *to, const float *x, size_t first, size_t count, int32_t bits) {
    for (size_t i = 0; i < count; i += CK_INT4_GROUP) {
        size_t g = (first + i) / CK_INT4_GROUP;
        void *block = narrow_at(to, g / CK_SPLIT_GROUPS, bits);
        narrow_group(block, g % CK_SPLIT_GROUPS, x + i, ck_smaller(count - i, CK_INT4_GROUP), bits);
    }
}

void CK_NAME(narrow)(void *to, const float *x, size_t first, size_t count, int32_t bits) {
    if (bits == 16)
        narrow_row(to, x, first, count, 16);
    else
        narrow_row(to, x, first, count, 8);
}
