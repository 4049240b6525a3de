#include "exp.h"

#include "scalar/specification.h"

CK_SPECIFICATION float ck_exp(float x) { return ck_exp_inline(x); }
