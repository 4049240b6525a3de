#if defined(__x86_64__)
#include "tiles.h"

// Everything is written once for pairs and for high halves alone: `halves` is a constant.

CK_INLINE void split_rows(void *block, size_t row, const float *x, size_t first, size_t count, size_t halves) {
    char *to = (char *)block + first / CK_TILE_STEP * halves * CK_TILE_BYTES + row * 64;
    for (size_t c = 0; c < count; c += CK_TILE_STEP, to += halves * CK_TILE_BYTES) {
        __m512 part[2];
        __m512i high, low;
        load_part(part, x + c, count - c);
        split_lanes(&high, &low, part[0], part[1]);
        _mm512_store_si512(to, high);
        if (halves > 1) _mm512_store_si512(to + CK_TILE_BYTES, low);
    }
}

void ck_amx_split_rows(void *block, size_t row, const float *x, size_t first, size_t count) {
    split_rows(block, row, x, first, count, 2);
}

void ck_amx_half_split_rows(void *block, size_t row, const float *x, size_t first, size_t count) {
    split_rows(block, row, x, first, count, 1);
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

/// What is asked for meanwhile, some lines a step: weights that the next call of multiply_tiles reads, of two blocks, and rows of
/// the next steps. Asking never faults.
typedef struct tiles_ahead {
    const char *w, *x;
    size_t w_block;          ///< bytes from the one block of weights to the other
    size_t w_lines, x_lines; ///< of a step; of each block
} tiles_ahead;

/// The products of `rows` times `columns` (1 or 2, constants) blocks over some steps, added to y unless they are the first.
CK_INLINE void multiply_tiles(float *y, size_t ldy, const char *x, size_t x_block, const char *w, size_t w_block, size_t steps,
                              size_t rows, size_t columns, int is_first, tiles_ahead ahead, size_t halves) {
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
        const char *a = x + s * halves * CK_TILE_BYTES, *b = w + s * CK_TILE_BYTES;
        for (size_t l = 0; l < ahead.w_lines; l++, ahead.w += 64) {
            __builtin_prefetch(ahead.w, 0, 2);
            __builtin_prefetch(ahead.w + ahead.w_block, 0, 2);
        }
        for (size_t l = 0; l < ahead.x_lines; l++, ahead.x += 64) __builtin_prefetch(ahead.x, 0, 2);
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
        if (halves == 1) continue;
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

CK_INLINE void multiply(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w, size_t column_blocks, size_t columns,
                        size_t halves) {
    const size_t steps = tile_steps(columns), x_block = steps * halves * CK_TILE_BYTES, w_block = steps * CK_TILE_BYTES;
    const size_t passes = (steps * halves + CK_TILE_PASS_HALVES - 1) / CK_TILE_PASS_HALVES;
    const size_t most = passes == 0 ? 1 : (steps + passes - 1) / passes;
    const size_t row_pairs = (row_blocks + 1) / 2, calls = (column_blocks + 1) / 2 * row_pairs;
    if (calls == 0) return;
    tiles_use();
    for (size_t s = 0; s < steps; s += most) {
        const size_t count = ck_smaller(steps - s, most), next = ck_smaller(steps - s - count, most);
        const char *rows = (const char *)x + s * halves * CK_TILE_BYTES, *weights = (const char *)w + s * CK_TILE_BYTES;
        // Weights of a call are shared by a column of calls, rows of the next steps by all calls of these.
        const size_t share = calls / row_blocks, w_lines = (CK_TILE + row_pairs - 1) / row_pairs;
        const size_t x_lines = share == 0 ? 0 : (next * halves * CK_TILE + share * count - 1) / (share * count);
        size_t call = 0;
        for (size_t j = 0; j < column_blocks; j += 2) {
            const int is_last = j + 2 >= column_blocks && next > 0;
            const char *w_next = is_last ? weights + count * CK_TILE_BYTES : weights + (j + 2) * w_block;
            for (size_t r = 0; r < row_blocks; r += 2, call++) {
                float *to = y + r * CK_TILE * ldy + j * CK_TILE;
                const char *a = rows + r * x_block, *b = weights + j * w_block;
                const int wide = j + 1 < column_blocks, tall = r + 1 < row_blocks;
                tiles_ahead ahead = {.w = w_next + r / 2 * w_lines * count * 64, .w_block = w_block, .w_lines = w_lines};
                if (share > 0 && call / share < row_blocks) {
                    ahead.x = rows + count * halves * CK_TILE_BYTES + call / share * x_block + call % share * x_lines * count * 64;
                    ahead.x_lines = x_lines;
                }
                if (tall && wide)
                    multiply_tiles(to, ldy, a, x_block, b, w_block, count, 2, 2, s == 0, ahead, halves);
                else if (wide)
                    multiply_tiles(to, ldy, a, x_block, b, w_block, count, 1, 2, s == 0, ahead, halves);
                else if (tall)
                    multiply_tiles(to, ldy, a, x_block, b, w_block, count, 2, 1, s == 0, ahead, halves);
                else
                    multiply_tiles(to, ldy, a, x_block, b, w_block, count, 1, 1, s == 0, ahead, halves);
            }
        }
    }
    tiles_release();
}

void ck_amx_tile_matmul(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w, size_t column_blocks,
                        size_t columns) {
    multiply(y, ldy, x, row_blocks, w, column_blocks, columns, 2);
}

void ck_amx_half_tile_matmul(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w, size_t column_blocks,
                             size_t columns) {
    multiply(y, ldy, x, row_blocks, w, column_blocks, columns, 1);
}

#pragma clang attribute pop
#endif
