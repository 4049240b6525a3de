#include "support.h"

#include <math.h>
#include <sanitizer/asan_interface.h>
#include <stdarg.h>

const ck_kernels *levels[CK_ISA_COUNT];
size_t level_count;

void fail(const char *file, int line, const char *condition, const char *format, ...) {
    fprintf(stderr, "%s:%d: %s does not hold: ", file, line, condition);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

uint64_t random_bits(void) {
    static uint64_t state = 0x9e3779b97f4a7c15;
    uint64_t z = state += 0x9e3779b97f4a7c15; /* SplitMix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

size_t below(size_t bound) { return (size_t)(random_bits() % bound); }

static float unit(void) { return (float)((double)(int64_t)random_bits() * 0x1p-63); }

static float of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float number(mood mood) {
    switch (mood) {
    case WIDE: return ldexpf(unit(), (int)below(120) - 60);
    case DENORMAL: return ldexpf(unit(), -120 - (int)below(30));
    case ZEROS: return below(4) == 0 ? unit() : below(2) ? 0.0f : -0.0f;
    case HUGE_ONES: return ldexpf(unit(), 100 + (int)below(28));
    case HOSTILE: return below(40) == 0 ? of_bits((uint32_t)random_bits()) : unit();
    default: return unit();
    }
}

uint16_t bf16_word(mood mood) { return (uint16_t)(bits_of(number(mood)) >> 16); }

uint16_t f16_word(mood mood) {
    switch (mood) {
    case DENORMAL: return (uint16_t)(random_bits() & 0x83ff);
    case ZEROS: return below(4) == 0 ? (uint16_t)(random_bits() & 0xbbff) : (uint16_t)(below(2) << 15);
    case HUGE_ONES: return (uint16_t)(0x7800 | (random_bits() & 0x83ff));
    case HOSTILE: return (uint16_t)random_bits();
    default: return (uint16_t)(random_bits() & 0xbbff); /* below 1 */
    }
}

/* So many bytes before a block's memory are not to be touched, either; the first of them hold its beginning, for the way back. */
enum { HEAD = 64 };

static void *block(size_t bytes, size_t offset) {
    size_t size = offset + HEAD + bytes; /* nothing follows the last byte */
    unsigned char *start = NULL;
    if (posix_memalign((void **)&start, 64, size) != 0) fail(__FILE__, __LINE__, "memory", "%zu bytes", size);
    memset(start, 0xa5, size);
    unsigned char *memory = start + offset + HEAD;
    memcpy(memory - HEAD, &start, sizeof start);
    __asan_poison_memory_region(memory - HEAD, HEAD);
    return memory;
}

void *exact(size_t bytes, size_t grain) { return block(bytes, below(2) ? 0 : grain * below(9)); }

void *aligned(size_t bytes) { return block(bytes, 0); }

void give_back(void *memory) {
    void *start;
    if (!memory) return;
    __asan_unpoison_memory_region((unsigned char *)memory - HEAD, HEAD);
    memcpy(&start, (unsigned char *)memory - HEAD, sizeof start);
    free(start);
}

float *floats(size_t n, mood mood) {
    float *memory = exact(n * sizeof *memory, sizeof *memory);
    for (size_t i = 0; i < n; i++) memory[i] = number(mood);
    return memory;
}

void same_floats(const float *a, const float *b, size_t n, const char *what, const char *level) {
    for (size_t i = 0; i < n; i++)
        REQUIRE(bits_of(a[i]) == bits_of(b[i]) || (isnan(a[i]) && isnan(b[i])), "%s on %s: %a and %a at %zu of %zu", what,
                level, (double)a[i], (double)b[i], i, n);
}

void same_bytes(const void *a, const void *b, size_t n, const char *what, const char *level) {
    REQUIRE(memcmp(a, b, n) == 0, "%s on %s: other bytes among %zu", what, level, n);
}

ck_matrix random_matrix(int32_t type, size_t rows, size_t columns, mood mood) {
    ck_matrix matrix = {.rows = rows, .columns = columns, .type = type};
    size_t stride = ck_row_bytes(&matrix), groups = columns / 32;
    unsigned char *data = exact(rows * stride, 1);
    bool is_integer = type == CK_INT4 || type == CK_INT8;
    uint16_t *scales = is_integer ? exact(rows * groups * 2, 2) : NULL;
    for (size_t r = 0; r < rows; r++) {
        unsigned char *row = data + r * stride;
        for (size_t i = 0; i < columns; i++) {
            float value = number(mood);
            uint16_t word = type == CK_F16 ? f16_word(mood) : (uint16_t)(bits_of(value) >> 16);
            if (type == CK_F32) memcpy(row + 4 * i, &value, 4);
            else if (!is_integer) memcpy(row + 2 * i, &word, 2);
        }
        if (!is_integer) continue;
        for (size_t i = 0; i < stride; i++) row[i] = (unsigned char)(type == CK_INT8 ? 1 + below(255) : below(256));
        for (size_t g = 0; g < groups; g++) scales[r * groups + g] = bf16_word(mood);
    }
    matrix.data = data;
    matrix.scales = scales;
    return matrix;
}

void free_matrix(ck_matrix *matrix) {
    give_back((void *)matrix->data);
    give_back((void *)matrix->scales);
}
