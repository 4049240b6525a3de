import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTopology

/// The vision tower of a checkpoint, MoonViT and its projector: makes of pictures, and of chunks of clips, the rows that stand in a
/// prompt in place of embeddings.
///
/// It computes on the text model's threads, a turn of some tenths of a second at most at a time, so that steps of sessions go on
/// between turns. Any thread may call; encodes take turns among themselves, in the order of asking.
package final class VisionTower: @unchecked Sendable {
    // Safe because everything is set in init but `total`, which is touched under `lock` only.
    package let config: VisionConfig
    private let text: TextModel
    private let weights: TowerWeights
    private let arithmetic: TowerArithmetic
    private let grid: PositionGrid
    /// What `weights` point into, besides the mapped files.
    private let memories: [ChargedMemory]
    private let lock = StepLock()
    private var total = TowerTimes()

    /// Finds and checks all weights; where the text model's are not read from the files any more, reads these too.
    ///
    /// - Parameters:
    ///   - vision: what products may round, unless the text model is exact.
    ///   - progress: bytes read and to read; not called where nothing is.
    /// - Throws: `unsupported` for a checkpoint that has no tower; `format` for a tensor that is missing or has another shape than
    ///   the configuration asks for; `outOfMemory`; `io`.
    package init(
        text: TextModel, _ vision: VisionArithmetic = .full, progress: (Int, Int) throws(KimiError) -> Void = { _, _ in }
    ) throws(KimiError) {
        guard let config = text.config.vision, text.checkpoint.hasVisionTensors else { throw Self.blind(text.checkpoint) }
        self.config = config
        self.text = text
        var loader = try TowerLoader(text)
        let weights = try TowerWeights(&loader, config)
        self.weights = weights
        arithmetic = TowerArithmetic(kernels: text.kernels, isExact: text.exact, vision)
        grid = PositionGrid(config, learned: weights.positions)
        memories = [loader.vectors] + (loader.matrices.map { [$0] } ?? [])
        try text.withStep { () throws(KimiError) in try loader.fill(progress) }
    }

    /// Whether a checkpoint has a tower.
    package static func exists(in checkpoint: Checkpoint) -> Bool { checkpoint.config.vision != nil && checkpoint.hasVisionTensors }

    /// Bytes of memory that the tower of a checkpoint takes, of its own weights alone where the others stay in their files; 0 without one.
    package static func memoryBytes(of checkpoint: Checkpoint, isMapped: Bool) -> Int {
        guard exists(in: checkpoint) else { return 0 }
        let bytes = TowerLoader.bytes(of: checkpoint)
        return MappedMemory.pages(bytes.vectors) + (isMapped ? 0 : MappedMemory.pages(bytes.matrices))
    }

    /// Bytes of memory that a tower in the published layout, BF16, would take.
    ///
    /// - Throws: `outOfMemory` if that is beyond any memory.
    package static func memoryBytes(of config: VisionConfig) throws(KimiError) -> Int {
        let bytes = TowerLoader.bytes(of: config)
        guard let bytes else { throw KimiError(.outOfMemory, "the vision tower is beyond any memory", subject: "vision_config") }
        return MappedMemory.pages(bytes.vectors) + MappedMemory.pages(bytes.matrices)
    }

    /// Says that a checkpoint has none.
    package static func blind(_ checkpoint: Checkpoint) -> KimiError {
        let reason = checkpoint.config.vision == nil
            ? "its config.json has no vision_config"
            : "its files hold no vision_tower. tensors, though config.json describes a tower"
        return KimiError(.unsupported, "this checkpoint cannot see: \(reason)", file: checkpoint.folder, subject: "vision_config")
    }

    /// Memory for weights that is the tower's own; 0 for mapped ones but for norms and biases.
    package var weightBytes: Int { memories.reduce(0) { $0 + $1.memory.byteCount } }

    /// What the products of its blocks read. There is at least one block.
    var form: TowerArithmetic.Form { weights.blocks.first.map { arithmetic.form($0.up) } ?? .floats }

    /// What products in tiles read of each number; 0 without tiles.
    var halves: Int { arithmetic.halves }

    /// How many tokens a picture or chunk of so many patches takes.
    ///
    /// - Throws: `invalidArgument` for a grid that the tower cannot take.
    package func tokens(of grid: PatchGrid) throws(KimiError) -> Int {
        try TowerBatch.check(grid, config)
        return TowerBatch.tokens(grid, config)
    }

    /// What all encodes so far took.
    package var times: TowerTimes { (try? lock.hold(nil) { () throws(KimiError) in total }) ?? TowerTimes() }

    // MARK: Encoding

    /// Encodes one picture or one chunk of a clip.
    ///
    /// - Parameter between: called after each turn, when the threads are free.
    /// - Throws: as the other `encode` does.
    package func encode(
        _ source: some PatchSource, digest: MediaDigest, cancellation: Cancellation, between: @escaping () -> Void = {}
    ) throws(KimiError) -> MediaFeatures {
        guard let features = try encode([(source, digest)], cancellation: cancellation, between: between).first else {
            throw KimiError(.internal, "a picture without features")
        }
        return features
    }

    /// Encodes several pictures and chunks, small ones together. Features do not depend on what else is encoded, bit for bit.
    ///
    /// - Throws: `cancelled`, at the latest after a turn; `invalidArgument` for a grid that the tower cannot take; `outOfMemory`;
    ///   `io` if a mapped file is cut; `numeric` if features are not finite.
    package func encode(
        _ sources: [(source: any PatchSource, digest: MediaDigest)], cancellation: Cancellation, between: @escaping () -> Void = {}
    ) throws(KimiError) -> [MediaFeatures] {
        let grids = sources.map { $0.source.grid }
        for grid in grids { try TowerBatch.check(grid, config) }
        return try lock.hold(cancellation) { () throws(KimiError) in
            var features: [MediaFeatures] = []
            while features.count < sources.count {
                var batch = TowerBatch()
                for index in features.count..<sources.count {
                    let added = try batch.add(sources[index].source, grids[index], config) { tokens throws(KimiError) in
                        try MediaFeatures(
                            digest: sources[index].digest, tokens: tokens, width: config.textHiddenSize, on: text.budget)
                    }
                    guard added else { break }
                }
                try run(batch, cancellation, between)
                features += batch.pictures.map(\.features)
            }
            return features
        }
    }

    /// The tower in the order of the maths.
    private func run(_ batch: TowerBatch, _ cancellation: Cancellation, _ between: @escaping () -> Void) throws(KimiError) {
        let work = try TowerWork(batch, config, arithmetic, text: text)
        let run = TowerRun(
            config: config, text: text, weights: weights, arithmetic: arithmetic, grid: grid, batch: batch, work: work,
            cancellation: cancellation, between: between)
        defer { total.add(run.times) }
        try run.embed()
        for block in weights.blocks {
            try run.attention(block)
            try run.mlp(block)
        }
        try run.project()
        for picture in batch.pictures {
            run.times.count(picture.grid, config)
            let features = picture.features
            guard text.kernels.pointee.all_finite(features.rows, features.tokens * features.width) != 0 else {
                throw KimiError(
                    .numeric, "features of a picture hold NaN or infinity: a weight of the vision tower is damaged or overflows",
                    file: text.checkpoint.folder)
            }
        }
    }
}
