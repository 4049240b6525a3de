import KimiCore
import Synchronization

/// The account of the memory that a model and its sessions use, so that running out is an error of one call and never the end of
/// the process.
///
/// Memory is charged before it is touched. Weights that are used where they are mapped belong to the page cache, which the system
/// takes back as it needs to, and are not charged; nor is what is small: threads' stacks, the tokenizer, tables of token ids.
/// Thread safe; a charge that is granted allocates nothing.
package final class MemoryBudget: Sendable {
    package enum Kind: Int, Sendable, CaseIterable {
        /// Copied into memory, or made in another format.
        case weights
        /// Norms, biases, and where each matrix is.
        case tables
        /// Scratch memory of a step.
        case workspace
        /// Scratch memory of attention.
        case attention
        /// Routed experts that are read when they are chosen.
        case experts
        /// Latents of past tokens, and blocks kept for the next.
        case cache
        /// Logits and samplers.
        case sessions
        /// What the vision tower made of pictures, and its work space.
        case features
    }

    /// What sets a limit.
    package enum Source: String, Sendable {
        /// The caller's own.
        case option = "memory_limit"
        case cgroup
        case machine
    }

    package struct Limit: Sendable, Equatable {
        package let bytes: Int
        package let source: Source

        package init(bytes: Int, source: Source) {
            self.bytes = bytes
            self.source = source
        }
    }

    /// The most that may be used; nil if nothing says.
    package let limit: Limit?

    private struct Account {
        var used = [Int](repeating: 0, count: Kind.allCases.count)
        var total = 0
        /// Charged, but not touched yet: still in what the system calls available.
        var untouched = 0
    }
    private let account = Mutex(Account())
    private let measure: @Sendable () -> Int?
    private let givers = Mutex<[@Sendable (Int) -> Void]>([])

    /// What stays free of the memory that the system has at the moment: for all that is not charged here.
    static let reserve = 64 << 20

    /// - Parameters:
    ///   - limit: nil: only the moment counts.
    ///   - available: the bytes that the system could give at this moment, nil if that is not known. Asked from any thread, for
    ///     every 64 tokens of a sequence; must not allocate, and not use the budget.
    package init(limit: Limit? = nil, available: @escaping @Sendable () -> Int? = { nil }) {
        self.limit = limit
        measure = available
    }

    // MARK: The account

    /// Bytes in use.
    package func used(_ kind: Kind) -> Int { account.withLock { $0.used[kind.rawValue] } }
    package var used: Int { account.withLock { $0.total } }

    /// What may still be charged at this moment; nil if nothing says.
    package var available: Int? {
        let (total, untouched) = account.withLock { ($0.total, $0.untouched) }
        let within = limit.map { max(0, $0.bytes - total) }
        let now = measure().map { max(0, $0 - untouched - Self.reserve) }
        guard let within, let now else { return within ?? now }
        return min(within, now)
    }

    /// Takes `bytes`, or nothing.
    ///
    /// - Throws: `outOfMemory` with what is used, and by what.
    package func charge(_ bytes: Int, for kind: Kind, what: @autoclosure () -> String) throws(KimiError) {
        guard let shortage = take(bytes, for: kind, keeping: true) else { return }
        throw refusal("\(what()) \(Self.verb(needs: bytes))", shortage)
    }

    /// Whether `bytes` could be charged now.
    ///
    /// - Throws: what `charge` would.
    package func check(_ bytes: Int, for kind: Kind, what: @autoclosure () -> String) throws(KimiError) {
        guard let shortage = take(bytes, for: kind, keeping: false) else { return }
        throw refusal("\(what()) \(Self.verb(needs: bytes))", shortage)
    }

    /// Gives back what was charged.
    package func release(_ bytes: Int, for kind: Kind) {
        account.withLock { account in
            account.used[kind.rawValue] -= bytes
            account.total -= bytes
        }
    }

    /// Says that so much of what was charged has been written to.
    package func touched(_ bytes: Int) { account.withLock { $0.untouched = max(0, $0.untouched - bytes) } }

    /// Has `give` called with the bytes that are missing when a charge would fail, so that it can give up what is kept for later. It
    /// may use the budget.
    package func onShortage(_ give: @escaping @Sendable (_ missing: Int) -> Void) { givers.withLock { $0.append(give) } }

    /// Why a charge cannot be granted.
    enum Shortage {
        /// The limit has only so much left.
        case limit(Limit, left: Int)
        /// The system has only so much that may be taken now.
        case system(left: Int)

        var left: Int {
            switch self {
            case .limit(_, let left), .system(let left): left
            }
        }
    }

    /// Charges if that can be granted, after all that could be given up was, if need be.
    func take(_ bytes: Int, for kind: Kind, keeping: Bool) -> Shortage? {
        guard bytes > 0 else { return nil }
        var shortage = shortage(of: bytes, for: kind, keeping: keeping)
        // In turn, each being told what is missing after those before it.
        for give in givers.withLock({ $0 }) {
            guard let missing = shortage.map({ bytes - $0.left }) else { return nil }
            give(missing)
            shortage = self.shortage(of: bytes, for: kind, keeping: keeping)
        }
        return shortage
    }

    /// Charges if that can be granted as things are.
    func shortage(of bytes: Int, for kind: Kind, keeping: Bool) -> Shortage? {
        account.withLock { account in
            if let limit, bytes > limit.bytes - account.total {
                return .limit(limit, left: max(0, limit.bytes - account.total))
            }
            // Under the lock, so that two charges do not count on the same bytes.
            if let now = measure(), case let left = now - Self.reserve - account.untouched, bytes > left {
                return .system(left: max(0, left))
            }
            guard keeping else { return nil }
            account.used[kind.rawValue] += bytes
            account.total += bytes
            account.untouched += bytes
            return nil
        }
    }
}

/// Memory that is on a budget's account as long as it lives.
package final class ChargedMemory: Sendable {
    package let memory: MappedMemory
    private let budget: MemoryBudget
    private let kind: MemoryBudget.Kind
    private let charged: Int

    /// - Parameters:
    ///   - what: names the memory in the error, such as "logits".
    ///   - pages: as for `MappedMemory`.
    package init(
        byteCount: Int, on budget: MemoryBudget, for kind: MemoryBudget.Kind, what: String, pages: MappedMemory.Pages = .small
    ) throws(KimiError) {
        memory = try MappedMemory(byteCount: byteCount, what: what, pages: pages)
        charged = memory.byteCount
        try budget.charge(charged, for: kind, what: what)
        (self.budget, self.kind) = (budget, kind)
        // Soon enough, and small.
        budget.touched(charged)
    }

    deinit { budget.release(charged, for: kind) }
}
