// The arithmetic of libkimi: one struct of function pointers per instruction set.
//
// Every kernel has a scalar twin, which is the specification: the AVX2 and AVX-512 versions give the same bits. That is
// possible because each result is built in a fixed order that suits every register width:
//
//   dot order    lane[i % 16] = fma(x[i], w[i], lane[i % 16]) for i = 0, 1, 2, ...; then the 16 lanes are added as
//                l[j] += l[j + 8] (j < 8), l[j] += l[j + 4] (j < 4), l[j] += l[j + 2] (j < 2), l[0] + l[1].
//
// So a result depends neither on the instruction set, nor on how rows and outputs are split over threads and calls. (Of a NaN only
// that it is one.) The calling thread's floating-point settings must be the default ones: cks_float_use_default.
// All pointers are to readable memory of the stated size, need only the alignment of their element type unless said
// otherwise, and outputs never alias inputs unless said otherwise. No kernel allocates, prints, or fails.
#ifndef CKIMI_KERNELS_H
#define CKIMI_KERNELS_H

#include "ck_measure.h"
#include "ck_thirds.h"
#include "ck_tiles.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Instruction-set levels, in rising order.
enum {
    CK_ISA_SCALAR = 0,
    CK_ISA_AVX2 = 1,   ///< AVX2, FMA and F16C
    CK_ISA_AVX512 = 2, ///< AVX-512 F, BW, DQ, VL
    CK_ISA_AVX512_VNNI = 3, ///< and its byte products
    CK_ISA_AMX = 4,  ///< and tiles of bfloat16: ck_tiles_for
    CK_ISA_NEON = 5, ///< a place for kernels that are not there: ck_kernels_for gives NULL
    CK_ISA_COUNT = 6,
};

/// Element types of a stored matrix.
enum {
    CK_BF16 = 0,
    CK_F16 = 1,
    CK_F32 = 2,
    CK_INT4 = 3, ///< group 32, symmetric; see ck_matrix
    CK_INT8 = 4, ///< group 32, symmetric, made at load; see ck_matrix
};

/// A weight matrix [rows, columns] as it lies in the checkpoint, row after row.
typedef struct ck_matrix {
    /// CK_BF16, CK_F16: 16-bit words; CK_F32: floats; CK_INT4: bytes, element 2b of a row in the low nibble of the row's
    /// byte b and element 2b+1 in the high one, each nibble being the value + 8. May be unaligned.
    const void *data;
    /// CK_INT8: rows of whole blocks of 512 bytes, a block for 16 groups of 32 elements, each byte being the value + 128. In
    /// a block byte 64 s + 4 (4 (g % 4) + g / 4) + b is element 8 (s / 2) + s % 2 + 2 b of group g (s < 8, b < 4), which is where
    /// the nibbles of int4 weights come to lie when they are taken apart. Bytes past the last
    /// column are 128.
    /// CK_INT4, CK_INT8: bfloat16 [rows, columns / 32], w = integer * scale, exact in f32. NULL for the others.
    const uint16_t *scales;
    size_t rows;
    size_t columns; ///< CK_INT4, CK_INT8: a multiple of 32
    int32_t type;
    int32_t reserved;
} ck_matrix;

/// How many tokens a block of the latent cache holds.
#define CK_CACHE_BLOCK 64

/// The most spans that a row's attention is cut into, and the least tokens of a span: see ck_attention_span.
#define CK_SPANS_MOST 16
#define CK_SPAN_LEAST 512

/// The absorbed attention of some heads of some rows over one span of their sequence's cache.
typedef struct ck_attention {
    /// Base of each cache block of the sequence; block b holds tokens 64b ... 64b+63.
    const void *const *blocks;
    /// Bytes from a block's base to this layer's tokens, one after another as cache_token wrote them.
    size_t layer_offset;
    int32_t cache_type; ///< CK_F32, CK_BF16 or CK_INT8; with CK_INT8 the queries must be ready for it: query_int8
    float scale;        ///< of the scores, before the softmax
    size_t tokens;      ///< how many cached tokens row 0 sees; row r sees r more
    size_t begin;       ///< the span's first token: a multiple of CK_CACHE_BLOCK, and one that row 0 sees
    size_t end;         ///< where the span ends; a row's part of it ends at the last token the row sees
    size_t rows;        ///< at least 1
    size_t heads;       ///< at least 1
    size_t query_stride; ///< floats from a row's queries to the next row's
    size_t latent;
    size_t rope;
} ck_attention;

