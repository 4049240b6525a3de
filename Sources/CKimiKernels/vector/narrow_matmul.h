// y = x w^T with x as narrow integers. 32 weight rows at a time: a block of 512 columns of them is interleaved, a lane for each
// row, and stays in the first cache while all rows of x pass by; sums go on in y from block to block.
#include "../narrow.h"
#include "tile.h"

/// Weight rows side by side, in halves of 16 lanes.
#define CK_PANEL_HALVES 2
#define CK_PANEL_ROWS (16 * CK_PANEL_HALVES)
/// 32-bit words of a group.
CK_INLINE size_t group_words(int32_t bits) { return (size_t)bits; }

/// A block of interleaved weights: the words of a group one after another, each with all halves.
typedef struct panel {
    sixteen words[CK_SPLIT_GROUPS * 16 * CK_PANEL_HALVES];
    lanes scale[CK_SPLIT_GROUPS][CK_PANEL_HALVES];
} panel;

typedef struct narrow_product {
    float *y;
    size_t ldy;
    const void *const *x;
    size_t n;
    const ck_matrix *w;
    size_t end; ///< the first row that is not asked for
} narrow_product;

/// Interleaves up to 16 words of `rows` (at most 16) weight rows, the last of them perhaps in part; absent ones are 0.
CK_INLINE void interleave(sixteen to[16], const unsigned char *from, size_t stride, size_t rows, size_t bytes) {
    if (rows == 16 && bytes == 64)
        interleave_whole(to, from, stride);
    else
        interleave_part(to, from, stride, rows, bytes);
}

/// The weights of the next panel or block, asked for a few lines at a time while this one is multiplied: the processor has room for
/// some tens of lines on their way, and waits with everything if it is asked for more.
typedef struct ahead {
    const unsigned char *weights, *scales;
    size_t stride, scale_stride;
    size_t line, end; ///< of rows of lines_of_block lines
    size_t share;     ///< lines of a group of a tile
} ahead;

/// Shares that are asked for with each transposition, which takes about so many times as long.
#define CK_PACK_SHARES 2
/// Transpositions of a block.
CK_INLINE size_t transpositions(size_t groups, int32_t type) {
    return CK_PANEL_HALVES * (type == CK_BF16 ? groups : type == CK_INT8 ? CK_SPLIT_SLOTS : (groups + 3) / 4);
}

CK_INLINE size_t lines_of_block(int32_t type) { return CK_SPLIT_BLOCK * ck_bits_of_type(type) / 8 / 64; }

CK_INLINE ahead look_ahead(const ck_matrix *w, size_t row, size_t rows, size_t b, size_t times, int32_t type) {
    const size_t lines = rows * lines_of_block(type);
    return (ahead){ck_row(w, row) + b * 64 * lines_of_block(type),
                   w->scales ? ck_row_scales(w, row) + b * 2 * CK_SPLIT_GROUPS : NULL,
                   ck_row_stride(w),
                   w->columns / CK_INT4_GROUP * 2,
                   0,
                   lines,
                   (lines + times - 1) / times};
}

CK_INLINE void fetch_share(ahead *a, size_t shares, int32_t type) {
    const size_t end = ck_smaller(a->line + shares * a->share, a->end), lines = lines_of_block(type);
    for (; a->line < end; a->line++) {
        fetch_for_later(a->weights + a->line / lines * a->stride + a->line % lines * 64);
        if (type != CK_BF16 && a->line % lines == 0) fetch_for_later(a->scales + a->line / lines * a->scale_stride);
    }
}

