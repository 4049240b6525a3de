#if defined(__x86_64__)
#include "words.h"

#include "../vector/cache.h"

#pragma clang attribute pop
#endif
