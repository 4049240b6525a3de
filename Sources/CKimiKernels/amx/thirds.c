#if defined(__x86_64__)
#include "tiles.h"

/// Steps of 32 columns, and blocks of 16 weight rows, that are laid out at a time: tiles of so many stay in the first cache.
#define CK_THIRDS_STEPS 8
#define CK_THIRDS_BLOCKS 4
/// Rows of a call for fewer than 16 weight rows, whose outputs have no room for a tile.
#define CK_THIRDS_ROWS 64

void ck_amx_write_thirds(void *to, const float *x, size_t first, size_t count, size_t thirds) {
    char *at = (char *)to + first / CK_TILE_STEP * thirds * 64;
    for (size_t c = 0; c < count; c += CK_TILE_STEP) {
        __m512 rest[2];
        load_part(rest, x + c, count - c);
        for (size_t t = 0; t < thirds; t++, at += 64) {
            const __m512i third = (__m512i)_mm512_cvtne2ps_pbh(rest[1], rest[0]);
            _mm512_storeu_si512(at, third);
            rest[0] = _mm512_sub_ps(rest[0], widened(_mm512_castsi512_si256(third)));
            rest[1] = _mm512_sub_ps(rest[1], widened(_mm512_extracti64x4_epi64(third, 1)));
        }
    }
}

/// Lays 32 columns of 16 rows, `stride` bytes apart, as a tile of pairs: row k has pair k of each. Four rows at a time come by quarters
/// of registers straight from memory, so that only half of the transposition is shuffles. Meanwhile as much is asked for from
/// `ahead` on.
CK_INLINE void lay_tile(char *to, const unsigned char *rows, size_t stride, const unsigned char *ahead) {
    CK_UNROLL for (size_t q = 0; q < 4; q++) {
        __m512i a[4];
        CK_UNROLL for (size_t i = 0; i < 4; i++) {
            const unsigned char *row = rows + i * stride + 16 * q;
            a[i] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)row));
            a[i] = _mm512_mask_broadcast_i32x4(a[i], 0x00f0, _mm_loadu_si128((const void *)(row + 4 * stride)));
            a[i] = _mm512_mask_broadcast_i32x4(a[i], 0x0f00, _mm_loadu_si128((const void *)(row + 8 * stride)));
            a[i] = _mm512_mask_broadcast_i32x4(a[i], 0xf000, _mm_loadu_si128((const void *)(row + 12 * stride)));
            __builtin_prefetch(ahead + (4 * q + i) * stride, 0, 2);
        }
        const __m512i low[2] = {_mm512_unpacklo_epi32(a[0], a[1]), _mm512_unpacklo_epi32(a[2], a[3])};
        const __m512i high[2] = {_mm512_unpackhi_epi32(a[0], a[1]), _mm512_unpackhi_epi32(a[2], a[3])};
        _mm512_store_si512(to + (4 * q) * 64, _mm512_unpacklo_epi64(low[0], low[1]));
        _mm512_store_si512(to + (4 * q + 1) * 64, _mm512_unpackhi_epi64(low[0], low[1]));
        _mm512_store_si512(to + (4 * q + 2) * 64, _mm512_unpacklo_epi64(high[0], high[1]));
        _mm512_store_si512(to + (4 * q + 3) * 64, _mm512_unpackhi_epi64(high[0], high[1]));
    }
}

/// Lays 16 columns of 32 rows likewise: row k has rows 2k and 2k + 1, element by element.
CK_INLINE void lay_across(char *to, const unsigned char *rows, size_t stride, const unsigned char *ahead) {
    CK_UNROLL for (size_t k = 0; k < CK_TILE; k++) {
        const __m256i even = _mm256_loadu_si256((const void *)(rows + 2 * k * stride));
        const __m256i odd = _mm256_loadu_si256((const void *)(rows + (2 * k + 1) * stride));
        _mm512_store_si512(to + k * 64, _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16)));
        __builtin_prefetch(ahead + 2 * k * stride, 0, 2);
        __builtin_prefetch(ahead + (2 * k + 1) * stride, 0, 2);
    }
}

/// The weights of a product: those of output j and element k of x are at `at` + j * stride + 2 * k, or, across, at 2 * j + k * stride.
typedef struct weights {
    const unsigned char *at;
    size_t stride, elements;
    int across;
} weights;

CK_INLINE const unsigned char *weight_at(const weights *w, size_t output, size_t element) {
    return w->across ? w->at + 2 * output + element * w->stride : w->at + output * w->stride + 2 * element;
}

