// Products of tiles: the specification. Far too slow for anything but tests.
#include "tiles.h"

static void split_rows(void *block, size_t row, const float *x, size_t first, size_t count, size_t halves) {
    for (size_t c = 0; c < tile_steps(count) * CK_TILE_STEP; c++) {
        char *step = (char *)block + (first + c) / CK_TILE_STEP * halves * CK_TILE_BYTES;
        const size_t at = row * 64 + c % CK_TILE_STEP * 2;
        uint16_t half[2];
        split_pair(&half[0], &half[1], c < count ? x[c] : 0);
        for (size_t h = 0; h < halves; h++) *word_at(step + h * CK_TILE_BYTES, at) = half[h];
    }
}

void ck_scalar_split_rows(void *block, size_t row, const float *x, size_t first, size_t count) {
    split_rows(block, row, x, first, count, 2);
}

void ck_scalar_half_split_rows(void *block, size_t row, const float *x, size_t first, size_t count) {
    split_rows(block, row, x, first, count, 1);
}

void ck_scalar_pack_weights(void *to, const ck_matrix *w, size_t first, size_t rows) {
    const size_t steps = tile_steps(w->columns), blocks = (rows + CK_TILE - 1) / CK_TILE;
    memset(to, 0, blocks * steps * CK_TILE_BYTES);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < w->columns; c++) {
            char *tile = (char *)to + (r / CK_TILE * steps + c / CK_TILE_STEP) * CK_TILE_BYTES;
            memcpy(tile + c % CK_TILE_STEP / 2 * 64 + r % CK_TILE * 4 + c % 2 * 2, ck_row(w, first + r) + 2 * c, 2);
        }
}

static void multiply(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w, size_t column_blocks, size_t columns,
                     size_t halves) {
    const size_t steps = tile_steps(columns);
    for (size_t r = 0; r < row_blocks * CK_TILE; r++)
        for (size_t j = 0; j < column_blocks * CK_TILE; j++) {
            float c = 0;
            for (size_t s = 0; s < steps; s++) {
                const char *a = (const char *)x + (r / CK_TILE * steps + s) * halves * CK_TILE_BYTES;
                const char *b = (const char *)w + (j / CK_TILE * steps + s) * CK_TILE_BYTES;
                for (size_t h = 0; h < halves; h++) c = add_products(c, a + h * CK_TILE_BYTES, b, r % CK_TILE, j % CK_TILE);
            }
            y[r * ldy + j] = c;
        }
}

void ck_scalar_tile_matmul(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w, size_t column_blocks,
                           size_t columns) {
    multiply(y, ldy, x, row_blocks, w, column_blocks, columns, 2);
}

void ck_scalar_half_tile_matmul(float *y, size_t ldy, const void *x, size_t row_blocks, const void *w, size_t column_blocks,
                                size_t columns) {
    multiply(y, ldy, x, row_blocks, w, column_blocks, columns, 1);
}

// MARK: Attention

/// The halves of row r of the tiles of a head, which are `stride` bytes apart: a row of each tile of keys, a column of each of queries.
CK_INLINE void lay_row(void *to, size_t stride, size_t r, const float *x, size_t size, float factor, int is_query) {
    const size_t whole = whole_steps(size), left = size % CK_TILE_STEP;
    for (size_t d = 0; d < size; d++) {
        uint16_t half[2];
        split_pair(&half[0], &half[1], x[d] * factor);
        const int is_whole = d < whole * CK_TILE_STEP;
        for (size_t p = 0; p < (is_whole ? 2 : 3); p++) {
            const size_t rest = p * left + d - whole * CK_TILE_STEP; // among what is left over
            const size_t tile = is_whole ? d / CK_TILE_STEP * 2 + p : 2 * whole + rest / CK_TILE_STEP;
            const size_t c = is_whole ? d % CK_TILE_STEP : rest % CK_TILE_STEP;
            const int is_low = is_whole ? (p == 1) != is_query : p == (is_query ? 1 : 2);
            *word_at(to, tile * stride + (is_query ? c / 2 * 64 + r * 4 + c % 2 * 2 : r * 64 + c * 2)) = half[is_low];
        }
    }
}

void ck_scalar_pack_queries(void *to, const float *q, size_t ldq, size_t rows, size_t size, float scale) {
    memset(to, 0, ck_query_bytes(size, 2));
    for (size_t r = 0; r < rows; r++) lay_row(to, CK_TILE_BYTES, r, q + r * ldq, size, scale * CK_LOG2_E, 1);
}

void ck_scalar_pack_keys(void *to, const float *k, size_t ldk, size_t rows, size_t size) {
    memset(to, 0, ck_key_bytes(size, 2));
    for (size_t r = 0; r < rows; r++)
        lay_row((char *)to + r / CK_TILE * CK_TILE_BYTES, 2 * CK_TILE_BYTES, r % CK_TILE, k + r * ldk, size, 1, 0);
}

