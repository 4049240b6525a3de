import CKimiKernels
import CKimiSystem
import KimiCheckpoint
import KimiCore
import KimiTopology

/// The text model of a checkpoint, ready to step: weights, kernels, threads, cache memory and work space.
///
/// Immutable but for the work space, which belongs to whoever holds the step lock (`withStep`).
package final class TextModel: @unchecked Sendable {
    // Safe because everything is set in init; workspace and statistics are touched under `stepLock` only.
    package let config: ModelConfig
    package let checkpoint: Checkpoint
    let weights: Weights
    package let kernels: UnsafePointer<ck_kernels>
    package let pool: WorkerPool
    /// The account of all memory that is not small and not mapped files.
    package let budget: MemoryBudget
    package let cache: BlockPool
    let rotary: RotaryTable
    let router: Router
    let attentionShape: AttentionShape
    let workspace: Workspace
    let attentionPlan: AttentionPlan
    /// Of the step in progress; like the work space for the holder of the step lock.
    var arithmetic: Arithmetic
    /// The products of bf16 weights with thirds of activations, where the level has tiles: as near as floats, in another order of sums. So
    /// not with `exact`, which promises the same bits on every level.
    let thirds: UnsafePointer<ck_thirds>?
    package var addsInTiles: Bool { thirds != nil }
    /// Whether products with bf16 weights read thirds: with tiles, unless only the order of sums that all levels have may be used.
    ///
    /// - Parameter isa: CK_ISA_...; nil: the best there is.
    package static func usesThirds(isa: Int32?, exact: Bool) -> Bool { (isa ?? ck_isa_best()) == Int32(CK_ISA_AMX) && !exact }
    package let statistics: StepStatistics
    /// The most rows of any step so far; under the step lock.
    var scratchRows = 0
    /// Room for the rows of a step, `maxRows` of them; used under the step lock.
    package let stepRows: UnsafeMutableBufferPointer<StepRow>
    private let stepRowMemory: MappedMemory
    /// The most rows of one step.
    package let maxRows: Int
    package let loadPolicy: LoadPolicy
    package let dense: DenseFormat
    /// Only the exact path, and the same bits whatever the instruction set.
    package let exact: Bool
    package let decodeBits: DecodeBits
    /// Whether steps of that precision round activations.
    package func rounds(_ precision: Precision) -> Bool { precision == .fast || decodeBits != .exact }
    /// The path of a step of so many rows: the fast one for large chunks of a prompt and large batches, where arithmetic is the
    /// limit. The fewer rows there are, the more memory is, and then the exact path is as fast.
    package func precision(rows: Int) -> Precision { !exact && rows >= Precision.fastRows(dense) ? .fast : .exact }

    /// Rows of the next step of a prompt of which `rest` tokens are to be evaluated: as many as a step takes, or, on the fast path,
    /// equal shares, so that the last is not so short that it takes another path than the rest.
    package func chunk(of rest: Int) -> Int {
        guard precision(rows: maxRows) == .fast else { return min(rest, maxRows) }
        let steps = max(1, (rest + maxRows - 1) / maxRows)
        return (rest + steps - 1) / steps
    }
    /// Nil where no weights are read from the files any more.
    package let readHold: ReadHold?
    /// Where routed experts come and go.
    package let store: ExpertStore?

    /// Sees the residual stream after each layer; for tests against a reference. Set before the first step or never.
    package var layerObserver: ((_ layer: Int, _ hidden: UnsafeBufferPointer<Float>, LayerChoices) -> Void)? {
        didSet {
            guard let layerObserver else { return observer = nil }
            observer = { [hidden = config.hiddenSize, router] layer, workspace, rows in
                let choices = rows * router.perToken
                layerObserver(
                    layer, UnsafeBufferPointer(start: workspace.hidden, count: rows * hidden),
                    LayerChoices(
                        experts: UnsafeBufferPointer(start: workspace.chosen, count: choices),
                        weights: UnsafeBufferPointer(start: workspace.chosenWeight, count: choices)))
            }
        }
    }
    private(set) var observer: ((Int, Workspace, Int) -> Void)?

    /// Which node has which weights.
    package let placement: Placement
    /// How many bytes of weights are where.
    package let weightBytes: WeightPlacement
    let memory: WeightMemory
    let nodeMemory: NodeMemory
    private let tables: MappedMemory
    private let stepLock = StepLock()

    /// What the router chose in a layer, `expertsPerToken` entries a row; of the layer before where a layer is dense.
    package struct LayerChoices {
        package let experts: UnsafeBufferPointer<Int32>
        package let weights: UnsafeBufferPointer<Float>
    }

    package struct Options: @unchecked Sendable {
        // Safe because the kernels it may point to are not written to.
        /// CK_ISA_...; must be one that `ck_kernels_for` has.
        package var isa: Int32 = ck_isa_best()
        package var threads = 1
        package var cacheType = CacheType.f32
        package var loadPolicy = LoadPolicy.map
        package var dense = DenseFormat.stored
        /// Whether only the exact path may be used.
        package var exact = false
        /// With `exact` and with `dense` `.int8` not all go: see `DecodeBits`.
        package var decodeBits = DecodeBits.exact
        package var maxRows = 256
        /// Which node has which weights; nil: all are on one node, and `threads` compute. Else its workers do.
        package var placement: Placement?
        /// How often experts are chosen, for what is to stay in memory with `.stream`; nil: nobody knows yet.
        package var heat: ExpertHeat?
        package var memory = MemoryOptions()
        /// Bytes of the vision tower that is opened behind this model.
        package var eyes = 0
        /// Takes the place of the level's own kernels; for tests. Must live as long as the model.
        package var kernels: UnsafePointer<ck_kernels>?

        package init() {}
    }

    /// Finds and checks all weights; with `.copy` reads them, with another format than `.stored` converts those it is about.
    ///
    /// - Parameter progress: bytes read and to read; called at least once, with both equal, when all is done.
    package init(
        checkpoint: Checkpoint, topology: Topology, options: Options,
        progress: (Int, Int) throws(KimiError) -> Void = { _, _ in }
    ) throws(KimiError) {
        // Frequencies and widened norms are computed here once; like a step, not under the host's settings.
        let settings = cks_float_use_default()
        defer { cks_float_restore(settings) }
        guard let kernels = options.kernels ?? ck_kernels_for(options.isa) else {
            throw KimiError(.unsupported, "this processor does not run the instruction set asked for", subject: "isa")
        }
        let config = checkpoint.config
        self.kernels = kernels
        let thirds = Self.usesThirds(isa: kernels.pointee.isa, exact: options.exact) ? ck_thirds_for(kernels.pointee.isa) : nil
        self.thirds = thirds
        arithmetic = Arithmetic(kernels: kernels, precision: .exact, dense: options.dense, thirds: thirds)
        self.config = config
        self.checkpoint = checkpoint
        loadPolicy = options.loadPolicy
        dense = options.dense
        exact = options.exact
        decodeBits = options.decodeBits
        readHold = options.loadPolicy == .map ? ReadHold(checkpoint) : nil
        maxRows = options.maxRows
        let planned = options.placement ?? .single(workers: options.threads)
        pool = options.placement == nil
            ? try WorkerPool(threads: options.threads, topology: topology)
            : try WorkerPool(nodes: planned.nodes.map { ($0.node, $0.workers) }, topology: topology)
        let threads = pool.threads
        let nodeMemory = NodeMemory(planned, topology: topology, pages: options.memory.pages)
        self.nodeMemory = nodeMemory
        let budget = options.memory.budget()
        self.budget = budget
        cache = try BlockPool(
            type: options.cacheType, layerCount: config.layerCount, latent: config.latentSize, rope: config.ropeSize, budget: budget,
            nodes: nodeMemory)
        rotary = RotaryTable(config: config)
        router = Router(config: config)
        let shape = AttentionShape(
            heads: config.headCount, nope: config.nopeSize, rope: config.ropeSize, value: config.valueSize,
            latent: config.latentSize, scoreScale: rotary.scoreScale)
        attentionShape = shape
        let outputsApart = !planned.homes.isEmpty || options.loadPolicy == .stream
        // Takes no memory before it is written to.
        func scratch(rows: Int) throws(KimiError) -> (AttentionPlan, Workspace) {
            (
                try AttentionPlan(shape: shape, cacheType: options.cacheType, rows: rows, threads: threads, thirds: thirds != nil),
                try Workspace(
                    config: config, rows: rows, workers: threads, nodes: planned.nodes.count, outputsApart: outputsApart, thirds: thirds != nil)
            )
        }
        (attentionPlan, workspace) = try scratch(rows: options.maxRows)
        // Activations cross between nodes whatever they lie on; in turn, so that no node's memory has all of the traffic.
        for memory in workspace.memories + attentionPlan.memories { nodeMemory.interleave(memory) }

        stepRowMemory = try MappedMemory(
            byteCount: options.maxRows * MemoryLayout<StepRow>.stride, what: "rows of a step")
        stepRows = UnsafeMutableBufferPointer(start: stepRowMemory.pointer(to: StepRow.self), count: options.maxRows)

        var loader = try WeightLoader(
            checkpoint, placement: planned, policy: options.loadPolicy, dense: options.dense, nodes: nodeMemory)
        if options.loadPolicy == .map, case let copies = checkpoint.unalignedByteCount, copies > 0 {
            try budget.charge(copies, for: .weights, what: "a copy of the tensors that are not aligned in their files")
            budget.touched(copies)
        }
        weights = try Weights(&loader, checkpoint: checkpoint, kernels: kernels.pointee)
        try budget.admit(OpeningMemory(
            copied: loader.bytes.copied, converted: loader.bytes.converted, tables: loader.tableBytes,
            workspace: workspace.byteCount, attention: attentionPlan.byteCount, eyes: options.eyes, maxRows: options.maxRows,
            scratch: { rows in (try? scratch(rows: rows)).map { $0.byteCount + $1.byteCount } }))
        let total = max(loader.pendingBytes, 1)
        try loader.fill(
            pool: pool, kernels: kernels, budget: budget, lent: workspace.byteCount + attentionPlan.byteCount, progress: progress)
        budget.touched(loader.bytes.copied + loader.bytes.converted + loader.tableBytes)
        store = try loader.store(tables: weights.layers.map(\.expertTable), budget: budget, options: options.memory,
            heat: options.heat, pool: pool)
        memory = loader.memory
        placement = planned
        weightBytes = loader.bytes
        tables = loader.tables
        statistics = try StepStatistics(
            weights: weights, config: config,
            tokenBytes: cache.tokenBytes * config.layerCount)
        try progress(total, total)
    }

    /// Runs `body` with the work space to itself. Steps of several sessions take turns here, in the order of asking.
    ///
    /// - Throws: `cancelled` if that was asked for while waiting, or what `body` throws.
    package func withStep<T>(
        _ cancellation: Cancellation? = nil, _ body: () throws(KimiError) -> T
    ) throws(KimiError) -> T {
        try stepLock.hold(cancellation, body)
    }

    /// Has memory that all nodes use come from them in turn; not touched yet.
    package func share(_ memory: MappedMemory) { nodeMemory.interleave(memory) }

    /// How experts that come and go have fared, if they do. Any thread.
    package var storeReport: ExpertStore.Report? { store?.report }

    /// The instruction set in use.
    package var isaName: String { String(cString: kernels.pointee.name) }
}
