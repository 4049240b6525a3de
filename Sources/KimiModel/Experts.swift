import CKimiKernels
import KimiTopology

// The mixture of experts. Rows are gathered by expert, so that each expert's weights are read once a step for all rows that chose
// it; each row adds up its experts in rising order, which makes its result independent of what else is in the step.
//
// Three jobs a layer, so three barriers: router and the shared expert's gate and up; the chosen experts' gate and up; all downs,
// added to the residual stream. The pieces of the second and third are blocks of weight rows, never whole experts, so that no
// worker waits for another where few experts are chosen.

/// What the workers need in the two jobs of the routed experts.
private struct ExpertJob {
    let arithmetic: Arithmetic
    let weights: ExpertWeights
    /// The rows of the step, and how many chose an expert: slots, gathered by expert.
    let rows: Int
    let active: UnsafePointer<Int32>
    let activeCount: Int
    let start: UnsafePointer<Int32>
    let slotRow: UnsafePointer<Int32>
    let slotWeight: UnsafePointer<Float>
    /// Gathered inputs [slots, hidden], and silu(gate) * up [slots, width].
    let gathered: Activation
    let inner: Activation
    /// The shared expert's silu(gate) * up.
    let sharedInner: Activation
    let delta: UnsafeMutablePointer<Float>
    let residual: UnsafeMutablePointer<Float>
    let scratch: UnsafeMutablePointer<Float>
    let scratchPerWorker: Int
    let hidden: Int
    let width: Int
    let block: Int
}

/// The sizes of the blocks in which workers take an expert's matrices: large for few rows, where a block should be a long stretch
/// of memory, small for many, so that the block's outputs stay in the core's cache.
struct ExpertBlocks {
    static let fewRows = 16
    static let smallest = 64
    /// Up to so many rows a block is over so soon that the first lines of the next are asked for beforehand.
    static let streamed = 4
    static let largest = 256

    /// Weight rows of a block, a multiple of 32, so that groups of integer activations stay whole.
    static func size(of matrixRows: Int, parts: Int, rows: Int, threads: Int) -> Int {
        guard rows <= fewRows else { return smallest }
        // Four blocks a thread at least.
        let wanted = matrixRows * parts / max(threads * 4, 1)
        return min(largest, max(32, wanted / 32 * 32))
    }

    /// Floats that a worker needs for the outputs of two blocks.
    static func scratch(rows: Int) -> Int? {
        let (few, many) = (fewRows * largest, rows.multipliedReportingOverflow(by: smallest))
        return many.overflow || many.partialValue > .max / 2 ? nil : 2 * max(few, many.partialValue)
    }
}

extension TextModel {
    /// The mixture-of-experts block: reads `normed`, adds experts and shared experts to `hidden`.
    func experts(_ weights: ExpertWeights, rows: Int) {
        let w = workspace
        let scores = Product(matrix: weights.router, x: w.normed, y: w.scores)
        multiply(scores, weights.shared.map { gated($0, w.normed) }, rows: rows)
        choose(weights, rows: rows)
        let activeCount = gatherByExpert(rows: rows)
        statistics.countExperts(activeCount)
        if weights.expertsReadFloats { gatherFloats(slots: rows * router.perToken) }
        runExperts(weights, rows: rows, activeCount: activeCount)
    }

    private func runExperts(_ weights: ExpertWeights, rows: Int, activeCount: Int) {
        let w = workspace
        let (hidden, width) = (config.hiddenSize, config.moeIntermediateSize)
        func job(block: Int) -> ExpertJob {
            ExpertJob(
                arithmetic: arithmetic, weights: weights, rows: rows, active: w.activeExperts, activeCount: activeCount,
                start: w.expertStart, slotRow: w.slotRow, slotWeight: w.slotWeight,
                gathered: w.gathered, inner: w.expertInner, sharedInner: w.inner, delta: w.delta, residual: w.hidden,
                scratch: w.blockOutput, scratchPerWorker: w.blockOutputPerWorker, hidden: hidden, width: width, block: block)
        }
        let widthBlock = ExpertBlocks.size(of: width, parts: activeCount, rows: rows, threads: pool.threads)
        var gateUp = job(block: widthBlock)
        pool.run(expertsGateUp, &gateUp, count: activeCount * blocks(width, widthBlock), grain: 1)
        let hiddenBlock = ExpertBlocks.size(of: hidden, parts: 1, rows: rows, threads: pool.threads)
        var down = job(block: hiddenBlock)
        pool.run(expertsDown, &down, count: blocks(hidden, hiddenBlock), grain: 1)
    }

    /// A counting sort of all choices by expert: fills start, slots and the list of active experts; returns how many are active.
    private func gatherByExpert(rows: Int) -> Int {
        let w = workspace
        w.expertStart.update(repeating: 0, count: router.experts + 1)
        for choice in 0..<rows * router.perToken { w.expertStart[Int(w.chosen[choice]) + 1] += 1 }
        var active = 0
        for expert in 0..<router.experts {
            if w.expertStart[expert + 1] > 0 {
                w.activeExperts[active] = Int32(truncatingIfNeeded: expert)
                active += 1
            }
            w.expertStart[expert + 1] += w.expertStart[expert]
        }
        // Each choice takes the next place of its expert; the starts are moved along and then put back.
        for row in 0..<rows {
            for choice in row * router.perToken..<(row + 1) * router.perToken {
                let expert = Int(w.chosen[choice])
                let slot = Int(w.expertStart[expert])
                w.expertStart[expert] += 1
                w.slotRow[slot] = Int32(truncatingIfNeeded: row)
                w.slotWeight[slot] = w.chosenWeight[choice]
                w.gathered.integers[slot] = w.normed.integers[row]
            }
        }
        for expert in stride(from: router.experts, to: 0, by: -1) { w.expertStart[expert] = w.expertStart[expert - 1] }
        w.expertStart[0] = 0
        return active
    }

