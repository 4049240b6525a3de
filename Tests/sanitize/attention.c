/* Attention over a cache in blocks. */
#include "support.h"

static void *cache_block(int32_t type, size_t offset, size_t elements, mood mood) {
    size_t size = type == CK_F32 ? 4 : 2;
    unsigned char *block = exact(offset + elements * size, size);
    for (size_t i = 0; i < elements; i++) {
        float value = number(mood);
        uint16_t word = bf16_word(mood);
        memcpy(block + offset + i * size, type == CK_F32 ? (void *)&value : (void *)&word, size);
    }
    return block;
}

void check_attention(size_t rounds) {
    for (size_t round = 0; round < rounds; round++) {
        mood mood = below(MOODS);
        size_t heads = 1 + below(below(3) ? 6 : 40), tokens = 1 + below(below(3) ? 70 : 300);
        size_t latent = 1 + below(below(2) ? 40 : 200), rope = below(20), width = latent + rope;
        size_t count = (tokens + CK_CACHE_BLOCK - 1) / CK_CACHE_BLOCK;
        ck_attention a = {.layer_offset = 4 * below(5), .cache_type = below(2) ? CK_F32 : CK_BF16, .tokens = tokens,
                          .latent = latent, .rope = rope, .scale = below(3) ? 0.2f : 5.0f};
        void **blocks = exact(count * sizeof *blocks, sizeof *blocks);
        for (size_t b = 0; b < count; b++) {
            /* Only as many tokens as there are: the last block ends with the last of them. */
            size_t held = b + 1 < count ? CK_CACHE_BLOCK : tokens - b * CK_CACHE_BLOCK;
            blocks[b] = cache_block(a.cache_type, a.layer_offset, held * width, mood);
        }
        a.blocks = (const void *const *)blocks;
        float *q = floats(heads * width, below(2) ? mood : ORDINARY), *right = floats(heads * latent, ORDINARY);
        levels[0]->attention(right, q, heads, &a);
        for (size_t l = 1; l < level_count; l++) {
            float *out = floats(heads * latent, ORDINARY);
            levels[l]->attention(out, q, heads, &a);
            same_floats(out, right, heads * latent, "attention", levels[l]->name);
            give_back(out);
        }
        give_back(right);
        give_back(q);
        for (size_t b = 0; b < count; b++) give_back(blocks[b]);
        give_back(blocks);
    }
}
