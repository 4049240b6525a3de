import Glibc
import KimiCore

/// A lock and what its holders wait for. Any thread.
///
/// `Synchronization.Mutex` protects a value and has no conditions; here threads wait for each other with the lock given free.
final class Monitor: @unchecked Sendable {
    // Safe because pthread's mutexes are made for this and the memory lives as long as the object.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    /// Something that may happen.
    final class Condition: @unchecked Sendable {
        // Safe for the same reasons.
        fileprivate let raw = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

        init() {
            var attributes = pthread_condattr_t()
            pthread_condattr_init(&attributes)
            pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
            pthread_cond_init(raw, &attributes)
            pthread_condattr_destroy(&attributes)
        }

        deinit {
            pthread_cond_destroy(raw)
            raw.deallocate()
        }

        /// Wakes one that waits.
        func signal() { pthread_cond_signal(raw) }
        /// Wakes all that wait.
        func broadcast() { pthread_cond_broadcast(raw) }
    }

    init() { pthread_mutex_init(mutex, nil) }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Runs `body` alone.
    func locked<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Gives the lock free until the condition is signalled, or a time of `monotonicNanoseconds` has come, or for no reason. Within
    /// `locked`.
    func wait(_ condition: Condition, until: Int? = nil) {
        guard let until else {
            pthread_cond_wait(condition.raw, mutex)
            return
        }
        var time = timespec(tv_sec: until / 1_000_000_000, tv_nsec: until % 1_000_000_000)
        pthread_cond_timedwait(condition.raw, mutex, &time)
    }
}

/// A thread of the library's own, which nobody joins: it holds what it needs.
enum OwnThread {
    /// Enough for a pass through the model; only what is touched takes memory.
    private static let stackBytes = 4 << 20

    private final class Body {
        let name: String
        let run: @Sendable () -> Void
        init(_ name: String, _ run: @escaping @Sendable () -> Void) { (self.name, self.run) = (name, run) }
    }

    /// - Parameter name: at most 15 bytes, for debuggers and `top`.
    /// - Returns: false if the system gives no thread.
    static func start(_ name: String, _ run: @escaping @Sendable () -> Void) -> Bool {
        var attributes = pthread_attr_t()
        guard pthread_attr_init(&attributes) == 0 else { return false }
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackBytes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let context = Unmanaged.passRetained(Body(name, run))
        var thread = pthread_t()
        let failure = pthread_create(&thread, &attributes, { context in
            guard let context else { return nil }
            let body = Unmanaged<Body>.fromOpaque(context).takeRetainedValue()
            OwnThread.setName(body.name)
            body.run()
            return nil
        }, context.toOpaque())
        if failure != 0 { context.release() }
        return failure == 0
    }

    /// Names the calling thread. By its file: the C library's function for it is a GNU extension, which Swift does not see.
    private static func setName(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        _ = name.withCString { write(file, $0, strlen($0)) }
        close(file)
    }
}
