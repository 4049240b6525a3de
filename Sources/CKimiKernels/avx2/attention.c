#if defined(__x86_64__)
#include "words.h"

#include "../vector/attention.h"

#pragma clang attribute pop
#endif