    /// Copies of the input rows side by side, for weights that are multiplied by floats.
    private func gatherFloats(slots: Int) {
        let w = workspace
        var job = CopyJob(from: w.normed.floats, to: w.gathered.floats, row: w.slotRow, width: config.hiddenSize)
        pool.run(copyRows, &job, count: slots, grain: 16)
    }
}

private struct CopyJob {
    let from: UnsafePointer<Float>
    let to: UnsafeMutablePointer<Float>
    let row: UnsafePointer<Int32>
    let width: Int
}

private func copyRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `gatherFloats` passes exactly this type and waits for the job; so too below.
    guard let job = context?.assumingMemoryBound(to: CopyJob.self).pointee else { return }
    for slot in begin..<end {
        (job.to + slot * job.width).update(from: job.from + Int(job.row[slot]) * job.width, count: job.width)
    }
}

private func blocks(_ rows: Int, _ size: Int) -> Int { (rows + size - 1) / size }

/// Item i is block i % blocks of active expert i / blocks: its part of silu(gate) * up, for all rows that chose the expert.
private func expertsGateUp(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: ExpertJob.self) else { return }
    let (arithmetic, width) = (job.pointee.arithmetic, job.pointee.width)
    let perExpert = blocks(width, job.pointee.block)
    for item in begin..<end {
        let expert = Int(job.pointee.active[item / perExpert])
        let (from, to) = bounds(of: item % perExpert, job.pointee.block, width)
        let first = Int(job.pointee.start[expert])
        let n = Int(job.pointee.start[expert + 1]) - first
        let x = job.pointee.gathered.from(first, width: job.pointee.hidden)
        let inner = job.pointee.inner.from(first, width: width)
        // Rows of a block lie side by side; the kernels count outputs from the matrix's first.
        let stride = to - from
        let gate = job.pointee.scratch + worker * job.pointee.scratchPerWorker
        let up = gate + n * stride
        if n <= ExpertBlocks.streamed { ck_fetch_row(job.pointee.weights.up + expert, from) }
        arithmetic.multiply(job.pointee.weights.gate + expert, x, rows: n, into: gate - from, yStride: stride, from: from, to: to)
        arithmetic.multiply(job.pointee.weights.up + expert, x, rows: n, into: up - from, yStride: stride, from: from, to: to)
        arithmetic.kernels.pointee.swiglu(gate, gate, up, n * stride)
        let integers = job.pointee.weights.down[expert].readsIntegers
        for row in 0..<n {
            if integers {
                arithmetic.split(inner, row: row, from: gate + row * stride, begin: from, end: to, width: width)
            } else {
                (inner.floats + row * width + from).update(from: gate + row * stride, count: stride)
            }
        }
    }
}

/// Item i is block i of the residual stream: delta = shared + sum of weight * expert, experts in rising order, then hidden += delta.
private func expertsDown(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: ExpertJob.self) else { return }
    let (arithmetic, hidden, delta) = (job.pointee.arithmetic, job.pointee.hidden, job.pointee.delta)
    let output = job.pointee.scratch + worker * job.pointee.scratchPerWorker
    for item in begin..<end {
        let (from, to) = bounds(of: item, job.pointee.block, hidden)
        let stride = to - from
        if var shared = job.pointee.weights.shared?.down {
            arithmetic.multiply(
                &shared, job.pointee.sharedInner, rows: job.pointee.rows, into: delta, yStride: hidden, from: from, to: to)
        } else {
            for row in 0..<job.pointee.rows { (delta + row * hidden + from).update(repeating: 0, count: stride) }
        }
        for index in 0..<job.pointee.activeCount {
            let expert = Int(job.pointee.active[index])
            if index + 1 < job.pointee.activeCount && job.pointee.rows <= ExpertBlocks.streamed {
                ck_fetch_row(job.pointee.weights.down + Int(job.pointee.active[index + 1]), from)
            }
            let first = Int(job.pointee.start[expert])
            let n = Int(job.pointee.start[expert + 1]) - first
            arithmetic.multiply(
                job.pointee.weights.down + expert, job.pointee.inner.from(first, width: job.pointee.width), rows: n,
                into: output - from, yStride: stride, from: from, to: to)
            for slot in first..<first + n {
                let row = Int(job.pointee.slotRow[slot])
                arithmetic.kernels.pointee.add_scaled(
                    delta + row * hidden + from, job.pointee.slotWeight[slot], output + (slot - first) * stride, stride)
            }
        }
        for row in 0..<job.pointee.rows {
            let at = row * hidden + from
            arithmetic.kernels.pointee.add_scaled(job.pointee.residual + at, 1, delta + at, stride)
        }
    }
}

private func bounds(of block: Int, _ size: Int, _ rows: Int) -> (from: Int, to: Int) {
    (block * size, min((block + 1) * size, rows))
}