/// Rows of queries that lie side by side for expanded attention: see ck_pack_queries.
#define CK_PACKED_ROWS 16

/// The expanded attention of one head of some rows over one block of their sequence's tokens.
typedef struct ck_expanded_block {
    const float *keys;   ///< the head's key of the block's first token: `key` floats
    const float *values; ///< its value: `value` floats
    size_t stride;       ///< floats from a token's key to the next one's, and from value to value
    size_t key;
    size_t value;
    size_t start;  ///< the number of the block's first token: a multiple of CK_CACHE_BLOCK
    size_t count;  ///< the block's tokens: 1 ... CK_CACHE_BLOCK
    size_t tokens; ///< how many tokens row 0 sees, counted from the sequence's first; row r sees r more
    size_t rows;   ///< at least 1
    float scale;   ///< of the scores, before the softmax
    const void *ahead; ///< what will be read next, brought into the cache meanwhile as far as there is time; never faults
    size_t ahead_bytes;
} ck_expanded_block;

typedef struct ck_kernels {
    int32_t isa;
    int32_t reserved;
    const char *name; ///< "scalar", "avx2", "avx512", "avx512vnni", "amx"

    /// y[r * ldy + j] = dot(x[r * ldx ...], row j of w) in dot order, for r < n and begin <= j < end <= w->rows.
    /// CK_BF16, CK_F16, CK_F32; the weight is widened to f32 exactly. Few or many rows of x: each weight row is read from memory
    /// about once.
    void (*matmul)(float *y, size_t ldy, const float *x, size_t ldx, size_t n,
                   const ck_matrix *w, size_t begin, size_t end);

    /// y[r * ldy + c] = sum over d = 0, 1, ... of x[r * ldx + d] * w[first + d][c], each term added by one fma in the order of
    /// d, for r < n, d < count and c < w->columns. For kv_b absorbed into the queries: each weight is read once for up to 8
    /// rows or more. Not for CK_INT4 and CK_INT8.
    void (*combine_rows)(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w, size_t first,
                         size_t count);

    /// y[c] = w[row][c] widened to f32, c < w->columns. An embedding look-up. Any weight type.
    void (*widen_row)(float *y, const ck_matrix *w, size_t row);

    /// Writes all rows of w, CK_BF16, CK_F16 or CK_F32 with columns a multiple of 32, as CK_INT8: `to` receives rows of whole
    /// blocks (ck_row_bytes of such a matrix), `scales` [rows, columns / 32].
    ///
    /// A group's scale is the smallest bfloat16 that is no less than its largest magnitude / 127 (in f32; above 0 unless all are
    /// zeros), and an integer w / scale rounded to the nearest, ties to even: never beyond 127, and off by at most half a scale, a
    /// rounding of the quotient apart. A group with an infinity or a NaN has the scale NaN and zeros.
    void (*quantize_rows)(void *to, uint16_t *scales, const ck_matrix *w);

    /// y[i] = x[i] * (1 / sqrt(dot(x, x) / n + eps)) * w[i]; dot in dot order, the rest in f32 with IEEE division and
    /// square root, in this order: t = x[i] * r, y[i] = t * w[i]. y may be x.
    void (*rms_norm)(float *y, const float *x, const float *w, size_t n, float eps);

    /// y[i] = fma(d * r, w[i], b[i]) with d = x[i] - mean; mean = (sum of x in dot order with weight 1) / n and r =
    /// 1 / sqrt(dot(d, d) / n + eps), with IEEE division and square root. y may be x.
    void (*layer_norm)(float *y, const float *x, const float *w, const float *b, size_t n, float eps);

    /// Rotates the pairs (x[0], x[1]), (x[2], x[3]), ... by the angles of a position, given as the cosines of all pairs and then
    /// their sines: y[2i] = a cos - b sin, y[2i + 1] = b cos + a sin, each product and sum rounded by itself. y may be x.
    void (*rope)(float *y, const float *x, const float *angles, size_t pairs);

    /// y[i] = silu(gate[i]) * up[i], silu(g) = g / (1 + exp(-g)) with ck_exp. y may be gate or up.
    void (*swiglu)(float *y, const float *gate, const float *up, size_t n);

    /// The Gaussian error linear unit of t = x[i] + bias[i], in the operations that gelu.h states: by tanh (the usual approximation
    /// of it), t / (1 + exp(-2u)); by erf, max(t, 0) - |t| erfc(|t| / sqrt 2) / 2. Each is within 2^-22 |t| (or the least denormal)
    /// of its formula, by erf also within 8 ulp of the result unless |t| > 13. y may be x.
    void (*gelu_tanh)(float *y, const float *x, const float *bias, size_t n);
    void (*gelu_erf)(float *y, const float *x, const float *bias, size_t n);

    /// y[i] = fma(a, x[i], y[i]).
    void (*add_scaled)(float *y, float a, const float *x, size_t n);

    /// Writes a token (normed latent, then rotated key) to its slot in a cache, ck_cache_token_bytes long.
    /// CK_F32: as it is. CK_BF16: rounded to the nearest, ties to even; NaN stays NaN. CK_INT8: `latent` signed bytes q, x = q * s;
    /// `rope` bfloat16; s as f32; zeros. With m the largest magnitude: q[i] = x[i] * (127 / m) rounded to the nearest integer, ties
    /// to even, s = m * (1 / 127); if m < 2^-100, q and s are 0; if a value is not finite, q is 0 and s NaN.
    void (*cache_token)(void *to, const float *x, size_t latent, size_t rope, int32_t cache_type);

    /// y[i] = the token (latent, then rotated key) as it was written to a cache: exactly, but for the latent of CK_INT8, which is
    /// q * s.
    void (*widen_token)(float *y, const void *from, size_t latent, size_t rope, int32_t cache_type);

    /// Makes n absorbed queries, ldq floats apart, ready for a CK_INT8 cache, in place: the `latent` (at least 2) floats become
    /// `latent` 16-bit integers as bytes do in cache_token, with 32767 for 127, and s lies in the last of the floats.
    void (*query_int8)(float *q, size_t ldq, size_t n, size_t latent);

    /// Softmax attention of each row's `heads` queries over one span of the latent cache, without the division by the sum of
    /// weights, with an online softmax over blocks of 64 tokens in rising order.
    /// q: of each row [heads, latent + rope] (query absorbed into latent space, then rotated rope part); out: [rows, heads,
    /// latent]; state: [rows, heads, 2], the largest score m and the sum of weights l.
    /// Per block: scores s[t] = dot(q, token t) in dot order * scale; m' = max(m, all s); c = ck_exp(m - m') (0 at the
    /// first block); p[t] = ck_exp(s[t] - m'); l = l * c + sum of p in dot order with weight 1; out = out * c, then for t
    /// in order out = fma(p[t], latent of t, out).
    /// CK_INT8 has other scores and another sum: s[t] = fma(i, query's s * token's s, dot(rope part, key) in dot order) * scale,
    /// with i the sum over runs of 512 elements, in order, of each run's exact sum of integer products as a float; and with
    /// w[t] = p[t] * token's s made 16-bit integers with step s as in query_int8, out = fma(exact sum of their products with the
    /// bytes as a float, s, out * c).
    /// A row's result depends neither on the other rows and heads of the call nor on who computes it. To be the attention
    /// over all of its tokens, spans of ck_attention_span(tokens of the row) are folded in rising order and finished.
    void (*attention)(float *out, float *state, const float *q, const ck_attention *a);

    /// Folds the next span's results into those of the spans before it, for n queries laid one after another as `attention`
    /// leaves them: M = max(m, m of the part); a = ck_exp(m - M), b = ck_exp(m of the part - M); l = l * a + (l of the part) * b;
    /// out = fma(part, b, out * a).
    void (*attention_fold)(float *out, float *state, const float *part, const float *part_state, size_t n, size_t latent);

    /// y = out * (1 / l), for n queries; ldy floats from one result to the next. y may be out if ldy is latent.
    void (*attention_finish)(float *y, size_t ldy, const float *out, const float *state, size_t n, size_t latent);

    /// Softmax attention of one head's queries to expanded keys and values, for one block of tokens: called for the blocks of a
    /// sequence in rising order, it is an online softmax without the division by the sum of weights, which attention_finish
    /// does.
    /// q: the queries as ck_pack_queries leaves them, of `key` elements; out: [rows, value]; state: [rows, 2], the largest score
    /// m and the sum of weights l. With R the rows rounded up to CK_PACKED_ROWS, q, out and state have room for R of them, and
    /// the last R - rows are computed as well.
    /// A row takes the tokens of the block that it sees: s[t] = (sum over d = 0, 1, ... of q[d] * key of t[d], each term added by
    /// one fma in the order of d) * scale; m' = max(m, all s); c = ck_exp(m - m'); p[t] = ck_exp(s[t] - m'); l = l * c + (sum of
    /// p[t] in the order of t); out = out * c, then for t in order out = fma(p[t], value of t, out). At block 0 out and l are 0,
    /// m is -infinity and c is 0. A row that sees no token of the block stays as it is.
    /// A row's result depends neither on the other rows nor on its place among them.
    void (*expanded_attention)(float *out, float *state, const float *q, const ck_expanded_block *b);

    /// 1 if every one of the n values is finite, else 0.
    int32_t (*all_finite)(const float *x, size_t n);

    /// Writes columns first ... first + count - 1 of a row of x, which has `columns` of them, as integers of 24 bits for
    /// matmul_split; `to` is the whole row's ck_split_bytes(columns) bytes, aligned to 64. The three numbers are multiples of 32,
    /// and x begins at `first`.
    /// A row may be written in parts in any order, by any threads, since groups of 32 share nothing; whoever writes its end also
    /// fills the last block.
    ///
    /// In a group with the largest magnitude m: q[i] = x[i] * (limit / m) rounded to the nearest, ties to even, and scale =
    /// m * (1 / limit), where the limit is 8355000. So |x[i] - q[i] * scale| is at most m / (2 limit) and three roundings of
    /// x[i]: m * 2^-21.7, and x[i] itself lost 2^-24 of m at least in every f32 sum. A group with m below 2^-100 is all zeros;
    /// one with an infinity or a NaN has the scale NaN, which spoils the outputs as the value itself would.
    void (*split)(void *to, const float *x, size_t first, size_t count, size_t columns);

    /// y[r * ldy + j] = the product of row x[r], written by `split`, and row j of w, CK_INT4 or CK_INT8, for r < n and begin <= j <
    /// end. Within a group g of 32 the sums of the weights' integers times q are exact, one of q's top byte, one of the lower two;
    /// as floats s = fma(65536, top sum, lower sum); lane[l] = fma(s, x's scale * w's scale, lane[l]) with
    /// l = 4 (g % 4) + g % 16 / 4, for g = 0, 1, 2, ..., up to a multiple of 16, absent groups being zeros, and the lanes are added
    /// as in dot order. s is off by 2^-23 of itself at most, so the error of an output is that of q and of the f32 sum over
    /// columns / 512 groups.
    void (*matmul_split)(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w,
                         size_t begin, size_t end);

    /// Writes columns first ... first + count - 1 of a row of x as integers of 8 or 16 bits for matmul_narrow; `to` is the whole
    /// row's ck_narrow_bytes(columns, bits) bytes, aligned to 64, and x begins at `first`, a multiple of 32; so is the count unless
    /// it ends with the row. Parts of a row may be written in any order, by any threads.
    ///
    /// In a group of 32 with the largest magnitude m, u[i] = x[i] * (limit / m) with the limits 127 and 32767. Of 16 bits also
    /// r = the root of the sum of u[i]^2 (in dot order), or 65000 if that is larger, and u[i] is multiplied by 65000 / r. q[i] is
    /// u[i] rounded to the nearest, ties to even; scale = m * (1 / limit), times r / 65000. So |x[i] - q[i] * scale| is at most
    /// scale / 2 and a few roundings of x[i]. Groups below 2^-100, and with infinities or NaNs, are as those of `split`.
    void (*narrow)(void *to, const float *x, size_t first, size_t count, int32_t bits);

    /// y[r * ldy + j] = the product of row x[r], written by `narrow`, and row j of w, for r < n and begin <= j < end: of 8 bits
    /// with CK_INT4 and CK_INT8, of 16 bits with CK_INT4 and CK_BF16. y = fma(s, x's scale * w's scale, y) from 0 on, for groups
    /// g = 0, 1, 2, ..., s being the exact sum of the group's products of integers, as a float.
    ///
    /// bf16 weights become integers for it: w * 2^k rounded to the nearest, ties to even, with one k for a group of 32, such that
    /// they are at most 2^15 and the root of the sum of their squares is, too; w's scale is 2^-k. With e the exponent of the
    /// largest (2^e <= largest < 2^(e + 1)), k = 14 - e - d, where d = 0, 1, 2 or 3 is how many of L, 4 L and 16 L the sum of
    /// (w * 2^(14 - e))^2 exceeds, L = 0x1.ff8p29; it has four parts, one for the columns that leave the same rest when divided by
    /// 4, fma by fma in rising order, added as (0 + 2) + (1 + 3). So a weight keeps all its bits unless it is less than 128 * 2^-k,
    /// and then it is off by 2^-k / 2 at most. Groups of weights below 2^-100 count as zeros; one with an infinity or a NaN has the
    /// scale NaN.
    void (*matmul_narrow)(float *y, size_t ldy, const void *const *x, size_t n, const ck_matrix *w, size_t begin, size_t end,
                          int32_t bits);
} ck_kernels;

