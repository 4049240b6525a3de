// A descriptor that hosts wait on beside their own.
#ifndef CKS_EVENT_H
#define CKS_EVENT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A new descriptor that is not readable yet, or -errno.
int32_t cks_event_open(void);
/// Makes it readable, if it is not.
void cks_event_set(int32_t descriptor);
/// Makes it not readable.
void cks_event_clear(int32_t descriptor);
void cks_event_close(int32_t descriptor);

#ifdef __cplusplus
}
#endif
#endif
