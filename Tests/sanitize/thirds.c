/* Products of thirds: the tiles beside their twin, any shape, any rows and outputs of it. */
#include "support.h"

/* n rows of x, as `kernels` writes them in two parts, at exactly the places that are promised. */
static void *written(const ck_thirds *kernels, const float *x, size_t n, size_t columns, size_t thirds) {
    size_t bytes = ck_thirds_bytes(columns, thirds), cut = below(columns / 32 + 1) * 32;
    char *form = aligned(n * bytes);
    memset(form, 0xab, n * bytes);
    for (size_t r = 0; r < n; r++) {
        if (cut < columns) kernels->write(form + r * bytes, x + r * columns + cut, cut, columns - cut, thirds);
        if (cut > 0) kernels->write(form + r * bytes, x + r * columns, 0, cut, thirds);
    }
    return form;
}

static void multiply(const ck_thirds *kernels, float *y, size_t ldy, const float *x, size_t n, const ck_matrix *w, size_t begin, size_t end,
                     size_t thirds) {
    void *form = written(kernels, x, n, w->columns, thirds);
    kernels->matmul(y, ldy, form, ck_thirds_bytes(w->columns, thirds), n, w, begin, end, thirds);
    give_back(form);
}

static void combine(const ck_thirds *kernels, float *y, size_t ldy, const float *x, size_t n, const ck_matrix *w, size_t first,
                    size_t count, size_t thirds) {
    void *form = written(kernels, x, n, count, thirds);
    kernels->combine(y, ldy, form, ck_thirds_bytes(count, thirds), n, w, first, count, thirds);
    give_back(form);
}

void check_thirds(size_t rounds) {
    const ck_thirds *twin = ck_thirds_for(CK_ISA_SCALAR), *tiles = ck_thirds_for(CK_ISA_AMX);
    for (size_t round = 0; round < rounds / 4; round++) {
        mood mood = below(MOODS);
        size_t columns = below(2) ? 1 + below(70) : 1 + below(600), rows = 1 + below(below(4) ? 20 : 150), n = 1 + below(40);
        size_t begin = below(rows), end = begin + below(rows - begin + 1), thirds = 1 + below(3);
        size_t ldy = rows + below(3), outputs = (n - 1) * ldy + rows;
        ck_matrix w = random_matrix(CK_BF16, rows, columns, mood);
        float *x = floats(n * columns, below(2) ? mood : ORDINARY);
        float *right = floats(outputs, ORDINARY), *y = floats(outputs, ORDINARY);
        memcpy(y, right, outputs * sizeof *y);
        multiply(twin, right, ldy, x, n, &w, begin, end, thirds);
        if (tiles) {
            multiply(tiles, y, ldy, x, n, &w, begin, end, thirds);
            same_floats(y, right, outputs, "matmul of thirds", "amx");
        }
        /* Some rows of w as if they were a column each. */
        size_t count = 1 + below(rows), first = below(rows - count + 1), ldc = columns + below(3), combined = (n - 1) * ldc + columns;
        float *sums = floats(combined, ORDINARY), *right_sums = floats(combined, ORDINARY), *factors = floats(n * count, ORDINARY);
        memcpy(sums, right_sums, combined * sizeof *sums);
        combine(twin, right_sums, ldc, factors, n, &w, first, count, thirds);
        if (tiles) {
            combine(tiles, sums, ldc, factors, n, &w, first, count, thirds);
            same_floats(sums, right_sums, combined, "rows combined by thirds", "amx");
        }
        give_back(factors);
        give_back(right_sums);
        give_back(sums);
        give_back(y);
        give_back(right);
        give_back(x);
        free_matrix(&w);
    }
}
