// Activations as integers: the form in which integer products read them, and the constants of that form.
//
// A row of x is cut into groups of 32, 16 groups make a block. In a group x[i] = scale * q[i], q a 16-bit integer, and q is
// kept as two signed bytes, q = 256 * high + low, because that is what the processors' byte products take. The bytes lie as
// the nibbles of stored int4 weights come apart: slot 2d of a group holds its elements 8d, 8d + 2, 8d + 4, 8d + 6, slot 2d + 1
// its elements 8d + 1, 8d + 3, 8d + 5, 8d + 7 (d = 0 ... 3), and a slot of a block holds the four bytes of all 16 groups.
#ifndef CK_SPLIT_H
#define CK_SPLIT_H

#include "kernels.h"

/// Groups in a block: one for each lane of a dot product.
#define CK_SPLIT_GROUPS 16
/// Four-byte slots of a group.
#define CK_SPLIT_SLOTS 8
/// Columns of a block.
#define CK_SPLIT_BLOCK (CK_SPLIT_GROUPS * CK_INT4_GROUP)
/// The largest q: 127 * 256 + 127, so that both bytes stay signed bytes.
#define CK_SPLIT_LIMIT 32639.0f
/// A group whose values are all below this counts as zeros: 32639 divided by the largest must stay a normal float.
#define CK_SPLIT_LEAST 0x1p-100f

typedef struct split_block {
    _Alignas(64) int8_t high[CK_SPLIT_SLOTS][CK_SPLIT_GROUPS * 4];
    int8_t low[CK_SPLIT_SLOTS][CK_SPLIT_GROUPS * 4];
    /// -8 times the sum of q of each group: what stored nibbles, which are the weight + 8, count too much.
    int32_t offset[CK_SPLIT_GROUPS];
    float scale[CK_SPLIT_GROUPS];
} split_block;

CK_INLINE size_t split_blocks(size_t columns) { return (columns + CK_SPLIT_BLOCK - 1) / CK_SPLIT_BLOCK; }

/// Where in a slot's four bytes and in which slot element i of a group lies.
CK_INLINE size_t split_slot(size_t i) { return i / 8 * 2 + i % 2; }
CK_INLINE size_t split_byte(size_t i) { return i % 8 / 2; }

#endif
