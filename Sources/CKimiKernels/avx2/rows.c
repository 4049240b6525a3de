#if defined(__x86_64__)
#include "lanes.h"

#include "../vector/rows.h"

#pragma clang attribute pop
#endif
