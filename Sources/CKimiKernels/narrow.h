// Activations as integers of 8 or 16 bits, the form of the fast path, and the integers of the weights that meet them.
//
// A row of x is cut into groups of 32 columns, 16 groups make a block; in a group x[i] = scale * q[i], nearly. The integers lie
// group after group, in words of 32 bits that instructions take as they are, and in the order in which the nibbles of stored int4
// weights come apart: of 8 columns the integers of 16 bits go as 0, 4, 1, 5, 2, 6, 3, 7, those of 8 bits as in split.h.
#ifndef CK_NARROW_H
#define CK_NARROW_H

#include "quantizer.h"
#include "split.h"

#include <math.h>

/// The largest q: of 8 bits; of 16 bits, where the root of a group's sum of squares has a limit, too.
#define CK_NARROW_8 127.0f
#define CK_NARROW_16 32767.0f
#define CK_NARROW_NORM 65000.0f

/// A block begins with its integers, 64 bytes for each bit of one; this lies behind them.
typedef struct narrow_tail {
    /// -8 times the sum of each group's integers: what stored nibbles, which are the weight + 8, count too much.
    _Alignas(64) int32_t offset[CK_SPLIT_GROUPS];
    float scale[CK_SPLIT_GROUPS];
} narrow_tail;

CK_INLINE size_t narrow_size(int32_t bits) { return 64 * (size_t)bits + sizeof(narrow_tail); }

/// Block b of a row.
CK_INLINE void *narrow_at(const void *row, size_t b, int32_t bits) { return (char *)row + b * narrow_size(bits); }
CK_INLINE narrow_tail *narrow_tail_of(const void *block, int32_t bits) {
    return (narrow_tail *)((char *)block + 64 * (size_t)bits);
}

/// Where in its group element i lies, counted in integers.
CK_INLINE size_t narrow_place(size_t i, int32_t bits) {
    return bits == 16 ? i / 8 * 8 + i % 4 * 2 + i % 8 / 4 : 4 * split_slot(i) + split_byte(i);
}

/// By what a group is shrunk whose values, scaled to at most CK_NARROW_16, have this sum of squares; its step grows by the same.
CK_INLINE float narrow_norm(float squares) {
    float norm = sqrtf(squares);
    return norm > CK_NARROW_NORM ? norm : CK_NARROW_NORM;
}

/// The exponent by which bf16 weights of a group become integers of 16 bits: w * 2^(shift - drop). `most` is the largest magnitude
/// as bits; `squares` the sum of (w * 2^shift)^2, in four partial sums of every fourth column, added as those of a dot product. The
/// root of the integers' sum of squares is then at most 2^15, and as that of x is CK_NARROW_NORM at most, no sum of products leaves
/// 32 bits.
CK_INLINE int32_t narrow_shift(uint32_t most) { return 14 + 127 - (int32_t)(most >> 7); }
#define CK_NARROW_SQUARES 0x1.ff8p29f
CK_INLINE int32_t narrow_drop(float squares) {
    return (squares > CK_NARROW_SQUARES) + (squares > 4 * CK_NARROW_SQUARES) + (squares > 16 * CK_NARROW_SQUARES);
}
CK_INLINE float ck_power_of_two(int32_t exponent) { return ck_float_of_bits((uint32_t)(exponent + 127) << 23); }
/// Weights of a group that are all below 2^-100 count as zeros, like activations.
#define CK_NARROW_LEAST (27u << 7)

#endif
