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
    var times = TowerTimes()

    private var pool: WorkerPool { text.pool }
    private var hidden: Int { config.hiddenSize }

    init(
        config: VisionConfig, text: TextModel, weights: TowerWeights, arithmetic: TowerArithmetic, grid: PositionGrid,
        batch: TowerBatch, work: TowerWork, cancellation: Cancellation
    ) {
        (self.config, self.text, self.weights, self.arithmetic) = (config, text, weights, arithmetic)
        (self.grid, self.batch, self.work, self.cancellation) = (grid, batch, work, cancellation)
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
        try chunks(.patches) { first, rows in
            each(fillPatches, first, rows, integers: readsIntegers(weights.patch))
            multiply(weights.patch, work.patches, into: work.stream + first * hidden, .store, rows: rows)
            each(placePatches, first, rows)
        }
    }

    /// attended = softmax(query key / root of the head's size) value, of stream's norm.
    func attention(_ block: TowerBlock) throws(KimiError) {
        try chunks(.heads) { first, rows in
            each(normalizeRows, first, rows, norm: block.attentionNorm, integers: readsIntegers(block.queryKeyValue))
            multiply(block.queryKeyValue, work.normed, into: work.queryKeyValue, .store, rows: rows)
            each(rotateHeads, first, rows)
        }
        var done = 0
        while done < batch.items {
            let attention = TowerAttention(kernels: text.kernels, config: config, batch: batch, work: work)
            let items = attention.turn(from: done, threads: pool.threads)
            var job = TowerAttentionJob(attention: attention, first: items.lowerBound)
            try turn(.attention) { pool.run(attendItems, &job, count: items.count, grain: 1) }
            done = items.upperBound
        }
    }

    /// stream += output attended; stream += down(gelu(up of its norm)).
    func mlp(_ block: TowerBlock) throws(KimiError) {
        try chunks(.mlp) { first, rows in
            let stream = work.stream + first * hidden
            let attended = Activation(floats: work.attended + first * hidden, integers: work.normed.integers)
            if readsIntegers(block.output) { each(prepareAttended, first, rows) }
            multiply(block.output, attended, into: stream, .add, rows: rows)
            each(normalizeRows, first, rows, norm: block.mlpNorm, integers: readsIntegers(block.up))
            multiply(
                block.up, work.normed, into: work.inner.floats, .geluTanh, integers: readsIntegers(block.down) ? work.inner : nil,
                rows: rows)
            multiply(block.down, work.inner, into: stream, .add, rows: rows)
        }
    }

    /// features = projector(patches of a token side by side).
    func project() throws(KimiError) {
        let (up, down) = (weights.projectorUp, weights.projectorDown)
        for first in stride(from: 0, to: batch.tokens, by: work.chunkTokens) {
            let count = min(work.chunkTokens, batch.tokens - first)
            var job = TowerMergeJob(
                arithmetic: arithmetic, config: config, batch: batch, work: work, finalNorm: weights.finalNorm,
                mergeNorm: weights.mergeNorm, first: first, integers: readsIntegers(up))
            try turn(.projector) {
                pool.run(mergeTokens, &job, count: count, grain: 1)
                multiply(
                    up, work.merged, into: work.mergedInner.floats, .geluErf, integers: readsIntegers(down) ? work.mergedInner : nil,
                    rows: count)
                multiply(down, work.mergedInner, into: work.projected, .store, rows: count)
                job.deliver(count)
            }
        }
    }

    // MARK: Jobs

    private func readsIntegers(_ linear: TowerLinear) -> Bool { arithmetic.readsIntegers(linear.matrix) }

    private func multiply(
        _ linear: TowerLinear, _ x: Activation, into y: UnsafeMutablePointer<Float>, _ finish: TowerProduct.Finish,
        integers: Activation? = nil, rows: Int
    ) {
        TowerProduct(linear: linear, x: x, y: y, finish: finish, integers: integers)
            .run(arithmetic, rows: rows, pool: pool, scratch: work.tiles)
    }

    /// Runs a job on the groups of a chunk.
    private func each(
        _ task: @convention(c) (UnsafeMutableRawPointer?, Int, Int, Int) -> Void, _ first: Int, _ rows: Int, norm: TowerNorm? = nil,
        integers: Bool = false
    ) {
        var job = TowerRowJob(
            arithmetic: arithmetic, config: config, batch: batch, work: work, grid: grid, first: first, norm: norm, integers: integers)
        pool.run(task, &job, count: rows / TowerBatch.unit, grain: 1)
    }
}

private struct TowerAttentionJob {
    let attention: TowerAttention
    let first: Int
}

// What the workers run. Each is safe because the functions above pass exactly this type and wait for the job.

private func fillPatches(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerRowJob.self).pointee else { return }
    for group in begin..<end { job.fill(group) }
}

private func placePatches(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerRowJob.self).pointee else { return }
    for group in begin..<end { job.place(group, worker: worker) }
}

private func normalizeRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerRowJob.self).pointee else { return }
    for group in begin..<end { job.normalize(group) }
}

private func rotateHeads(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerRowJob.self).pointee else { return }
    for group in begin..<end { job.rotate(group, worker: worker) }
}

private func prepareAttended(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerRowJob.self).pointee else { return }
    for group in begin..<end { job.prepareAttended(group) }
}

private func attendItems(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerAttentionJob.self).pointee else { return }
    for item in begin..<end { job.attention.attend(job.first + item, worker: worker) }
}

private func mergeTokens(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerMergeJob.self).pointee else { return }
    for token in begin..<end { job.merge(token, worker: worker) }
}
