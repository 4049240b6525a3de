// Activations as integers: the form in which integer products read them, and the constants of that form.
//
// A row of x is cut into groups of 32, 16 groups make a block. In a group x[i] = scale * q[i], q an integer of three parts,
// signed bytes, because that is what the processors' byte products take: q = 65536 * top + 256 * high + low. The bytes lie as the
// nibbles of stored int4 weights come apart: slot 2d of a group holds its elements 8d, 8d + 2, 8d + 4, 8d + 6, slot 2d + 1 its
// elements 8d + 1, 8d + 3, 8d + 5, 8d + 7 (d = 0 ... 3), and a slot of a block holds the four bytes of all 16 groups, in the order
// of lanes: group 4j + k of the block in lane 4k + j, where transposing four by four within quarters of a register puts it.
#ifndef CK_SPLIT_H
#define CK_SPLIT_H

#include "kernels.h"

/// Groups in a block: one for each lane of a dot product.
#define CK_SPLIT_GROUPS 16
/// Four-byte slots of a group.
#define CK_SPLIT_SLOTS 8
/// Columns of a block.
#define CK_SPLIT_BLOCK (CK_SPLIT_GROUPS * CK_INT4_GROUP)
/// The largest q: a little less than the most (127 * 65536 + 127 * 256 + 127), since the product that is rounded to q may be too
/// large by its last bits. All parts then are signed bytes.
#define CK_SPLIT_LIMIT 8355000.0f

typedef struct split_block {
    _Alignas(64) int8_t low[CK_SPLIT_SLOTS][CK_SPLIT_GROUPS * 4];
    /// -8 times the sum of 256 * high + low of each group: what stored nibbles, which are the weight + 8, count too much.
    int32_t offset[CK_SPLIT_GROUPS];
    float scale[CK_SPLIT_GROUPS];
    int8_t high[CK_SPLIT_SLOTS][CK_SPLIT_GROUPS * 4];
    int8_t top[CK_SPLIT_SLOTS][CK_SPLIT_GROUPS * 4];
    int32_t top_offset[CK_SPLIT_GROUPS];
} split_block;

/// Block b of a row.
CK_INLINE split_block *split_at(const void *row, size_t b) { return (split_block *)row + b; }

CK_INLINE size_t split_blocks(size_t columns) { return (columns + CK_SPLIT_BLOCK - 1) / CK_SPLIT_BLOCK; }

/// The lane of group g of a block, and the group of a lane.
CK_INLINE size_t split_lane(size_t g) { return g % 4 * 4 + g / 4; }

/// Where in a slot's four bytes and in which slot element i of a group lies.
CK_INLINE size_t split_slot(size_t i) { return i / 8 * 2 + i % 2; }
CK_INLINE size_t split_byte(size_t i) { return i % 8 / 2; }

/// The integer weight of element i of group g of a stored row of CK_INT4 or CK_INT8.
CK_INLINE int32_t stored_integer(const unsigned char *row, size_t g, size_t i, int32_t type) {
    if (type == CK_INT8) {
        const unsigned char *block = row + g / CK_SPLIT_GROUPS * CK_SPLIT_BLOCK;
        return block[split_slot(i) * 4 * CK_SPLIT_GROUPS + 4 * split_lane(g % CK_SPLIT_GROUPS) + split_byte(i)] - 128;
    }
    return (row[(g * CK_INT4_GROUP + i) / 2] >> (i % 2 * 4) & 15) - 8;
}

/// The scale, as bfloat16, of a group of weight bytes whose largest magnitude is `most`: most / 127 rounded up, so that no quotient
/// exceeds 127 after rounding. A group with an infinity or a NaN is bad.
CK_INLINE uint16_t ck_byte_scale(float most, int bad) {
    if (bad) return 0x7fc0;
    uint32_t word = (ck_bits_of_float(most / 127.0f) + 0xffff) >> 16;
    return (uint16_t)(word == 0 && most > 0 ? 1 : word); // a quotient below all floats
}

#endif
