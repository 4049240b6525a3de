import CKimiKernels
import KimiCheckpoint
import KimiCore

/// All scratch memory of a step, laid out once when the model is opened: a step allocates nothing.
///
/// Row r of a matrix [rows, n] begins at r * n. Pages that a small step does not touch take no memory.
struct Workspace {
    private let memory: MappedMemory
    /// Bytes of all of it; a step touches what its rows need.
    var byteCount: Int { memory.byteCount }
    var memories: [MappedMemory] { [memory] }

    /// The residual stream [rows, hidden].
    let hidden: UnsafeMutablePointer<Float>
    /// What a norm made of it [rows, hidden].
    let normed: Activation
    /// A block's contribution [rows, hidden].
    let delta: UnsafeMutablePointer<Float>
    /// Compressed queries [rows, queryRank].
    let queryLatent: Activation
    /// Queries of all heads [rows, heads * (nope + rope)].
    let query: UnsafeMutablePointer<Float>
    /// Latent and rope key before norm and rotation [rows, latent + rope].
    let latent: UnsafeMutablePointer<Float>
    /// Attention output of all heads [rows, heads * value].
    let attended: Activation
    /// Cosines and sines [rows, rope].
    let angles: UnsafeMutablePointer<Float>

    /// silu(gate) * up of a dense or shared MLP, and up alone [rows, width] each.
    let inner: Activation
    let up: UnsafeMutablePointer<Float>
    /// Router scores [rows, experts].
    let scores: UnsafeMutablePointer<Float>
    /// Chosen experts [rows, top-k], rising, and their weights.
    let chosen: UnsafeMutablePointer<Int32>
    let chosenWeight: UnsafeMutablePointer<Float>
    /// Router's scratch for each worker, [experts] twice: biased scores, groups' scores.
    let biased: UnsafeMutablePointer<Float>
    let groupScore: UnsafeMutablePointer<Float>
    /// First slot of each expert [experts + 1], and the experts that have any.
    let expertStart: UnsafeMutablePointer<Int32>
    let activeExperts: UnsafeMutablePointer<Int32>
    /// Choices gathered by expert, slots [rows * top-k]: whose row, with which weight.
    let slotRow: UnsafeMutablePointer<Int32>
    let slotWeight: UnsafeMutablePointer<Float>
    /// The slot of each choice [rows, top-k].
    let slotOfChoice: UnsafeMutablePointer<Int32>
    /// The experts that each node works on [nodes, experts], how many those are, and how many of them are whole.
    let lists: UnsafeMutablePointer<Int32>
    let listCounts: UnsafeMutablePointer<Int32>
    let wholeCounts: UnsafeMutablePointer<Int32>
    /// Each slot's output [slots, hidden], if outputs are kept apart.
    let expertOutput: UnsafeMutablePointer<Float>
    /// Each slot's input [slots, hidden], in integer form that of its row itself, and silu(gate) * up [slots, expert width].
    let gathered: Activation
    let expertInner: Activation
    /// For each worker the outputs of two blocks of an expert's matrix.
    let blockOutput: UnsafeMutablePointer<Float>
    let blockOutputPerWorker: Int
    /// How many items of a job each node has [nodes].
    let itemCounts: UnsafeMutablePointer<Int>
    /// One or two products of one job.
    let products: UnsafeMutablePointer<Product>

