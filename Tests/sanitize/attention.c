/* The latent cache, queries ready for it, attention over a span of it, spans put together, and attention to
   expanded tokens. */
#include "support.h"

/* A cached token as floats again. */
static void widen(const void *token, const ck_attention *a) {
    size_t n = a->latent + a->rope;
    float *right = floats(n, ORDINARY);
    levels[0]->widen_token(right, token, a->latent, a->rope, a->cache_type);
    for (size_t l = 1; l < level_count; l++) {
        float *y = floats(n, ORDINARY);
        levels[l]->widen_token(y, token, a->latent, a->rope, a->cache_type);
        same_floats(y, right, n, "widen_token", levels[l]->name);
        give_back(y);
    }
    give_back(right);
}

/* The blocks of a cache of random tokens, as every level writes them; free with free_blocks. */
static void **cache_blocks(const ck_attention *a, size_t tokens, mood mood) {
    size_t bytes = ck_cache_token_bytes(a->cache_type, a->latent, a->rope);
    size_t count = (tokens + CK_CACHE_BLOCK - 1) / CK_CACHE_BLOCK;
    void **blocks = exact(count * sizeof *blocks, sizeof *blocks);
    for (size_t b = 0; b < count; b++) {
        /* Only as many tokens as there are: the last block ends with the last of them. */
        size_t held = b + 1 < count ? CK_CACHE_BLOCK : tokens - b * CK_CACHE_BLOCK;
        unsigned char *block = exact(a->layer_offset + held * bytes, 4);
        for (size_t t = 0; t < held; t++) {
            float *x = floats(a->latent + a->rope, mood);
            void *place = block + a->layer_offset + t * bytes;
            levels[0]->cache_token(place, x, a->latent, a->rope, a->cache_type);
            for (size_t l = 1; l < level_count; l++) {
                void *other = exact(bytes, 4);
                levels[l]->cache_token(other, x, a->latent, a->rope, a->cache_type);
                same_bytes(other, place, bytes, "cache_token", levels[l]->name);
                give_back(other);
            }
            widen(place, a);
            give_back(x);
        }
        blocks[b] = block;
    }
    return blocks;
}

static void free_blocks(void **blocks, size_t tokens) {
    for (size_t b = 0; b < (tokens + CK_CACHE_BLOCK - 1) / CK_CACHE_BLOCK; b++) give_back(blocks[b]);
    give_back(blocks);
}

/* Random queries of a->rows rows, the last with no room behind it, ready for the cache. */
static float *queries(const ck_attention *a, mood mood) {
    size_t width = a->latent + a->rope, all = (a->rows - 1) * a->query_stride + a->heads * width;
    float *right = floats(all, mood), *plain = floats(all, ORDINARY);
    memcpy(plain, right, all * sizeof *plain);
    for (size_t l = 0; l < level_count && a->cache_type == CK_INT8; l++) {
        float *q = l == 0 ? right : floats(all, ORDINARY);
        memcpy(q, plain, all * sizeof *q);
        for (size_t r = 0; r < a->rows; r++) levels[l]->query_int8(q + r * a->query_stride, width, a->heads, a->latent);
        same_bytes(q, right, all * sizeof *q, "query_int8", levels[l]->name);
        if (l > 0) give_back(q);
    }
    give_back(plain);
    return right;
}

static void attend(mood mood) {
    static const int32_t types[] = {CK_F32, CK_BF16, CK_INT8};
    ck_attention a = {.cache_type = types[below(3)], .layer_offset = 4 * below(5), .scale = below(3) ? 0.2f : 5.0f};
    a.latent = 2 + below(below(4) ? 80 : 600), a.rope = below(20);
    a.heads = 1 + below(below(3) ? 6 : 40), a.rows = 1 + below(below(3) ? 4 : 20);
    a.tokens = 1 + below(below(3) ? 70 : 300);
    a.begin = CK_CACHE_BLOCK * below((a.tokens + CK_CACHE_BLOCK - 1) / CK_CACHE_BLOCK);
    a.end = a.begin + CK_CACHE_BLOCK * (1 + below(4));
    a.query_stride = a.heads * (a.latent + a.rope) + below(3);
    size_t tokens = a.tokens + a.rows - 1, results = a.rows * a.heads;
    void **blocks = cache_blocks(&a, tokens, mood);
    a.blocks = (const void *const *)blocks;
    float *q = queries(&a, below(2) ? mood : ORDINARY);
    float *right = floats(results * a.latent, ORDINARY), *right_state = floats(2 * results, ORDINARY);
    levels[0]->attention(right, right_state, q, &a);
    for (size_t l = 1; l < level_count; l++) {
        float *out = floats(results * a.latent, ORDINARY), *state = floats(2 * results, ORDINARY);
        levels[l]->attention(out, state, q, &a);
        same_floats(out, right, results * a.latent, "attention", levels[l]->name);
        same_floats(state, right_state, 2 * results, "attention, state", levels[l]->name);
        give_back(state);
        give_back(out);
    }
    give_back(right_state);
    give_back(right);
    give_back(q);
    free_blocks(blocks, tokens);
}

