import Glibc
import Synchronization

/// How many calls may be inside a tool at the same time, whichever sessions they come from. Any thread.
///
/// A call that was given up because its time was up keeps its slot as long as its callback runs: the tool is still at work.
package final class ToolSlots: Sendable {
    package let limit: Int
    private let inside = Mutex(0)

    /// - Parameter limit: 1 or more; less counts as 1.
    package init(_ limit: Int) { self.limit = max(limit, 1) }

    package static let range = 1...10_000

    /// Waits for a slot.
    ///
    /// - Parameter isOver: whether nobody wants it any more; looked at every few milliseconds.
    /// - Returns: false if nobody did.
    func enter(unless isOver: () -> Bool) -> Bool {
        while true {
            if isOver() { return false }
            let isIn = inside.withLock { inside in
                guard inside < limit else { return false }
                inside += 1
                return true
            }
            if isIn { return true }
            usleep(2_000)
        }
    }

    func leave() { inside.withLock { $0 -= 1 } }
}

extension [ToolSlots] {
    /// Runs `body` with a slot of each, or not at all if that is over before. They are entered in their order, which must be the
    /// same for all who share two of them.
    func hold<T>(unless isOver: () -> Bool, _ body: () -> T) -> T? {
        var entered = 0
        defer { for slots in self[..<entered].reversed() { slots.leave() } }
        for slots in self {
            guard slots.enter(unless: isOver) else { return nil }
            entered += 1
        }
        return isOver() ? nil : body()
    }
}
