/* Activations as integers of 8, 16 or 24 bits, and products with integer and bf16 weights. */
#include "support.h"

static size_t integer_bytes(size_t columns, int32_t bits) {
    return bits == 24 ? ck_split_bytes(columns) : ck_narrow_bytes(columns, bits);
}

static void convert(const ck_kernels *k, void *to, const float *x, size_t first, size_t count, size_t columns, int32_t bits) {
    if (bits == 24)
        k->split(to, x, first, count, columns);
    else
        k->narrow(to, x, first, count, bits);
}

static void product(const ck_kernels *k, float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w, size_t begin,
                    size_t end, int32_t bits) {
    if (bits == 24)
        k->matmul_split(y, ldy, x, n, w, begin, end);
    else
        k->matmul_narrow(y, ldy, x, n, w, begin, end, bits);
}

/* x as integers, written in two parts in any order; the floats of each in memory of their own. */
static void *integers(const ck_kernels *k, const float *x, size_t columns, size_t cut, bool end_first, int32_t bits) {
    void *to = aligned(integer_bytes(columns, bits));
    float *begin = floats(cut, ORDINARY), *rest = floats(columns - cut, ORDINARY);
    memcpy(begin, x, cut * sizeof *x);
    memcpy(rest, x + cut, (columns - cut) * sizeof *x);
    if (end_first) convert(k, to, rest, cut, columns - cut, columns, bits);
    if (cut > 0) convert(k, to, begin, 0, cut, columns, bits);
    if (!end_first) convert(k, to, rest, cut, columns - cut, columns, bits);
    give_back(rest);
    give_back(begin);
    return to;
}

static void multiply(int32_t type, int32_t bits, const char *name) {
    mood mood = below(MOODS);
    /* Rows of floats may end anywhere; those of bytes and nibbles end with a group. */
    size_t columns = 32 * (1 + below(below(2) ? 20 : 60)) - (type == CK_BF16 ? below(32) : 0), rows = 1 + below(75);
    size_t n = 1 + below(below(3) ? 8 : 60), begin = below(rows), end = begin + below(rows - begin + 1), ldy = rows + below(3);
    size_t bytes = integer_bytes(columns, bits);
    ck_matrix w = random_matrix(type, rows, columns, below(2) ? mood : ORDINARY);
    const void **right_x = exact(n * sizeof *right_x, sizeof *right_x);
    const void **x = exact(n * sizeof *x, sizeof *x);
    float **rows_of_x = exact(n * sizeof *rows_of_x, sizeof *rows_of_x);
    for (size_t r = 0; r < n; r++) {
        rows_of_x[r] = floats(columns, mood);
        right_x[r] = integers(levels[0], rows_of_x[r], columns, 0, false, bits);
    }
    /* The last row of y has no room behind its outputs. */
    size_t outputs = (n - 1) * ldy + end;
    float *before = floats(outputs, ORDINARY), *right = floats(outputs, ORDINARY);
    memcpy(right, before, outputs * sizeof *right);
    product(levels[0], right, ldy, right_x, n, &w, begin, end, bits);
    for (size_t l = 1; l < level_count; l++) {
        const ck_kernels *k = levels[l];
        for (size_t r = 0; r < n; r++) {
            x[r] = integers(k, rows_of_x[r], columns, 32 * below((columns + 31) / 32), below(2), bits);
            same_bytes(x[r], right_x[r], bytes, bits == 24 ? "split" : "narrow", k->name);
        }
        float *y = floats(outputs, ORDINARY);
        memcpy(y, before, outputs * sizeof *y);
        product(k, y, ldy, x, n, &w, begin, end, bits);
        same_floats(y, right, outputs, name, k->name);
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

/* Few kinds of magnitudes, so that sums of integers come near the ends of 32 bits: none may pass them. */
static void largest(void) {
    size_t columns = 1 + below(96), rows = 1 + below(40), bytes = ck_narrow_bytes(columns, 16);
    size_t x_count = 1 + below(32), w_count = below(2) ? x_count : 1 + below(32);
    ck_matrix w = random_matrix(CK_BF16, rows, columns, ZEROS);
    float *values = floats(columns, ORDINARY), *right = floats(rows, ORDINARY), *y = floats(rows, ORDINARY);
    for (size_t i = 0; i < columns; i++) {
        values[i] = (i % 32 < x_count ? 1.0f : 0.0f) * (below(9) ? 1.0f : -1.0f);
        for (size_t j = 0; j < rows; j++) {
            uint16_t word = (uint16_t)(i % 32 < w_count ? (values[i] < 0 ? 0xc37f : 0x437f) : 0); /* 255 of the sign of x */
            memcpy((unsigned char *)w.data + 2 * (j * columns + i), &word, sizeof word);
        }
    }
    const void *right_x = integers(levels[0], values, columns, 0, false, 16);
    levels[0]->matmul_narrow(right, rows, &right_x, 1, &w, 0, rows, 16);
    for (size_t l = 1; l < level_count; l++) {
        const void *x = integers(levels[l], values, columns, 0, false, 16);
        same_bytes(x, right_x, bytes, "narrow, largest", levels[l]->name);
        levels[l]->matmul_narrow(y, rows, &x, 1, &w, 0, rows, 16);
        same_floats(y, right, rows, "matmul_narrow, largest", levels[l]->name);
        give_back((void *)x);
    }
    give_back((void *)right_x);
    give_back(y);
    give_back(right);
    give_back(values);
    free_matrix(&w);
}

void check_integers(size_t rounds) {
    for (size_t round = 0; round < rounds; round++) {
        if (below(2))
            multiply(CK_INT4, 24, "matmul_split, int4");
        else
            multiply(CK_INT8, 24, "matmul_split, int8");
        switch (below(4)) {
        case 0: multiply(CK_INT4, 8, "matmul_narrow, int4 by 8"); break;
        case 1: multiply(CK_INT8, 8, "matmul_narrow, int8 by 8"); break;
        case 2: multiply(CK_INT4, 16, "matmul_narrow, int4 by 16"); break;
        default: multiply(CK_BF16, 16, "matmul_narrow, bf16 by 16"); break;
        }
        largest();
    }
}
