#if defined(__x86_64__)
#include "lanes.h"

#include "../vector/expanded_attention.h"

#pragma clang attribute pop
#endif
