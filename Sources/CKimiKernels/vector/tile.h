// Register tiles of dot products: some weight rows by some rows of x, 16 partial sums each, in dot order.
//
// Every argument that says how many or of which type is a constant where these functions are called; the compiler then
// unrolls the loops over rows and keeps the sums in registers.
#ifndef CK_VECTOR_TILE_H
#define CK_VECTOR_TILE_H


/// 16 weights from element i of a row on; not for CK_INT4.
CK_INLINE lanes load_weights(const unsigned char *row, size_t i, int32_t type) {
    switch (type) {
    case CK_BF16: return lanes_load_bf16(row + 2 * i);
    case CK_F16: return lanes_load_f16(row + 2 * i);
    default: return lanes_load(row + 4 * i);
    }
}

/// The first count (1 ... 15) weights from element i of a row on, then zeros.
CK_INLINE lanes load_weights_part(const unsigned char *row, size_t i, int32_t type, size_t count) {
    switch (type) {
    case CK_BF16: return lanes_load_bf16_part(row + 2 * i, count);
    case CK_F16: return lanes_load_f16_part(row + 2 * i, count);
    default: return lanes_load_part(row + 4 * i, count);
    }
}

/// Asks for a cache line that will be read some microseconds later, into the second cache, where more lines can be on their way than into
/// the first: measured, see the design note. Never faults, so any address will do.
CK_INLINE void fetch_for_later(const unsigned char *p) { __builtin_prefetch(p, 0, 2); }

/// sum[r * tw + j] = the 16 sums of x row r and weight row j, for tx rows of x (ldx floats apart) and tw rows of
/// weights (stride bytes apart) of `columns` elements. The rows take turns every `run` elements: 16 keeps x in
/// registers, longer runs look to the hardware's prefetcher more like one stream. Meanwhile, if `fetch`, as many bytes
/// from `next` on are brought into the cache, in rising order.
CK_INLINE void dot_tile(lanes *sum, size_t tx, size_t tw, const float *x, size_t ldx, const unsigned char *w,
                        size_t stride, int32_t type, size_t columns, size_t run, int fetch, const unsigned char *next) {
    const size_t line = type == CK_F32 ? 16 : 32; // elements in a cache line
    const size_t step = ck_smaller(line, run);
    CK_UNROLL for (size_t k = 0; k < tx * tw; k++) sum[k] = lanes_zero();
    size_t i = 0;
    for (; i + run <= columns; i += run) {
        CK_UNROLL for (size_t j = 0; j < tw; j++)
            for (size_t s = i; s < i + run; s += step) {
                if (fetch) fetch_for_later(next + (i * tw + j * run + (s - i)) / line * 64);
                CK_UNROLL for (size_t k = s; k < s + step; k += 16) {
                    lanes weights = load_weights(w + j * stride, k, type);
                    CK_UNROLL for (size_t r = 0; r < tx; r++)
                        sum[r * tw + j] = lanes_fma(lanes_load(x + r * ldx + k), weights, sum[r * tw + j]);
                }
            }
    }
    for (; i < columns; i += 16) {
        size_t count = ck_smaller(columns - i, 16);
        CK_UNROLL for (size_t j = 0; j < tw; j++) {
            lanes weights = count == 16 ? load_weights(w + j * stride, i, type)
                                        : load_weights_part(w + j * stride, i, type, count);
            CK_UNROLL for (size_t r = 0; r < tx; r++) {
                lanes *s = &sum[r * tw + j];
                *s = count == 16 ? lanes_fma(lanes_load(x + r * ldx + i), weights, *s)
                                 : lanes_fma_part(lanes_load_part(x + r * ldx + i, count), weights, *s, count);
            }
        }
    }
}

#endif
