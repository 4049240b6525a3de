import Glibc
import KimiCore

/// Lets one step at a time into a model's work space.
///
/// `Synchronization.Mutex` protects a value and asks that everything that crosses be sendable; here the critical section is the
/// caller's whole step, so it is a plain lock.
final class StepLock: @unchecked Sendable {
    // Safe because pthread mutexes are made for this, and the memory lives as long as the object.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    init() {
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func hold<T>(_ body: () throws(KimiError) -> T) throws(KimiError) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }
}
