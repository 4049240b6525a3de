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

/// A row of x, of `columns` elements, by weights that lie `stride` words apart.
static float product(const char *x, const void *w, size_t stride, size_t columns, size_t thirds) {
    float c = 0;
    for (size_t s = 0; s < tile_steps(columns); s++, x += thirds * 64) {
        // A tile with the weights of this step in its first column.
        char b[CK_TILE_BYTES] = {0};
        for (size_t k = 0; k < ck_smaller(columns - s * CK_TILE_STEP, CK_TILE_STEP); k++)
            *word_at(b, k / 2 * 64 + k % 2 * 2) = ck_word_at(w, (s * CK_TILE_STEP + k) * stride);
        for (size_t t = 0; t < thirds; t++) c = add_products(c, x + t * 64, b, 0, 0);
    }
    return c;
}

void ck_scalar_matmul_thirds(float *y, size_t ldy, const void *x, size_t ldx, size_t n, const ck_matrix *w, size_t begin, size_t end,
                             size_t thirds) {
    for (size_t j = begin; j < end; j++)
        for (size_t r = 0; r < n; r++)
            y[r * ldy + j] = product((const char *)x + r * ldx, ck_row(w, j), 1, w->columns, thirds);
}

void ck_scalar_combine_thirds(float *y, size_t ldy, const void *x, size_t ldx, size_t n, const ck_matrix *w, size_t first, size_t count,
                              size_t thirds) {
    for (size_t c = 0; c < w->columns; c++)
        for (size_t r = 0; r < n; r++)
            y[r * ldy + c] =
                product((const char *)x + r * ldx, ck_row(w, first) + 2 * c, ck_row_stride(w) / 2, count, thirds);
}
