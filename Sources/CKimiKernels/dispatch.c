// Which instruction sets this processor has, and the table of kernels for each.
#define _GNU_SOURCE // syscall
#include "narrow.h"
#include "tiles.h"

/// The kernels of a level; some levels take their integer products from another one.
#define CK_LEVEL(kernels, number, level, product)                                                                     \
    static const ck_kernels kernels##_kernels = {                                                                     \
        .isa = number,                                                                                                \
        .name = #kernels,                                                                                             \
        .matmul = ck_##level##_matmul,                                                                                \
        .combine_rows = ck_##level##_combine_rows,                                                                    \
        .widen_row = ck_##level##_widen_row,                                                                          \
        .quantize_rows = ck_##level##_quantize_rows,                                                                  \
        .rms_norm = ck_##level##_rms_norm,                                                                            \
        .layer_norm = ck_##level##_layer_norm,                                                                        \
        .rope = ck_##level##_rope,                                                                                    \
        .swiglu = ck_##level##_swiglu,                                                                                \
        .gelu_tanh = ck_##level##_gelu_tanh,                                                                          \
        .gelu_erf = ck_##level##_gelu_erf,                                                                            \
        .add_scaled = ck_##level##_add_scaled,                                                                        \
        .cache_token = ck_##level##_cache_token,                                                                      \
        .widen_token = ck_##level##_widen_token,                                                                      \
        .query_int8 = ck_##level##_query_int8,                                                                        \
        .attention = ck_##product##_attention,                                                                        \
        .attention_fold = ck_##level##_attention_fold,                                                                \
        .attention_finish = ck_##level##_attention_finish,                                                            \
        .expanded_attention = ck_##level##_expanded_attention,                                                        \
        .all_finite = ck_##level##_all_finite,                                                                        \
        .split = ck_##level##_split,                                                                                  \
        .matmul_split = ck_##product##_matmul_split,                                                                  \
        .narrow = ck_##level##_narrow,                                                                                \
        .matmul_narrow = ck_##product##_matmul_narrow,                                                                \
    };

CK_LEVEL(scalar, CK_ISA_SCALAR, scalar, scalar)

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

CK_LEVEL(avx2, CK_ISA_AVX2, avx2, avx2)
CK_LEVEL(avx512, CK_ISA_AVX512, avx512, avx512)
CK_LEVEL(avx512vnni, CK_ISA_AVX512_VNNI, avx512, avx512vnni)
// What has no tiles is done as one level below.
CK_LEVEL(amx, CK_ISA_AMX, avx512, avx512vnni)

static const ck_kernels *const levels[CK_ISA_COUNT] = {
    [CK_ISA_SCALAR] = &scalar_kernels,
    [CK_ISA_AVX2] = &avx2_kernels,
    [CK_ISA_AVX512] = &avx512_kernels,
    [CK_ISA_AVX512_VNNI] = &avx512vnni_kernels,
    [CK_ISA_AMX] = &amx_kernels,
};

/// The register states that the operating system saves (XCR0). Only where cpuid reports OSXSAVE.
static uint64_t saved_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int has_all(uint64_t bits, uint64_t wanted) { return (bits & wanted) == wanted; }

/// Whether tiles of bfloat16 can be multiplied, given registers c and d of leaf 7: the system must save the registers, and let this
/// process use them, for which it is asked here. Vectors of bfloat16 are used beside them, and of bytes and words.
static int has_tiles(uint32_t leaf7_ecx, uint32_t leaf7_edx, uint64_t states) {
    const uint32_t tiles = 1u << 22 | 1u << 24, words = 1u << 1 | 1u << 6, vectors = 1u << 5; // AMX; VBMI, VBMI2; BF16
    const uint64_t tile_states = 0x60000; // their shapes and what is in them
    uint32_t a, b, c, d;
    if (!has_all(leaf7_edx, tiles) || !has_all(leaf7_ecx, words) || !has_all(states, tile_states)) return 0;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !has_all(a, vectors)) return 0;
#if defined(__linux__)
    // arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA); it may be asked again and again.
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
    return 0;
#endif
}

int32_t ck_isa_best(void) {
    const uint32_t leaf1_ecx = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29; // FMA, OSXSAVE, AVX, F16C
    const uint32_t leaf7_avx2 = 1u << 5;
    const uint32_t leaf7_avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; // F, DQ, BW, VL
    const uint32_t leaf7_vnni = 1u << 11;
    const uint64_t ymm_states = 0x06;                                        // SSE, AVX
    const uint64_t zmm_states = 0xe6; // and the mask registers, the upper halves, the upper sixteen
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has_all(c, leaf1_ecx)) return CK_ISA_SCALAR;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has_all(b, leaf7_avx2)) return CK_ISA_SCALAR;
    uint64_t states = saved_states();
    if (!has_all(states, ymm_states)) return CK_ISA_SCALAR;
    if (!has_all(b, leaf7_avx512) || !has_all(states, zmm_states)) return CK_ISA_AVX2;
    if (!has_all(c, leaf7_vnni)) return CK_ISA_AVX512;
    return has_tiles(c, d, states) ? CK_ISA_AMX : CK_ISA_AVX512_VNNI;
}
#else
static const ck_kernels *const levels[CK_ISA_COUNT] = {[CK_ISA_SCALAR] = &scalar_kernels};

