import CKimiKernels
import KimiCore
import KimiTopology

// The mixture of experts. Rows are gathered by expert, so that each expert's weights are read once a step for all rows that chose
// it; each row adds up its experts in rising order, which makes its result independent of what else is in the step.
//
// Three jobs a layer, so three barriers: router and the shared expert's gate and up; the chosen experts' gate and up; all downs,
// added to the residual stream. The pieces of the second and third are blocks of weight rows, never whole experts, so that no
// worker waits for another where few experts are chosen. Where experts lie whole on some node: WholeExperts.swift.

/// What the workers need in the jobs of the routed experts.
struct ExpertJob {
    let arithmetic: Arithmetic
    let experts: ExpertTable
    let shared: MLPWeights?
    /// The rows of the step, and how many chose an expert: slots, gathered by expert.
    let rows: Int
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
    /// The most weight rows that are taken at once.
    let stretch: Int
    /// The experts that are worked on, in rising order: each node's begin `listStride` after those of the node before.
    var list: UnsafePointer<Int32>
    var listStride: Int

    func expert(_ index: Int, of node: Int) -> Int { Int(list[node * listStride + index]) }

    /// The rows of an expert's gate and up that a node computes.
    func gateRows(_ expert: Int, of node: Int) -> Range<Int> {
        experts.homes(expert) == 0 ? experts.splits.rows(expert, of: node) : 0..<width
    }

    /// The rows of an expert's down that a node computes.
    func downRows(_ expert: Int, of node: Int) -> Range<Int> {
        experts.homes(expert) == 0 ? experts.downBounds[node]..<experts.downBounds[node + 1] : 0..<hidden
    }

    /// Blocks that a node counts for the gate of any expert; those that an expert does not have there are empty.
    func gateBlocks(of node: Int) -> Int { experts.homes == nil ? experts.splits.mostBlocks[node] : ExpertBlocks.count(width) }
    func downBlocks(of node: Int) -> Int {
        ExpertBlocks.count(experts.homes == nil ? experts.downBounds[node + 1] - experts.downBounds[node] : hidden)
    }
}

/// How workers take an expert's matrices: in blocks of weight rows.
struct ExpertBlocks {
    /// Weight rows of a block: whole groups of integer activations.
    static let size = 32
    /// Up to so many rows of a step are few: a worker then takes long stretches of blocks at once, since memory is the limit; for
    /// more rows short ones, whose outputs stay in the core's cache.
    static let fewRows = 16
    static let longest = 256
    static let shortest = 128

    /// Blocks of so many rows.
    static func count(_ rows: Int) -> Int { (rows + size - 1) / size }

    /// Weight rows of a stretch.
    static func stretch(rows: Int) -> Int { rows <= fewRows ? longest : shortest }

    /// Floats that a worker needs for the outputs of two stretches.
    static func scratch(rows: Int) -> Int? {
        let many = rows.multipliedReportingOverflow(by: shortest)
        return many.overflow || many.partialValue > .max / 2 ? nil : 2 * max(fewRows * longest, many.partialValue)
    }
}

extension TextModel {
    /// The mixture-of-experts block: reads `normed`, adds experts and shared experts to `hidden`.
    func experts(_ weights: ExpertWeights, rows: Int, _ cancellation: Cancellation) throws(KimiError) {
        let w = workspace
        let scores = Product(matrix: weights.router, x: w.normed, y: w.scores, byFloats: true)
        let shared = weights.shared.map { gated($0, w.normed) }
        // What is in the files is asked for before anything else is computed.
        multiply(scores, store == nil ? shared : nil, rows: rows)
        choose(weights, rows: rows)
        let activeCount = gatherByExpert(rows: rows)
        statistics.countExperts(activeCount)
        let active = UnsafeBufferPointer(start: UnsafePointer(w.activeExperts), count: activeCount)
        try store?.begin(layer: weights.experts.layer, experts: active, start: w.expertStart)
        if store != nil, let shared { multiply(shared, rows: rows) }
        if arithmetic.readsFloats(anyOf: weights.expertTypes) { gatherFloats(slots: rows * router.perToken) }
        if let store {
            try runStreamedExperts(weights, store, rows: rows, cancellation)
        } else if weights.experts.homes == nil {
            runSplitExperts(weights, rows: rows, activeCount: activeCount)
        } else {
            runWholeExperts(weights, rows: rows, active)
        }
    }

    /// The job for experts that every node has a part of; other lists of experts are put in its place.
    func expertJob(_ weights: ExpertWeights, rows: Int) -> ExpertJob {
        let w = workspace
        return ExpertJob(
            arithmetic: arithmetic, experts: weights.experts, shared: weights.shared, rows: rows, start: w.expertStart,
            slotRow: w.slotRow, slotWeight: w.slotWeight, gathered: w.gathered, inner: w.expertInner, sharedInner: w.inner,
            delta: w.delta, residual: w.hidden, scratch: w.blockOutput, scratchPerWorker: w.blockOutputPerWorker,
            hidden: config.hiddenSize, width: config.moeIntermediateSize, stretch: ExpertBlocks.stretch(rows: rows),
            list: w.activeExperts, listStride: 0)
    }

