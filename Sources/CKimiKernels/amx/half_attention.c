#if defined(__x86_64__)
#include "tiles.h"

// Attention with one half of everything: the products are half of those of pairs and less, so that weights have to be cheap too,
// and loads few. Tiles make the scores of 32 keys while vectors make weights of the 32 before; a weight is made by integers, two at
// a time (CK_HALF_ROUNDER), and totals by the tiles themselves. When CK_HALF_KEYS have weights, values are summed.

/// Bytes from one block of queries to the other, of scores and of weights.
#define CK_SCORE_BYTES (32 * 64)
#define CK_WEIGHT_BYTES (CK_HALF_KEYS / 32 * CK_TILE_BYTES)
/// Pairs of tokens that 32 keys are.
#define CK_TOKEN_PAIRS 16
/// Steps of the published size of a head, 72, for which loops are unrolled.
#define CK_USUAL_STEPS 3

static const _Alignas(64) uint8_t fractions[64] = CK_HALF_EXP2;

/// Where vectors are: a lane is a query, of the one block or the other.
typedef struct weighing {
    const char *x; ///< scores of tokens t and t + 16
    char *to;
    __m512 from[2];  ///< CK_HALF_ROUNDER - 1024 m
    __m512i seen[2]; ///< all bits of sums, of which those from the 16th on tell that a score passed m too far
} weighing;

/// Scores of tokens t and t + 16 become weights, for one block of queries.
CK_INLINE void weigh_block(weighing *w, size_t b) {
    const __m512 lowest = _mm512_set1_ps(CK_HALF_LOWEST), scale = _mm512_set1_ps(1024);
    // The lower halves of a stay, those of b come above them.
    const __m512i upper = _mm512_broadcast_i32x4(_mm_set_epi8(13, 12, 0, 0, 9, 8, 0, 0, 5, 4, 0, 0, 1, 0, 0, 0));
    __m512 s0 = _mm512_fmadd_ps(_mm512_load_ps(w->x + b * CK_SCORE_BYTES), scale, w->from[b]);
    __m512 s1 = _mm512_fmadd_ps(_mm512_load_ps(w->x + b * CK_SCORE_BYTES + 64), scale, w->from[b]);
    // Of a NaN and a number the second is taken: NaN is seen.
    s0 = _mm512_max_ps(lowest, s0);
    s1 = _mm512_max_ps(lowest, s1);
    const __m512i a = _mm512_castps_si512(s0), c = _mm512_castps_si512(s1);
    w->seen[b] = _mm512_ternarylogic_epi32(w->seen[b], a, c, 0xfe); // x | y | z
    const __m512i words = _mm512_mask_shuffle_epi8(a, 0xcccccccccccccccc, c, upper);
    // Six bits of the fraction choose from the table; the upper byte of a word gets nothing.
    const __m512i below = _mm512_maskz_permutexvar_epi8(
        0x5555555555555555, _mm512_srli_epi16(words, 4), _mm512_load_si512(fractions));
    const __m512i weights = _mm512_shrdi_epi16(_mm512_sub_epi16(words, below), _mm512_set1_epi16(1), 3);
    _mm512_store_si512(w->to + b * CK_WEIGHT_BYTES, weights);
}

CK_INLINE void weigh(weighing *w, size_t pairs) {
    for (size_t t = 0; t < pairs; t++) {
        weigh_block(w, 0);
        weigh_block(w, 1);
        w->x += 128;
        w->to += 64;
    }
}

/// What a call works on.
typedef struct tile_attention {
    half_scratch s;
    size_t steps;       ///< of scores
    size_t tiles;       ///< of values
    const char *ahead;  ///< what is asked for next, of the keys and values that come after these
    size_t ahead_lines; ///< a step
} tile_attention;

