import KimiCore
import Synchronization

/// A wish to stop, set from any thread and looked at before every layer.
package final class Cancellation: Sendable {
    private let flag = Atomic<Bool>(false)

    package init() {}

    /// Asks the running call to stop. Returns at once.
    package func request() { flag.store(true, ordering: .relaxed) }

    /// Forgets an earlier wish: at the start of a call.
    package func clear() { flag.store(false, ordering: .relaxed) }

    package var isRequested: Bool { flag.load(ordering: .relaxed) }

    package func check() throws(KimiError) {
        if isRequested { throw KimiError(.cancelled, "the call was cancelled") }
    }
}
