// Stored weights as bytes with a scale for each group of 32.
#include "../split.h"
#include "quantizer.h"

CK_INLINE void quantize_group(unsigned char *block, size_t lane, void *scale, const float *w) {
    int bad;
    float most = largest(w, CK_INT4_GROUP, &bad);
    uint16_t word = ck_byte_scale(most, bad);
    float divisor = ck_float_of_bf16(word);
    memcpy(scale, &word, sizeof word);
    for (size_t i = 0; i < CK_INT4_GROUP; i++) {
        int32_t q = bad || most == 0 ? 0 : (int32_t)rintf(w[i] / divisor);
        block[split_slot(i) * 4 * CK_SPLIT_GROUPS + 4 * lane + split_byte(i)] = (unsigned char)(q + 128);
    }
}

CK_INLINE void quantize_row(unsigned char *to, unsigned char *scales, const unsigned char *row, size_t columns, int32_t type) {
    memset(to, 128, split_blocks(columns) * CK_SPLIT_BLOCK);
    for (size_t g = 0; g < columns / CK_INT4_GROUP; g++) {
        float w[CK_INT4_GROUP];
        for (size_t i = 0; i < CK_INT4_GROUP; i++) w[i] = ck_weight(row, g * CK_INT4_GROUP + i, type);
        quantize_group(to + g / CK_SPLIT_GROUPS * CK_SPLIT_BLOCK, split_lane(g % CK_SPLIT_GROUPS), scales + 2 * g, w);
    }
}

CK_SPECIFICATION void ck_scalar_quantize_rows(void *to, uint16_t *scales, const ck_matrix *w) {
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
