import KimiCore

/// Room for the buffers of one filling, on the budget's account as long as it lives.
///
/// Memory of the work space is charged before weights are filled and touched by no step before they are: buffers take its place,
/// and only what they need beyond it is charged.
package final class BufferRoom {
    private let budget: MemoryBudget
    /// Bytes that are charged already and not used meanwhile.
    private var lent: Int
    private var charged = 0

    package init(_ budget: MemoryBudget, lent: Int) {
        self.budget = budget
        self.lent = lent
    }

    deinit { budget.release(charged, for: .workspace) }

    /// Takes bytes.
    ///
    /// - Throws: `outOfMemory` if they are neither lent nor to be had.
    func take(_ bytes: Int, what: String) throws(KimiError) {
        let more = max(0, bytes - lent)
        try budget.charge(more, for: .workspace, what: what)
        // Soon enough, and gone soon.
        budget.touched(more)
        charged += more
        lent -= bytes - more
    }

    /// Takes as many parts of one size as there is room for, and at most so many; returns how many.
    func take(_ most: Int, of bytes: Int) -> Int {
        let available = budget.available.flatMap { Checked.sum(lent, $0) } ?? .max
        let count = min(most, available / max(bytes, 1))
        // Others may have taken it meanwhile.
        guard count > 0, (try? take(count * bytes, what: "buffers for reading")) != nil else { return 0 }
        return count
    }
}