/// The highest level this processor (and operating system) can run. Never fails.
int32_t ck_isa_best(void);

/// The kernels of a level, or NULL if the level is unknown, not built for this architecture, or above ck_isa_best().
const ck_kernels *ck_kernels_for(int32_t isa);

/// exp(x) in f32, the same bits on every instruction set: range reduction by fma with ln 2 in two parts, a polynomial,
/// scaling by a power of two. At most 2 ulp from the true value for -87 <= x <= 88; exactly 0 below -87.4 (no denormals),
/// infinity above 88.8, NaN for NaN.
float ck_exp(float x);

/// How many tokens a span of the attention of a row has that sees `tokens` tokens: CK_SPAN_LEAST, doubled until no more than
/// CK_SPANS_MOST spans cover them. A function of the row alone, so that its result does not depend on how work is divided.
size_t ck_attention_span(size_t tokens);

/// Lays n queries of `size` elements, ldq floats apart, side by side for expanded attention: element d of query r becomes
/// to[(r / 16 * size + d) * 16 + r % 16]; the last sixteen are filled up with zeros.
void ck_pack_queries(float *to, const float *q, size_t ldq, size_t n, size_t size);

/// Bytes of a cached token in one layer; 0 for a type that no cache has. CK_INT8: latent + 2 rope + 4, rounded up to 16.
size_t ck_cache_token_bytes(int32_t cache_type, size_t latent, size_t rope);

/// The size of an element type in bits: 16, 16, 32, 4, 8.
size_t ck_type_bits(int32_t type);

/// Bytes from one row of w to the next.
size_t ck_row_bytes(const ck_matrix *w);

/// The bytes of a row of `columns` elements as integers of 24 bits (`split`): 1728 for each 512 columns begun.
size_t ck_split_bytes(size_t columns);

/// The bytes of a row of `columns` elements as integers of 8 or 16 bits (`narrow`): 640 or 1152 for each 512 columns begun.
size_t ck_narrow_bytes(size_t columns, int32_t bits);

/// Asks for the first bytes of a row of w and of its scales: for the row that will be streamed next, since a stream asks ahead for
/// itself only.
void ck_fetch_row(const ck_matrix *w, size_t row);

/// Asks for the first 512 columns of some rows of w: for those that matmul_narrow will begin with next.
void ck_fetch_block(const ck_matrix *w, size_t row, size_t rows);

#ifdef __cplusplus
}
#endif
#endif
