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
    let patches: TowerRows
    let normed: TowerRows
    let queryKeyValue: UnsafeMutablePointer<Float>
    let inner: TowerRows
    /// Of some tokens: what the projector reads, has inside, and makes.
    let merged: TowerRows
    let mergedInner: TowerRows
    let projected: UnsafeMutablePointer<Float>
    /// Cosines and sines for every row or column of patches: [most, head size / 2]
    let turns: UnsafeMutablePointer<Float>
    /// [threads, TowerTiles.floats]
    let tiles: UnsafeMutablePointer<Float>
    /// The matrices of a stage as tiles, where they are packed for each batch.
    let packed: UnsafeMutableRawPointer
    /// [threads, workerFloats], see `TowerWorkerScratch`.
    private let workers: UnsafeMutablePointer<Float>
    private let workerFloats: Int

    var byteCount: Int { memory.memory.byteCount }

    init(_ batch: TowerBatch, _ config: VisionConfig, _ arithmetic: TowerArithmetic, text: TextModel) throws(KimiError) {
        let places = TowerWorkPlaces(
            rows: batch.rows, tokens: batch.tokens,
            sides: batch.pictures.reduce(0) { max($0, $1.grid.rows, $1.grid.columns) }, config, halves: arithmetic.halves,
            threads: text.pool.threads)
        guard let total = places.total else {
            throw KimiError(.outOfMemory, "work space for \(batch.rows) patches is beyond any memory")
        }
        let charged = try ChargedMemory(
            byteCount: total, on: text.budget, for: .features, what: "the vision tower's work space for \(batch.rows) patches",
            pages: .transparent)
        memory = charged
        text.share(charged.memory)
        func floats(_ offset: Int) -> UnsafeMutablePointer<Float> { charged.memory.pointer(to: Float.self, at: offset) }
        (chunkRows, chunkTokens) = (places.chunkRows, places.chunkTokens)
        stream = floats(places.stream)
        let base = charged.memory.base
        heads = TowerHeads(
            query: base + places.query, key: base + places.key, value: base + places.value, config, arithmetic)
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
        packed = base + places.packed
        workers = floats(places.workers)
        workerFloats = TowerWorkerScratch.floats(config)
    }

    /// What attention made of the rows from `first` on, as the product behind it reads it: floats as they are, other forms in
    /// `normed`.
    func attended(from first: Int, _ form: TowerArithmetic.Form, _ hidden: Int) -> TowerRows {
        guard form == .floats else { return normed }
        return TowerRows(
            activation: Activation(floats: attended + first * hidden, integers: normed.activation.integers), blocks: normed.blocks,
            blockBytes: normed.blockBytes, width: hidden)
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
    let patches, normed, inner, merged, mergedInner: TowerRowPlaces
    let queryKeyValue, projected, turns, tiles, packed, workers: Int
    /// Of all of them; nil if that is beyond `Int`.
    let total: Int?

    /// Rows of a chunk: enough that weights are read seldom, and threads wait for each other seldom.
    private static let mostChunkRows = 2048

    /// - Parameters:
    ///   - rows: a multiple of `TowerBatch.unit`.
    ///   - sides: the most rows or columns of patches.
    ///   - halves: of numbers that products in tiles read; 0: there are no tiles.
    init(rows: Int, tokens: Int, sides: Int, _ config: VisionConfig, halves: Int, threads: Int) {
        let hidden = config.hiddenSize
        chunkRows = min(rows, Self.mostChunkRows)
        chunkTokens = min(tokens, max(Self.mostChunkRows / config.mergeCount, 1))
        var layout = ScratchLayout()
        stream = layout.floats(rows, hidden)
        let groupBytes = TowerHeads.groupBytes(config, halves: halves)
        query = layout.bytes(rows / TowerBatch.unit, config.headCount, groupBytes.query)
        key = layout.bytes(rows / TowerBatch.unit, config.headCount, groupBytes.query)
        value = layout.bytes(rows / TowerBatch.unit, config.headCount, groupBytes.value)
        attended = layout.floats(rows, hidden)
        patches = TowerRowPlaces(&layout, rows: chunkRows, width: config.patchElements, halves: halves)
        normed = TowerRowPlaces(&layout, rows: chunkRows, width: hidden, halves: halves)
        queryKeyValue = layout.floats(chunkRows, 3 * hidden)
        inner = TowerRowPlaces(&layout, rows: chunkRows, width: config.intermediateSize, halves: halves)
        merged = TowerRowPlaces(&layout, rows: chunkTokens, width: config.mergedSize, halves: halves)
        mergedInner = TowerRowPlaces(&layout, rows: chunkTokens, width: config.mergedSize, halves: halves)
        projected = layout.floats(chunkTokens, config.textHiddenSize)
        turns = layout.floats(sides, config.headSize / 2)
        tiles = layout.floats(threads, TowerTiles.floats)
        packed = layout.bytes(halves > 0 ? Self.packedBytes(config) : 0)
        workers = layout.floats(threads, TowerWorkerScratch.floats(config))
        total = layout.total
    }

    /// Bytes of the matrices of the stage that packs most.
    private static func packedBytes(_ config: VisionConfig) -> Int {
        let (hidden, inner, merged) = (config.hiddenSize, config.intermediateSize, config.mergedSize)
        func bytes(_ rows: Int, _ columns: Int) -> Int { PackedMatrix.bytes(rows: rows, columns: columns) }
        return max(
            bytes(hidden, config.patchElements), bytes(3 * hidden, hidden),
            bytes(hidden, hidden) + bytes(inner, hidden) + bytes(hidden, inner),
            bytes(merged, merged) + bytes(config.textHiddenSize, merged))
    }
}

