import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiModel

/// The work space of one batch: charged to the budget, and given back when the batch is done.
///
/// Most of it is five numbers for each element of the stream: 378 MB for 16,384 patches of 1152. What is wider is made for some
/// rows at a time.
struct TowerWork {
    private let memory: ChargedMemory
    /// The most rows, and tokens, that products are computed for at once.
    let chunkRows: Int
    let chunkTokens: Int
    /// The stream: [rows, hidden]
    let stream: UnsafeMutablePointer<Float>
    /// What attention reads: see `TowerAttention`.
    let heads: TowerHeads
    /// [rows, hidden]
    let attended: UnsafeMutablePointer<Float>
    /// Of some rows: pixels; what a norm made; queries, keys and values; the MLP's inside.
    let patches: Activation
    let normed: Activation
    let queryKeyValue: UnsafeMutablePointer<Float>
    let inner: Activation
    /// Of some tokens: what the projector reads, has inside, and makes.
    let merged: Activation
    let mergedInner: Activation
    let projected: UnsafeMutablePointer<Float>
    /// Cosines and sines for every row or column of patches: [most, head size / 2]
    let turns: UnsafeMutablePointer<Float>
    /// [threads, TowerTiles.floats]
    let tiles: UnsafeMutablePointer<Float>
    /// [threads, workerFloats], see `TowerWorkerScratch`.
    private let workers: UnsafeMutablePointer<Float>
    private let workerFloats: Int

    var byteCount: Int { memory.memory.byteCount }

    init(_ batch: TowerBatch, _ config: VisionConfig, text: TextModel) throws(KimiError) {
        let places = TowerWorkPlaces(
            rows: batch.rows, tokens: batch.tokens,
            sides: batch.pictures.reduce(0) { max($0, $1.grid.rows, $1.grid.columns) }, config, threads: text.pool.threads)
        guard let total = places.total else {
            throw KimiError(.outOfMemory, "work space for \(batch.rows) patches is beyond any memory")
        }
        let charged = try ChargedMemory(
            byteCount: total, on: text.budget, for: .features, what: "the vision tower's work space for \(batch.rows) patches")
        memory = charged
        text.share(charged.memory)
        func floats(_ offset: Int) -> UnsafeMutablePointer<Float> { charged.memory.pointer(to: Float.self, at: offset) }
        (chunkRows, chunkTokens) = (places.chunkRows, places.chunkTokens)
        stream = floats(places.stream)
        heads = TowerHeads(
            query: floats(places.query), key: floats(places.key), value: floats(places.value), size: config.headSize)
        attended = floats(places.attended)
        patches = places.patches.placed(in: charged.memory)
        normed = places.normed.placed(in: charged.memory)
        queryKeyValue = floats(places.queryKeyValue)
        inner = places.inner.placed(in: charged.memory)
        merged = places.merged.placed(in: charged.memory)
        mergedInner = places.mergedInner.placed(in: charged.memory)
        projected = floats(places.projected)
        turns = floats(places.turns)
        tiles = floats(places.tiles)
        workers = floats(places.workers)
        workerFloats = TowerWorkerScratch.floats(config)
    }

    func scratch(worker: Int, _ config: VisionConfig) -> TowerWorkerScratch {
        TowerWorkerScratch(workers + worker * workerFloats, config)
    }
}

/// Where the parts of a work space lie, in bytes.
struct TowerWorkPlaces {
    let chunkRows: Int
    let chunkTokens: Int
    let stream, query, key, value, attended: Int
    let patches, normed, inner, merged, mergedInner: ScratchLayout.Activation
    let queryKeyValue, projected, turns, tiles, workers: Int
    /// Of all of them; nil if that is beyond `Int`.
    let total: Int?

    /// Rows of a chunk: enough that weights are read seldom.
    private static let mostChunkRows = 1024

    /// - Parameter sides: the most rows or columns of patches.
    init(rows: Int, tokens: Int, sides: Int, _ config: VisionConfig, threads: Int) {
        let hidden = config.hiddenSize
        chunkRows = min(rows, Self.mostChunkRows)
        chunkTokens = min(tokens, max(Self.mostChunkRows / config.mergeCount, 1))
        var layout = ScratchLayout()
        stream = layout.floats(rows, hidden)
        query = layout.floats(rows, hidden)
        key = layout.floats(rows, hidden)
        value = layout.floats(rows, hidden)
        attended = layout.floats(rows, hidden)
        patches = layout.activation(chunkRows, config.patchElements)
        normed = layout.activation(chunkRows, hidden)
        queryKeyValue = layout.floats(chunkRows, 3 * hidden)
        inner = layout.activation(chunkRows, config.intermediateSize)
        merged = layout.activation(chunkTokens, config.mergedSize)
        mergedInner = layout.activation(chunkTokens, config.mergedSize)
        projected = layout.floats(chunkTokens, config.textHiddenSize)
        turns = layout.floats(sides, config.headSize / 2)
        tiles = layout.floats(threads, TowerTiles.floats)
        workers = layout.floats(threads, TowerWorkerScratch.floats(config))
        total = layout.total
    }
}

/// A worker's own memory. Its parts are used one job at a time.
struct TowerWorkerScratch {
    /// Rows of the stream that are on their way: [2, hidden]
    let row: UnsafeMutablePointer<Float>
    let otherRow: UnsafeMutablePointer<Float>
    /// Cosines and sines of a patch: [head size]
    let angles: UnsafeMutablePointer<Float>
    /// Queries on their way to where they lie side by side: [TowerBatch.unit, head size]
    let gathered: UnsafeMutablePointer<Float>
    /// Attention's sums of a band, and their states.
    let sums: UnsafeMutablePointer<Float>
    let state: UnsafeMutablePointer<Float>

    init(_ base: UnsafeMutablePointer<Float>, _ config: VisionConfig) {
        let size = config.headSize
        row = base
        otherRow = row + config.hiddenSize
        angles = otherRow + config.hiddenSize
        gathered = angles + size
        sums = gathered + TowerBatch.unit * size
        state = sums + TowerAttention.band * size
    }

    static func floats(_ config: VisionConfig) -> Int {
        2 * config.hiddenSize + config.headSize * (1 + TowerBatch.unit + TowerAttention.band) + 2 * TowerAttention.band
    }
}