/// Lays a step, from `element` on, of a block of `count` outputs, what is missing to 16 of them or to 32 elements being zeros. What is
/// asked for is as far on in these rows as are laid out at a time, or that of the outputs of the next turn, or of `last`.
CK_INLINE void lay(char *to, const weights *w, size_t output, size_t count, size_t element, size_t next, size_t last) {
    const size_t turn = CK_THIRDS_STEPS * CK_TILE_STEP;
    const size_t elements = ck_smaller(w->elements - element, CK_TILE_STEP);
    if (count == CK_TILE && elements == CK_TILE_STEP) {
        const unsigned char *from = weight_at(w, output, element);
        if (w->across)
            lay_across(to, from, w->stride, weight_at(w, ck_smaller(next, last), element));
        else
            lay_tile(to, from, w->stride,
                     element + turn < w->elements ? from + 2 * turn : weight_at(w, ck_smaller(next, last), element % turn));
        return;
    }
    _Alignas(64) unsigned char part[CK_TILE * 64] = {0};
    if (w->across) {
        for (size_t k = 0; k < elements; k++) memcpy(part + k * 32, weight_at(w, output, element + k), 2 * count);
        lay_across(to, part, 32, part);
    } else {
        for (size_t r = 0; r < count; r++) memcpy(part + r * 64, weight_at(w, output + r, element), 2 * elements);
        lay_tile(to, part, 64, part);
    }
}

/// Tiles of weights: blocks of 16 rows, each of some steps.
typedef char weight_tiles[CK_THIRDS_STEPS][CK_TILE_BYTES];

/// What one product of tiles is about: `steps` steps of the rows of x and of laid out weights, the first ones of all or not.
typedef struct tile_product {
    float *y; ///< of the first row and the first block
    size_t ldy;
    const char *x; ///< the first row's first step
    size_t ldx;
    const weight_tiles *w;
    size_t at[CK_THIRDS_BLOCKS];    ///< where in y each block's outputs begin
    size_t block[CK_THIRDS_BLOCKS]; ///< and which of the laid out ones it is
    size_t steps;
    int is_first;
} tile_product;

/// Has tiles 0 to 6 hold the rows of two blocks: sums 0, 1 and x's 4 those of the first, 2, 3 and 5 those of the second, and all of them
/// the first one's if there is no second; weights are tiles 6 and 7.
static void shape_tiles(size_t first, size_t second, int weights) {
    uint8_t rows[8];
    for (int t = 0; t < 8; t++)
        rows[t] = t >= 8 - weights ? CK_TILE : second > 0 && (t == 2 || t == 3 || t == 5) ? (uint8_t)second : (uint8_t)first;
    tiles_shape(rows);
}

// Tiles are named by constants.
#define CK_BEGIN(tile, to)                                                                                            \
    if (p->is_first) _tile_zero(tile);                                                                                \
    else _tile_loadd(tile, to, stride);

/// Two blocks of rows, the second `rows` after the first, and two blocks of weights from `block` on.
CK_INLINE void multiply_two(const tile_product *p, size_t rows, size_t block, size_t thirds) {
    const size_t stride = p->ldy * 4;
    float *a = p->y + p->at[block], *b = p->y + p->at[block + 1];
    float *c = a + rows * p->ldy, *d = b + rows * p->ldy;
    CK_BEGIN(0, a) CK_BEGIN(1, b) CK_BEGIN(2, c) CK_BEGIN(3, d)
    const char *x = p->x, *below = x + rows * p->ldx;
    for (size_t s = 0; s < p->steps; s++) {
        _tile_loadd(6, p->w[p->block[block]][s], 64);
        _tile_loadd(7, p->w[p->block[block + 1]][s], 64);
        CK_UNROLL for (size_t t = 0; t < thirds; t++, x += 64, below += 64) {
            _tile_loadd(4, x, p->ldx);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, below, p->ldx);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, a, stride);
    _tile_stored(1, b, stride);
    _tile_stored(2, c, stride);
    _tile_stored(3, d, stride);
}

/// One block of rows and four of weights: four sums that do not wait for each other.
CK_INLINE void multiply_one(const tile_product *p, size_t thirds) {
    const size_t stride = p->ldy * 4;
    float *a = p->y + p->at[0], *b = p->y + p->at[1], *c = p->y + p->at[2], *d = p->y + p->at[3];
    CK_BEGIN(0, a) CK_BEGIN(1, b) CK_BEGIN(2, c) CK_BEGIN(3, d)
    const char *x = p->x;
    for (size_t s = 0; s < p->steps; s++, x += thirds * 64) {
        _tile_loadd(4, x, p->ldx);
        if (thirds > 1) _tile_loadd(5, x + 64, p->ldx);
        if (thirds > 2) _tile_loadd(6, x + 128, p->ldx);
#define CK_ADD(sum)                                                                                                   \
    _tile_loadd(7, p->w[p->block[sum]][s], 64);                                                                       \
    _tile_dpbf16ps(sum, 4, 7);                                                                                        \
    if (thirds > 1) _tile_dpbf16ps(sum, 5, 7);                                                                        \
    if (thirds > 2) _tile_dpbf16ps(sum, 6, 7);
        CK_ADD(0) CK_ADD(1) CK_ADD(2) CK_ADD(3)
    }
    _tile_stored(0, a, stride);
    _tile_stored(1, b, stride);
    _tile_stored(2, c, stride);
    _tile_stored(3, d, stride);
}

