#include "sanitized_mutex.h"

/*
 * Under ThreadSanitizer: the slow path of Swift's Synchronization.Mutex, in a form that it sees.
 *
 * The fast path, a compare-and-swap of the lock's word, is compiled into whoever locks. A thread that has to wait goes into the Swift
 * library, which the sanitizer does not know, and takes the lock in the kernel: everything that the lock protects looks like a race
 * from then on. Here it waits by trying again, so the word is only ever 0 or the owner's thread id, and nobody has to be woken.
 */
#if __has_feature(thread_sanitizer)
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context))

SWIFT void lock_slow(uint32_t thread, SELF uint32_t *word) __asm__("$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");
SWIFT void unlock_slow(SELF uint32_t *word) __asm__("$s15Synchronization12_MutexHandleV11_unlockSlowyyF");

SWIFT void lock_slow(uint32_t thread, SELF uint32_t *word) {
    // A thread that holds it already would wait for ever; the library ends the program there, too.
    if (__atomic_load_n(word, __ATOMIC_RELAXED) == thread) abort();
    uint32_t nobody = 0;
    while (!__atomic_compare_exchange_n(word, &nobody, thread, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        nobody = 0;
        sched_yield();
    }
}

SWIFT void unlock_slow(SELF uint32_t *word) { __atomic_store_n(word, 0, __ATOMIC_RELEASE); }

int sanitized_by_threads(void) { return 1; }
#else
int sanitized_by_threads(void) { return 0; }
#endif
