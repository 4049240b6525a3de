/* Products with stored floats: any shape, any rows and outputs of it. */
#include "support.h"

void check_matmul(size_t rounds) {
    for (size_t round = 0; round < rounds; round++) {
        int32_t type = (int32_t[]){CK_BF16, CK_F16, CK_F32}[below(3)];
        mood mood = below(MOODS);
        size_t columns = (size_t[]){1 + below(70), 1 + below(600), 32 * (1 + below(40))}[below(3)];
        size_t rows = 1 + below(40), n = 1 + below(below(4) ? 6 : 40);
        size_t begin = below(rows), end = begin + below(rows - begin + 1);
        size_t ldx = columns + below(3), ldy = rows + below(3);
        ck_matrix w = random_matrix(type, rows, columns, mood);
        /* The last row of x has no room behind its columns, nor that of y behind its outputs. */
        float *x = floats((n - 1) * ldx + columns, below(2) ? mood : ORDINARY);
        size_t outputs = (n - 1) * ldy + rows;
        float *right = floats(outputs, ORDINARY);
        float *before = floats(outputs, ORDINARY);
        memcpy(right, before, outputs * sizeof *right);
        levels[0]->matmul(right, ldy, x, ldx, n, &w, begin, end);
        for (size_t l = 1; l < level_count; l++) {
            float *y = floats(outputs, ORDINARY);
            memcpy(y, before, outputs * sizeof *y);
            levels[l]->matmul(y, ldy, x, ldx, n, &w, begin, end);
            same_floats(y, right, outputs, "matmul", levels[l]->name);
            give_back(y);
        }
        give_back(before);
        give_back(right);
        give_back(x);
        free_matrix(&w);
    }
}
