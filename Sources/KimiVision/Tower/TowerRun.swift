import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTopology

/// One batch on its way through the tower. For one thread.
final class TowerRun {
    private let config: VisionConfig
    private let text: TextModel
    private let weights: TowerWeights
    private let arithmetic: TowerArithmetic
    private let grid: PositionGrid
    private let batch: TowerBatch
    private let work: TowerWork
    private let cancellation: Cancellation
    /// Called after each turn.
    private let between: () -> Void
    var times = TowerTimes()

    private var pool: WorkerPool { text.pool }
    private var hidden: Int { config.hiddenSize }

    init(
        config: VisionConfig, text: TextModel, weights: TowerWeights, arithmetic: TowerArithmetic, grid: PositionGrid,
        batch: TowerBatch, work: TowerWork, cancellation: Cancellation,
        between: @escaping () -> Void
    ) {
        (self.config, self.text, self.weights, self.arithmetic) = (config, text, weights, arithmetic)
        (self.grid, self.batch, self.work, self.cancellation) = (grid, batch, work, cancellation)
        self.between = between
    }

    /// Has the pool for some work, and the mapped weights held meanwhile.
    private func turn(_ stage: TowerStage, _ body: () -> Void) throws(KimiError) {
        try text.withStep(cancellation) { () throws(KimiError) in
            try cancellation.check()
            let affinity = pool.bindCaller()
            defer { pool.release(affinity) }
            defer { text.readHold?.end() }
            try text.readHold?.begin()
            let begin = monotonicNanoseconds()
            body()
            times.add(stage, nanoseconds: monotonicNanoseconds() &- begin)
            // What was computed of a file that somebody cut meanwhile counts for nothing.
            try text.readHold?.check()
        }
        between()
    }

    /// A turn for each chunk of rows.
    private func chunks(_ stage: TowerStage, _ body: (_ first: Int, _ rows: Int) -> Void) throws(KimiError) {
        for first in stride(from: 0, to: batch.rows, by: work.chunkRows) {
            try turn(stage) { body(first, min(work.chunkRows, batch.rows - first)) }
        }
    }

    // MARK: The stages

    /// stream = the convolution over patches, and their positions.
    func embed() throws(KimiError) {
        let sides = batch.pictures.reduce(0) { max($0, $1.grid.rows, $1.grid.columns) }
        grid.fillTurns(work.turns, count: sides)
        let packed = try pack([weights.patch], .patches)
        try chunks(.patches) { first, rows in
            let pixels = job(first, form: arithmetic.form(weights.patch))
            let patches = product(
                weights.patch, packed.first, work.patches, into: work.stream + first * hidden, .store, rows: rows)
            take(rows, [.rows { group, _ in pixels.fill(group) }, .product(patches), .rows { pixels.place($0, worker: $1) }])
        }
    }

    /// attended = softmax(query key / root of the head's size) value, of stream's norm.
    func attention(_ block: TowerBlock) throws(KimiError) {
        let packed = try pack([block.queryKeyValue], .heads)
        try chunks(.heads) { first, rows in
            let job = job(first, norm: block.attentionNorm, form: arithmetic.form(block.queryKeyValue))
            let heads = product(block.queryKeyValue, packed.first, work.normed, into: work.queryKeyValue, .store, rows: rows)
            take(rows, [.rows { job.normalize($0, worker: $1) }, .product(heads), .rows { job.rotate($0, worker: $1) }])
        }
        var done = 0
        while done < batch.items {
            let attention = TowerAttention(config: config, batch: batch, work: work)
            let items = attention.turn(from: done, threads: pool.threads)
            var job = TowerAttentionJob(attention: attention, first: items.lowerBound)
            try turn(.attention) { pool.run(attendItems, &job, count: items.count, grain: 1) }
            done = items.upperBound
        }
    }

    /// stream += output attended; stream += down(gelu(up of its norm)).
    func mlp(_ block: TowerBlock) throws(KimiError) {
        let (output, up, down) = (block.output, block.up, block.down)
        let packed = try pack([output, up, down], .mlp)
        try chunks(.mlp) { first, rows in
            let stream = work.stream + first * hidden
            let attended = work.attended(from: first, arithmetic.form(output), hidden)
            let before = job(first, form: arithmetic.form(output))
            let norm = job(first, norm: block.mlpNorm, form: arithmetic.form(up))
            take(rows, [
                .rows { group, _ in before.prepareAttended(group) },
                .product(product(output, packed.first, attended, into: stream, .add, rows: rows)),
                .rows { norm.normalize($0, worker: $1) },
                .product(product(
                    up, packed.second, work.normed, into: work.inner.floats,
                    .gelu(byErf: false, arithmetic.form(down), rows: work.inner), rows: rows)),
                .product(product(down, packed.third, work.inner, into: stream, .add, rows: rows)),
            ])
        }
    }