/// One step of scores; meanwhile its share of the weights of the keys before, if there are any.
CK_INLINE void score_step(tile_attention *a, const char *q, const char *q2, const char *k, size_t s, size_t steps, weighing *w,
                          int weighs) {
    const size_t begin = 2 * s * CK_TOKEN_PAIRS / (2 * steps), middle = (2 * s + 1) * CK_TOKEN_PAIRS / (2 * steps);
    const size_t end = (2 * s + 2) * CK_TOKEN_PAIRS / (2 * steps);
    for (size_t l = 0; l < a->ahead_lines; l++, a->ahead += 64) __builtin_prefetch(a->ahead, 0, 2);
    _tile_loadd(4, k + 2 * s * CK_TILE_BYTES, 64);
    _tile_loadd(6, q + s * CK_TILE_BYTES, 64);
    _tile_loadd(7, q2 + s * CK_TILE_BYTES, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (weighs) weigh(w, middle - begin);
    _tile_loadd(5, k + (2 * s + 1) * CK_TILE_BYTES, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    if (weighs) weigh(w, end - middle);
}

/// Scores of two blocks of queries and 32 keys. `steps` may be a constant.
CK_INLINE void tile_scores(tile_attention *a, float *scores, const char *q, const char *q2, const char *k, size_t steps,
                           weighing *w, int weighs) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (steps == CK_USUAL_STEPS) {
        CK_UNROLL for (size_t s = 0; s < CK_USUAL_STEPS; s++) score_step(a, q, q2, k, s, CK_USUAL_STEPS, w, weighs);
    } else {
        for (size_t s = 0; s < steps; s++) score_step(a, q, q2, k, s, steps, w, weighs);
    }
    _tile_stored(0, scores, 128);
    _tile_stored(1, (char *)scores + CK_SCORE_BYTES, 128);
    _tile_stored(2, (char *)scores + 64, 128);
    _tile_stored(3, (char *)scores + CK_SCORE_BYTES + 64, 128);
}

/// sums += values times weights of `subs` times 32 keys, for one or two tiles of elements and two blocks of queries.
CK_INLINE void tile_sums(float *sums, const char *v, size_t next, const char *weights, size_t subs, size_t elements) {
    const size_t tile = CK_TILE * CK_TILE;
    _tile_loadd(0, sums, 64);
    _tile_loadd(1, sums + tile, 64);
    if (elements > 1) {
        _tile_loadd(2, sums + 2 * tile, 64);
        _tile_loadd(3, sums + 3 * tile, 64);
    }
    for (size_t sub = 0; sub < subs; sub++, v += next, weights += CK_TILE_BYTES) {
        _tile_loadd(4, v, 64);
        _tile_loadd(6, weights, 64);
        _tile_loadd(7, weights + CK_WEIGHT_BYTES, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        if (elements > 1) {
            _tile_loadd(5, v + CK_TILE_BYTES, 64);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + tile, 64);
    if (elements > 1) {
        _tile_stored(2, sums + 2 * tile, 64);
        _tile_stored(3, sums + 3 * tile, 64);
    }
}

CK_INLINE void all_sums(const tile_attention *a, float *sums, const char *v, size_t subs) {
    const size_t next = a->tiles * CK_TILE_BYTES;
    for (size_t tile = 0; tile < a->tiles; tile += 2, sums += 4 * CK_TILE * CK_TILE, v += 2 * CK_TILE_BYTES) {
        if (tile + 1 < a->tiles)
            tile_sums(sums, v, next, a->s.weights, subs, 2);
        else
            tile_sums(sums, v, next, a->s.weights, subs, 1);
    }
}

/// Tokens from `count` on, to 32, are no keys.
static void leave_out(float *scores, size_t count) {
    for (size_t t = count; t < 32; t++)
        for (size_t b = 0; b < 2; b++)
            _mm512_store_ps(
                scores + b * CK_SCORE_BYTES / 4 + (t % CK_TILE * 2 + t / CK_TILE) * CK_TILE, _mm512_set1_ps(CK_NO_SCORE));
}

/// The largest score of 32 keys for each query of a block; NaN where one is none, or infinite.
static __m512 largest_score(const float *scores) {
    __m512 largest = _mm512_set1_ps(CK_NO_SCORE);
    for (size_t t = 0; t < 32; t++) {
        const __m512 x = _mm512_load_ps(scores + t * CK_TILE);
        const __mmask16 bad = _mm512_cmp_ps_mask(x, _mm512_set1_ps(INFINITY), _CMP_NLT_UQ);
        largest = _mm512_mask_mov_ps(_mm512_max_ps(x, largest), bad, _mm512_set1_ps(NAN));
    }
    return largest;
}

/// What scores are added to, times 1024.
CK_INLINE __m512 rounder(__m512 most) {
    return _mm512_fmadd_ps(most, _mm512_set1_ps(-1024), _mm512_set1_ps(CK_HALF_ROUNDER));
}

/// Queries whose scores of these 32 keys pass m too far: sums are scaled, and weights made anew, as the first of their block.
static __attribute__((noinline)) void raise_most(const tile_attention *a, weighing *w, const __mmask16 above[2], float *sums,
                                                 float *most, const float *scores) {
    for (size_t b = 0; b < 2; b++) {
        const __m512 before = _mm512_load_ps(most + b * CK_TILE);
        const __m512 now = _mm512_mask_mov_ps(before, above[b], largest_score(scores + b * CK_SCORE_BYTES / 4));
        const __m512 factor = power(_mm512_sub_ps(before, now));
        _mm512_store_ps(most + b * CK_TILE, now);
        w->from[b] = rounder(now);
        for (size_t tile = 0; tile < a->tiles; tile++)
            for (size_t d = 0; d < CK_TILE; d++) {
                float *x = sums + ((2 * tile + b) * CK_TILE + d) * CK_TILE;
                const __m512 sum = _mm512_load_ps(x);
                _mm512_store_ps(x, _mm512_mask_mul_ps(sum, above[b], sum, factor));
            }
    }
    w->x = (const char *)scores;
    w->to = a->s.weights;
    weigh(w, CK_TOKEN_PAIRS);
}

/// One pair of blocks of queries and up to CK_TILE_SPAN keys, which are the first ones or not. `steps` may be a constant.
CK_INLINE void attend_span(tile_attention *a, const char *q, const char *q2, size_t pair, const char *k, const char *v,
                           size_t count, int is_first, size_t steps) {
    const size_t key_bytes = 2 * steps * CK_TILE_BYTES, value_bytes = a->tiles * CK_TILE_BYTES; // of 32 tokens
    const size_t subs = (count + 31) / 32;
    float *sums = a->s.sums + pair * 32 * a->tiles * CK_TILE, *most = a->s.most + pair * 32;
    weighing w = {.to = a->s.weights};
    tile_scores(a, a->s.scores[0], q, q2, k, steps, &w, 0);
    if (subs == 1) leave_out(a->s.scores[0], count);
    for (size_t b = 0; b < 2; b++) {
        if (is_first) _mm512_store_ps(most + b * CK_TILE, largest_score(a->s.scores[0] + b * CK_SCORE_BYTES / 4));
        w.from[b] = rounder(_mm512_load_ps(most + b * CK_TILE));
        w.seen[b] = _mm512_setzero_si512();
    }
    size_t held = 0; // how many times 32 keys have weights and are not summed
    for (size_t sub = 0; sub < subs; sub++) {
        const float *scores = a->s.scores[sub % 2];
        w.x = (const char *)scores;
        if (sub + 1 < subs) {
            float *next = a->s.scores[(sub + 1) % 2];
            tile_scores(a, next, q, q2, k + (sub + 1) * key_bytes, steps, &w, 1);
            if (sub + 2 == subs) leave_out(next, count - (sub + 1) * 32);
        } else {
            weigh(&w, CK_TOKEN_PAIRS);
        }
        __mmask16 above[2];
        for (size_t b = 0; b < 2; b++) above[b] = _mm512_cmpge_epu32_mask(w.seen[b], _mm512_set1_epi32(CK_HALF_BOUND));
        if (__builtin_expect(above[0] | above[1], 0)) {
            all_sums(a, sums, v + (sub - held) * value_bytes, held);
            held = 0;
            weighing anew = w; // a copy, so that w itself can stay in registers
            raise_most(a, &anew, above, sums, most, scores);
            w = anew;
            w.seen[0] = w.seen[1] = _mm512_setzero_si512();
        }
        held++;
        if (held == CK_HALF_KEYS / 32 || sub + 1 == subs) {
            all_sums(a, sums, v + (sub + 1 - held) * value_bytes, held);
            held = 0;
            w.to = a->s.weights;
        }
    }
}

/// y = sums of values over the weights' total, the sum of the value that is 1, for one block of queries.
static void finish_block(float *y, size_t ldy, const float *sums, size_t size) {
    const __m512 total = _mm512_load_ps(sums + (size / CK_TILE * 2 * CK_TILE + size % CK_TILE) * CK_TILE);
    const __m512 factor = _mm512_div_ps(_mm512_set1_ps(1), total);
    for (size_t d = 0; d < size; d += CK_TILE) {
        const size_t count = ck_smaller(size - d, CK_TILE);
        __m512i rows[16];
        // An element's sums stand in a row of its tile; the tiles of the other block of queries lie between.
        for (size_t i = 0; i < 16; i++)
            rows[i] = _mm512_castps_si512(_mm512_mul_ps(_mm512_load_ps(sums + (d * 2 + i) * CK_TILE), factor));
        transpose(rows);
        const __mmask16 mask = (__mmask16)((1u << count) - 1);
        for (size_t i = 0; i < 16; i++) _mm512_mask_storeu_ps(y + i * ldy + d, mask, _mm512_castsi512_ps(rows[i]));
    }
}

void ck_amx_half_tile_attention(float *y, size_t ldy, const void *q, size_t row_blocks, const void *k, const void *v, size_t tokens,
                                size_t size, void *scratch) {
    tile_attention a = {.s = half_scratch_parts(scratch, size)};
    a.steps = tile_steps(size);
    a.tiles = value_tiles(size, 1);
    const size_t pairs = (row_blocks + 1) / 2, block_bytes = a.steps * CK_TILE_BYTES;
    const size_t key_bytes = 2 * block_bytes, value_bytes = a.tiles * CK_TILE_BYTES; // of 32 tokens
    memset(a.s.sums, 0, pairs * 32 * a.tiles * CK_TILE * 4);
    tiles_use();
    for (size_t span = 0; span < tokens; span += CK_TILE_SPAN) {
        const size_t count = ck_smaller(tokens - span, CK_TILE_SPAN), next = ck_smaller(tokens - span - count, CK_TILE_SPAN);
        const char *keys = (const char *)k + span / 32 * key_bytes, *values = (const char *)v + span / 32 * value_bytes;
        // Each pair of blocks asks for its share of the next span, of keys first and then of values.
        const size_t next_keys = (next + 31) / 32 * key_bytes, next_values = (next + 31) / 32 * value_bytes;
        const size_t share = ((next_keys + next_values) / pairs + 63) / 64 * 64, steps = (count + 31) / 32 * a.steps;
        a.ahead_lines = (share / 64 + steps - 1) / steps;
        for (size_t pair = 0; pair < pairs; pair++) {
            const char *first = (const char *)q + 2 * pair * block_bytes;
            // Of an odd number the last one is computed twice.
            const char *second = 2 * pair + 1 < row_blocks ? first + block_bytes : first;
            const size_t at = pair * share;
            a.ahead = at < next_keys ? keys + CK_TILE_SPAN / 32 * key_bytes + at
                                     : values + CK_TILE_SPAN / 32 * value_bytes + (at - next_keys);
            if (a.steps == CK_USUAL_STEPS)
                attend_span(&a, first, second, pair, keys, values, count, span == 0, CK_USUAL_STEPS);
            else
                attend_span(&a, first, second, pair, keys, values, count, span == 0, a.steps);
        }
    }
    tiles_release();
    for (size_t block = 0; block < row_blocks; block++)
        finish_block(y + block * CK_TILE * ldy, ldy, a.s.sums + (block / 2 * a.tiles * 2 + block % 2) * CK_TILE * CK_TILE, size);
}

#pragma clang attribute pop
#endif
