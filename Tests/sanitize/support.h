/*
 * What the tests of the C parts under the sanitizers share: random numbers of several moods, buffers of exactly the size that is
 * promised (each its own block of the allocator, so that one byte more is seen), and the comparison of instruction sets.
 */
#ifndef SANITIZE_SUPPORT_H
#define SANITIZE_SUPPORT_H

#include "CKimiKernels.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program with a message if the condition does not hold. */
#define REQUIRE(condition, ...) \
    do { \
        if (!(condition)) fail(__FILE__, __LINE__, #condition, __VA_ARGS__); \
    } while (0)
void fail(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

/* A generator that is the same everywhere. */
uint64_t random_bits(void);
/* 0 ... bound - 1 */
size_t below(size_t bound);

/* What numbers are like; drawn anew for each round. */
typedef enum mood {
    ORDINARY,  /* -1 ... 1 */
    WIDE,      /* exponents from -60 to 60 */
    DENORMAL,  /* around the smallest normal float, and below */
    ZEROS,     /* mostly zeros of both signs */
    HUGE_ONES, /* sums overflow */
    HOSTILE,   /* ordinary with any bits among them: infinities, NaN */
    MOODS
} mood;

float number(mood mood);
/* The words of a bfloat16 or a half. */
uint16_t bf16_word(mood mood);
uint16_t f16_word(mood mood);

/*
 * Exactly `bytes` bytes that nothing can be read or written before or behind; free with `give_back`. In half of the cases at an
 * address that is aligned to 64, in the others at any multiple of `grain`.
 */
void *exact(size_t bytes, size_t grain);
/* The same, always aligned to 64 bytes. */
void *aligned(size_t bytes);
void give_back(void *memory);

/* n floats of a mood in memory of their own, at an address that is a multiple of 4 and often of nothing more. */
float *floats(size_t n, mood mood);

/* Refuses two results that are not the same bits; a NaN is a NaN. */
void same_floats(const float *a, const float *b, size_t n, const char *what, const char *level);
void same_bytes(const void *a, const void *b, size_t n, const char *what, const char *level);

/* The levels of this processor, scalar first. */
extern const ck_kernels *levels[CK_ISA_COUNT];
extern size_t level_count;

/* A matrix of random weights of a type, its rows at any address; free with free_matrix. */
ck_matrix random_matrix(int32_t type, size_t rows, size_t columns, mood mood);
void free_matrix(ck_matrix *matrix);

/* The parts of the program. */
void check_matmul(size_t rounds);
void check_rows(size_t rounds);
void check_elementwise(size_t rounds);
void check_attention(size_t rounds);
void check_integers(size_t rounds);
void check_thirds(size_t rounds);
void check_measure(size_t rounds);
void check_media(size_t rounds);
void check_system(void);
void check_memory(void);

#endif
