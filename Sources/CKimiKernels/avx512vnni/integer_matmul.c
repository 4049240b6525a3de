#if defined(__x86_64__)
#define CK_VNNI 1
#include "../avx512/integers.h"

#include "../vector/integer_matmul.h"

#pragma clang attribute pop
#endif