/// A half of the rows of a panel, from weight row `row` on, and `groups` groups of block b.
CK_INLINE void load_half(panel *p, size_t half, const ck_matrix *w, size_t row, size_t rows, size_t b, size_t groups,
                         ahead *next, int32_t type, int32_t bits) {
    const size_t stride = ck_row_stride(w), first = b * CK_SPLIT_GROUPS;
    const unsigned char *weights = ck_row(w, row);
    sixteen word[16];
    if (type == CK_BF16) {
        for (size_t g = 0; g < groups; g++) {
            fetch_share(next, CK_PACK_SHARES, type);
            const size_t column = (first + g) * CK_INT4_GROUP;
            interleave(word, weights + 2 * column, stride, rows, 2 * ck_smaller(w->columns - column, CK_INT4_GROUP));
            p->scale[g][half] = integers_of_bf16(word);
            CK_UNROLL for (size_t k = 0; k < 16; k++) p->words[(g * 16 + k) * CK_PANEL_HALVES + half] = word[k];
        }
        return;
    }
    if (type == CK_INT8) {
        for (size_t s = 0; s < CK_SPLIT_SLOTS; s++) {
            fetch_share(next, CK_PACK_SHARES, type);
            interleave(word, weights + b * CK_SPLIT_BLOCK + 64 * s, stride, rows, 64);
            CK_UNROLL for (size_t g = 0; g < CK_SPLIT_GROUPS; g++) // all of them, since rows have whole blocks
                p->words[(g * CK_SPLIT_SLOTS + s) * CK_PANEL_HALVES + half] = word[split_lane(g)];
        }
    } else {
        for (size_t g = 0; g < groups; g += 4) {
            fetch_share(next, CK_PACK_SHARES, type);
            interleave(word, weights + (first + g) * 16, stride, rows, 16 * ck_smaller(groups - g, 4));
            // Eight nibbles of each row: words of four bytes, or of two 16-bit integers. Absent groups are zeros.
            CK_UNROLL for (size_t k = 0; k < 16; k++)
                nibbles_apart(&p->words[(4 * g + k) * group_words(bits) / 4 * CK_PANEL_HALVES + half], CK_PANEL_HALVES,
                              word[k], bits);
        }
    }
    interleave(word, ck_row_scales(w, row) + 2 * first, w->columns / CK_INT4_GROUP * 2, rows, 2 * groups);
    CK_UNROLL for (size_t g = 0; g < CK_SPLIT_GROUPS; g++) p->scale[g][half] = lanes_of_word(word[g / 2], g % 2);
}

CK_INLINE lanes load_columns(const float *y, size_t half, size_t rows) {
    if (rows >= 16 * (half + 1)) return lanes_load(y + 16 * half);
    return rows > 16 * half ? lanes_load_part(y + 16 * half, rows - 16 * half) : lanes_zero();
}
CK_INLINE void store_columns(float *y, size_t half, size_t rows, lanes value) {
    if (rows >= 16 * (half + 1))
        lanes_store(y + 16 * half, value);
    else if (rows > 16 * half)
        lanes_store_part(y + 16 * half, value, rows - 16 * half);
}

/// Adds a block's products with n rows of x, a constant, to y (or begins it); y's columns are the panel's `rows` weight rows.
CK_INLINE void multiply_block(float *y, size_t ldy, size_t rows, const void *const *x, size_t n, const panel *p, size_t b,
                              size_t groups, ahead *next, int32_t type, int32_t bits) {
    const char *block[CK_NARROW_X];
    lanes total[CK_NARROW_X][CK_PANEL_HALVES];
    CK_UNROLL for (size_t r = 0; r < n; r++) {
        block[r] = narrow_at(x[r], b, bits);
        CK_UNROLL for (size_t h = 0; h < CK_PANEL_HALVES; h++)
            total[r][h] = b == 0 ? lanes_zero() : load_columns(y + r * ldy, h, rows);
    }
    for (size_t g = 0; g < groups; g++) {
        fetch_share(next, 1, type);
        const sixteen *word = p->words + g * group_words(bits) * CK_PANEL_HALVES;
        sixteen sum[CK_NARROW_X][CK_PANEL_HALVES];
        CK_UNROLL for (size_t r = 0; r < n; r++) {
            // 128 is 16 times 8.
            sixteen offset = type == CK_BF16 ? sixteen_zero() : sixteen_all(&narrow_tail_of(block[r], bits)->offset[g]);
            if (type == CK_INT8) offset = sixteen_shifted(offset, 4);
            CK_UNROLL for (size_t h = 0; h < CK_PANEL_HALVES; h++) sum[r][h] = offset;
        }
        CK_UNROLL for (size_t k = 0; k < group_words(bits); k++)
            CK_UNROLL for (size_t r = 0; r < n; r++) {
                sixteen q = sixteen_all(block[r] + 4 * (g * group_words(bits) + k));
                CK_UNROLL for (size_t h = 0; h < CK_PANEL_HALVES; h++)
                    sum[r][h] = sixteen_add(sum[r][h], word[k * CK_PANEL_HALVES + h], q, type, bits);
            }
        CK_UNROLL for (size_t r = 0; r < n; r++) {
            lanes scale = lanes_all(narrow_tail_of(block[r], bits)->scale[g]);
            CK_UNROLL for (size_t h = 0; h < CK_PANEL_HALVES; h++)
                total[r][h] = lanes_fma(lanes_of_sixteen(sum[r][h]), lanes_mul(scale, p->scale[g][h]), total[r][h]);
        }
    }
    CK_UNROLL for (size_t r = 0; r < n; r++)
        CK_UNROLL for (size_t h = 0; h < CK_PANEL_HALVES; h++) store_columns(y + r * ldy, h, rows, total[r][h]);
}