    /// features = projector(patches of a token side by side).
    func project() throws(KimiError) {
        let (up, down) = (weights.projectorUp, weights.projectorDown)
        let packed = try pack([up, down], .projector)
        for first in stride(from: 0, to: batch.tokens, by: work.chunkTokens) {
            let count = min(work.chunkTokens, batch.tokens - first)
            var job = TowerMergeJob(
                arithmetic: arithmetic, config: config, batch: batch, work: work, finalNorm: weights.finalNorm,
                mergeNorm: weights.mergeNorm, first: first, form: arithmetic.form(up))
            try turn(.projector) {
                pool.run(mergeTokens, &job, count: count, grain: 1)
                product(
                    up, packed.first, work.merged, into: work.mergedInner.floats,
                    .gelu(byErf: true, arithmetic.form(down), rows: work.mergedInner), rows: count
                ).run(on: pool)
                product(down, packed.second, work.mergedInner, into: work.projected, .store, rows: count).run(on: pool)
                job.deliver(count)
            }
        }
    }

    // MARK: Matrices as tiles

    /// Where the packed matrices of a stage are, nil for each that is not packed.
    private typealias Packed = (first: UnsafeRawPointer?, second: UnsafeRawPointer?, third: UnsafeRawPointer?)

    /// Packs the matrices of a stage, up to three, if products with them read tiles.
    private func pack(_ linears: [TowerLinear], _ stage: TowerStage) throws(KimiError) -> Packed {
        guard let tiles = arithmetic.tiles else { return (nil, nil, nil) }
        var places: [UnsafeRawPointer?] = [nil, nil, nil]
        var place = work.packed
        for (index, linear) in linears.enumerated() where arithmetic.form(linear) == .tiles {
            var job = TowerPackJob(tiles: tiles, matrix: linear.matrix, to: place)
            try turn(stage) { pool.run(packRows, &job, count: job.count, grain: 1) }
            places[index] = UnsafeRawPointer(place)
            place += PackedMatrix.bytes(linear)
        }
        return (places[0], places[1], places[2])
    }

    // MARK: Jobs

    private func product(
        _ linear: TowerLinear, _ packed: UnsafeRawPointer?, _ x: TowerRows, into y: UnsafeMutablePointer<Float>,
        _ finish: TowerProduct.Finish, rows: Int
    ) -> TowerProductJob {
        TowerProductJob(
            TowerProduct(linear: linear, packed: packed, x: x, y: y, finish: finish), arithmetic, rows: rows, threads: pool.threads,
            scratch: work.tiles)
    }

    /// A job on the groups of the chunk that begins with a row.
    private func job(_ first: Int, norm: TowerNorm? = nil, form: TowerArithmetic.Form) -> TowerRowJob {
        TowerRowJob(arithmetic: arithmetic, config: config, batch: batch, work: work, grid: grid, first: first, norm: norm, form: form)
    }

    /// Takes the rows of a chunk through some steps.
    private func take(_ rows: Int, _ steps: [TowerStep]) { TowerSteps(steps: steps, rows: rows).run(on: pool) }
}

private struct TowerAttentionJob {
    let attention: TowerAttention
    let first: Int
}

/// Packs a matrix as tiles, some rows an item.
private struct TowerPackJob {
    let tiles: UnsafePointer<ck_tiles>
    let matrix: ck_matrix
    let to: UnsafeMutableRawPointer

    private static let rows = 64
    var count: Int { (matrix.rows + Self.rows - 1) / Self.rows }

    func pack(_ item: Int) {
        var matrix = matrix
        let first = item * Self.rows
        let place = to + first / TowerRows.blockRows * PackedMatrix.blockBytes(columns: matrix.columns)
        tiles.pointee.pack_weights(place, &matrix, first, min(Self.rows, matrix.rows - first))
    }
}

// What the workers run. Each is safe because the functions above pass exactly this type and wait for the job.

private func attendItems(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerAttentionJob.self).pointee else { return }
    for item in begin..<end { job.attention.attend(job.first + item, worker: worker) }
}

private func mergeTokens(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerMergeJob.self).pointee else { return }
    for token in begin..<end { job.merge(token, worker: worker) }
}

private func packRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerPackJob.self).pointee else { return }
    for item in begin..<end { job.pack(item) }
}
