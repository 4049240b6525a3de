/* The limits of the machine, as benchmarks measure them, and requests for what will be read. */
#include "support.h"

static void read_plainly(void) {
    size_t words = below(below(2) ? 40 : 3000), bytes = 8 * words + below(8);
    unsigned char *memory = exact(bytes, 8);
    uint64_t right = 0;
    for (size_t i = 0; i < bytes; i++) memory[i] = (unsigned char)random_bits();
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, memory + 8 * i, sizeof word);
        right += word;
    }
    for (int32_t way = 0; way < CK_READ_COUNT; way++)
        REQUIRE(ck_read(memory, bytes, way) == right, "another sum of %zu bytes, way %d", bytes, (int)way);
    give_back(memory);
}

/* Rows that are there, and the one behind the last. */
static void ask_ahead(void) {
    int32_t type = (int32_t[]){CK_BF16, CK_F16, CK_F32, CK_INT4, CK_INT8}[below(5)];
    size_t rows = 1 + below(5);
    ck_matrix w = random_matrix(type, rows, 32 * (1 + below(40)), ORDINARY);
    for (size_t row = 0; row <= rows; row++) ck_fetch_row(&w, row);
    free_matrix(&w);
}

void check_measure(size_t rounds) {
    for (size_t round = 0; round < rounds; round++) {
        read_plainly();
        ask_ahead();
    }
    for (int32_t kind = 0; kind < CK_MULTIPLY_COUNT; kind++) {
        uint64_t made = ck_multiply(kind, 10);
        REQUIRE(ck_multiply(kind, 30) == 3 * made, "kind %d: not three times %llu", (int)kind, (unsigned long long)made);
    }
}
