#if defined(__x86_64__)
#include "tiles.h"

// Two blocks of queries meet 128 keys at a time. Tiles make the scores of the next keys and the sums of the ones before while
// vectors make weights of the scores in between, a few instructions after each step of tiles: the two have units of their own.
// Scores and weights of three such blocks are about what the first cache holds; keys and values of four are in the second, for all
// queries of the call.

/// Bytes from one block of queries to the other, of scores and of weights.
#define CK_SCORE_BYTES (CK_TILE_KEYS * 64)
#define CK_WEIGHT_BYTES (CK_TILE_KEYS / 32 * CK_TILE_BYTES)

/// Where vectors are in a block of keys: a lane is a query, of the one block or the other.
typedef struct weighing {
    const char *x, *end; ///< scores of tokens t and t + 16
    char *high, *low;
    __m512 most[2], total[2], largest[2];
} weighing;

/// Scores of tokens t and t + 16 become weights, for one block of queries: both halves of each, or one rounded half.
CK_INLINE void weigh_block(weighing *w, size_t b, int is_paired) {
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    const __m512 x0 = _mm512_load_ps(w->x + b * CK_SCORE_BYTES), x1 = _mm512_load_ps(w->x + b * CK_SCORE_BYTES + 64);
    w->largest[b] = _mm512_max_ps(x1, _mm512_max_ps(x0, w->largest[b]));
    const __m512 p0 = power(_mm512_sub_ps(x0, w->most[b])), p1 = power(_mm512_sub_ps(x1, w->most[b]));
    __m512i b0 = _mm512_castps_si512(p0), b1 = _mm512_castps_si512(p1);
    if (!is_paired) {
        const __m512i half = _mm512_set1_epi32(0x8000);
        b0 = _mm512_and_si512(_mm512_add_epi32(b0, half), upper);
        b1 = _mm512_and_si512(_mm512_add_epi32(b1, half), upper);
        w->total[b] = _mm512_add_ps(w->total[b], _mm512_add_ps(_mm512_castsi512_ps(b0), _mm512_castsi512_ps(b1)));
        _mm512_store_si512(w->high + b * CK_WEIGHT_BYTES, _mm512_or_si512(_mm512_srli_epi32(b0, 16), b1));
        return;
    }
    w->total[b] = _mm512_add_ps(w->total[b], _mm512_add_ps(p0, p1));
    const __m512 h0 = _mm512_castsi512_ps(_mm512_and_si512(b0, upper)), h1 = _mm512_castsi512_ps(_mm512_and_si512(b1, upper));
    const __m512i l0 = _mm512_castps_si512(_mm512_sub_ps(p0, h0)), l1 = _mm512_castps_si512(_mm512_sub_ps(p1, h1));
    // x | (y & z): the upper halves of the two are only put together.
    _mm512_store_si512(w->high + b * CK_WEIGHT_BYTES, _mm512_ternarylogic_epi32(_mm512_srli_epi32(b0, 16), b1, upper, 0xf8));
    _mm512_store_si512(w->low + b * CK_WEIGHT_BYTES, _mm512_ternarylogic_epi32(_mm512_srli_epi32(l0, 16), l1, upper, 0xf8));
}

/// Weights of the next two tokens, if there are any.
CK_INLINE void weigh(weighing *w, int is_paired) {
    if (w->x == w->end) return;
    weigh_block(w, 0, is_paired);
    weigh_block(w, 1, is_paired);
    w->x += 128;
    w->high += 64;
    w->low += 64;
}

/// What a call works on.
typedef struct tile_attention {
    tile_scratch s;
    size_t whole, rest;       ///< steps of scores
    size_t tiles, high_tiles; ///< of values
    const char *ahead;  ///< what is asked for next, of the keys and values that come after these
    size_t ahead_lines; ///< a step
} tile_attention;

/// Asks for some of what lies beyond the second cache. That never faults.
CK_INLINE void ask_ahead(tile_attention *a) {
    for (size_t l = 0; l < a->ahead_lines; l++, a->ahead += 64) __builtin_prefetch(a->ahead, 0, 2);
}

