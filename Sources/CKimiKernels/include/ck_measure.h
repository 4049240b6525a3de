// The limits that kernels are judged by: memory read, and multiplications made, with nothing else to do. For benchmarks only.
#ifndef CKIMI_MEASURE_H
#define CKIMI_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Ways to read memory plainly: which is the fastest depends on the machine and its neighbours.
enum {
    CK_READ_ONWARD = 0,  ///< from the first byte to the last
    CK_READ_AHEAD = 1,   ///< the same, with lines asked for ahead and not to be kept
    CK_READ_STREAMS = 2, ///< both halves at once
    CK_READ_COUNT = 3,
};

/// Reads `bytes` of memory (8-byte aligned; a rest of under 8 bytes is left out) in one of the ways above, with the widest loads
/// that this processor has, and returns the sum of its words.
uint64_t ck_read(const void *memory, size_t bytes, int32_t way);

/// Kinds of multiplications.
enum {
    CK_MULTIPLY_F32 = 0,  ///< fused multiply-add of floats
    CK_MULTIPLY_BF16 = 1, ///< pairs of bfloat16 added to a float: vdpbf16ps
    CK_MULTIPLY_INT8 = 2, ///< four bytes added to a 32-bit integer: vpdpbusd
    CK_MULTIPLY_TILES = 3, ///< tiles of bfloat16 added to tiles of floats: tdpbf16ps
    CK_MULTIPLY_COUNT = 4,
};

/// Multiplies and adds in registers alone, `rounds` times, with the widest instruction of that kind that this processor has.
///
/// Returns how many multiply-adds that were (one for a byte as for a float), or 0, at once, if it has no such instruction.
uint64_t ck_multiply(int32_t kind, size_t rounds);

#ifdef __cplusplus
}
#endif
#endif
