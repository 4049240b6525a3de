// Products of float activations and bfloat16 weights in tile registers (Intel AMX): weights as the checkpoint has them, and each
// activation as the sum of up to three bfloat16.
//
// The first third of x is x rounded to the nearest bfloat16 (ties to even), the second what that leaves, rounded likewise, the third what
// then is left. Three hold all 24 bits of a float, so that a product is as good as one in floats; two hold 16 to 17 of them, as
// activations of the fast path have. Denormal numbers count as zeros, and a value that is not finite makes NaN.
//
// A product of tiles adds as ck_tiles.h says, for each step of 32 columns the first thirds, then the second, then the third ones. So a
// result depends neither on the other rows, nor on how rows and outputs are split over threads and calls. It is not that of
// ck_kernels.matmul, whose order is another; errors of both are those of a sum of floats.
#ifndef CK_THIRDS_H
#define CK_THIRDS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ck_matrix;

typedef struct ck_thirds {
    /// Writes columns first ... first + count - 1 of a row as `thirds` (1 ... 3) thirds. `to` is the whole row's
    /// ck_thirds_bytes(columns, thirds) bytes, aligned to 64, and x begins at `first`, a multiple of 32; so is the count unless it
    /// ends with the row, and then what is missing to a multiple becomes 0. Parts of a row may be written in any order, by any
    /// threads.
    void (*write)(void *to, const float *x, size_t first, size_t count, size_t thirds);

    /// y[r * ldy + j] = row r of x, written by `write`, times row j of w, CK_BF16, for r < n and begin <= j < end. Rows of x are ldx
    /// bytes apart, a multiple of 64.
    void (*matmul)(float *y, size_t ldy, const void *x, size_t ldx, size_t n, const struct ck_matrix *w, size_t begin, size_t end,
                   size_t thirds);

    /// The same with columns of w: writes y[r * ldy + c] = the sum over d < count of element d of row r of x, `count` columns written by
    /// `write`, times w[first + d][c], for r < n and all columns c.
    void (*combine)(float *y, size_t ldy, const void *x, size_t ldx, size_t n, const struct ck_matrix *w, size_t first, size_t count,
                    size_t thirds);
} ck_thirds;

/// Bytes of a row: a multiple of 64, but not of 128, so that rows do not lie in the same places of the caches.
size_t ck_thirds_bytes(size_t columns, size_t thirds);

/// The functions for an instruction-set level (CK_ISA_...): NULL unless it has tiles. CK_ISA_SCALAR has the twin, for tests.
const ck_thirds *ck_thirds_for(int32_t isa);

#ifdef __cplusplus
}
#endif
#endif
