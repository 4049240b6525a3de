#if defined(__x86_64__)
#include "integers.h"

#include "../vector/split.h"

#pragma clang attribute pop
#endif
