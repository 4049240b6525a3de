/* Rows of a matrix widened, combined, and made into bytes. */
#include "support.h"

static void widen_and_combine(void) {
    static const int32_t types[] = {CK_BF16, CK_F16, CK_F32, CK_INT4};
    int32_t type = types[below(4)];
    mood mood = below(MOODS);
    size_t columns = type == CK_INT4 ? 32 * (1 + below(40)) : 1 + below(below(2) ? 70 : 1100);
    size_t rows = 1 + below(30), row = below(rows), first = below(rows), count = below(rows - first + 1);
    size_t n = below(2) ? 1 : 1 + below(20), ldx = count + below(3), ldy = columns + below(3);
    size_t outputs = (n - 1) * ldy + columns;
    ck_matrix w = random_matrix(type, rows, columns, mood);
    /* The last row of x has no room behind its factors, nor that of y behind its columns. */
    float *x = floats((n - 1) * ldx + count, mood), *before = floats(outputs, ORDINARY);
    float *right = floats(columns, ORDINARY), *combined = floats(outputs, ORDINARY);
    memcpy(combined, before, outputs * sizeof *combined);
    levels[0]->widen_row(right, &w, row);
    if (type != CK_INT4) levels[0]->combine_rows(combined, ldy, x, ldx, n, &w, first, count);
    for (size_t l = 1; l < level_count; l++) {
        float *y = floats(columns, ORDINARY), *sums = floats(outputs, ORDINARY);
        levels[l]->widen_row(y, &w, row);
        same_floats(y, right, columns, "widen_row", levels[l]->name);
        if (type != CK_INT4) {
            memcpy(sums, before, outputs * sizeof *sums);
            levels[l]->combine_rows(sums, ldy, x, ldx, n, &w, first, count);
            same_floats(sums, combined, outputs, "combine_rows", levels[l]->name);
        }
        give_back(sums);
        give_back(y);
    }
    give_back(combined);
    give_back(right);
    give_back(before);
    give_back(x);
    free_matrix(&w);
}

static void quantize(void) {
    int32_t type = (int32_t[]){CK_BF16, CK_F16, CK_F32}[below(3)];
    size_t columns = 32 * (1 + below(40)), rows = 1 + below(5);
    ck_matrix w = random_matrix(type, rows, columns, below(MOODS)), made = w;
    made.type = CK_INT8;
    size_t bytes = rows * ck_row_bytes(&made), scale_bytes = rows * (columns / 32) * 2;
    void *right = exact(bytes, 1), *right_scales = exact(scale_bytes, 2);
    levels[0]->quantize_rows(right, right_scales, &w);
    for (size_t l = 1; l < level_count; l++) {
        void *to = exact(bytes, 1), *scales = exact(scale_bytes, 2);
        levels[l]->quantize_rows(to, scales, &w);
        same_bytes(to, right, bytes, "quantize_rows", levels[l]->name);
        same_bytes(scales, right_scales, scale_bytes, "quantize_rows, scales", levels[l]->name);
        give_back(scales);
        give_back(to);
    }
    give_back(right_scales);
    give_back(right);
    free_matrix(&w);
}

void check_rows(size_t rounds) {
    for (size_t round = 0; round < rounds; round++) {
        widen_and_combine();
        quantize();
    }
}
