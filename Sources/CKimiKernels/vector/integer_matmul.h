// y = x w^T for weights of few bits, with x as integers. A block of 16 groups of a weight row is taken apart once and used for all
// rows of x; a lane of a sum belongs to the same group of every block (split.h).
#include "../split.h"

/// Weight rows whose sums are kept at once, and the most rows of x that share weights taken apart: so much stays in the first
/// cache.
#define CK_INTEGER_ROWS 16
#define CK_INTEGER_X 24

/// Bytes ahead of the weights in use that are asked for: measured, see the design note.
#define CK_INTEGER_AHEAD 8192

/// Blocks of a weight row that are taken at a time where a few rows of x share them: measured, against 1, 3, 4 and 7.
#define CK_INTEGER_STRETCH 2

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
        *scale = load_scales(scales + 2 * first);
        if (type == CK_INT8)
            load_bytes(w, from);
        else
            load_nibbles(w, from);
        return;
    }
    // The last block of a row: absent groups have the scale 0.
    *scale = load_scales_part(scales + 2 * first, groups - first);
    if (type == CK_INT8) {
        load_bytes(w, from); // stored in whole blocks
    } else {
        _Alignas(64) unsigned char part[CK_SPLIT_GROUPS * 16] = {0};
        memcpy(part, from, (groups - first) * 16);
        load_nibbles(w, part);
    }
}

/// Some blocks of a weight row, and what is asked for meanwhile unless it is NULL: as many bytes from `ahead` on, with their
/// scales.
typedef struct stretch {
    size_t row, block, end;
    const unsigned char *ahead, *ahead_scales;
} stretch;

/// Adds the products of a stretch and n rows of x, n a constant, to sum[r][row % 16]; the first stretch of a row begins at 0.
CK_INLINE void stream_stretch(lanes sum[][CK_INTEGER_ROWS], const integer_product *p, size_t n, const stretch *at, int32_t type) {
    const size_t block_bytes = type == CK_INT8 ? CK_SPLIT_BLOCK : CK_SPLIT_BLOCK / 2;
    const unsigned char *row = ck_row(p->w, at->row), *scales = ck_row_scales(p->w, at->row);
    lanes s[CK_INTEGER_TILE];
    CK_UNROLL for (size_t r = 0; r < n; r++) s[r] = at->block == 0 ? lanes_zero() : sum[r][at->row % CK_INTEGER_ROWS];
    for (size_t b = at->block; b < at->end; b++) {
        if (at->ahead) {
            const size_t done = b - at->block;
            CK_UNROLL for (size_t line = 0; line < block_bytes; line += 64) fetch_for_later(at->ahead + done * block_bytes + line);
            if (done % 2 == 0) fetch_for_later(at->ahead_scales + done * 32);
        }
        slot w[CK_SPLIT_SLOTS];
        const slot *const weights[1] = {w};
        lanes scale, groups[CK_INTEGER_TILE][CK_INTEGER_TILE];
        const split_block *block[CK_INTEGER_TILE];
        CK_UNROLL for (size_t r = 0; r < n; r++) block[r] = split_at(p->x[r], b);
        load_block(w, &scale, row, scales, b, p->groups, type);
        group_sums(groups, weights, 1, block, n, type);
        CK_UNROLL for (size_t r = 0; r < n; r++)
            s[r] = lanes_fma(groups[r][0], lanes_mul(lanes_load(block[r]->scale), scale), s[r]);
    }
    CK_UNROLL for (size_t r = 0; r < n; r++) sum[r][at->row % CK_INTEGER_ROWS] = s[r];
}

/// One row of x: weights stream through once, row after row.
CK_INLINE void stream_rows_of_one(lanes sum[][CK_INTEGER_ROWS], const integer_product *p, size_t from, size_t to, size_t end,
                                  int32_t type) {
    const size_t per_scale = type == CK_INT8 ? 16 : 8; // bytes of weights for each byte of scales
    // Nothing is asked for past the last row: others read that, or nobody.
    const unsigned char *last = ck_row(p->w, end) - CK_INTEGER_AHEAD;
    for (size_t j = from; j < to; j++) {
        const unsigned char *row = ck_row(p->w, j);
        int more = (uintptr_t)row < (uintptr_t)last;
        const stretch at = {j, 0, p->blocks, more ? row + CK_INTEGER_AHEAD : NULL,
                            ck_row_scales(p->w, j) + CK_INTEGER_AHEAD / per_scale};
        stream_stretch(sum, p, 1, &at, type);
    }
}

/// A few rows of x, n a constant: some blocks of 16 weight rows at a time, so that those of x stay in the first cache.
CK_INLINE void stream_rows_of_few(lanes sum[][CK_INTEGER_ROWS], const integer_product *p, size_t n, size_t from, size_t to,
                                  size_t end, int32_t type) {
    const size_t block_bytes = type == CK_INT8 ? CK_SPLIT_BLOCK : CK_SPLIT_BLOCK / 2;
    for (size_t b = 0; b < p->blocks; b += CK_INTEGER_STRETCH) {
        size_t last = ck_smaller(b + CK_INTEGER_STRETCH, p->blocks);
        for (size_t j = from; j < to; j++) {
            // The row's next blocks, or the first ones of the row whose turn is next.
            size_t row = last < p->blocks ? j : j + CK_INTEGER_ROWS, block = last < p->blocks ? last : 0;
            const stretch at = {j, b, last, row < end ? ck_row(p->w, row) + block * block_bytes : NULL,
                                ck_row_scales(p->w, row) + block * 32};
            stream_stretch(sum, p, n, &at, type);
        }
    }
}