/// Products of a pair of tiles of keys, which were loaded, with two of queries; the keys that come next are loaded as soon as these
/// are used.
CK_INLINE void score_step(const char **k, const char *last, int is_used_up) {
    if (is_used_up) *k += *k < last ? 2 * CK_TILE_BYTES : 0;
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (is_used_up) _tile_loadd(4, *k, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    if (is_used_up) _tile_loadd(5, *k + CK_TILE_BYTES, 64);
}

/// Scores of two blocks of queries and `subs` times 32 keys.
CK_INLINE void tile_scores(tile_attention *a, float *scores, const char *q, const char *q2, const char *k, size_t subs,
                           weighing *w, int is_paired) {
    const char *last = k + (subs * (2 * a->whole + a->rest) - 1) * 2 * CK_TILE_BYTES;
    _tile_loadd(4, k, 64);
    _tile_loadd(5, k + CK_TILE_BYTES, 64);
    for (size_t sub = 0; sub < subs; sub++) {
        size_t at = 0; // tile of queries
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (size_t s = 0; s < a->whole; s++, at += 2 * CK_TILE_BYTES) {
            ask_ahead(a);
            _tile_loadd(6, q + at, 64);
            _tile_loadd(7, q2 + at, 64);
            score_step(&k, last, 0);
            weigh(w, is_paired);
            ask_ahead(a);
            _tile_loadd(6, q + at + CK_TILE_BYTES, 64);
            _tile_loadd(7, q2 + at + CK_TILE_BYTES, 64);
            score_step(&k, last, 1);
            weigh(w, is_paired);
            ask_ahead(a);
            score_step(&k, last, 1);
            weigh(w, is_paired);
        }
        for (size_t s = 0; s < a->rest; s++, at += CK_TILE_BYTES) {
            ask_ahead(a);
            _tile_loadd(6, q + at, 64);
            _tile_loadd(7, q2 + at, 64);
            score_step(&k, last, 1);
            weigh(w, is_paired);
        }
        char *to = (char *)scores + sub * 2 * CK_TILE_BYTES;
        _tile_stored(0, to, 128);
        _tile_stored(1, to + CK_SCORE_BYTES, 128);
        _tile_stored(2, to + 64, 128);
        _tile_stored(3, to + CK_SCORE_BYTES + 64, 128);
    }
}

/// sums += values times weights, for one or two tiles of elements, `low` of which have high halves of values, and two blocks of
/// queries.
CK_INLINE void tile_sums(const tile_attention *a, float *sums, const char *v, const block_scratch *p, size_t subs, size_t elements,
                         size_t low, weighing *w, int is_paired) {
    const size_t tile = CK_TILE * CK_TILE, next = a->tiles * CK_TILE_BYTES;
    _tile_loadd(4, v, 64);
    if (elements > 1) _tile_loadd(5, v + CK_TILE_BYTES, 64);
    _tile_loadd(0, sums, 64);
    _tile_loadd(1, sums + tile, 64);
    if (elements > 1) {
        _tile_loadd(2, sums + 2 * tile, 64);
        _tile_loadd(3, sums + 3 * tile, 64);
    }
    for (size_t sub = 0; sub < subs; sub++) {
        const char *h = p->high + sub * CK_TILE_BYTES, *l = p->low + sub * CK_TILE_BYTES;
        v += sub + 1 < subs ? next : 0;
        _tile_loadd(6, h, 64);
        _tile_loadd(7, h + CK_WEIGHT_BYTES, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        if (elements > 1) {
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
            weigh(w, is_paired);
        }
        if (low > 0) {
            _tile_loadd(6, l, 64);
            _tile_loadd(7, l + CK_WEIGHT_BYTES, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
        }
        _tile_loadd(4, v, 64);
        if (low > 1) {
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        if (elements > 1) _tile_loadd(5, v + CK_TILE_BYTES, 64);
        weigh(w, is_paired);
    }
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + tile, 64);
    if (elements > 1) {
        _tile_stored(2, sums + 2 * tile, 64);
        _tile_stored(3, sums + 3 * tile, 64);
    }
}

CK_INLINE void all_sums(const tile_attention *a, float *sums, const char *v, const block_scratch *p, size_t subs, weighing *w,
                        int is_paired) {
    for (size_t tile = 0; tile < a->tiles; tile += 2, sums += 4 * CK_TILE * CK_TILE, v += 2 * CK_TILE_BYTES) {
        const size_t low = !is_paired || tile >= a->high_tiles ? 0 : a->high_tiles - tile;
        if (tile + 1 < a->tiles && low == 0)
            tile_sums(a, sums, v, p, subs, 2, 0, w, is_paired);
        else if (tile + 1 < a->tiles && low == 1)
            tile_sums(a, sums, v, p, subs, 2, 1, w, is_paired);
        else if (tile + 1 < a->tiles)
            tile_sums(a, sums, v, p, subs, 2, 2, w, is_paired);
        else if (low == 0)
            tile_sums(a, sums, v, p, subs, 1, 0, w, is_paired);
        else
            tile_sums(a, sums, v, p, subs, 1, 1, w, is_paired);
    }
}

/// Tokens from `count` on, to the next 32, are no keys.
static void leave_out(float *scores, size_t count) {
    for (size_t t = count; t % 32 != 0; t++)
        for (size_t b = 0; b < 2; b++)
            _mm512_store_ps(scores + b * CK_SCORE_BYTES / 4 + (t / 32 * 32 + t % CK_TILE * 2 + t % 32 / CK_TILE) * CK_TILE,
                            _mm512_set1_ps(CK_NO_SCORE));
}

/// The largest scores of a block of keys.
static void find_most(__m512 most[2], const float *scores, size_t subs) {
    for (size_t b = 0; b < 2; b++) {
        most[b] = _mm512_set1_ps(CK_NO_SCORE);
        const float *x = scores + b * CK_SCORE_BYTES / 4;
        for (size_t t = 0; t < subs * 32; t++) most[b] = _mm512_max_ps(_mm512_load_ps(x + t * CK_TILE), most[b]);
    }
}

/// Queries whose scores of this block pass `most` too far: sums of the blocks before are scaled, and weights of this one made anew.
static __attribute__((noinline)) void raise_most(const tile_attention *a, weighing *w, const __m512 total[2],
                                                 const __mmask16 above[2], float *sums, const block_scratch *p, int is_paired) {
    for (size_t b = 0; b < 2; b++) {
        const __m512 factor = power(_mm512_sub_ps(w->most[b], w->largest[b]));
        w->most[b] = _mm512_mask_mov_ps(w->most[b], above[b], w->largest[b]);
        w->total[b] = _mm512_mask_mul_ps(total[b], above[b], total[b], factor);
        for (size_t tile = 0; tile < a->tiles; tile++)
            for (size_t d = 0; d < CK_TILE; d++) {
                float *x = sums + ((2 * tile + b) * CK_TILE + d) * CK_TILE;
                const __m512 sum = _mm512_load_ps(x);
                _mm512_store_ps(x, _mm512_mask_mul_ps(sum, above[b], sum, factor));
            }
    }
    w->x = (const char *)p->scores;
    w->high = p->high;
    w->low = p->low;
    while (w->x != w->end) weigh(w, is_paired);
}

/// One pair of blocks of queries and up to CK_TILE_SPAN keys, which are the first ones or not.
CK_INLINE void attend_span(tile_attention *a, const char *q, const char *q2, size_t pair, const char *k, const char *v,
                           size_t count, int is_first, int is_paired) {
    const size_t block_keys = CK_TILE_KEYS / 32 * (2 * a->whole + a->rest) * 2 * CK_TILE_BYTES;
    const size_t block_values = CK_TILE_KEYS / 32 * a->tiles * CK_TILE_BYTES;
    const size_t blocks = (count + CK_TILE_KEYS - 1) / CK_TILE_KEYS;
    float *sums = a->s.sums + pair * 32 * a->tiles * CK_TILE, *most = a->s.most + pair * 32, *totals = a->s.totals + pair * 32;
    weighing w = {.x = NULL, .end = NULL};
    for (size_t b = 0; b < 2; b++) {
        w.most[b] = _mm512_load_ps(most + b * CK_TILE);
        w.total[b] = _mm512_load_ps(totals + b * CK_TILE);
        w.largest[b] = _mm512_set1_ps(CK_NO_SCORE);
    }
    // The step before the first block has only its scores to make, the one after the last only its sums.
    for (size_t step = 0; step < blocks + 2; step++) {
        const size_t made = step, weighed = step - 1, summed = step - 2; // blocks
        const block_scratch *p = &a->s.block[weighed % 2], *other = &a->s.block[made % 2];
        __m512 total[2] = {w.total[0], w.total[1]};
        if (step > 0 && weighed < blocks) {
            const size_t subs = (ck_smaller(count - weighed * CK_TILE_KEYS, CK_TILE_KEYS) + 31) / 32;
            if (is_first && weighed == 0) find_most(w.most, p->scores, subs);
            w.x = (const char *)p->scores;
            w.end = w.x + subs * 2 * CK_TILE_BYTES;
            w.high = p->high;
            w.low = p->low;
        }
        if (made < blocks) {
            const size_t keys = ck_smaller(count - made * CK_TILE_KEYS, CK_TILE_KEYS);
            tile_scores(a, other->scores, q, q2, k + made * block_keys, (keys + 31) / 32, &w, is_paired);
            leave_out(other->scores, keys);
        }
        if (step > 1) {
            const size_t keys = ck_smaller(count - summed * CK_TILE_KEYS, CK_TILE_KEYS);
            all_sums(a, sums, v + summed * block_values, other, (keys + 31) / 32, &w, is_paired);
        }
        while (w.x != w.end) weigh(&w, is_paired);
        __mmask16 above[2];
        for (size_t b = 0; b < 2; b++) {
            const __m512 bound = _mm512_add_ps(w.most[b], _mm512_set1_ps(CK_SCORE_SLACK));
            above[b] = _mm512_cmp_ps_mask(w.largest[b], bound, _CMP_GT_OQ);
        }
        if (__builtin_expect(above[0] | above[1], 0)) {
            weighing anew = w; // a copy, so that w itself can stay in registers
            raise_most(a, &anew, total, above, sums, p, is_paired);
            w = anew;
        }
        w.largest[0] = w.largest[1] = _mm512_set1_ps(CK_NO_SCORE);
    }
    for (size_t b = 0; b < 2; b++) {
        _mm512_store_ps(most + b * CK_TILE, w.most[b]);
        _mm512_store_ps(totals + b * CK_TILE, w.total[b]);
    }
}

/// y = sums of high and low halves of values over the weights' total, for one block of queries.
static void finish_block(float *y, size_t ldy, const float *sums, const float *totals, size_t size) {
    const __m512 factor = _mm512_div_ps(_mm512_set1_ps(1), _mm512_load_ps(totals));
    for (size_t d = 0; d < size; d += CK_TILE) {
        const size_t count = ck_smaller(size - d, CK_TILE);
        const __mmask16 mask = (__mmask16)((1u << count) - 1);
        __m512i rows[16];
        for (size_t i = 0; i < 16; i++) {
            // An element's sums stand in a row of its tile; the tiles of the other block of queries lie between.
            const size_t high = d + ck_smaller(i, count - 1), low = size + high;
            const __m512 h = _mm512_load_ps(sums + (high / CK_TILE * 2 * CK_TILE + high % CK_TILE) * CK_TILE);
            const __m512 l = _mm512_load_ps(sums + (low / CK_TILE * 2 * CK_TILE + low % CK_TILE) * CK_TILE);
            rows[i] = _mm512_castps_si512(_mm512_mul_ps(_mm512_add_ps(h, l), factor));
        }
        transpose(rows);
        for (size_t i = 0; i < 16; i++) _mm512_mask_storeu_ps(y + i * ldy + d, mask, _mm512_castsi512_ps(rows[i]));
    }
}

void ck_amx_tile_attention(float *y, size_t ldy, const void *q, size_t row_blocks, const void *k, const void *v, size_t tokens,
                           size_t size, void *scratch) {
    tile_attention a = {.s = scratch_parts(scratch, size)};
    a.whole = whole_steps(size);
    a.rest = rest_steps(size);
    a.tiles = value_tiles(size, 2);
    a.high_tiles = high_value_tiles(size);
    const size_t pairs = (row_blocks + 1) / 2, block_bytes = query_tiles(size, 2) * CK_TILE_BYTES;
    const size_t key_bytes = 2 * block_bytes, value_bytes = a.tiles * CK_TILE_BYTES; // of 32 tokens
    memset(a.s.sums, 0, pairs * 32 * a.tiles * CK_TILE * 4);
    memset(a.s.totals, 0, pairs * 32 * 4);
    memset(a.s.most, 0, pairs * 32 * 4);
    tiles_use();
    for (size_t span = 0; span < tokens; span += CK_TILE_SPAN) {
        const size_t count = ck_smaller(tokens - span, CK_TILE_SPAN), next = ck_smaller(tokens - span - count, CK_TILE_SPAN);
        const char *keys = (const char *)k + span / 32 * key_bytes, *values = (const char *)v + span / 32 * value_bytes;
        // Each pair of blocks asks for its share of the next span, of keys first and then of values.
        const size_t next_keys = (next + 31) / 32 * key_bytes, next_values = (next + 31) / 32 * value_bytes;
        const size_t share = ((next_keys + next_values) / pairs + 63) / 64 * 64, steps = (count + 31) / 32 * score_steps(size);
        a.ahead_lines = (share / 64 + steps - 1) / steps;
        for (size_t pair = 0; pair < pairs; pair++) {
            const char *first = (const char *)q + 2 * pair * block_bytes;
            // Of an odd number the last one is computed twice.
            const char *second = 2 * pair + 1 < row_blocks ? first + block_bytes : first;
            const size_t at = pair * share;
            a.ahead = at < next_keys ? keys + CK_TILE_SPAN / 32 * key_bytes + at
                                     : values + CK_TILE_SPAN / 32 * value_bytes + (at - next_keys);
            if (tokens < CK_TILE_AVERAGED)
                attend_span(&a, first, second, pair, keys, values, count, span == 0, 1);
            else
                attend_span(&a, first, second, pair, keys, values, count, span == 0, 0);
        }
    }
    tiles_release();
    for (size_t block = 0; block < row_blocks; block++)
        finish_block(y + block * CK_TILE * ldy, ldy, a.s.sums + (block / 2 * a.tiles * 2 + block % 2) * CK_TILE * CK_TILE,
                     a.s.totals + block * CK_TILE, size);
}

#pragma clang attribute pop
#endif