int32_t ck_isa_best(void) { return CK_ISA_SCALAR; }
#endif

const ck_kernels *ck_kernels_for(int32_t isa) {
    if (isa < 0 || isa >= CK_ISA_COUNT || isa > ck_isa_best()) return NULL;
    return levels[isa];
}

#define CK_TILES(level, weights, count)                                                                               \
    {                                                                                                                 \
        .halves = count, .split_rows = ck_##level##_split_rows, .pack_weights = weights,                      \
        .matmul = ck_##level##_tile_matmul, .pack_queries = ck_##level##_pack_queries,                                \
        .pack_keys = ck_##level##_pack_keys, .pack_values = ck_##level##_pack_values,                                 \
        .attention = ck_##level##_tile_attention,                                                                     \
    }

// By halves, 1 and 2.
static const ck_tiles scalar_tiles[2] = {
    CK_TILES(scalar_half, ck_scalar_pack_weights, 1), CK_TILES(scalar, ck_scalar_pack_weights, 2)};
#if defined(__x86_64__)
static const ck_tiles amx_tiles[2] = {CK_TILES(amx_half, ck_amx_pack_weights, 1), CK_TILES(amx, ck_amx_pack_weights, 2)};
#endif

const ck_tiles *ck_tiles_for(int32_t isa, size_t halves) {
    if (halves != 1 && halves != 2) return NULL;
    if (isa == CK_ISA_SCALAR) return &scalar_tiles[halves - 1];
#if defined(__x86_64__)
    if (isa == CK_ISA_AMX && ck_isa_best() >= CK_ISA_AMX) return &amx_tiles[halves - 1];
#endif
    return NULL;
}

static const ck_thirds scalar_thirds = {ck_scalar_write_thirds, ck_scalar_matmul_thirds, ck_scalar_combine_thirds};
#if defined(__x86_64__)
static const ck_thirds amx_thirds = {ck_amx_write_thirds, ck_amx_matmul_thirds, ck_amx_combine_thirds};
#endif

const ck_thirds *ck_thirds_for(int32_t isa) {
    if (isa == CK_ISA_SCALAR) return &scalar_thirds;
#if defined(__x86_64__)
    if (isa == CK_ISA_AMX && ck_isa_best() >= CK_ISA_AMX) return &amx_thirds;
#endif
    return NULL;
}

size_t ck_thirds_bytes(size_t columns, size_t thirds) { return (tile_steps(columns) * thirds | 1) * 64; }

size_t ck_block_bytes(size_t columns, size_t halves) { return tile_steps(columns) * halves * CK_TILE_BYTES; }

size_t ck_query_bytes(size_t size, size_t halves) { return query_tiles(size, halves) * CK_TILE_BYTES; }

size_t ck_key_bytes(size_t size, size_t halves) { return 2 * ck_query_bytes(size, halves); }

size_t ck_value_bytes(size_t size, size_t halves) { return value_tiles(size, halves) * CK_TILE_BYTES; }

size_t ck_attention_scratch(size_t size, size_t halves) {
    const size_t blocks = halves == 1 ? 2 * 32 * 32 * 4 + 32 * CK_HALF_KEYS * 2 : 2 * (32 * CK_TILE_KEYS * 8);
    return blocks + CK_TILE_ROWS * (value_tiles(size, halves) * 64 + 8);
}

size_t ck_type_bits(int32_t type) { return ck_bits_of_type(type); }

size_t ck_row_bytes(const ck_matrix *w) { return ck_row_stride(w); }

size_t ck_split_bytes(size_t columns) { return split_blocks(columns) * sizeof(split_block); }

size_t ck_narrow_bytes(size_t columns, int32_t bits) { return split_blocks(columns) * narrow_size(bits); }

void ck_fetch_block(const ck_matrix *w, size_t row, size_t rows) {
    const size_t bytes = ck_smaller(CK_SPLIT_BLOCK * ck_bits_of_type(w->type) / 8, ck_row_stride(w));
    for (size_t k = row; k < row + rows; k++) {
        for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(ck_row(w, k) + line, 0, 2);
        if (w->scales) __builtin_prefetch(ck_row_scales(w, k), 0, 2);
    }
}

void ck_fetch_row(const ck_matrix *w, size_t row) {
    // As far as the streams ask ahead: a page or so of weights. Never faults, so the row may be one past the last.
    const unsigned char *weights = ck_row(w, row);
    for (size_t line = 0; line < 4096; line += 64) __builtin_prefetch(weights + line, 0, 2);
    if (w->scales)
        for (size_t line = 0; line < 512; line += 64) __builtin_prefetch(ck_row_scales(w, row) + line, 0, 2);
}
