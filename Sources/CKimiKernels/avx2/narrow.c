#if defined(__x86_64__)
#include "interleave.h"

#include "../vector/narrow.h"

#pragma clang attribute pop
#endif
