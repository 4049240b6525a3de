import Synchronization

/// Whether a thread is inside: one at a time.
package final class Occupied: Sendable {
    private let isInside = Atomic<Bool>(false)

    package init() {}

    /// False, and nothing changed, if another thread is.
    package func enter() -> Bool { isInside.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged }
    package func leave() { isInside.store(false, ordering: .releasing) }
}
