// The scalar level is the specification: plain C in the order the contract states. What its files share.
#ifndef CK_SCALAR_SPECIFICATION_H
#define CK_SCALAR_SPECIFICATION_H

#include "../kernels.h"

#include <math.h>

// Baseline x86-64 has no fused multiply-add, and fmaf is then a slow call into the mathematics library. Each function
// is therefore compiled twice and the loader chooses; IEEE 754 makes the results the same. The sanitizers' run time is
// not up yet when the loader asks for the choice, so there the plain version stands alone.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CK_SANITIZED 1
#endif
#endif
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(CK_SANITIZED)
#define CK_SPECIFICATION __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define CK_SPECIFICATION
#endif

/// How many partial sums a dot product has.
#define CK_LANES 16

/// The end of every dot product: the 16 partial sums added in the contract's order.
CK_INLINE float ck_sum_lanes(float lane[CK_LANES]) {
    for (size_t width = CK_LANES / 2; width > 0; width /= 2)
        for (size_t j = 0; j < width; j++) lane[j] = lane[j] + lane[j + width];
    return lane[0];
}

/// The value of weight i of a row of CK_BF16, CK_F16 or CK_F32, exactly.
CK_INLINE float ck_weight(const unsigned char *row, size_t i, int32_t type) {
    switch (type) {
    case CK_BF16: return ck_float_of_bf16(ck_word_at(row, i));
    case CK_F16: return ck_float_of_f16(ck_word_at(row, i));
    default: return ck_float_at(row, i);
    }
}

/// dot(x, a stored row) in dot order.
CK_INLINE float ck_dot(const float *x, const unsigned char *row, size_t n, int32_t type) {
    float lane[CK_LANES] = {0};
    size_t i = 0;
    for (; i + CK_LANES <= n; i += CK_LANES)
        for (size_t l = 0; l < CK_LANES; l++) lane[l] = fmaf(x[i + l], ck_weight(row, i + l, type), lane[l]);
    for (size_t l = 0; i + l < n; l++) lane[l] = fmaf(x[i + l], ck_weight(row, i + l, type), lane[l]);
    return ck_sum_lanes(lane);
}

#endif
