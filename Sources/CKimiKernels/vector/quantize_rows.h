// Stored weights as bytes with a scale for each group of 32.
#include "../split.h"

CK_INLINE void quantize_group(unsigned char *block, size_t lane, unsigned char *scale, lanes a, lanes b) {
    int bad = lanes_any_not_finite(a) || lanes_any_not_finite(b);
    float most = bad ? 0.0f : lanes_largest(lanes_max(lanes_absolute(a), lanes_absolute(b)));
    uint16_t word = ck_byte_scale(most, bad);
    memcpy(scale, &word, sizeof word);
    if (most == 0) return; // the bytes are 128 already
    lanes divisor = lanes_all(ck_float_of_bf16(word));
    store_bytes(block + 4 * lane, lanes_div(a, divisor), lanes_div(b, divisor));
}

CK_INLINE void quantize_row(unsigned char *to, unsigned char *scales, const unsigned char *row, size_t columns, int32_t type) {
    memset(to, 128, split_blocks(columns) * CK_SPLIT_BLOCK);
    for (size_t g = 0; g < columns / CK_INT4_GROUP; g++) {
        size_t i = g * CK_INT4_GROUP;
        quantize_group(to + g / CK_SPLIT_GROUPS * CK_SPLIT_BLOCK, split_lane(g % CK_SPLIT_GROUPS), scales + 2 * g,
                       load_weights(row, i, type), load_weights(row, i + 16, type));
    }
}

void CK_NAME(quantize_rows)(void *to, uint16_t *scales, const ck_matrix *w) {
    for (size_t j = 0; j < w->rows; j++) {
        unsigned char *bytes = (unsigned char *)to + j * split_blocks(w->columns) * CK_SPLIT_BLOCK;
        unsigned char *words = (unsigned char *)scales + j * (w->columns / CK_INT4_GROUP) * 2;
        switch (w->type) {
        case CK_BF16: quantize_row(bytes, words, ck_row(w, j), w->columns, CK_BF16); break;
        case CK_F16: quantize_row(bytes, words, ck_row(w, j), w->columns, CK_F16); break;
        default: quantize_row(bytes, words, ck_row(w, j), w->columns, CK_F32); break;
        }
    }
}
