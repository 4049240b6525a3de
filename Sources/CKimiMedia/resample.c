// Bicubic resizing with antialiasing, in the arithmetic of Pillow's Image.resize: first along the rows, then along the columns, 8
// bits in between, weights as integers of 22 bits.
#include "CKimiMedia.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

enum { WEIGHT_BITS = 32 - 8 - 2 };

/// Which pixels of a line make each pixel of the new line, and their weights.
typedef struct {
    /// Weights of a pixel: room for so many.
    size_t taps;
    /// [count] each
    size_t *first, *used;
    /// [count, taps]
    int32_t *weights;
} filter;

static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static void filter_free(filter *f) {
    free(f->first);
    free(f->used);
    free(f->weights);
    *f = (filter){0};
}

/// From `from` pixels to `to`; false if there is no memory.
static int filter_make(filter *f, size_t from, size_t to) {
    const double scale = (double)from / (double)to, widening = scale < 1.0 ? 1.0 : scale, support = 2.0 * widening;
    f->taps = (size_t)ceil(support) * 2 + 1;
    f->first = malloc(to * sizeof *f->first);
    f->used = malloc(to * sizeof *f->used);
    f->weights = calloc(to, f->taps * sizeof *f->weights);
    double *exact = malloc(f->taps * sizeof *exact);
    if (!f->first || !f->used || !f->weights || !exact) {
        free(exact);
        filter_free(f);
        return 0;
    }
    const double narrowing = 1.0 / widening;
    for (size_t i = 0; i < to; i++) {
        const double centre = ((double)i + 0.5) * scale;
        // Towards 0, as a conversion of negative numbers is: then cut at the line's ends.
        ptrdiff_t begin = (ptrdiff_t)(centre - support + 0.5), end = (ptrdiff_t)(centre + support + 0.5);
        if (begin < 0) begin = 0;
        if (end > (ptrdiff_t)from) end = (ptrdiff_t)from;
        const size_t used = (size_t)(end - begin);
        double sum = 0;
        for (size_t k = 0; k < used; k++) {
            exact[k] = bicubic(((double)((ptrdiff_t)k + begin) - centre + 0.5) * narrowing);
            sum += exact[k];
        }
        int32_t *weights = f->weights + i * f->taps;
        for (size_t k = 0; k < used; k++) {
            const double weight = sum != 0.0 ? exact[k] / sum : exact[k];
            weights[k] = (int32_t)((weight < 0 ? -0.5 : 0.5) + weight * (1 << WEIGHT_BITS));
        }
        f->first[i] = (size_t)begin;
        f->used[i] = used;
    }
    free(exact);
    return 1;
}

static inline uint8_t clip(int32_t sum) {
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

typedef int32_t lanes __attribute__((vector_size(16)));
typedef uint8_t bytes4 __attribute__((vector_size(4)));

/// One row, `row` with a byte of room behind it.
static inline __attribute__((always_inline)) void along_row(uint8_t *to, const uint8_t *row, const filter *f, size_t count) {
    for (size_t i = 0; i < count; i++, to += 3) {
        const int32_t *weights = f->weights + i * f->taps;
        const uint8_t *pixel = row + 3 * f->first[i];
        const int32_t half = 1 << (WEIGHT_BITS - 1);
        lanes sum = {half, half, half, half};
        for (size_t k = 0; k < f->used[i]; k++, pixel += 3) {
            bytes4 four;
            memcpy(&four, pixel, 4);
            sum += __builtin_convertvector(four, lanes) * weights[k];
        }
        to[0] = clip(sum[0]), to[1] = clip(sum[1]), to[2] = clip(sum[2]);
    }
}

enum { BLOCK = 128 };

/// One row out of some, `width` bytes each.
static inline __attribute__((always_inline)) void across_rows(uint8_t *to, const uint8_t *const *rows, const int32_t *weights,
                                                              size_t used, size_t width) {
    for (size_t begin = 0; begin < width; begin += BLOCK) {
        const size_t n = width - begin < BLOCK ? width - begin : BLOCK;
        int32_t sum[BLOCK];
        for (size_t x = 0; x < BLOCK; x++) sum[x] = 1 << (WEIGHT_BITS - 1);
        for (size_t k = 0; k < used; k++) {
            const uint8_t *row = rows[k] + begin;
            const int32_t weight = weights[k];
            if (n == BLOCK)
                for (size_t x = 0; x < BLOCK; x++) sum[x] += weight * row[x];
            else
                for (size_t x = 0; x < n; x++) sum[x] += weight * row[x];
        }
        for (size_t x = 0; x < n; x++) to[begin + x] = clip(sum[x]);
    }
}

/// What a resize needs: rows go through a ring of as many as one new row is made of.
typedef struct {
    filter horizontal, vertical;
    /// [ring rows, new width, 3], the row with number r at r modulo the rows of the ring.
    uint8_t *ring;
    const uint8_t **rows;
    uint8_t *padded;
} work;

static inline __attribute__((always_inline)) void resize(uint8_t *to, size_t to_width, size_t to_height, const uint8_t *from,
                                                         size_t width, size_t height, work *w) {
    const size_t bytes = 3 * to_width;
    if (to_height == height) {
        for (size_t y = 0; y < height; y++) {
            memcpy(w->padded, from + 3 * width * y, 3 * width);
            along_row(to + bytes * y, w->padded, &w->horizontal, to_width);
        }
        return;
    }
    size_t ready = w->vertical.first[0];
    for (size_t y = 0; y < to_height; y++) {
        const size_t first = w->vertical.first[y], end = first + w->vertical.used[y];
        if (to_width != width)
            for (; ready < end; ready++) {
                memcpy(w->padded, from + 3 * width * ready, 3 * width);
                along_row(w->ring + bytes * (ready % w->vertical.taps), w->padded, &w->horizontal, to_width);
            }
        for (size_t k = first; k < end; k++)
            w->rows[k - first] = to_width != width ? w->ring + bytes * (k % w->vertical.taps) : from + bytes * k;
        across_rows(to + bytes * y, w->rows, w->vertical.weights + y * w->vertical.taps, end - first, bytes);
    }
}

static void resize_anywhere(uint8_t *to, size_t to_width, size_t to_height, const uint8_t *from, size_t width, size_t height,
                            work *w) {
    resize(to, to_width, to_height, from, width, height, w);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void resize_avx2(uint8_t *to, size_t to_width, size_t to_height, const uint8_t *from,
                                                        size_t width, size_t height, work *w) {
    resize(to, to_width, to_height, from, width, height, w);
}
#endif

int32_t ckm_resize(uint8_t *to, size_t to_width, size_t to_height, const uint8_t *from, size_t width, size_t height) {
    if (to_width == width && to_height == height) {
        memcpy(to, from, 3 * width * height);
        return CKM_OK;
    }
    work w = {0};
    int32_t code = CKM_NO_MEMORY;
    if (!filter_make(&w.horizontal, width, to_width) || !filter_make(&w.vertical, height, to_height)) goto end;
    w.ring = malloc(3 * to_width * w.vertical.taps);
    w.rows = malloc(w.vertical.taps * sizeof *w.rows);
    w.padded = calloc(3 * width + 1, 1);
    if (!w.ring || !w.rows || !w.padded) goto end;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        resize_avx2(to, to_width, to_height, from, width, height, &w);
    else
#endif
        resize_anywhere(to, to_width, to_height, from, width, height, &w);
    code = CKM_OK;
end:
    filter_free(&w.horizontal);
    filter_free(&w.vertical);
    free(w.ring);
    free(w.rows);
    free(w.padded);
    return code;
}
