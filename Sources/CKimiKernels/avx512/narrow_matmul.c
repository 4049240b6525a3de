#if defined(__x86_64__)
#include "interleave.h"

#include "../vector/narrow_matmul.h"

#pragma clang attribute pop
#endif
