// y = x w^T for weights of few bits, with x as integers. A block of 16 groups of a weight row is taken apart in registers and
// used for all rows of x at once; lane l of a sum belongs to group l of every block.
#include "../split.h"

/// Up to so many rows of x weights stream through once, row after row; for more, sums of 16 weight rows are kept at once ...
#define CK_INTEGER_STREAM 4
#define CK_INTEGER_ROWS 16
/// ... and so many rows of x share weights taken apart.
#define CK_INTEGER_X 24

/// Bytes ahead of the weights in use that are asked for: measured, see the design note.
#define CK_INTEGER_AHEAD 4096

typedef struct integer_product {
    float *y;
    size_t ldy;
    const void *const *x;
    const ck_matrix *w;
    size_t blocks, groups; ///< of a row
    size_t row_bytes;
} integer_product;

/// The slots and scales of a block of a weight row.
CK_INLINE void load_block(slot w[CK_SPLIT_SLOTS], lanes *scale, const unsigned char *row, const unsigned char *scales,
                          size_t block, size_t groups, int32_t type) {
    const size_t first = block * CK_SPLIT_GROUPS, bytes = type == CK_INT8 ? 32 : 16;
    const unsigned char *from = row + first * bytes;
    if (groups - first >= CK_SPLIT_GROUPS) {
        *scale = lanes_load_bf16(scales + 2 * first);
        if (type == CK_INT8)
            load_bytes(w, from);
        else
            load_nibbles(w, from);
        return;
    }
    // The last block of a row: absent groups have the scale 0.
    *scale = lanes_load_bf16_part(scales + 2 * first, groups - first);
    if (type == CK_INT8) {
        load_bytes(w, from); // stored in whole blocks
    } else {
        _Alignas(64) unsigned char part[CK_SPLIT_GROUPS * 16] = {0};
        memcpy(part, from, (groups - first) * 16);
        load_nibbles(w, part);
    }
}

/// A few rows of x: weights stream through once, row after row.
CK_INLINE void stream_integers(const integer_product *p, size_t n, size_t begin, size_t end, int32_t type, int32_t parts) {
    const size_t block_bytes = type == CK_INT8 ? CK_SPLIT_BLOCK : CK_SPLIT_BLOCK / 2;
    for (size_t j = begin; j < end; j++) {
        const unsigned char *row = ck_row(p->w, j), *scales = ck_row_scales(p->w, j);
        lanes sum[CK_INTEGER_STREAM];
        CK_UNROLL for (size_t r = 0; r < n; r++) sum[r] = lanes_zero();
        for (size_t b = 0; b < p->blocks; b++) {
            CK_UNROLL for (size_t line = 0; line < block_bytes; line += 64)
                fetch_ahead(row + b * block_bytes + CK_INTEGER_AHEAD + line);
            if (b % 2 == 0) fetch_ahead(scales + b * 32 + CK_INTEGER_AHEAD / (type == CK_INT8 ? 16 : 8));
            slot w[1][CK_SPLIT_SLOTS];
            lanes scale, groups[CK_INTEGER_STREAM][2];
            const split_block *block[CK_INTEGER_STREAM];
            CK_UNROLL for (size_t r = 0; r < n; r++) block[r] = split_at(p->x[r], b, parts);
            load_block(w[0], &scale, row, scales, b, p->groups, type);
            group_sums(groups, w, 1, block, n, type, parts);
            CK_UNROLL for (size_t r = 0; r < n; r++)
                sum[r] = lanes_fma(groups[r][0], lanes_mul(lanes_load(block[r]->scale), scale), sum[r]);
        }
        CK_UNROLL for (size_t r = 0; r < n; r++) p->y[r * p->ldy + j] = lanes_sum(sum[r]);
    }
}

/// Adds a block's products to the sums of n rows of x (one or two) and one or two weight rows; sum[k * CK_INTEGER_X + r].
CK_INLINE void add_tile(lanes *sum, slot w[][CK_SPLIT_SLOTS], const lanes *scale, size_t rows, const void *const *x,
                        size_t n, size_t b, int32_t type, int32_t parts) {
    const split_block *block[2];
    lanes groups[2][2];
    CK_UNROLL for (size_t r = 0; r < n; r++) block[r] = split_at(x[r], b, parts);
    group_sums(groups, w, rows, block, n, type, parts);
    CK_UNROLL for (size_t r = 0; r < n; r++)
        CK_UNROLL for (size_t k = 0; k < rows; k++) {
            lanes *s = &sum[k * CK_INTEGER_X + r];
            *s = lanes_fma(groups[r][k], lanes_mul(lanes_load(block[r]->scale), scale[k]), *s);
        }
}