CK_INLINE size_t tiles_of(size_t n, int32_t bits) {
    const size_t most = bits == 16 ? CK_NARROW_X_16 : CK_NARROW_X_8;
    return (n + most - 1) / most;
}

/// All rows of x, in tiles of equal size or one less.
CK_INLINE void multiply_rows(const narrow_product *p, const panel *weights, size_t row, size_t rows, size_t b, size_t groups,
                             ahead *next, int32_t type, int32_t bits) {
    const size_t tiles = tiles_of(p->n, bits);
    for (size_t tile = 0, r = 0; tile < tiles; tile++) {
        const size_t n = (p->n - r) / (tiles - tile);
        float *y = p->y + r * p->ldy + row;
        const void *const *x = p->x + r;
        switch (n) {
        case 1: multiply_block(y, p->ldy, rows, x, 1, weights, b, groups, next, type, bits); break;
        case 2: multiply_block(y, p->ldy, rows, x, 2, weights, b, groups, next, type, bits); break;
#if CK_NARROW_X > 2
        case 3: multiply_block(y, p->ldy, rows, x, 3, weights, b, groups, next, type, bits); break;
        case 4: multiply_block(y, p->ldy, rows, x, 4, weights, b, groups, next, type, bits); break;
        case 5: multiply_block(y, p->ldy, rows, x, 5, weights, b, groups, next, type, bits); break;
        case 6: multiply_block(y, p->ldy, rows, x, 6, weights, b, groups, next, type, bits); break;
        default: multiply_block(y, p->ldy, rows, x, 7, weights, b, groups, next, type, bits); break;
#endif
        }
        r += n;
    }
}

CK_INLINE void multiply_narrow(const narrow_product *p, size_t begin, int32_t type, int32_t bits) {
    const size_t blocks = split_blocks(p->w->columns), groups = (p->w->columns + CK_INT4_GROUP - 1) / CK_INT4_GROUP;
    panel weights;
    for (size_t row = begin; row < p->end; row += CK_PANEL_ROWS) {
        const size_t rows = ck_smaller(p->end - row, CK_PANEL_ROWS), next = row + rows;
        for (size_t b = 0; b < blocks; b++) {
            const size_t count = ck_smaller(groups - b * CK_SPLIT_GROUPS, CK_SPLIT_GROUPS);
            const size_t times = count * tiles_of(p->n, bits) + CK_PACK_SHARES * transpositions(count, type);
            ahead then = b + 1 < blocks ? look_ahead(p->w, row, rows, b + 1, times, type)
                                        : look_ahead(p->w, next, ck_smaller(p->end - next, CK_PANEL_ROWS), 0, times, type);
            for (size_t h = 0; h < CK_PANEL_HALVES; h++)
                load_half(&weights, h, p->w, row + 16 * h, rows > 16 * h ? ck_smaller(rows - 16 * h, 16) : 0, b, count, &then,
                          type, bits);
            multiply_rows(p, &weights, row, rows, b, count, &then, type, bits);
        }
    }
}

// One function for each kind of weights and of x, so that the compiler sees the constants.
#define CK_MULTIPLY_NARROW(name, type, bits)                                                                          \
    static __attribute__((noinline)) void name(const narrow_product *p, size_t begin) { multiply_narrow(p, begin, type, bits); }
CK_MULTIPLY_NARROW(multiply_bf16_16, CK_BF16, 16)
CK_MULTIPLY_NARROW(multiply_int4_16, CK_INT4, 16)
CK_MULTIPLY_NARROW(multiply_int4_8, CK_INT4, 8)
CK_MULTIPLY_NARROW(multiply_int8_8, CK_INT8, 8)

void CK_NAME(matmul_narrow)(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w, size_t begin, size_t end,
                            int32_t bits) {
    if (n == 0 || begin >= end) return;
    const narrow_product p = {y, ldy, x, n, w, end};
    if (w->type == CK_BF16)
        multiply_bf16_16(&p, begin);
    else if (w->type == CK_INT8)
        multiply_int8_8(&p, begin);
    else if (bits == 16)
        multiply_int4_16(&p, begin);
    else
        multiply_int4_8(&p, begin);
}
