import KimiCore
import Synchronization

/// A wish to stop, set from any thread and looked at before every layer.
package final class Cancellation: Sendable {
    private let flag = Atomic<Bool>(false)
    private let ended = Atomic<Bool>(false)

    package init() {}

    /// Asks the running call to stop. Returns at once.
    package func request() { flag.store(true, ordering: .relaxed) }

    /// Asks the running call, and any that has not begun yet, to stop: for an owner that goes away.
    package func end() {
        ended.store(true, ordering: .relaxed)
        request()
    }

    /// Forgets an earlier wish, but not an end: at the start of a call.
    package func clear() { flag.store(ended.load(ordering: .relaxed), ordering: .relaxed) }

    package var isRequested: Bool { flag.load(ordering: .relaxed) || ended.load(ordering: .relaxed) }

    package func check() throws(KimiError) {
        if isRequested { throw KimiError(.cancelled, "the call was cancelled") }
    }
}
