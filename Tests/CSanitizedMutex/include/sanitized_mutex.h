#ifndef SANITIZED_MUTEX_H
#define SANITIZED_MUTEX_H

/** Whether this program runs under ThreadSanitizer. */
int sanitized_by_threads(void);

#endif