    init(config: ModelConfig, rows: Int, workers: Int, nodes: Int, outputsApart: Bool, thirds: Bool) throws(KimiError) {
        var layout = ScratchLayout()
        let experts = max(config.expertCount, 1)
        let slots = Checked.product(rows, max(config.expertsPerToken, 1))
        let mlpWidth = max(config.intermediateSize, config.sharedExpertCount * config.moeIntermediateSize)
        blockOutputPerWorker = ExpertBlocks.scratch(rows: rows) ?? 0
        let attendedWidth = config.headCount * config.valueSize
        let hiddenAt = layout.floats(rows, config.hiddenSize)
        let normedAt = layout.activation(rows, config.hiddenSize, thirds: thirds)
        let deltaAt = layout.floats(rows, config.hiddenSize)
        let queryLatentAt = layout.activation(rows, config.queryRank ?? 0, thirds: thirds)
        let queryAt = layout.floats(rows, config.headCount * (config.nopeSize + config.ropeSize))
        let latentAt = layout.floats(rows, config.latentSize + config.ropeSize)
        let attendedAt = layout.activation(rows, attendedWidth, thirds: thirds)
        let anglesAt = layout.floats(rows, config.ropeSize)
        let innerAt = layout.activation(rows, mlpWidth, thirds: thirds)
        let upAt = layout.floats(rows, mlpWidth)
        let scoresAt = layout.floats(rows, experts)
        let chosenAt = layout.floats(slots, 1)
        let chosenWeightAt = layout.floats(slots, 1)
        let biasedAt = layout.floats(workers, experts)
        let groupScoreAt = layout.floats(workers, experts)
        let expertStartAt = layout.floats(experts + 1, 1)
        let activeAt = layout.floats(experts, 1)
        let slotRowAt = layout.floats(slots, 1)
        let slotWeightAt = layout.floats(slots, 1)
        let slotOfChoiceAt = layout.floats(slots, 1)
        let listsAt = layout.floats(nodes, experts)
        let listCountsAt = layout.floats(nodes, 1)
        let wholeCountsAt = layout.floats(nodes, 1)
        let expertOutputAt = layout.floats(outputsApart ? slots : 0, config.hiddenSize)
        // Of the gathered inputs only the floats are copies.
        let gatheredAt = layout.activation(slots, config.hiddenSize, integerColumns: 0)
        let expertInnerAt = layout.activation(slots, config.moeIntermediateSize)
        let blockOutputAt = layout.floats(workers, blockOutputPerWorker)
        let itemCountsAt = layout.bytes(nodes, MemoryLayout<Int>.stride)
        let productsAt = layout.bytes(2 * MemoryLayout<Product>.stride)
        guard let total = layout.total else {
            throw KimiError(.outOfMemory, "work space for \(rows) rows is beyond any memory", subject: "chunk_size")
        }
        let memory = try MappedMemory(byteCount: total, what: "work space")
        self.memory = memory
        func floats(_ offset: Int) -> UnsafeMutablePointer<Float> { memory.pointer(to: Float.self, at: offset) }
        func ints(_ offset: Int) -> UnsafeMutablePointer<Int32> { memory.pointer(to: Int32.self, at: offset) }
        func activation(_ at: ScratchLayout.Activation) -> Activation { at.placed(in: memory) }
        hidden = floats(hiddenAt)
        normed = activation(normedAt)
        delta = floats(deltaAt)
        queryLatent = activation(queryLatentAt)
        query = floats(queryAt)
        latent = floats(latentAt)
        attended = activation(attendedAt)
        angles = floats(anglesAt)
        inner = activation(innerAt)
        up = floats(upAt)
        scores = floats(scoresAt)
        chosen = ints(chosenAt)
        chosenWeight = floats(chosenWeightAt)
        biased = floats(biasedAt)
        groupScore = floats(groupScoreAt)
        expertStart = ints(expertStartAt)
        activeExperts = ints(activeAt)
        slotRow = ints(slotRowAt)
        slotWeight = floats(slotWeightAt)
        slotOfChoice = ints(slotOfChoiceAt)
        lists = ints(listsAt)
        listCounts = ints(listCountsAt)
        wholeCounts = ints(wholeCountsAt)
        expertOutput = floats(expertOutputAt)
        gathered = activation(gatheredAt)
        expertInner = activation(expertInnerAt)
        blockOutput = floats(blockOutputAt)
        itemCounts = memory.pointer(to: Int.self, at: itemCountsAt)
        products = memory.pointer(to: Product.self, at: productsAt)
    }
}