/// Up to four rows of x: weights are taken apart in registers and used at once; the lanes of 16 rows are added together.
CK_INLINE void stream_integers(const integer_product *p, size_t n, size_t begin, size_t end, int32_t type) {
    lanes sum[CK_INTEGER_TILE][CK_INTEGER_ROWS];
    for (size_t from = begin, to; from < end; from = to) {
        to = ck_smaller(end, (from / CK_INTEGER_ROWS + 1) * CK_INTEGER_ROWS);
        if (n == 1)
            stream_rows_of_one(sum, p, from, to, end, type);
        else
            stream_rows_of_few(sum, p, n, from, to, end, type);
        CK_UNROLL for (size_t r = 0; r < n; r++) {
            float *y = p->y + r * p->ldy;
            if (to - from == CK_INTEGER_ROWS)
                lanes_sum_sixteen(y + from, sum[r], 1);
            else
                for (size_t k = from; k < to; k++) y[k] = lanes_sum(sum[r][k % CK_INTEGER_ROWS]);
        }
    }
}

/// Weight rows that meet a row of x at a time: the best of the tiles measured, see the design note.
#define CK_INTEGER_W 4

/// Adds a block's products of `rows` (a constant) weight rows and n rows of x; sum[k * CK_INTEGER_X + r].
CK_INLINE void add_rows(lanes *sum, const slot *const w[], const lanes *scale, size_t rows, const void *const *x, size_t n,
                        size_t b, int32_t type) {
    for (size_t r = 0; r < n; r++) {
        const split_block *block = split_at(x[r], b);
        lanes groups[1][CK_INTEGER_TILE];
        group_sums(groups, w, rows, &block, 1, type);
        CK_UNROLL for (size_t k = 0; k < rows; k++) {
            lanes *s = &sum[k * CK_INTEGER_X + r];
            *s = lanes_fma(groups[0][k], lanes_mul(lanes_load(block->scale), scale[k]), *s);
        }
    }
}

/// The outputs of up to 16 weight rows from `row` on, for n (at most CK_INTEGER_X) rows of x from `first` on. With `fetch` the
/// weights are still in memory, and the same place of the rows whose turn is next is asked for.
CK_INLINE void multiply_rows(const integer_product *p, size_t row, size_t rows, size_t first, size_t n, int fetch,
                             int32_t type) {
    lanes sum[CK_INTEGER_ROWS][CK_INTEGER_X];
    const size_t block_bytes = type == CK_INT8 ? CK_SPLIT_BLOCK : CK_SPLIT_BLOCK / 2;
    for (size_t k = 0; k < rows; k++)
        for (size_t r = 0; r < n; r++) sum[k][r] = lanes_zero();
    for (size_t b = 0; b < p->blocks; b++) {
        slot apart[CK_INTEGER_ROWS][CK_SPLIT_SLOTS];
        const slot *w[CK_INTEGER_ROWS];
        lanes scale[CK_INTEGER_ROWS];
        for (size_t k = 0; k < rows; k++) {
            const unsigned char *weights = ck_row(p->w, row + k);
            if (fetch)
                for (size_t line = 0; line < block_bytes; line += 64)
                    fetch_for_later(weights + CK_INTEGER_ROWS * p->row_bytes + b * block_bytes + line);
            w[k] = apart[k];
            load_block(apart[k], &scale[k], weights, ck_row_scales(p->w, row + k), b, p->groups, type);
        }
        const void *const *x = p->x + first;
        size_t k = 0;
        for (; k + CK_INTEGER_W <= rows; k += CK_INTEGER_W)
            add_rows(sum[k], w + k, scale + k, CK_INTEGER_W, x, n, b, type);
        for (; k < rows; k++) add_rows(sum[k], w + k, scale + k, 1, x, n, b, type);
    }
    for (size_t r = 0; r < n; r++) {
        float *y = p->y + (first + r) * p->ldy + row;
        if (rows == CK_INTEGER_ROWS)
            lanes_sum_sixteen(y, &sum[0][r], CK_INTEGER_X);
        else
            for (size_t k = 0; k < rows; k++) y[k] = lanes_sum(sum[k][r]);
    }
}

CK_INLINE void multiply_integers(const integer_product *p, size_t n, size_t begin, size_t end, int32_t type) {
    switch (n) {
    case 1: stream_integers(p, 1, begin, end, type); return;
    case 2: stream_integers(p, 2, begin, end, type); return;
    case 3: stream_integers(p, 3, begin, end, type); return;
    case 4: stream_integers(p, 4, begin, end, type); return;
    default: break;
    }
    // Equal shares rather than full ones and a small rest; the rows of a share stay in the cache for all weight rows.
    size_t shares = (n + CK_INTEGER_X - 1) / CK_INTEGER_X;
    for (size_t share = 0, first = 0; share < shares; share++) {
        size_t count = (n - first) / (shares - share);
        for (size_t row = begin; row < end; row += CK_INTEGER_ROWS)
            multiply_rows(p, row, ck_smaller(end - row, CK_INTEGER_ROWS), first, count, share == 0, type);
        first += count;
    }
}

void CK_NAME(matmul_split)(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w, size_t begin,
                           size_t end) {
    if (n == 0 || begin >= end) return;
    integer_product p = {y, ldy, x, w, split_blocks(w->columns), w->columns / CK_INT4_GROUP, ck_row_stride(w)};
    // Each case for itself, so that the compiler sees the constants.
    if (w->type == CK_INT8)
        multiply_integers(&p, n, begin, end, CK_INT8);
    else
        multiply_integers(&p, n, begin, end, CK_INT4);
}
