import CKimiSystem
import Glibc
import KimiCore

/// Lets one step at a time into a model's work space, in the order of asking, with floating point as the kernels expect it.
///
/// First come, first served: a session in the midst of a long prompt asks again right after each of its steps, and would
/// otherwise keep all others out until it is done. Who waits can be cancelled.
///
/// `Synchronization.Mutex` protects a value and asks that everything that crosses be sendable; here the critical section is the
/// caller's whole step, so it is a plain lock.
package final class StepLock: @unchecked Sendable {
    // Safe because pthread's mutexes and conditions are made for this, the memory lives as long as the object, and everything
    // else is touched with the mutex held.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let released = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var isHeld = false
    /// The tickets of those who wait, first come first.
    private var waiting: [UInt64] = []
    private var lastTicket: UInt64 = 0

    /// How long a waiting thread sleeps before it looks at its cancellation.
    private static let patience = 10_000_000

    package init() {
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        released.initialize(to: pthread_cond_t())
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(released, &attributes)
        pthread_condattr_destroy(&attributes)
        // A step allocates nothing, not even when it has to wait.
        waiting.reserveCapacity(256)
    }

    deinit {
        pthread_cond_destroy(released)
        released.deallocate()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Runs `body` alone.
    ///
    /// - Parameter cancellation: looked at while waiting.
    /// - Throws: `cancelled` without having run `body`, or what `body` throws.
    package func hold<T>(_ cancellation: Cancellation?, _ body: () throws(KimiError) -> T) throws(KimiError) -> T {
        try acquire(cancellation)
        let settings = cks_float_use_default()
        defer {
            cks_float_restore(settings)
            release()
        }
        return try body()
    }

    private func acquire(_ cancellation: Cancellation?) throws(KimiError) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if isHeld || !waiting.isEmpty {
            lastTicket &+= 1
            let ticket = lastTicket
            waiting.append(ticket)
            defer { waiting.removeAll { $0 == ticket } }
            while isHeld || waiting.first != ticket {
                do throws(KimiError) { try cancellation?.check() } catch {
                    // The next in line may have been waiting for this one to go first.
                    pthread_cond_broadcast(released)
                    throw error
                }
                sleep()
            }
        }
        isHeld = true
    }

    /// Waits for a release, but not for long. With the mutex held.
    private func sleep() {
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        until.tv_nsec += Self.patience
        if until.tv_nsec >= 1_000_000_000 {
            until.tv_nsec -= 1_000_000_000
            until.tv_sec += 1
        }
        pthread_cond_timedwait(released, mutex, &until)
    }

    private func release() {
        pthread_mutex_lock(mutex)
        isHeld = false
        if !waiting.isEmpty { pthread_cond_broadcast(released) }
        pthread_mutex_unlock(mutex)
    }
}
