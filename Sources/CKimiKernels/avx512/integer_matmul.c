#if defined(__x86_64__)
#include "integers.h"

#include "../vector/integer_matmul.h"

#pragma clang attribute pop
#endif
