/// How a model is to use the machine's memory, as far as a caller may choose; `LoadPolicy` apart.
package struct MemoryOptions: Sendable {
    /// Pages of memory that the model takes for itself.
    package enum Pages: Int32, Sendable, CaseIterable {
        /// Huge where the system makes them so by itself.
        case transparent = 0
        case small = 1
        /// From the pool that the administrator has set apart (hugetlbfs).
        case huge = 2
    }

    /// The most bytes that the model and its sessions may use, mapped weights apart; nil: what the process may use.
    package var limit: Int?
    /// nil: the one that is predicted to be fastest.
    package var policy: PlacementPolicy?
    /// The most memory nodes to compute on, 1 to `Placement.mostNodes`; nil: all.
    package var nodes: Int?
    /// With `.replicate`: bytes on each node for copies of the hottest experts; nil: what is free.
    package var replicateBytes: Int?
    /// Bytes for routed experts in memory; nil: all of them, or as many as fit.
    package var residentBytes: Int?
    package var pages = Pages.transparent
    /// The path of a file that says how often each expert is chosen; nil: all alike.
    package var heat: String?
    /// What limits the process, and what the system could give at a moment (see `MemoryBudget`). The machine's own, if nobody
    /// says otherwise.
    package var processLimit: MemoryBudget.Limit?
    package var available: @Sendable () -> Int? = { nil }

    package init() {}

    /// The budget of a model with these options.
    package func budget() -> MemoryBudget {
        let option = limit.map { MemoryBudget.Limit(bytes: $0, source: .option) }
        let limits = [option, processLimit].compactMap { $0 }
        return MemoryBudget(limit: limits.min { $0.bytes < $1.bytes }, available: available)
    }
}
