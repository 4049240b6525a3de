// exp(x) in f32: constants and the scalar form. The vector forms (lanes.h of each level) do the same operations.
//
//   n = x / ln 2 rounded to an integer, r = x - n ln 2 with ln 2 in two parts, so |r| <= ln 2 / 2;
//   exp(r) = 1 + (r + r^2 q(r)), q of degree 4; then times 2^n, in two exact steps because 2^128 is not a float.
#ifndef CK_EXP_H
#define CK_EXP_H

#include "kernels.h"

#include <math.h>

/// ln of the smallest normal float, rounded up: below it the result is exactly 0, so that no denormal arises.
#define CK_EXP_LOWEST -0x1.5d589ep+6f
/// Anything from about 88.73 on overflows to infinity; clamping here keeps n in range.
#define CK_EXP_HIGHEST 89.0f
#define CK_EXP_LOG2_E 0x1.715476p+0f
#define CK_EXP_LN2_HIGH 0x1.62e43p-1f
#define CK_EXP_LN2_LOW -0x1.05c61p-29f
/// 1.5 * 2^23: adding it to |v| < 2^22 leaves round(v), ties to even, in the low bits of the sum.
#define CK_EXP_ROUNDER 0x1.8p23f
// q: minimax for the relative error of exp(r) on |r| <= ln 2 / 2 (3e-9 before rounding).
#define CK_EXP_Q0 0x1.fffffcp-2f
#define CK_EXP_Q1 0x1.555492p-3f
#define CK_EXP_Q2 0x1.5558f4p-5f
#define CK_EXP_Q3 0x1.123a2p-7f
#define CK_EXP_Q4 0x1.6a23c2p-10f

CK_INLINE float ck_exp_inline(float x) {
    float clamped = x > CK_EXP_HIGHEST ? CK_EXP_HIGHEST : x;
    clamped = clamped < CK_EXP_LOWEST ? CK_EXP_LOWEST : clamped;
    float shifted = fmaf(clamped, CK_EXP_LOG2_E, CK_EXP_ROUNDER);
    float n = shifted - CK_EXP_ROUNDER;
    float r = fmaf(-n, CK_EXP_LN2_HIGH, clamped);
    r = fmaf(-n, CK_EXP_LN2_LOW, r);
    float q = fmaf(CK_EXP_Q4, r, CK_EXP_Q3);
    q = fmaf(q, r, CK_EXP_Q2);
    q = fmaf(q, r, CK_EXP_Q1);
    q = fmaf(q, r, CK_EXP_Q0);
    float p = 1.0f + fmaf(q, r * r, r);
    // The sum's low bits hold n in two's complement; a NaN gives a meaningless power, and stays NaN.
    int32_t power = (int32_t)(ck_bits_of_float(shifted) - ck_bits_of_float(CK_EXP_ROUNDER));
    int32_t half = power >> 1;
    float y = p * ck_float_of_bits((uint32_t)(half + 127) << 23);
    y = y * ck_float_of_bits((uint32_t)(power - half + 127) << 23);
    return x < CK_EXP_LOWEST ? 0.0f : y;
}

#endif
