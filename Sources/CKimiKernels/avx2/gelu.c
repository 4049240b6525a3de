#if defined(__x86_64__)
#include "lanes.h"

#include "../vector/gelu.h"

#pragma clang attribute pop
#endif
