#if defined(__x86_64__)
#include "tiles.h"

/// Steps that are multiplied at a time: of 16 blocks of weights they stay in the second cache, while blocks of x pass by, a group
/// at a time.
#define CK_PAIR_STEPS 36
#define CK_PAIR_BLOCKS 4

void ck_amx_split_pairs(void *block, size_t row, const float *x, size_t first, size_t count) {
    char *to = (char *)block + first / CK_TILE_STEP * 2 * CK_TILE_BYTES + row * 64;
    for (size_t c = 0; c < count; c += CK_TILE_STEP, to += 2 * CK_TILE_BYTES) {
        __m512 part[2];
        __m512i high, low;
        load_part(part, x + c, count - c);
        split_lanes(&high, &low, part[0], part[1]);
        _mm512_store_si512(to, high);
        _mm512_store_si512(to + CK_TILE_BYTES, low);
    }
}

/// Element j of register i becomes element i of register j.
CK_INLINE void transpose(__m512i r[16]) {
    __m512i t[16];
    CK_UNROLL for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    CK_UNROLL for (size_t i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    CK_UNROLL for (size_t i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    CK_UNROLL for (size_t i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

void ck_amx_pack_weights(void *to, const ck_matrix *w, size_t first, size_t rows) {
    const size_t steps = tile_steps(w->columns);
    char *tile = to;
    for (size_t block = 0; block < rows; block += CK_TILE)
        for (size_t s = 0; s < steps; s++, tile += CK_TILE_BYTES) {
            const size_t columns = ck_smaller(w->columns - s * CK_TILE_STEP, CK_TILE_STEP);
            const __mmask32 mask = columns >= 32 ? 0xffffffff : (__mmask32)((1u << columns) - 1);
            __m512i r[16];
            CK_UNROLL for (size_t i = 0; i < 16; i++) {
                const unsigned char *row = ck_row(w, first + ck_smaller(block + i, rows - 1)) + s * CK_TILE_STEP * 2;
                r[i] = _mm512_maskz_loadu_epi16(block + i < rows ? mask : 0, row);
            }
            transpose(r);
            CK_UNROLL for (size_t i = 0; i < 16; i++) _mm512_store_si512(tile + i * 64, r[i]);
        }
}

/// What of x is asked for while a group is multiplied: the next one, a few lines a step.
typedef struct next_group {
    const char *x;    ///< of the first block, at the first of the steps
    size_t block;     ///< bytes from one block to the next
    size_t calls;     ///< of multiply_tiles that share a block
    size_t lines;     ///< of a step
    size_t bytes;     ///< of a call
} next_group;

CK_INLINE next_group look_ahead(const char *x, size_t block, size_t steps, size_t calls, size_t steps_of_call) {
    const size_t share = (calls + CK_PAIR_BLOCKS - 1) / CK_PAIR_BLOCKS;
    const size_t lines = (steps * 2 * CK_TILE_BYTES / 64 + share * steps_of_call - 1) / (share * steps_of_call);
    return (next_group){x, block, share, lines, lines * steps_of_call * 64};
}

/// The products of `rows` times `columns` (1 or 2, constants) blocks over some steps, added to y unless they are the first. Of the
/// next group the share of the call of this number is asked for; that never faults.
CK_INLINE void multiply_tiles(float *y, size_t ldy, const char *x, size_t x_block, const char *w, size_t w_block, size_t steps,
                              size_t rows, size_t columns, int is_first, const next_group *ahead, size_t call) {
    const char *next = ahead->x + call / ahead->calls * ahead->block + call % ahead->calls * ahead->bytes;
    const size_t stride = ldy * 4;
    float *low = y + CK_TILE * ldy;
    if (is_first) {
        _tile_zero(0);
        if (columns > 1) _tile_zero(1);
        if (rows > 1) _tile_zero(2);
        if (rows > 1 && columns > 1) _tile_zero(3);
    } else {
        _tile_loadd(0, y, stride);
        if (columns > 1) _tile_loadd(1, y + CK_TILE, stride);
        if (rows > 1) _tile_loadd(2, low, stride);
        if (rows > 1 && columns > 1) _tile_loadd(3, low + CK_TILE, stride);
    }
    for (size_t s = 0; s < steps; s++) {
        const char *a = x + s * 2 * CK_TILE_BYTES, *b = w + s * CK_TILE_BYTES;
        for (size_t l = 0; l < ahead->lines; l++, next += 64) __builtin_prefetch(next, 0, 3);
        _tile_loadd(4, b, 64);
        _tile_loadd(6, a, 64);
        _tile_dpbf16ps(0, 6, 4);
        if (columns > 1) {
            _tile_loadd(5, b + w_block, 64);
            _tile_dpbf16ps(1, 6, 5);
        }
        if (rows > 1) {
            _tile_loadd(7, a + x_block, 64);
            _tile_dpbf16ps(2, 7, 4);
            if (columns > 1) _tile_dpbf16ps(3, 7, 5);
        }
        _tile_loadd(6, a + CK_TILE_BYTES, 64);
        _tile_dpbf16ps(0, 6, 4);
        if (columns > 1) _tile_dpbf16ps(1, 6, 5);
        if (rows > 1) {
            _tile_loadd(7, a + x_block + CK_TILE_BYTES, 64);
            _tile_dpbf16ps(2, 7, 4);
            if (columns > 1) _tile_dpbf16ps(3, 7, 5);
        }
    }
    _tile_stored(0, y, stride);
    if (columns > 1) _tile_stored(1, y + CK_TILE, stride);
    if (rows > 1) _tile_stored(2, low, stride);
    if (rows > 1 && columns > 1) _tile_stored(3, low + CK_TILE, stride);
}

void ck_amx_matmul_pairs(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w, size_t column_blocks,
                         size_t columns) {
    const size_t steps = tile_steps(columns), x_block = steps * 2 * CK_TILE_BYTES, w_block = steps * CK_TILE_BYTES;
    tiles_use();
    for (size_t s = 0; s < steps; s += CK_PAIR_STEPS) {
        const size_t count = ck_smaller(steps - s, CK_PAIR_STEPS);
        for (size_t group = 0; group < row_blocks; group += CK_PAIR_BLOCKS) {
            const size_t group_end = ck_smaller(group + CK_PAIR_BLOCKS, row_blocks);
            const size_t calls = (column_blocks + 1) / 2 * ((group_end - group + 1) / 2);
            const char *first = (const char *)x + s * 2 * CK_TILE_BYTES;
            const int is_last = group_end == row_blocks; // then the next group is the first, at the next steps
            const char *next = is_last ? first + count * 2 * CK_TILE_BYTES : first + group_end * x_block;
            const size_t next_steps = is_last ? ck_smaller(steps - s - count, CK_PAIR_STEPS) : count;
            const next_group ahead = look_ahead(next, x_block, next_steps, calls, count);
            size_t call = 0;
            for (size_t j = 0; j < column_blocks; j += 2)
                for (size_t r = group; r < group_end; r += 2, call++) {
                    float *to = y + r * CK_TILE * ldy + j * CK_TILE;
                    const char *a = first + r * x_block, *b = (const char *)w + j * w_block + s * CK_TILE_BYTES;
                    const int wide = j + 1 < column_blocks, tall = r + 1 < group_end;
                    if (tall && wide)
                        multiply_tiles(to, ldy, a, x_block, b, w_block, count, 2, 2, s == 0, &ahead, call);
                    else if (wide)
                        multiply_tiles(to, ldy, a, x_block, b, w_block, count, 1, 2, s == 0, &ahead, call);
                    else if (tall)
                        multiply_tiles(to, ldy, a, x_block, b, w_block, count, 2, 1, s == 0, &ahead, call);
                    else
                        multiply_tiles(to, ldy, a, x_block, b, w_block, count, 1, 1, s == 0, &ahead, call);
                }
        }
    }
    tiles_release();
}

#pragma clang attribute pop
#endif