void ck_scalar_pack_values(void *to, const float *v, size_t ldv, size_t rows, size_t size) {
    memset(to, 0, ck_value_bytes(size, 2));
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d < size; d++) {
            uint16_t half[2];
            split_pair(&half[0], &half[1], v[r * ldv + d]);
            for (size_t p = 0; p < 2; p++) *word_at(to, (p * size + d) * 64 + r % CK_TILE * 4 + r / CK_TILE * 2) = half[p];
        }
}

static uint16_t cut(float x) { return (uint16_t)(bits_of(x) >> 16); }

/// To the nearest bfloat16, of two equally near ones the larger: x >= 0.
static float nearest_half(float x) { return widened((uint16_t)((bits_of(x) + 0x8000) >> 16)); }

/// The score of a key and a query of their tiles.
static float score(const char *keys, size_t key, const char *queries, size_t query, size_t size) {
    float c = 0;
    for (size_t s = 0; s < whole_steps(size); s++) {
        c = add_products(c, keys, queries, key, query);
        c = add_products(c, keys, queries + CK_TILE_BYTES, key, query);
        c = add_products(c, keys + 2 * CK_TILE_BYTES, queries + CK_TILE_BYTES, key, query);
        keys += 4 * CK_TILE_BYTES;
        queries += 2 * CK_TILE_BYTES;
    }
    for (size_t s = 0; s < rest_steps(size); s++, keys += 2 * CK_TILE_BYTES, queries += CK_TILE_BYTES)
        c = add_products(c, keys, queries, key, query);
    return c;
}

void ck_scalar_tile_attention(float *y, size_t ldy, const void *q, size_t row_blocks, const void *k, const void *v,
                              size_t tokens, size_t size, void *scratch) {
    const block_scratch s = scratch_parts(scratch, size).block[0];
    const size_t tiles = value_tiles(size, 2), high_tiles = high_value_tiles(size);
    for (size_t row = 0; row < row_blocks * CK_TILE; row++) {
        const int is_paired = tokens < CK_TILE_AVERAGED;
        float sums[2 * 4096 + 16] = {0}, total = 0, most = 0;
        for (size_t block = 0; block < tokens; block += CK_TILE_KEYS) {
            const size_t count = ck_smaller(tokens - block, CK_TILE_KEYS), subs = (count + 31) / 32;
            float *x = s.scores, largest = CK_NO_SCORE;
            for (size_t t = 0; t < subs * 32; t++) {
                const char *queries = (const char *)q + row / CK_TILE * ck_query_bytes(size, 2);
                const char *keys = (const char *)k + (block + t) / 32 * ck_key_bytes(size, 2) + t % 32 / CK_TILE * CK_TILE_BYTES;
                const float c = score(keys, t % CK_TILE, queries, row % CK_TILE, size);
                x[t] = t < count ? c : CK_NO_SCORE;
                if (x[t] > largest) largest = x[t];
            }
            if (block == 0) {
                most = largest;
            } else if (largest > most + CK_SCORE_SLACK) {
                float factor = power(most - largest);
                most = largest;
                total *= factor;
                for (size_t c = 0; c < tiles * CK_TILE; c++) sums[c] *= factor;
            }
            // Weights as the tiles have them, those of this query alone: token t beside token t + 16.
            for (size_t sub = 0; sub < subs; sub++)
                for (size_t t = 0; t < CK_TILE; t++) {
                    float pair[2];
                    for (size_t p = 0; p < 2; p++) {
                        pair[p] = power(x[sub * 32 + p * CK_TILE + t] - most);
                        const size_t at = sub * CK_TILE_BYTES + t * 64 + p * 2;
                        if (!is_paired) pair[p] = nearest_half(pair[p]);
                        *word_at(s.high, at) = cut(pair[p]);
                        *word_at(s.low, at) = cut(pair[p] - widened(*word_at(s.high, at)));
                    }
                    total += pair[0] + pair[1];
                }
            const char *values = (const char *)v + block / 32 * tiles * CK_TILE_BYTES;
            for (size_t c = 0; c < tiles * CK_TILE; c++)
                for (size_t sub = 0; sub < subs; sub++) {
                    const char *tile = values + (sub * tiles + c / CK_TILE) * CK_TILE_BYTES;
                    sums[c] = add_products(sums[c], tile, s.high + sub * CK_TILE_BYTES, c % CK_TILE, 0);
                    if (is_paired && c / CK_TILE < high_tiles)
                        sums[c] = add_products(sums[c], tile, s.low + sub * CK_TILE_BYTES, c % CK_TILE, 0);
                }
        }
        const float factor = 1 / total;
        for (size_t d = 0; d < size; d++) y[row * ldy + d] = (sums[d] + sums[size + d]) * factor;
    }
}