/* A copy of n floats in memory of its own. */
static float *copy(const float *x, size_t n) {
    float *memory = exact(n * sizeof *memory, sizeof *memory);
    memcpy(memory, x, n * sizeof *memory);
    return memory;
}

static void put_together(mood mood) {
    size_t n = 1 + below(9), latent = 1 + below(below(2) ? 40 : 600), ldy = latent + below(3), all = n * latent;
    size_t outputs = (n - 1) * ldy + latent;
    float *out = floats(all, mood), *state = floats(2 * n, mood), *part = floats(all, mood), *part_state = floats(2 * n, mood);
    float *before = floats(outputs, ORDINARY), *sum = copy(out, all), *sum_state = copy(state, 2 * n);
    float *right = copy(before, outputs);
    levels[0]->attention_fold(sum, sum_state, part, part_state, n, latent);
    levels[0]->attention_finish(right, ldy, sum, sum_state, n, latent);
    for (size_t l = 1; l < level_count; l++) {
        const ck_kernels *k = levels[l];
        float *folded = copy(out, all), *folded_state = copy(state, 2 * n), *y = copy(before, outputs);
        k->attention_fold(folded, folded_state, part, part_state, n, latent);
        same_floats(folded, sum, all, "attention_fold", k->name);
        same_floats(folded_state, sum_state, 2 * n, "attention_fold, state", k->name);
        k->attention_finish(y, ldy, folded, folded_state, n, latent);
        same_floats(y, right, outputs, "attention_finish", k->name);
        if (ldy == latent) {
            k->attention_finish(folded, latent, folded, folded_state, n, latent);
            same_floats(folded, right, all, "attention_finish in place", k->name);
        }
        give_back(y);
        give_back(folded_state);
        give_back(folded);
    }
    give_back(right);
    give_back(sum_state);
    give_back(sum);
    give_back(before);
    give_back(part_state);
    give_back(part);
    give_back(state);
    give_back(out);
}

/* The memory of a block of expanded keys and values, with no room behind the last. */
static float *expanded_block(ck_expanded_block *b, mood mood) {
    size_t all = (b->count - 1) * b->stride + b->key + b->value;
    float *tokens = floats(all, mood);
    b->keys = tokens, b->values = tokens + b->key;
    b->ahead = below(2) ? tokens : NULL, b->ahead_bytes = all * sizeof *tokens;
    return tokens;
}

static void attend_expanded(mood mood) {
    ck_expanded_block b = {.key = 1 + below(below(3) ? 50 : 200), .value = 1 + below(below(3) ? 50 : 200)};
    b.stride = b.key + b.value + below(3), b.scale = below(3) ? 0.2f : 5.0f;
    b.rows = 1 + below(below(3) ? 20 : 100), b.tokens = 1 + below(below(3) ? 70 : 300);
    size_t room = (b.rows + CK_PACKED_ROWS - 1) / CK_PACKED_ROWS * CK_PACKED_ROWS, seen = b.tokens + b.rows - 1;
    size_t ldq = b.key + below(3);
    float *plain = floats((b.rows - 1) * ldq + b.key, below(2) ? mood : ORDINARY), *q = floats(room * b.key, ORDINARY);
    ck_pack_queries(q, plain, ldq, b.rows, b.key);
    float *out[CK_ISA_COUNT], *state[CK_ISA_COUNT];
    for (size_t l = 0; l < level_count; l++) out[l] = floats(room * b.value, ORDINARY), state[l] = floats(2 * room, ORDINARY);
    for (; b.start < seen; b.start += CK_CACHE_BLOCK) {
        b.count = seen - b.start < CK_CACHE_BLOCK ? seen - b.start : CK_CACHE_BLOCK;
        float *tokens = expanded_block(&b, mood);
        for (size_t l = 0; l < level_count; l++) {
            levels[l]->expanded_attention(out[l], state[l], q, &b);
            same_floats(out[l], out[0], room * b.value, "expanded_attention", levels[l]->name);
            same_floats(state[l], state[0], 2 * room, "expanded_attention, state", levels[l]->name);
        }
        give_back(tokens);
    }
    for (size_t l = 0; l < level_count; l++) give_back(state[l]), give_back(out[l]);
    give_back(q);
    give_back(plain);
}

void check_attention(size_t rounds) {
    for (size_t round = 0; round < rounds; round++) {
        attend(below(MOODS));
        put_together(below(MOODS));
        attend_expanded(below(MOODS));
    }
}
