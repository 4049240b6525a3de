#if defined(__x86_64__)
#include "tiles.h"

// Two blocks of queries meet 256 keys at a time: scores by tiles, weights by vectors, sums by tiles. Scores and weights of so many
// stay in the first cache or close to it; keys and values of a block in the second, for all queries of the call.

/// A row's `size` floats times a factor as halves, `count` words of each.
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

/// The largest head: what the tower's configuration allows.
#define CK_LARGEST_HEAD 4096

void ck_amx_pack_queries(void *to, const float *q, size_t ldq, size_t rows, size_t size, float scale) {
    uint16_t row[3 * CK_LARGEST_HEAD + 64], low[CK_LARGEST_HEAD + 32];
    const size_t steps = query_steps(size);
    for (size_t r = 0; r < CK_TILE; r++) {
        memset(row, 0, steps * 64);
        if (r < rows) {
            split_row(row + 2 * size, low, q + r * ldq, size, scale * CK_LOG2_E);
            memcpy(row, row + 2 * size, size * 2);
            memcpy(row + size, low, size * 2);
            memset(row + 3 * size, 0, (steps * CK_TILE_STEP - 3 * size) * 2);
        }
        for (size_t s = 0; s < steps; s++) memcpy((char *)to + s * CK_TILE_BYTES + r * 64, row + s * CK_TILE_STEP, 64);
    }
}

void ck_amx_pack_keys(void *to, const float *k, size_t ldk, size_t rows, size_t size) {
    uint16_t row[3 * CK_LARGEST_HEAD + 64];
    const size_t steps = query_steps(size);
    for (size_t r = 0; r < CK_TILE; r++) {
        memset(row, 0, steps * 64);
        if (r < rows) {
            uint16_t high[CK_LARGEST_HEAD + 32];
            split_row(high, row + 2 * size, k + r * ldk, size, 1);
            memset(row + 3 * size, 0, (steps * CK_TILE_STEP - 3 * size) * 2);
            memcpy(row, high, size * 2);
            memcpy(row + size, high, size * 2);
        }
        // A key is a column: pairs of its elements stand below each other.
        for (size_t c = 0; c < steps * CK_TILE_STEP; c += 2)
            memcpy((char *)to + c / CK_TILE_STEP * CK_TILE_BYTES + c % CK_TILE_STEP / 2 * 64 + r * 4, row + c, 4);
    }
}

void ck_amx_pack_values(void *to, const float *v, size_t ldv, size_t rows, size_t size, size_t half) {
    uint16_t row[2 * CK_LARGEST_HEAD + 64], low[CK_LARGEST_HEAD + 32];
    const size_t tiles = value_tiles(size);
    // Every other word: the ones between are the other half's.
    const __mmask32 own = half == 0 ? 0x55555555 : 0xaaaaaaaa;
    for (size_t r = 0; r < CK_TILE; r++) {
        memset(row, 0, tiles * CK_TILE * 2);
        if (r < rows) {
            split_row(row, low, v + r * ldv, size, 1);
            memcpy(row + size, low, size * 2);
            memset(row + 2 * size, 0, (tiles * CK_TILE - 2 * size) * 2);
        }
        for (size_t t = 0; t < tiles; t++) {
            __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(row + t * CK_TILE)));
            if (half == 1) words = _mm512_slli_epi32(words, 16);
            _mm512_mask_storeu_epi16((char *)to + t * CK_TILE_BYTES + r * 64, own, words);
        }
    }
}

/// 2^x for x <= 0, or a little above.
CK_INLINE __m512 power(__m512 x) {
    __m512 f = _mm512_reduce_ps(x, 1); // less its floor
    __m512 p = _mm512_set1_ps(CK_EXP2_5);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CK_EXP2_4));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CK_EXP2_3));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CK_EXP2_2));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CK_EXP2_1));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CK_EXP2_0));
    return _mm512_scalef_ps(p, x);
}

/// What a call works on.
typedef struct tile_attention {
    tile_scratch s;
    size_t steps, tiles, high_tiles;
    size_t subs;  ///< of 32 keys, in this block
    size_t count; ///< keys of this block
    const char *ahead[2]; ///< the next block's keys and values
    size_t ahead_bytes[2];
} tile_attention;

/// Asks for a share of the next block's keys and values, which lie beyond the second cache: share `index` of `count`. Meanwhile vectors
/// are busy, and tiles would wait for them later.
CK_INLINE void fetch_ahead(const tile_attention *a, size_t index, size_t count) {
    for (size_t part = 0; part < 2; part++) {
        const size_t share = (a->ahead_bytes[part] / 64 + count - 1) / count * 64;
        const size_t begin = ck_smaller(index * share, a->ahead_bytes[part]), end = ck_smaller(begin + share, a->ahead_bytes[part]);
        for (size_t byte = begin; byte < end; byte += 64) __builtin_prefetch(a->ahead[part] + byte, 0, 2);
    }
}

