import CKimiKernels
import KimiCheckpoint
import KimiCore

/// All scratch memory of a step, laid out once when the model is opened: a step allocates nothing.
///
/// Row r of a matrix [rows, n] begins at r * n. Pages that a small step does not touch take no memory.
struct Workspace {
    private let memory: MappedMemory

    /// The residual stream [rows, hidden].
    let hidden: UnsafeMutablePointer<Float>
    /// What a norm made of it [rows, hidden].
    let normed: UnsafeMutablePointer<Float>
    /// A block's contribution [rows, hidden].
    let delta: UnsafeMutablePointer<Float>
    /// Compressed queries [rows, queryRank].
    let queryLatent: UnsafeMutablePointer<Float>
    /// Queries of all heads [rows, heads * (nope + rope)].
    let query: UnsafeMutablePointer<Float>
    /// Latent and rope key before norm and rotation [rows, latent + rope].
    let latent: UnsafeMutablePointer<Float>
    /// Attention output of all heads [rows, heads * value].
    let attended: UnsafeMutablePointer<Float>
    /// Cosines and sines [rows, rope].
    let angles: UnsafeMutablePointer<Float>
    /// For each worker and head of a group: absorbed query [latent + rope], attended latent [latent].
    let absorbed: UnsafeMutablePointer<Float>
    let absorbedPerWorker: Int

    /// Gate and up of a dense or shared MLP [rows, width] each.
    let gate: UnsafeMutablePointer<Float>
    let up: UnsafeMutablePointer<Float>
    /// Router scores [rows, experts].
    let scores: UnsafeMutablePointer<Float>
    /// Rows gathered by expert [rows * top-k, hidden], gate and up [.., expert width], result [.., hidden].
    let gathered: UnsafeMutablePointer<Float>
    let expertGate: UnsafeMutablePointer<Float>
    let expertUp: UnsafeMutablePointer<Float>
    let expertOutput: UnsafeMutablePointer<Float>
    /// Chosen experts [rows, top-k], rising, their weights, and where their gathered row lies.
    let chosen: UnsafeMutablePointer<Int32>
    let chosenWeight: UnsafeMutablePointer<Float>
    let chosenSlot: UnsafeMutablePointer<Int32>
    /// First gathered row of each expert [experts + 1], and the experts that have any.
    let expertStart: UnsafeMutablePointer<Int32>
    let activeExperts: UnsafeMutablePointer<Int32>
    /// Router's own scratch [experts] twice: biased scores, groups' scores.
    let biased: UnsafeMutablePointer<Float>
    let groupScore: UnsafeMutablePointer<Float>
    /// Up to four products of one job.
    let products: UnsafeMutablePointer<Product>

    init(config: ModelConfig, rows: Int, workers: Int, headGroup: Int) throws(KimiError) {
        var layout = Layout()
        let experts = max(config.expertCount, 1)
        let slots = Checked.product(rows, max(config.expertsPerToken, 1))
        let mlpWidth = max(config.intermediateSize, config.sharedExpertCount * config.moeIntermediateSize)
        absorbedPerWorker = headGroup * (2 * config.latentSize + config.ropeSize)
        let hiddenAt = layout.floats(rows, config.hiddenSize)
        let normedAt = layout.floats(rows, config.hiddenSize)
        let deltaAt = layout.floats(rows, config.hiddenSize)
        let queryLatentAt = layout.floats(rows, config.queryRank ?? 0)
        let queryAt = layout.floats(rows, config.headCount * (config.nopeSize + config.ropeSize))
        let latentAt = layout.floats(rows, config.latentSize + config.ropeSize)
        let attendedAt = layout.floats(rows, config.headCount * config.valueSize)
        let anglesAt = layout.floats(rows, config.ropeSize)
        let absorbedAt = layout.floats(workers, absorbedPerWorker)
        let gateAt = layout.floats(rows, mlpWidth)
        let upAt = layout.floats(rows, mlpWidth)
        let scoresAt = layout.floats(rows, experts)
        let gatheredAt = layout.floats(slots, config.hiddenSize)
        let expertGateAt = layout.floats(slots, config.moeIntermediateSize)
        let expertUpAt = layout.floats(slots, config.moeIntermediateSize)
        let expertOutputAt = layout.floats(slots, config.hiddenSize)
        let chosenAt = layout.floats(slots, 1)
        let chosenWeightAt = layout.floats(slots, 1)
        let chosenSlotAt = layout.floats(slots, 1)
        let expertStartAt = layout.floats(experts + 1, 1)
        let activeAt = layout.floats(experts, 1)
        let biasedAt = layout.floats(experts, 1)
        let groupScoreAt = layout.floats(experts, 1)
        let productsAt = layout.bytes(4 * MemoryLayout<Product>.stride)
        guard let total = layout.total else {
            throw KimiError(.outOfMemory, "work space for \(rows) rows is beyond any memory", subject: "chunk_size")
        }
        let memory = try MappedMemory(byteCount: total, what: "work space")
        self.memory = memory
        func floats(_ offset: Int) -> UnsafeMutablePointer<Float> { memory.pointer(to: Float.self, at: offset) }
        func ints(_ offset: Int) -> UnsafeMutablePointer<Int32> { memory.pointer(to: Int32.self, at: offset) }
        hidden = floats(hiddenAt)
        normed = floats(normedAt)
        delta = floats(deltaAt)
        queryLatent = floats(queryLatentAt)
        query = floats(queryAt)
        latent = floats(latentAt)
        attended = floats(attendedAt)
        angles = floats(anglesAt)
        absorbed = floats(absorbedAt)
        gate = floats(gateAt)
        up = floats(upAt)
        scores = floats(scoresAt)
        gathered = floats(gatheredAt)
        expertGate = floats(expertGateAt)
        expertUp = floats(expertUpAt)
        expertOutput = floats(expertOutputAt)
        chosen = ints(chosenAt)
        chosenWeight = floats(chosenWeightAt)
        chosenSlot = ints(chosenSlotAt)
        expertStart = ints(expertStartAt)
        activeExperts = ints(activeAt)
        biased = floats(biasedAt)
        groupScore = floats(groupScoreAt)
        products = memory.pointer(to: Product.self, at: productsAt)
    }

    /// Adds up sizes in cache lines; nil once one does not fit.
    private struct Layout {
        private(set) var total: Int? = 0

        mutating func floats(_ rows: Int?, _ columns: Int) -> Int {
            guard let rows, let count = Checked.product(rows, columns, 4) else { total = nil; return 0 }
            return bytes(count)
        }

        mutating func bytes(_ count: Int) -> Int {
            guard let offset = total, let end = Checked.sum(offset, count) else { total = nil; return 0 }
            total = Checked.roundUp(end, to: 64)
            return offset
        }
    }
}
