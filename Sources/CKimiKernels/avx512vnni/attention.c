#if defined(__x86_64__)
#define CK_VNNI 1
#include "../avx512/words.h"

#include "../vector/attention.h"

#pragma clang attribute pop
#endif
