/* Activations as integers of 24 bits, and products with integer weights. */
#include "support.h"

/* x as integers, written in two parts in any order. */
static void *split(const ck_kernels *k, const float *x, size_t columns, size_t cut, bool end_first) {
    void *to = aligned(ck_split_bytes(columns));
    if (end_first) k->split(to, x + cut, cut, columns - cut, columns);
    if (cut > 0) k->split(to, x, 0, cut, columns);
    if (!end_first) k->split(to, x + cut, cut, columns - cut, columns);
    return to;
}

void check_integers(size_t rounds) {
    for (size_t round = 0; round < rounds; round++) {
        mood mood = below(MOODS);
        int32_t type = below(2) ? CK_INT4 : CK_INT8;
        size_t columns = 32 * (1 + below(below(2) ? 20 : 60)), rows = 1 + below(40), n = 1 + below(below(3) ? 5 : 60);
        size_t begin = below(rows), end = begin + below(rows - begin + 1), ldy = rows + below(3);
        size_t bytes = ck_split_bytes(columns);
        ck_matrix w = random_matrix(type, rows, columns, below(2) ? mood : ORDINARY);
        const void **right_x = exact(n * sizeof *right_x, sizeof *right_x);
        const void **x = exact(n * sizeof *x, sizeof *x);
        float **rows_of_x = exact(n * sizeof *rows_of_x, sizeof *rows_of_x);
        for (size_t r = 0; r < n; r++) {
            rows_of_x[r] = floats(columns, mood);
            right_x[r] = split(levels[0], rows_of_x[r], columns, 0, false);
        }
        size_t outputs = (n - 1) * ldy + rows;
        float *before = floats(outputs, ORDINARY), *right = floats(outputs, ORDINARY);
        memcpy(right, before, outputs * sizeof *right);
        levels[0]->matmul_split(right, ldy, right_x, n, &w, begin, end);
        for (size_t l = 1; l < level_count; l++) {
            const ck_kernels *k = levels[l];
            for (size_t r = 0; r < n; r++) {
                x[r] = split(k, rows_of_x[r], columns, 32 * below(columns / 32), below(2));
                same_bytes(x[r], right_x[r], bytes, "split", k->name);
            }
            float *y = floats(outputs, ORDINARY);
            memcpy(y, before, outputs * sizeof *y);
            k->matmul_split(y, ldy, x, n, &w, begin, end);
            same_floats(y, right, outputs, type == CK_INT4 ? "matmul_split, int4" : "matmul_split, int8", k->name);
            give_back(y);
            for (size_t r = 0; r < n; r++) give_back((void *)x[r]);
        }
        for (size_t r = 0; r < n; r++) {
            give_back((void *)right_x[r]);
            give_back(rows_of_x[r]);
        }
        give_back(right);
        give_back(before);
        give_back(rows_of_x);
        give_back(x);
        give_back(right_x);
        free_matrix(&w);
    }
}
