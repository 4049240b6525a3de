import KimiCore
import KimiModel
import Synchronization

/// The generated tokens of a task, counted against its own budget and that of the whole swarm. Any thread.
final class TokenMeter: Sendable {
    /// Tokens of all agents.
    final class Total: Sendable {
        private let limit: Int
        private let taken = Atomic<Int>(0)

        /// - Parameter limit: nil: none.
        init(limit: Int?) { self.limit = limit ?? .max }

        fileprivate func take() -> Bool {
            // The count may pass the limit for a moment, never what is granted.
            if taken.add(1, ordering: .relaxed).newValue <= limit { return true }
            giveBack()
            return false
        }

        fileprivate func giveBack() { taken.subtract(1, ordering: .relaxed) }
    }

    enum Budget: Int, AtomicRepresentable, Sendable { case none, own, total }

    private let limit: Int
    private let total: Total
    private let taken = Atomic<Int>(0)
    private let refusing = Atomic<Budget>(.none)

    init(limit: Int?, total: Total) { (self.limit, self.total) = (limit ?? .max, total) }

    /// Tokens so far.
    var count: Int { taken.load(ordering: .relaxed) }
    /// The budget that had nothing left when a token was last asked for.
    var refused: Budget { refusing.load(ordering: .relaxed) }

    /// Takes a token before it is chosen; false if a budget has none left. By one thread at a time.
    func take() -> Bool {
        guard count < limit else {
            refusing.store(.own, ordering: .relaxed)
            return false
        }
        guard total.take() else {
            refusing.store(.total, ordering: .relaxed)
            return false
        }
        taken.add(1, ordering: .relaxed)
        return true
    }

    /// The token was not chosen after all.
    func giveBack() {
        taken.subtract(1, ordering: .relaxed)
        total.giveBack()
    }
}

/// What a swarm lends the request of one of its agents.
struct SwarmMember: Sendable {
    /// The tools of the agent, in place of its session's.
    let tools: [HostTool]
    /// Runs the calls of a step, in place of `ToolThreads.run`.
    let runTools: @Sendable ([ToolThreads.Call], Int, Cancellation) throws(KimiError) -> [ToolAnswer]
    let meter: TokenMeter
    /// Called where memory was short: waits for some; false if there will be none.
    let findsMemory: @Sendable () -> Bool
}