/// All n rows, in equal blocks of at most 16, with the four blocks of weights that are laid out.
CK_INLINE void multiply_rows(tile_product p, size_t n, size_t thirds) {
    size_t blocks = (n + CK_TILE - 1) / CK_TILE;
    while (blocks > 0) {
        const size_t first = n / blocks, second = blocks > 1 ? (n - first) / (blocks - 1) : 0;
        shape_tiles(first, second, second > 0 ? 2 : 1);
        if (second > 0) {
            multiply_two(&p, first, 0, thirds);
            if (p.at[2] != p.at[1]) multiply_two(&p, first, 2, thirds);
        } else {
            multiply_one(&p, thirds);
        }
        p.x += (first + second) * p.ldx;
        p.y += (first + second) * p.ldy;
        n -= first + second;
        blocks -= second > 0 ? 2 : 1;
    }
}

/// Outputs `begin` ... `end` - 1, at least 16 unless there are only those: y is that of output `begin`.
CK_INLINE void multiply(float *y, size_t ldy, const char *x, size_t ldx, size_t n, const weights *w, size_t begin, size_t end,
                        size_t thirds) {
    _Alignas(64) weight_tiles tiles[CK_THIRDS_BLOCKS];
    const size_t all = tile_steps(w->elements);
    const size_t last = end - begin > CK_TILE ? end - CK_TILE : begin, count = ck_smaller(end - begin, CK_TILE);
    for (size_t output = begin, turn; output < end; output += turn) {
        // Whole blocks; what is left of one comes last, and overlaps the one before it: outputs are written again.
        const size_t blocks = ck_smaller((end - output) / CK_TILE, CK_THIRDS_BLOCKS);
        turn = blocks > 0 ? blocks * CK_TILE : end - output;
        for (size_t step = 0; step < all; step += CK_THIRDS_STEPS) {
            tile_product p = {y, ldy, x + step * thirds * 64, ldx, tiles, {0}, {0}, ck_smaller(all - step, CK_THIRDS_STEPS), step == 0};
            for (size_t b = 0; b < CK_THIRDS_BLOCKS; b++) {
                if (b > 0 && b >= blocks) {
                    // Not there: the last one again, to the same outputs.
                    p.at[b] = p.at[b - 1];
                    p.block[b] = p.block[b - 1];
                    continue;
                }
                const size_t from = ck_smaller(output + b * CK_TILE, last);
                p.at[b] = from - begin;
                p.block[b] = b;
                for (size_t s = 0; s < p.steps; s++)
                    lay(tiles[b][s], w, from, count, (step + s) * CK_TILE_STEP, output + turn + b * CK_TILE, last);
            }
            multiply_rows(p, n, thirds);
        }
    }
}

CK_INLINE void multiply_outputs(float *y, size_t ldy, const char *x, size_t ldx, size_t n, const weights *w, size_t begin, size_t end,
                                size_t thirds) {
    if (n == 0 || begin >= end) return;
    if (end - begin >= CK_TILE) {
        // Each case for itself, so that the compiler sees the constants.
        if (thirds == 3) multiply(y + begin, ldy, x, ldx, n, w, begin, end, 3);
        else if (thirds == 2) multiply(y + begin, ldy, x, ldx, n, w, begin, end, 2);
        else multiply(y + begin, ldy, x, ldx, n, w, begin, end, 1);
    } else {
        float part[CK_THIRDS_ROWS * CK_TILE];
        for (size_t first = 0; first < n; first += CK_THIRDS_ROWS) {
            const size_t count = ck_smaller(n - first, CK_THIRDS_ROWS);
            multiply(part, CK_TILE, x + first * ldx, ldx, count, w, begin, end, thirds);
            for (size_t r = 0; r < count; r++)
                memcpy(y + (first + r) * ldy + begin, part + r * CK_TILE, (end - begin) * sizeof(float));
        }
    }
    tiles_release();
}

void ck_amx_matmul_thirds(float *y, size_t ldy, const void *x, size_t ldx, size_t n, const ck_matrix *w, size_t begin, size_t end,
                          size_t thirds) {
    const weights rows = {ck_row(w, 0), ck_row_stride(w), w->columns, 0};
    multiply_outputs(y, ldy, x, ldx, n, &rows, begin, end, thirds);
}

void ck_amx_combine_thirds(float *y, size_t ldy, const void *x, size_t ldx, size_t n, const ck_matrix *w, size_t first, size_t count,
                           size_t thirds) {
    const weights columns = {ck_row(w, first), ck_row_stride(w), count, 1};
    multiply_outputs(y, ldy, x, ldx, n, &columns, 0, w->columns, thirds);
}

#pragma clang attribute pop
#endif
