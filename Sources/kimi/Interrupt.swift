import ArgumentParser
import Glibc
import Synchronization

/// Ctrl-C, a hang-up or a request to end, as a wish that the work looks at, so that it can clean up.
///
/// A second signal ends the program at once, unless somebody takes signals one by one.
final class Interrupt: Sendable {
    private let flag = Atomic<Bool>(false)
    private let action = Mutex<(@Sendable () -> Void)?>(nil)
    private let taker = Mutex<(@Sendable (Int32) -> Bool)?>(nil)
    private let caught: [Int32]

    /// The exit code of a program that Ctrl-C has ended.
    static let exitCode: Int32 = 130

    /// From now on signals are caught. To be called before other threads are made, which then leave the signals alone.
    ///
    /// - Parameter others: more signals to catch; nothing happens at them but what a taker does.
    init(others: [Int32] = []) {
        caught = [SIGINT, SIGTERM, SIGHUP] + others
        var signals = signalSet
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        let waiter = Unmanaged.passRetained(self)
        var thread = pthread_t()
        // Safe because the thread alone releases what was retained for it, and it lives as long as the program.
        let error = pthread_create(&thread, nil, { context in
            guard let context else { return nil }
            Unmanaged<Interrupt>.fromOpaque(context).takeRetainedValue().wait()
            return nil
        }, waiter.toOpaque())
        guard error == 0 else {
            waiter.release()
            pthread_sigmask(SIG_UNBLOCK, &signals, nil)
            return
        }
        pthread_detach(thread)
    }

    var isRequested: Bool { flag.load(ordering: .relaxed) }

    /// What to do besides when the wish comes; on a thread of its own.
    func onRequest(_ body: @escaping @Sendable () -> Void) { action.withLock { $0 = body } }

    /// Offers each signal to `body` first, on a thread of its own; false from it: the signal is a wish to end like any other.
    func offer(to body: @escaping @Sendable (Int32) -> Bool) { taker.withLock { $0 = body } }

    private var signalSet: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in caught { sigaddset(&signals, signal) }
        return signals
    }

    private func wait() {
        var signals = signalSet
        while true {
            var signal: Int32 = 0
            guard sigwait(&signals, &signal) == 0 else { continue }
            if let take = taker.withLock({ $0 }), take(signal) { continue }
            guard [SIGINT, SIGTERM, SIGHUP].contains(signal) else { continue }
            if flag.exchange(true, ordering: .relaxed) { _exit(Self.exitCode) }
            action.withLock { $0 }?()
        }
    }
}

extension Failure {
    static let interrupted = Failure("interrupted", next: "Nothing was left behind.")
}