/// Scores of two blocks of queries and 32 keys.
CK_INLINE void tile_scores(float *x, const char *q, const char *q2, const char *k, size_t steps) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t s = 0; s < steps; s++) {
        _tile_loadd(4, k + s * CK_TILE_BYTES, 64);
        _tile_loadd(6, q + s * CK_TILE_BYTES, 64);
        _tile_dpbf16ps(0, 6, 4);
        _tile_loadd(5, k + (steps + s) * CK_TILE_BYTES, 64);
        _tile_dpbf16ps(1, 6, 5);
        _tile_loadd(7, q2 + s * CK_TILE_BYTES, 64);
        _tile_dpbf16ps(2, 7, 4);
        _tile_dpbf16ps(3, 7, 5);
    }
    const size_t stride = CK_TILE_KEYS * 4;
    _tile_stored(0, x, stride);
    _tile_stored(1, x + CK_TILE, stride);
    _tile_stored(2, x + CK_TILE * CK_TILE_KEYS, stride);
    _tile_stored(3, x + CK_TILE * CK_TILE_KEYS + CK_TILE, stride);
}

/// Weights of a row (0 ... 31) of scores; `number` is that of the row among all of the call.
CK_INLINE void row_weights(const tile_attention *a, size_t row, size_t number, int is_first) {
    const float *x = a->s.scores + row * CK_TILE_KEYS;
    __m512 most0 = _mm512_set1_ps(CK_NO_SCORE), most1 = most0;
    for (size_t t = 0; t < a->subs * 32; t += 32) {
        most0 = _mm512_max_ps(_mm512_load_ps(x + t), most0);
        most1 = _mm512_max_ps(_mm512_load_ps(x + t + 16), most1);
    }
    const float largest = _mm512_reduce_max_ps(_mm512_max_ps(most0, most1));
    float *most = a->s.most + number, *totals = a->s.totals + number * 16;
    __m512 total = _mm512_load_ps(totals);
    if (is_first) {
        *most = largest;
    } else if (__builtin_expect(largest > *most + CK_SCORE_SLACK, 0)) {
        const __m512 factor = power(_mm512_set1_ps(*most - largest));
        *most = largest;
        total = _mm512_mul_ps(total, factor);
        float *sums = a->s.sums + number * a->tiles * CK_TILE;
        for (size_t c = 0; c < a->tiles * CK_TILE; c += 16)
            _mm512_store_ps(sums + c, _mm512_mul_ps(_mm512_load_ps(sums + c), factor));
    }
    const __m512 m = _mm512_set1_ps(*most);
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    const size_t at = row / CK_TILE * (CK_TILE_KEYS * CK_TILE) + row % CK_TILE * 32;
    for (size_t sub = 0; sub < a->subs; sub++) {
        __m512 p0 = power(_mm512_sub_ps(_mm512_load_ps(x + sub * 32), m));
        __m512 p1 = power(_mm512_sub_ps(_mm512_load_ps(x + sub * 32 + 16), m));
        total = _mm512_add_ps(total, _mm512_add_ps(p0, p1));
        // Token t beside token t + 16: the upper halves of their weights need only be put together.
        __m512i b0 = _mm512_castps_si512(p0), b1 = _mm512_castps_si512(p1);
        __m512 h0 = _mm512_castsi512_ps(_mm512_and_si512(b0, upper)), h1 = _mm512_castsi512_ps(_mm512_and_si512(b1, upper));
        __m512i l0 = _mm512_castps_si512(_mm512_sub_ps(p0, h0)), l1 = _mm512_castps_si512(_mm512_sub_ps(p1, h1));
        // x | (y & z)
        _mm512_store_si512(a->s.high + at + sub * 512, _mm512_ternarylogic_epi32(_mm512_srli_epi32(b0, 16), b1, upper, 0xf8));
        _mm512_store_si512(a->s.low + at + sub * 512, _mm512_ternarylogic_epi32(_mm512_srli_epi32(l0, 16), l1, upper, 0xf8));
    }
    _mm512_store_ps(totals, total);
}

