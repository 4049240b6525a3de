// exp of 16 lanes: the operations of ck_exp_inline, one for one.
#ifndef CK_VECTOR_EXP_H
#define CK_VECTOR_EXP_H

CK_INLINE lanes lanes_exp(lanes x) {
    lanes lowest = lanes_all(CK_EXP_LOWEST);
    // NaN comes through both: min and max return their second operand.
    lanes clamped = lanes_max(lowest, lanes_min(lanes_all(CK_EXP_HIGHEST), x));
    lanes rounder = lanes_all(CK_EXP_ROUNDER);
    lanes shifted = lanes_fma(clamped, lanes_all(CK_EXP_LOG2_E), rounder);
    lanes n = lanes_sub(shifted, rounder);
    lanes r = lanes_fma_negated(n, lanes_all(CK_EXP_LN2_HIGH), clamped);
    r = lanes_fma_negated(n, lanes_all(CK_EXP_LN2_LOW), r);
    lanes q = lanes_fma(lanes_all(CK_EXP_Q4), r, lanes_all(CK_EXP_Q3));
    q = lanes_fma(q, r, lanes_all(CK_EXP_Q2));
    q = lanes_fma(q, r, lanes_all(CK_EXP_Q1));
    q = lanes_fma(q, r, lanes_all(CK_EXP_Q0));
    lanes p = lanes_add(lanes_all(1.0f), lanes_fma(q, lanes_mul(r, r), r));
    return lanes_zero_below(x, lowest, lanes_times_power(p, n, shifted));
}

#endif