/// Where rows that products read lie.
struct TowerRowPlaces {
    private let activation: ScratchLayout.Activation
    private let blocks: Int
    private let blockBytes: Int
    private let width: Int

    init(_ layout: inout ScratchLayout, rows: Int, width: Int, halves: Int) {
        activation = layout.activation(rows, width)
        blockBytes = ck_block_bytes(width, halves)
        blocks = layout.bytes((rows + TowerRows.blockRows - 1) / TowerRows.blockRows, blockBytes)
        self.width = width
    }

    func placed(in memory: MappedMemory) -> TowerRows {
        TowerRows(activation: activation.placed(in: memory), blocks: memory.base + blocks, blockBytes: blockBytes, width: width)
    }
}

/// A worker's own memory. Its parts are used one job at a time.
struct TowerWorkerScratch {
    /// Rows of the stream that are on their way: [2, hidden]
    let row: UnsafeMutablePointer<Float>
    let otherRow: UnsafeMutablePointer<Float>
    /// Cosines and sines of a patch: [head size]
    let angles: UnsafeMutablePointer<Float>
    /// What attention by tiles needs; and by floats the sums of a band, and their states.
    let attention: UnsafeMutableRawPointer
    let sums: UnsafeMutablePointer<Float>
    let state: UnsafeMutablePointer<Float>

    init(_ base: UnsafeMutablePointer<Float>, _ config: VisionConfig) {
        row = base
        otherRow = row + Self.rounded(config.hiddenSize)
        angles = otherRow + Self.rounded(config.hiddenSize)
        sums = angles + Self.rounded(config.headSize)
        state = sums + TowerAttention.band * config.headSize
        attention = UnsafeMutableRawPointer(sums)
    }

    /// A multiple of a cache line's floats, so that all parts begin with one.
    private static func rounded(_ floats: Int) -> Int { (floats + 15) / 16 * 16 }

    static func floats(_ config: VisionConfig) -> Int {
        let attention = max(TowerAttention.band * (config.headSize + 2), ck_attention_scratch(config.headSize, 2) / 4)
        return 2 * rounded(config.hiddenSize) + rounded(config.headSize) + rounded(attention)
    }
}
