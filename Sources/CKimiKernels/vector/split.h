// Activations as integers, group by group.
#include "../quantizer.h"
#include "../split.h"

CK_INLINE void split_group(split_block *to, size_t lane, const float *x) {
    lanes a = lanes_load(x), b = lanes_load(x + 16);
    int bad = lanes_any_not_finite(a) || lanes_any_not_finite(b);
    float most = bad ? 0.0f : lanes_largest(lanes_max(lanes_absolute(a), lanes_absolute(b)));
    quantizer by = quantizer_for(most, bad, CK_SPLIT_LIMIT);
    // A group that does not count is zeros, whatever its values are.
    int counts = by.factor != 0;
    lanes factor = lanes_all(by.factor);
    lanes first = counts ? lanes_mul(a, factor) : lanes_zero(), second = counts ? lanes_mul(b, factor) : lanes_zero();
    store_group(to, lane, first, second);
    to->scale[lane] = by.step;
}

void CK_NAME(split)(void *to, const float *x, size_t first, size_t count, size_t columns) {
    static const float nothing[CK_INT4_GROUP] = {0};
    size_t end = (first + count) / CK_INT4_GROUP;
    for (size_t g = first / CK_INT4_GROUP; g < end; g++, x += CK_INT4_GROUP)
        split_group(split_at(to, g / CK_SPLIT_GROUPS), split_lane(g % CK_SPLIT_GROUPS), x);
    if (first + count == columns)
        for (size_t g = end; g % CK_SPLIT_GROUPS; g++)
            split_group(split_at(to, g / CK_SPLIT_GROUPS), split_lane(g % CK_SPLIT_GROUPS), nothing);
}
