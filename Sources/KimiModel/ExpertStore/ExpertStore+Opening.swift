import KimiCheckpoint
import KimiCore
import KimiTopology

extension WeightLoader {
    /// The store of the experts that are read when they are chosen; nil with another policy, or without experts.
    ///
    /// Its room is what the caller says, or what the budget has left beside some cache.
    func store(
        tables: [ExpertTable?], budget: MemoryBudget, options: MemoryOptions, heat: ExpertHeat?, pool: WorkerPool
    ) throws(KimiError) -> ExpertStore? {
        guard !expertFiles.isEmpty else { return nil }
        // Without any limit all may stay; an error says so where the system has not got it.
        let room = options.residentBytes ?? placement.residentExpertBytes ?? budget.available.map { max(0, $0 - $0 / Self.cacheShare) } ?? .max
        let store = try ExpertStore(
            checkpoint, files: expertFiles, tables: tables, placement: placement, nodes: memory.nodes, budget: budget,
            residentBytes: room)
        if let heat { store.expect(heat, perToken: checkpoint.config.expertsPerToken) }
        try budget.charge(store.byteCount, for: .experts, what: "room for routed experts")
        try memory.nodes.populate(
            (0..<nodeCount).map { NodeMemory.Part(memory: store.memory(of: $0), byteCount: store.bytes(on: $0), node: $0) }, pool: pool)
        return store
    }

    /// The part of what is left that is kept for the cache of past tokens, if nobody says how much experts may have: one in so many.
    private static let cacheShare = 8
}
