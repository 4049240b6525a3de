// What the kernel files share: the names of each level's functions, the exact widening of 16-bit floats, and where the
// rows of a matrix lie. Internal; the contract is include/CKimiKernels.h.
#ifndef CK_KERNELS_H
#define CK_KERNELS_H

#include "include/CKimiKernels.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF // The order of roundings is the specification; never let the compiler fuse on its own.

/// For functions whose constant arguments must be seen where they are called.
#define CK_INLINE static inline __attribute__((always_inline))

/// Before a loop whose count the compiler sees: every turn for itself.
#define CK_UNROLL _Pragma("clang loop unroll(full)")

/// The weights of one scale.
#define CK_INT4_GROUP 32

/// The functions of one level, in the order of ck_kernels.
#define CK_DECLARE_LEVEL(level)                                                                                       \
    void ck_##level##_matmul(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w,          \
                             size_t begin, size_t end);                                                               \
    void ck_##level##_combine_rows(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w,    \
                                   size_t first, size_t count);                                                       \
    void ck_##level##_widen_row(float *y, const ck_matrix *w, size_t row);                                            \
    void ck_##level##_quantize_rows(void *to, uint16_t *scales, const ck_matrix *w);                                  \
    void ck_##level##_rms_norm(float *y, const float *x, const float *w, size_t n, float eps);                        \
    void ck_##level##_layer_norm(float *y, const float *x, const float *w, const float *b, size_t n, float eps);      \
    void ck_##level##_rope(float *y, const float *x, const float *angles, size_t pairs);                              \
    void ck_##level##_swiglu(float *y, const float *gate, const float *up, size_t n);                                 \
    void ck_##level##_gelu_tanh(float *y, const float *x, const float *bias, size_t n);                               \
    void ck_##level##_gelu_erf(float *y, const float *x, const float *bias, size_t n);                                \
    void ck_##level##_add_scaled(float *y, float a, const float *x, size_t n);                                        \
    void ck_##level##_cache_token(void *to, const float *x, size_t latent, size_t rope, int32_t cache_type);          \
    void ck_##level##_widen_token(float *y, const void *from, size_t latent, size_t rope, int32_t cache_type);        \
    void ck_##level##_query_int8(float *q, size_t ldq, size_t n, size_t latent);                                      \
    void ck_##level##_attention(float *out, float *state, const float *q, const ck_attention *a);                     \
    void ck_##level##_attention_fold(float *out, float *state, const float *part, const float *part_state, size_t n,  \
                                     size_t latent);                                                                  \
    void ck_##level##_attention_finish(float *y, size_t ldy, const float *out, const float *state, size_t n,          \
                                       size_t latent);                                                                \
    void ck_##level##_expanded_attention(float *out, float *state, const float *q, const ck_expanded_block *b);       \
    int32_t ck_##level##_all_finite(const float *x, size_t n);                                                        \
    void ck_##level##_split(void *to, const float *x, size_t first, size_t count, size_t columns);                    \
    void ck_##level##_matmul_split(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w,          \
                                   size_t begin, size_t end);                                                         \
    void ck_##level##_narrow(void *to, const float *x, size_t first, size_t count, int32_t bits);                     \
    void ck_##level##_matmul_narrow(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w,         \
                                    size_t begin, size_t end, int32_t bits);

CK_DECLARE_LEVEL(scalar)
#if defined(__x86_64__)
CK_DECLARE_LEVEL(avx2)
CK_DECLARE_LEVEL(avx512)
void ck_avx512vnni_matmul_split(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w, size_t begin,
                                size_t end);
void ck_avx512vnni_matmul_narrow(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w, size_t begin,
                                 size_t end, int32_t bits);
void ck_avx512vnni_attention(float *out, float *state, const float *q, const ck_attention *a);
#endif

CK_INLINE float ck_float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

CK_INLINE uint32_t ck_bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/// Element i of an array of 16-bit words that may lie at any address: a checkpoint promises no alignment.
CK_INLINE uint16_t ck_word_at(const void *words, size_t i) {
    uint16_t word;
    memcpy(&word, (const unsigned char *)words + 2 * i, sizeof word);
    return word;
}

/// Element i of an array of floats that may lie at any address.
CK_INLINE float ck_float_at(const void *floats, size_t i) {
    float value;
    memcpy(&value, (const unsigned char *)floats + 4 * i, sizeof value);
    return value;
}

CK_INLINE float ck_float_of_bf16(uint16_t word) { return ck_float_of_bits((uint32_t)word << 16); }

/// Exact for every half float: denormals become normal, infinities stay, NaN stays NaN.
CK_INLINE float ck_float_of_f16(uint16_t word) {
    uint32_t sign = (uint32_t)(word & 0x8000) << 16;
    uint32_t magnitude = word & 0x7fff;
    uint32_t normal = (magnitude << 13) + (112u << 23); // the exponent's bias goes from 15 to 127
    uint32_t denormal = ck_bits_of_float((float)magnitude * 0x1p-24f);
    // Infinity and NaN: the exponent is all ones; a NaN is made quiet, as the hardware's conversion does.
    uint32_t special = 0x7f800000 | magnitude << 13 | (magnitude > 0x7c00 ? 0x400000 : 0);
    uint32_t bits = magnitude < 0x400 ? denormal : magnitude < 0x7c00 ? normal : special;
    return ck_float_of_bits(sign | bits);
}

/// ck_type_bits, seen where it is called: for every row of a product.
CK_INLINE size_t ck_bits_of_type(int32_t type) {
    switch (type) {
    case CK_BF16:
    case CK_F16: return 16;
    case CK_F32: return 32;
    case CK_INT4: return 4;
    case CK_INT8: return 8;
    default: return 0;
    }
}

/// ck_row_bytes, likewise.
CK_INLINE size_t ck_row_stride(const ck_matrix *w) {
    if (w->type == CK_INT8) return (w->columns + 511) / 512 * 512; // whole blocks
    return w->columns * ck_bits_of_type(w->type) / 8;
}

CK_INLINE const unsigned char *ck_row(const ck_matrix *w, size_t row) {
    return (const unsigned char *)w->data + row * ck_row_stride(w);
}

/// The scales of a CK_INT4 or CK_INT8 row, bfloat16, one for each group of 32.
CK_INLINE const unsigned char *ck_row_scales(const ck_matrix *w, size_t row) {
    return (const unsigned char *)w->scales + row * (w->columns / CK_INT4_GROUP) * 2;
}

CK_INLINE size_t ck_smaller(size_t a, size_t b) { return a < b ? a : b; }

#endif
