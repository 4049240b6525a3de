#include "cks_float.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

/// MXCSR after a processor reset: all exceptions masked, nearest, no flush to zero.
enum { default_mxcsr = 0x1F80 };

uint64_t cks_float_use_default(void) {
    uint32_t before = _mm_getcsr();
    // The low six bits only record what has happened; they stay.
    _mm_setcsr(default_mxcsr | (before & 0x3F));
    return before;
}

void cks_float_restore(uint64_t settings) { _mm_setcsr((uint32_t)settings); }

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
