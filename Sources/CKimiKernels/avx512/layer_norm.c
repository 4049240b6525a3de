#if defined(__x86_64__)
#include "lanes.h"

#include "../vector/layer_norm.h"

#pragma clang attribute pop
#endif
