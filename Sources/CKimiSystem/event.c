// eventfd, which Swift does not see: it is Linux's own.

#include "cks_event.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int32_t cks_event_open(void) {
    int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return descriptor >= 0 ? descriptor : -errno;
}

void cks_event_set(int32_t descriptor) {
    // Only fails where the count is at its end, and then it is readable.
    eventfd_write(descriptor, 1);
}

void cks_event_clear(int32_t descriptor) {
    eventfd_t count;
    eventfd_read(descriptor, &count);
}

void cks_event_close(int32_t descriptor) { close(descriptor); }
