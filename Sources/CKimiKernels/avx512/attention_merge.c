#if defined(__x86_64__)
#include "lanes.h"

#include "../vector/attention_merge.h"

#pragma clang attribute pop
#endif