/// sums += weights times values, for two blocks of queries and one or two tiles of columns.
CK_INLINE void tile_sums(const tile_attention *a, float *sums, const char *values, size_t tile, size_t columns, size_t low) {
    const size_t stride = a->tiles * CK_TILE * 4, next = CK_TILE * a->tiles * CK_TILE;
    float *y = sums + tile * CK_TILE;
    const char *high_words = (const char *)a->s.high, *low_words = (const char *)a->s.low;
    _tile_loadd(0, y, stride);
    _tile_loadd(2, y + next, stride);
    if (columns > 1) {
        _tile_loadd(1, y + CK_TILE, stride);
        _tile_loadd(3, y + next + CK_TILE, stride);
    }
    for (size_t sub = 0; sub < a->subs; sub++) {
        const char *v = values + (sub * a->tiles + tile) * CK_TILE_BYTES, *h = high_words + sub * CK_TILE_BYTES;
        const char *l = low_words + sub * CK_TILE_BYTES;
        const size_t second = CK_TILE_KEYS / 32 * CK_TILE_BYTES;
        _tile_loadd(4, v, 64);
        _tile_loadd(6, h, 64);
        _tile_dpbf16ps(0, 6, 4);
        _tile_loadd(7, h + second, 64);
        _tile_dpbf16ps(2, 7, 4);
        if (columns > 1) {
            _tile_loadd(5, v + CK_TILE_BYTES, 64);
            _tile_dpbf16ps(1, 6, 5);
            _tile_dpbf16ps(3, 7, 5);
        }
        if (low > 0) {
            _tile_loadd(6, l, 64);
            _tile_dpbf16ps(0, 6, 4);
            _tile_loadd(7, l + second, 64);
            _tile_dpbf16ps(2, 7, 4);
        }
        if (low > 1) {
            _tile_dpbf16ps(1, 6, 5);
            _tile_dpbf16ps(3, 7, 5);
        }
    }
    _tile_stored(0, y, stride);
    _tile_stored(2, y + next, stride);
    if (columns > 1) {
        _tile_stored(1, y + CK_TILE, stride);
        _tile_stored(3, y + next + CK_TILE, stride);
    }
}

CK_INLINE void all_sums(const tile_attention *a, float *sums, const char *values) {
    for (size_t tile = 0; tile < a->tiles; tile += 2) {
        const size_t low = tile >= a->high_tiles ? 0 : a->high_tiles - tile;
        if (tile + 1 == a->tiles)
            tile_sums(a, sums, values, tile, 1, low);
        else if (low == 0)
            tile_sums(a, sums, values, tile, 2, 0);
        else if (low == 1)
            tile_sums(a, sums, values, tile, 2, 1);
        else
            tile_sums(a, sums, values, tile, 2, 2);
    }
}

/// The lanes' total, added up as in dot order.
CK_INLINE float lanes_total(__m512 a) {
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

void ck_amx_tile_attention(float *y, size_t ldy, const void *q, size_t row_blocks, const void *k, const void *v, size_t tokens,
                           size_t size, void *scratch) {
    tile_attention a = {
        .s = scratch_parts(scratch, size), .steps = query_steps(size), .tiles = value_tiles(size), .high_tiles = high_value_tiles(size)};
    const size_t width = a.tiles * CK_TILE, pairs = (row_blocks + 1) / 2, block_bytes = a.steps * CK_TILE_BYTES;
    memset(a.s.sums, 0, pairs * 32 * width * 4);
    memset(a.s.totals, 0, pairs * 32 * 64);
    tiles_use();
    for (size_t block = 0; block < tokens; block += CK_TILE_KEYS) {
        a.count = ck_smaller(tokens - block, CK_TILE_KEYS);
        a.subs = (a.count + 31) / 32;
        const char *keys = (const char *)k + block / CK_TILE * block_bytes;
        const char *values = (const char *)v + block / 32 * a.tiles * CK_TILE_BYTES;
        const size_t next = (ck_smaller(tokens - block - a.count, CK_TILE_KEYS) + 31) / 32;
        a.ahead[0] = keys + CK_TILE_KEYS / CK_TILE * block_bytes;
        a.ahead_bytes[0] = next * 2 * block_bytes;
        a.ahead[1] = values + CK_TILE_KEYS / 32 * a.tiles * CK_TILE_BYTES;
        a.ahead_bytes[1] = next * a.tiles * CK_TILE_BYTES;
        for (size_t pair = 0; pair < pairs; pair++) {
            const char *first = (const char *)q + 2 * pair * block_bytes;
            // Of an odd number the last one is computed twice.
            const char *second = 2 * pair + 1 < row_blocks ? first + block_bytes : first;
            for (size_t sub = 0; sub < a.subs; sub++)
                tile_scores(a.s.scores + sub * 32, first, second, keys + 2 * sub * block_bytes, a.steps);
            if (a.count % 32 != 0)
                for (size_t row = 0; row < 32; row++)
                    for (size_t t = a.count; t < a.subs * 32; t++) a.s.scores[row * CK_TILE_KEYS + t] = CK_NO_SCORE;
            for (size_t row = 0; row < 32; row++) {
                fetch_ahead(&a, pair * 32 + row, pairs * 32);
                row_weights(&a, row, pair * 32 + row, block == 0);
            }
            all_sums(&a, a.s.sums + pair * 32 * width, values);
        }
    }
    tiles_release();
    for (size_t row = 0; row < row_blocks * CK_TILE; row++) {
        const float *sums = a.s.sums + row * width;
        const float factor = 1 / lanes_total(_mm512_load_ps(a.s.totals + row * 16));
        for (size_t d = 0; d < size; d++) y[row * ldy + d] = (sums[d] + sums[size + d]) * factor;
    }
}

#pragma clang attribute pop
#endif
