#if defined(__x86_64__)
#include "tiles.h"

// Queries, keys and values of a head as attention by tiles reads them: see ../tiles.h for where each half goes.

/// The largest head: what the tower's configuration allows.
#define CK_LARGEST_HEAD 4096

/// A row's `size` floats times a factor as halves; up to 31 words more are written of each.
CK_INLINE void split_row(uint16_t *high, uint16_t *low, const float *x, size_t size, float factor) {
    for (size_t d = 0; d < size; d += 32) {
        __m512 part[2];
        __m512i h, l;
        load_part(part, x + d, size - d);
        const __m512 f = _mm512_set1_ps(factor);
        split_lanes(&h, &l, _mm512_mul_ps(part[0], f), _mm512_mul_ps(part[1], f));
        _mm512_storeu_si512(high + d, h);
        _mm512_storeu_si512(low + d, l);
    }
}

/// Row r of the tiles of a head, which are `stride` bytes apart, in the order that queries or keys have. Without x the row is 0.
CK_INLINE void lay_row(char *to, size_t stride, size_t r, const float *x, size_t size, float factor, int is_query) {
    uint16_t high[CK_LARGEST_HEAD + 32], low[CK_LARGEST_HEAD + 32], rest[3 * CK_TILE_STEP];
    const size_t whole = whole_steps(size), left = size % CK_TILE_STEP, tiles = query_tiles(size, 2);
    if (x == NULL) {
        for (size_t t = 0; t < tiles; t++) memset(to + t * stride + r * 64, 0, 64);
        return;
    }
    split_row(high, low, x, size, factor);
    for (size_t s = 0; s < whole; s++) {
        memcpy(to + 2 * s * stride + r * 64, (is_query ? low : high) + s * CK_TILE_STEP, 64);
        memcpy(to + (2 * s + 1) * stride + r * 64, (is_query ? high : low) + s * CK_TILE_STEP, 64);
    }
    memset(rest, 0, sizeof rest);
    const uint16_t *h = high + whole * CK_TILE_STEP, *l = low + whole * CK_TILE_STEP;
    memcpy(rest, h, left * 2);
    memcpy(rest + left, is_query ? l : h, left * 2);
    memcpy(rest + 2 * left, is_query ? h : l, left * 2);
    for (size_t t = 2 * whole; t < tiles; t++) memcpy(to + t * stride + r * 64, rest + (t - 2 * whole) * CK_TILE_STEP, 64);
}

/// What was a row of the tile becomes a column, and the other way round; elements are two words.
CK_INLINE void turn_tile(char *tile) {
    __m512i r[16];
    CK_UNROLL for (size_t i = 0; i < 16; i++) r[i] = _mm512_load_si512(tile + i * 64);
    transpose(r);
    CK_UNROLL for (size_t i = 0; i < 16; i++) _mm512_store_si512(tile + i * 64, r[i]);
}

void ck_amx_pack_queries(void *to, const float *q, size_t ldq, size_t rows, size_t size, float scale) {
    for (size_t r = 0; r < CK_TILE; r++)
        lay_row(to, CK_TILE_BYTES, r, r < rows ? q + r * ldq : NULL, size, scale * CK_LOG2_E, 1);
    for (size_t t = 0; t < query_tiles(size, 2); t++) turn_tile((char *)to + t * CK_TILE_BYTES);
}

void ck_amx_pack_keys(void *to, const float *k, size_t ldk, size_t rows, size_t size) {
    for (size_t r = 0; r < 32; r++) {
        char *tile = (char *)to + r / CK_TILE * CK_TILE_BYTES;
        lay_row(tile, 2 * CK_TILE_BYTES, r % CK_TILE, r < rows ? k + r * ldk : NULL, size, 1, 0);
    }
}

void ck_amx_pack_values(void *to, const float *v, size_t ldv, size_t rows, size_t size) {
    uint16_t row[2 * CK_LARGEST_HEAD + 64], low[CK_LARGEST_HEAD + 32];
    const size_t tiles = value_tiles(size, 2);
    for (size_t r = 0; r < 32; r++) {
        memset(row, 0, tiles * CK_TILE * 2);
        if (r < rows) {
            split_row(row, low, v + r * ldv, size, 1);
            memcpy(row + size, low, size * 2);
            memset(row + 2 * size, 0, (tiles * CK_TILE - 2 * size) * 2);
        }
        // Token r beside token r + 16: every other word is its own.
        const __mmask32 own = r < CK_TILE ? 0x55555555 : 0xaaaaaaaa;
        for (size_t t = 0; t < tiles; t++) {
            __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(row + t * CK_TILE)));
            if (r >= CK_TILE) words = _mm512_slli_epi32(words, 16);
            _mm512_mask_storeu_epi16((char *)to + t * CK_TILE_BYTES + r % CK_TILE * 64, own, words);
        }
    }
    for (size_t t = 0; t < tiles; t++) turn_tile((char *)to + t * CK_TILE_BYTES);
}

#pragma clang attribute pop
#endif
