// Multiplications in registers alone: the limit of everything that is bound by arithmetic.
#include "../include/CKimiKernels.h"

/// Independent sums: more than any processor's latency times instructions a cycle, and few enough for 32 or 16 registers.
enum { wide_sums = 24, narrow_sums = 12 };

/// `rounds` times one instruction for each sum. The empty assembly keeps each sum in its register and the loop as it is.
#define MULTIPLY(vector, count, constraint, zero, instruction)                                                        \
    vector sums[count];                                                                                               \
    for (size_t j = 0; j < (count); j++) sums[j] = zero();                                                            \
    for (size_t i = 0; i < rounds; i++) {                                                                             \
        _Pragma("clang loop unroll(full)") for (size_t j = 0; j < (count); j++) {                                     \
            sums[j] = instruction;                                                                                    \
            __asm__ volatile("" : "+" constraint(sums[j]));                                                           \
        }                                                                                                             \
    }

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

__attribute__((target("avx512f"))) static uint64_t floats_avx512(size_t rounds) {
    const __m512 a = _mm512_set1_ps(0.5f);
    MULTIPLY(__m512, wide_sums, "v", _mm512_setzero_ps, _mm512_fmadd_ps(a, sums[j], a))
    return rounds * wide_sums * 16;
}

__attribute__((target("avx2,fma"))) static uint64_t floats_avx2(size_t rounds) {
    const __m256 a = _mm256_set1_ps(0.5f);
    MULTIPLY(__m256, narrow_sums, "x", _mm256_setzero_ps, _mm256_fmadd_ps(a, sums[j], a))
    return rounds * narrow_sums * 8;
}

__attribute__((target("avx512f,avx512bw,avx512bf16"))) static uint64_t pairs_avx512(size_t rounds) {
    const __m512bh a = (__m512bh)_mm512_set1_epi16(0x3c00); // small: the sums stay finite
    MULTIPLY(__m512, wide_sums, "v", _mm512_setzero_ps, _mm512_dpbf16_ps(sums[j], a, a))
    return rounds * wide_sums * 32;
}

__attribute__((target("avx512f,avx512vnni"))) static uint64_t bytes_avx512(size_t rounds) {
    const __m512i a = _mm512_set1_epi32(0x01020304);
    MULTIPLY(__m512i, wide_sums, "v", _mm512_setzero_si512, _mm512_dpbusd_epi32(sums[j], a, a))
    return rounds * wide_sums * 64;
}

__attribute__((target("avx2,avxvnni"))) static uint64_t bytes_avx2(size_t rounds) {
    const __m256i a = _mm256_set1_epi32(0x01020304);
    MULTIPLY(__m256i, narrow_sums, "x", _mm256_setzero_si256, _mm256_dpbusd_avx_epi32(sums[j], a, a))
    return rounds * narrow_sums * 32;
}

__attribute__((target("amx-tile,amx-bf16"))) static uint64_t tiles_amx(size_t rounds) {
    static const struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    // Numbers that look like anything: with zeros, which take less power, the clock is a tenth higher than work has it.
    _Alignas(64) uint16_t words[4][16][32];
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof words / sizeof words[0][0][0]; i++) {
        state = state * 1664525u + 1013904223u;
        words[i / 512][i / 32 % 16][i % 32] = (uint16_t)(0x3c00 | (state >> 16 & 0x80ff)); // 2^-7 to 2^-5, of either sign
    }
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, words[0], 64);
    _tile_loadd(5, words[1], 64);
    _tile_loadd(6, words[2], 64);
    _tile_loadd(7, words[3], 64);
    for (size_t i = 0; i < rounds; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
    return rounds * 4 * 16 * 16 * 32;
}

/// Bits of what a processor has.
enum { has_avx2 = 1, has_avx512 = 2, has_avx_vnni = 4, has_avx512_vnni = 8, has_avx512_bf16 = 16, has_tiles = 32, is_known = 64 };

static uint32_t find_features(void) {
    const int32_t isa = ck_isa_best();
    uint32_t a, b, c, d, found = is_known;
    if (isa >= CK_ISA_AVX2) found |= has_avx2;
    if (isa >= CK_ISA_AVX512) found |= has_avx512;
    if (isa >= CK_ISA_AMX) found |= has_tiles;
    if (isa >= CK_ISA_AVX512 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 11 & 1) found |= has_avx512_vnni;
    if (isa >= CK_ISA_AVX2 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        if (a >> 4 & 1) found |= has_avx_vnni;
        if (isa >= CK_ISA_AVX512 && a >> 5 & 1) found |= has_avx512_bf16;
    }
    return found;
}
#endif

/// Any processor: what the compiler makes of it.
static uint64_t floats_scalar(size_t rounds) {
    typedef float four __attribute__((vector_size(16)));
    const four a = {0.5f, 0.5f, 0.5f, 0.5f};
    four sums[narrow_sums] = {{0}};
    for (size_t i = 0; i < rounds; i++) {
        for (size_t j = 0; j < narrow_sums; j++) sums[j] = sums[j] * a + a;
        __asm__ volatile("" : : : "memory");
    }
    float rest = 0;
    for (size_t j = 0; j < narrow_sums; j++) rest += sums[j][0];
    // Never so, which the compiler cannot know: the sums must not be optimised away.
    return rest < 0 ? 0 : rounds * narrow_sums * 4;
}

uint64_t ck_multiply(int32_t kind, size_t rounds) {
#if defined(__x86_64__)
    // Asked once: cpuid is slow in a virtual machine. Every thread would find the same.
    static _Atomic uint32_t known = 0;
    uint32_t has = known;
    if (!has) known = has = find_features();
    switch (kind) {
    case CK_MULTIPLY_F32:
        if (has & has_avx512) return floats_avx512(rounds);
        return has & has_avx2 ? floats_avx2(rounds) : floats_scalar(rounds);
    case CK_MULTIPLY_TILES: return has & has_tiles ? tiles_amx(rounds) : 0;
    case CK_MULTIPLY_BF16: return has & has_avx512_bf16 ? pairs_avx512(rounds) : 0;
    case CK_MULTIPLY_INT8:
        if (has & has_avx512_vnni) return bytes_avx512(rounds);
        return has & has_avx_vnni ? bytes_avx2(rounds) : 0;
    default: return 0;
    }
#else
    return kind == CK_MULTIPLY_F32 ? floats_scalar(rounds) : 0;
#endif
}
