#if defined(__x86_64__)
#include "integers.h"

#include "../vector/quantize_rows.h"

#pragma clang attribute pop
#endif
