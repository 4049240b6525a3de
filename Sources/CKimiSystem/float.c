#include "cks_float.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

/// MXCSR after a processor reset: all exceptions masked, nearest, no flush to zero.
enum { default_mxcsr = 0x1F80 };
/// The x87 control word after FINIT. The C library's strtod rounds as this says, not as MXCSR does.
enum { default_x87 = 0x037F };

uint64_t cks_float_use_default(void) {
    uint32_t mxcsr = _mm_getcsr();
    uint16_t x87, wanted = default_x87;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    // The low six bits of MXCSR only record what has happened; they stay.
    _mm_setcsr(default_mxcsr | (mxcsr & 0x3F));
    if (x87 != wanted) __asm__ volatile("fldcw %0" ::"m"(wanted));
    return mxcsr | (uint64_t)x87 << 32;
}

void cks_float_restore(uint64_t settings) {
    uint16_t x87 = (uint16_t)(settings >> 32);
    _mm_setcsr((uint32_t)settings);
    if (x87 != default_x87) __asm__ volatile("fldcw %0" ::"m"(x87));
}

#elif defined(__aarch64__)

uint64_t cks_float_use_default(void) {
    uint64_t before, none = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" ::"r"(none));
    return before;
}

void cks_float_restore(uint64_t settings) { __asm__ volatile("msr fpcr, %0" ::"r"(settings)); }

#else

uint64_t cks_float_use_default(void) { return 0; }
void cks_float_restore(uint64_t settings) { (void)settings; }

#endif