    private func runSplitExperts(_ weights: ExpertWeights, rows: Int, activeCount: Int) {
        let counts = workspace.itemCounts
        var job = SplitExpertJob(job: expertJob(weights, rows: rows), activeCount: activeCount)
        for node in 0..<pool.groupCount { counts[node] = activeCount * job.job.gateBlocks(of: node) }
        pool.run(expertsGateUp, &job.job, counts: counts, grain: 1)
        for node in 0..<pool.groupCount { counts[node] = job.job.downBlocks(of: node) }
        pool.run(expertsDown, &job, counts: counts, grain: 1)
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
                w.slotOfChoice[choice] = Int32(truncatingIfNeeded: slot)
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

/// The experts of a node, block after block; item i is block i % blocks of its expert i / blocks.
func expertsGateUp(_ context: UnsafeMutableRawPointer?, _ node: Int, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: ExpertJob.self) else { return }
    let stretch = job.pointee.stretch
    let perExpert = job.pointee.gateBlocks(of: node)
    var item = begin
    while item < end {
        let (index, block) = item.quotientAndRemainder(dividingBy: perExpert)
        let expert = job.pointee.expert(index, of: node)
        let rows = job.pointee.gateRows(expert, of: node)
        let from = rows.lowerBound + block * ExpertBlocks.size
        guard from < rows.upperBound else {
            item = (index + 1) * perExpert
            continue
        }
        let to = min(from + stretch, rows.upperBound, from + (end - item) * ExpertBlocks.size)
        gateUp(job, node, expert: expert, from, to, worker)
        item += ExpertBlocks.count(to - from)
    }
}

/// Rows `from ..< to` of an expert's silu(gate) * up, for all rows that chose the expert.
private func gateUp(
    _ job: UnsafePointer<ExpertJob>, _ node: Int, expert: Int, _ from: Int, _ to: Int, _ worker: Int
) {
    let (arithmetic, width) = (job.pointee.arithmetic, job.pointee.width)
    let first = Int(job.pointee.start[expert])
    let n = Int(job.pointee.start[expert + 1]) - first
    let x = job.pointee.gathered.from(first, width: job.pointee.hidden)
    let inner = job.pointee.inner.from(first, width: width)
    let gateWeights = job.pointee.experts.gate(expert, on: node)
    let upWeights = job.pointee.experts.up(expert, on: node)
    // Rows of the outputs lie side by side; the kernels count outputs from the matrix's first.
    let stride = to - from
    let gate = job.pointee.scratch + worker * job.pointee.scratchPerWorker
    let up = gate + n * stride
    arithmetic.fetch(upWeights, row: from, for: n)
    arithmetic.multiply(gateWeights, x, rows: n, into: gate - from, yStride: stride, from: from, to: to)
    arithmetic.multiply(upWeights, x, rows: n, into: up - from, yStride: stride, from: from, to: to)
    arithmetic.kernels.pointee.swiglu(gate, gate, up, n * stride)
    let integers = arithmetic.readsIntegers(job.pointee.experts.down(expert, on: node).pointee)
    for row in 0..<n {
        if integers {
            arithmetic.split(inner, row: row, from: gate + row * stride, begin: from, end: to, width: width)
        } else {
            (inner.floats + row * width + from).update(from: gate + row * stride, count: stride)
        }
    }
}

/// The downs of experts that are all split alike, so that a node sums up its rows of all of them.
private struct SplitExpertJob {
    var job: ExpertJob
    let activeCount: Int
}

/// Item i is block i of the node's rows of the residual stream.
private func expertsDown(_ context: UnsafeMutableRawPointer?, _ node: Int, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: SplitExpertJob.self) else { return }
    let first = job.pointee.job.experts.downBounds[node]
    let last = min(first + end * ExpertBlocks.size, job.pointee.job.experts.downBounds[node + 1])
    for from in stride(from: first + begin * ExpertBlocks.size, to: last, by: job.pointee.job.stretch) {
        downs(&job.pointee.job, job.pointee.activeCount, node, from, min(from + job.pointee.job.stretch, last), worker)
    }
}

/// Columns `from ..< to` of the residual stream: delta = shared + sum of weight * expert, experts in rising order, then hidden +=
/// delta.
private func downs(
    _ job: UnsafePointer<ExpertJob>, _ activeCount: Int, _ node: Int, _ from: Int, _ to: Int, _ worker: Int
) {
    let (arithmetic, hidden, delta) = (job.pointee.arithmetic, job.pointee.hidden, job.pointee.delta)
    guard let addScaled = arithmetic.kernels.pointee.add_scaled else { return }
    let output = job.pointee.scratch + worker * job.pointee.scratchPerWorker
    let stride = to - from
    sharedDown(job, node, from, to)
    for index in 0..<activeCount {
        let expert = job.pointee.expert(index, of: node)
        if index + 1 < activeCount {
            let next = job.pointee.expert(index + 1, of: node)
            arithmetic.fetch(job.pointee.experts.down(next, on: node), row: from, for: job.pointee.rows)
        }
        let first = Int(job.pointee.start[expert])
        let n = Int(job.pointee.start[expert + 1]) - first
        arithmetic.multiply(
            job.pointee.experts.down(expert, on: node), job.pointee.inner.from(first, width: job.pointee.width), rows: n,
            into: output - from, yStride: stride, from: from, to: to)
        for slot in first..<first + n {
            let row = Int(job.pointee.slotRow[slot])
            addScaled(delta + row * hidden + from, job.pointee.slotWeight[slot], output + (slot - first) * stride, stride)
        }
    }
    for row in 0..<job.pointee.rows {
        let at = row * hidden + from
        addScaled(job.pointee.residual + at, 1, delta + at, stride)
    }
}

/// Columns `from ..< to` of delta: the shared expert, or zero where there is none.
func sharedDown(_ job: UnsafePointer<ExpertJob>, _ node: Int, _ from: Int, _ to: Int) {
    let (hidden, delta) = (job.pointee.hidden, job.pointee.delta)
    if let shared = job.pointee.shared?.down {
        job.pointee.arithmetic.multiply(
            shared.part(node), job.pointee.sharedInner, rows: job.pointee.rows, into: delta, yStride: hidden, from: from, to: to)
    } else {
        for row in 0..<job.pointee.rows { (delta + row * hidden + from).update(repeating: 0, count: to - from) }
    }
}
