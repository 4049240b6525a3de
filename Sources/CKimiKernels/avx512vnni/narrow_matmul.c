#if defined(__x86_64__)
#define CK_VNNI 1
#include "../avx512/interleave.h"

#include "../vector/narrow_matmul.h"

#pragma clang attribute pop
#endif
