// The floating-point settings of the calling thread.
#ifndef CKS_FLOAT_H
#define CKS_FLOAT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Sets round to nearest, denormals kept, no traps, and returns what was set before. A host may have changed any of these (a
/// program compiled with -ffast-math has), and results must not depend on it.
uint64_t cks_float_use_default(void);

/// Sets again what cks_float_use_default has returned.
void cks_float_restore(uint64_t settings);

#ifdef __cplusplus
}
#endif
#endif