/// A block of two weight rows (or one) for n rows of x from `first` on.
CK_INLINE void add_rows(lanes *sum, const integer_product *p, size_t row, size_t rows, size_t first, size_t n, size_t b,
                        int32_t type, int32_t parts) {
    slot w[2][CK_SPLIT_SLOTS];
    lanes scale[2];
    CK_UNROLL for (size_t k = 0; k < rows; k++)
        load_block(w[k], &scale[k], ck_row(p->w, row + k), ck_row_scales(p->w, row + k), b, p->groups, type);
    size_t r = 0;
    for (; r + 2 <= n; r += 2) add_tile(sum + r, w, scale, rows, p->x + first + r, 2, b, type, parts);
    if (r < n) add_tile(sum + r, w, scale, rows, p->x + first + r, 1, b, type, parts);
}

/// The outputs of up to 16 weight rows from `row` on, for n (at most CK_INTEGER_X) rows of x from `first` on. With `fetch` the
/// weights are still in memory, and the same place of the rows whose turn is next is asked for.
CK_INLINE void multiply_rows(const integer_product *p, size_t row, size_t rows, size_t first, size_t n, int fetch,
                             int32_t type, int32_t parts) {
    lanes sum[CK_INTEGER_ROWS][CK_INTEGER_X];
    const size_t block_bytes = type == CK_INT8 ? CK_SPLIT_BLOCK : CK_SPLIT_BLOCK / 2;
    for (size_t k = 0; k < rows; k++)
        for (size_t r = 0; r < n; r++) sum[k][r] = lanes_zero();
    for (size_t b = 0; b < p->blocks; b++)
        for (size_t k = 0; k < rows; k += 2) {
            const unsigned char *next = ck_row(p->w, row + k + CK_INTEGER_ROWS) + b * block_bytes;
            if (fetch)
                for (size_t line = 0; line < block_bytes; line += 64) {
                    fetch_ahead(next + line);
                    fetch_ahead(next + p->row_bytes + line);
                }
            if (k + 1 < rows)
                add_rows(sum[k], p, row + k, 2, first, n, b, type, parts);
            else
                add_rows(sum[k], p, row + k, 1, first, n, b, type, parts);
        }
    for (size_t r = 0; r < n; r++) {
        float *y = p->y + (first + r) * p->ldy + row;
        if (rows == CK_INTEGER_ROWS)
            lanes_sum_sixteen(y, &sum[0][r], CK_INTEGER_X);
        else
            for (size_t k = 0; k < rows; k++) y[k] = lanes_sum(sum[k][r]);
    }
}

CK_INLINE void multiply_integers(const integer_product *p, size_t n, size_t begin, size_t end, int32_t type, int32_t parts) {
    if (n == 1) {
        stream_integers(p, 1, begin, end, type, parts);
        return;
    }
    if (n == 2 && parts == 2) {
        stream_integers(p, 2, begin, end, type, parts);
        return;
    }
    // Equal shares rather than full ones and a small rest; the rows of a share stay in the cache for all weight rows.
    size_t shares = (n + CK_INTEGER_X - 1) / CK_INTEGER_X;
    for (size_t share = 0, first = 0; share < shares; share++) {
        size_t count = (n - first) / (shares - share);
        for (size_t row = begin; row < end; row += CK_INTEGER_ROWS)
            multiply_rows(p, row, ck_smaller(end - row, CK_INTEGER_ROWS), first, count, share == 0, type, parts);
        first += count;
    }
}

void CK_NAME(matmul_split)(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w, size_t begin,
                           size_t end, int32_t parts) {
    if (n == 0 || begin >= end) return;
    integer_product p = {y, ldy, x, w, split_blocks(w->columns), w->columns / CK_INT4_GROUP, ck_row_stride(w)};
    // Each case for itself, so that the compiler sees the constants.
    if (w->type == CK_INT8 && parts == 3)
        multiply_integers(&p, n, begin, end, CK_INT8, 3);
    else if (w->type == CK_INT8)
        multiply_integers(&p, n, begin, end, CK_INT8, 2);
    else if (parts == 3)
        multiply_integers(&p, n, begin, end, CK_INT4, 3);
    else
        multiply_integers(&p, n, begin, end, CK_INT4, 2);
}
