// The Gaussian error linear unit in f32: constants. Scalar and vector forms do the same operations.
//
//   By tanh: x / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3), which is x (1 + tanh u) / 2.
//   By erf: max(x, 0) - |x| Q(|x|), Q(a) = erfc(a / sqrt 2) / 2 = exp(-a^2 / 2) c(a / sqrt 2) / 2, where
//   c(z) = erfc(z) exp(z^2) = p((z - 2) / (z + 2)) / (1 + 2z), p of degree 10 (8e-9 of c before rounding).
#ifndef CK_GELU_H
#define CK_GELU_H

#include "exp.h"

/// 2 sqrt(2 / pi), and the same times 0.044715.
#define CK_GELU_LINEAR 0x1.988454p+0f
#define CK_GELU_CUBIC 0x1.2444f2p-4f

#define CK_GELU_ROOT_HALF 0x1.6a09e6p-1f
/// From here on Q is exactly 0; |x| is no larger where it is squared.
#define CK_GELU_HIGHEST 14.0f
#define CK_ERFC_P0 0x1.46e80ep+0f
#define CK_ERFC_P1 -0x1.7bf6p-4f
#define CK_ERFC_P2 -0x1.54082cp-3f
#define CK_ERFC_P3 0x1.4ffb44p-3f
#define CK_ERFC_P4 -0x1.bc103p-5f
#define CK_ERFC_P5 -0x1.07b7e6p-7f
#define CK_ERFC_P6 0x1.1b4292p-7f
#define CK_ERFC_P7 0x1.5158bap-10f
#define CK_ERFC_P8 -0x1.49520ep-10f
#define CK_ERFC_P9 -0x1.901650p-12f
#define CK_ERFC_P10 0x1.359c3ap-16f

#endif
