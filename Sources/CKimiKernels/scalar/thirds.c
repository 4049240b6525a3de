// Products of thirds: the specification.
#include "tiles.h"

void ck_scalar_write_thirds(void *to, const float *x, size_t first, size_t count, size_t thirds) {
    for (size_t c = 0; c < tile_steps(count) * CK_TILE_STEP; c++) {
        char *step = (char *)to + (first + c) / CK_TILE_STEP * thirds * 64;
        float rest = c < count ? x[c] : 0;
        for (size_t t = 0; t < thirds; t++) {
            const uint16_t third = rounded(rest);
            *word_at(step + t * 64, c % CK_TILE_STEP * 2) = third;
            rest -= widened(third);
        }
    }
}

void ck_scalar_matmul_thirds(float *y, size_t ldy, const void *x, size_t ldx, size_t n, const ck_matrix *w, size_t begin, size_t end,
                             size_t thirds) {
    for (size_t j = begin; j < end; j++)
        for (size_t r = 0; r < n; r++) {
            float c = 0;
            for (size_t s = 0; s < tile_steps(w->columns); s++) {
                // A tile with the weights of this step in its first column.
                char b[CK_TILE_BYTES] = {0};
                for (size_t k = 0; k < ck_smaller(w->columns - s * CK_TILE_STEP, CK_TILE_STEP); k++)
                    *word_at(b, k / 2 * 64 + k % 2 * 2) = ck_word_at(ck_row(w, j), s * CK_TILE_STEP + k);
                const char *a = (const char *)x + r * ldx + s * thirds * 64;
                for (size_t t = 0; t < thirds; t++) c = add_products(c, a + t * 64, b, 0, 0);
            }
            y[r * ldy + j] = c;
        }
}
