// How the parts of this room say what went wrong.
#ifndef CKM_FAULT_H
#define CKM_FAULT_H

#include "CKimiMedia.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/// Writes the message, cut where it is too long; bytes that are no printable ASCII become question marks, as some stand for what a
/// hostile file has. Returns `code`.
__attribute__((format(printf, 3, 4))) static inline int32_t ckm_fail(ckm_fault *fault, int32_t code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault->message, sizeof fault->message, format, arguments);
    va_end(arguments);
    for (char *c = fault->message; *c; c++)
        if (*c < 0x20 || *c > 0x7E) *c = '?';
    return code;
}

#endif
