import CKimiKernels
import KimiTopology

// The mixture of experts. Rows are gathered by expert, so that each expert's weights are read once a step for all rows that chose
// it; then each row adds up its experts in rising order, which makes its result independent of what else is in the step.

private struct ExpertJob {
    let kernels: UnsafePointer<ck_kernels>
    let weights: ExpertWeights
    let active: UnsafePointer<Int32>
    let start: UnsafePointer<Int32>
    let gathered: UnsafeMutablePointer<Float>
    let gate: UnsafeMutablePointer<Float>
    let up: UnsafeMutablePointer<Float>
    let output: UnsafeMutablePointer<Float>
    let hidden: Int
    let width: Int
}

private struct GatherJob {
    let kernels: UnsafePointer<ck_kernels>
    let normed: UnsafePointer<Float>
    let gathered: UnsafeMutablePointer<Float>
    let output: UnsafePointer<Float>
    let delta: UnsafeMutablePointer<Float>
    let slot: UnsafePointer<Int32>
    let weight: UnsafePointer<Float>
    let perToken: Int
    let hidden: Int
    let hasShared: Bool
}

/// Weight rows of one piece of expert work.
private let blockRows = 32

extension TextModel {
    /// The mixture-of-experts block: reads `normed`, adds experts and shared experts to `hidden`.
    func experts(_ weights: ExpertWeights, rows: Int) {
        let w = workspace
        if let shared = weights.shared {
            multiply(
                product(weights.router, w.normed, w.scores), product(shared.gate, w.normed, w.gate),
                product(shared.up, w.normed, w.up), rows: rows)
            activate(gate: w.gate, up: w.up, width: shared.width, rows: rows)
            multiply(product(shared.down, w.gate, w.delta), rows: rows)
        } else {
            multiply(product(weights.router, w.normed, w.scores), rows: rows)
        }
        choose(weights, rows: rows)
        let activeCount = gatherByExpert(rows: rows)
        statistics.countExperts(activeCount)

        var gathering = GatherJob(
            kernels: kernels, normed: w.normed, gathered: w.gathered, output: w.expertOutput, delta: w.delta,
            slot: w.chosenSlot, weight: w.chosenWeight, perToken: router.perToken, hidden: config.hiddenSize,
            hasShared: weights.shared != nil)
        pool.run(gatherRows, &gathering, count: rows, grain: 4)
        var job = ExpertJob(
            kernels: kernels, weights: weights, active: w.activeExperts, start: w.expertStart, gathered: w.gathered,
            gate: w.expertGate, up: w.expertUp, output: w.expertOutput, hidden: config.hiddenSize,
            width: config.moeIntermediateSize)
        let upBlocks = 2 * blocks(config.moeIntermediateSize)
        pool.run(expertsGateUp, &job, count: activeCount * upBlocks, grain: pool.pieces(of: activeCount * upBlocks, atLeast: 1))
        activate(gate: w.expertGate, up: w.expertUp, width: config.moeIntermediateSize, rows: rows * router.perToken)
        let downBlocks = blocks(config.hiddenSize)
        pool.run(expertsDown, &job, count: activeCount * downBlocks, grain: pool.pieces(of: activeCount * downBlocks, atLeast: 1))
        pool.run(combineRows, &gathering, count: rows, grain: 4)
        addDelta(rows: rows)
    }

    private func choose(_ weights: ExpertWeights, rows: Int) {
        let w = workspace
        for row in 0..<rows {
            router.choose(
                scores: w.scores + row * router.experts, bias: weights.bias, biased: w.biased, groupScore: w.groupScore,
                chosen: w.chosen + row * router.perToken, weights: w.chosenWeight + row * router.perToken)
        }
    }

    /// A counting sort of all choices by expert: fills start, slots and the list of active experts; returns how many are active.
    private func gatherByExpert(rows: Int) -> Int {
        let w = workspace
        let choices = rows * router.perToken
        w.expertStart.update(repeating: 0, count: router.experts + 1)
        for index in 0..<choices { w.expertStart[Int(w.chosen[index]) + 1] += 1 }
        var active = 0
        for expert in 0..<router.experts {
            if w.expertStart[expert + 1] > 0 {
                w.activeExperts[active] = Int32(truncatingIfNeeded: expert)
                active += 1
            }
            w.expertStart[expert + 1] += w.expertStart[expert]
        }
        // Each choice takes the next place of its expert; the starts are moved along and then put back.
        for index in 0..<choices {
            let expert = Int(w.chosen[index])
            w.chosenSlot[index] = w.expertStart[expert]
            w.expertStart[expert] += 1
        }
        for expert in stride(from: router.experts, to: 0, by: -1) { w.expertStart[expert] = w.expertStart[expert - 1] }
        w.expertStart[0] = 0
        return active
    }
}

private func blocks(_ rows: Int) -> Int { (rows + blockRows - 1) / blockRows }

private func gatherRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `experts` passes exactly this type and waits for the job; so too below.
    guard let job = context?.assumingMemoryBound(to: GatherJob.self).pointee else { return }
    for row in begin..<end {
        for choice in row * job.perToken..<(row + 1) * job.perToken {
            (job.gathered + Int(job.slot[choice]) * job.hidden).update(from: job.normed + row * job.hidden, count: job.hidden)
        }
    }
}

/// Item i is block i % blocks of active expert i / blocks; the first half of the blocks is gate, the second up.
private func expertsGateUp(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: ExpertJob.self).pointee else { return }
    let half = blocks(job.width)
    for item in begin..<end {
        let expert = Int(job.active[item / (2 * half)])
        let block = item % (2 * half)
        let isGate = block < half
        multiplyBlock(
            job, expert: expert, block: isGate ? block : block - half, x: job.gathered, xWidth: job.hidden,
            y: isGate ? job.gate : job.up, matrix: isGate ? job.weights.gate : job.weights.up)
    }
}

private func expertsDown(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: ExpertJob.self).pointee else { return }
    let count = blocks(job.hidden)
    for item in begin..<end {
        multiplyBlock(
            job, expert: Int(job.active[item / count]), block: item % count, x: job.gate, xWidth: job.width,
            y: job.output, matrix: job.weights.down)
    }
}

/// Rows `block * 32 ...` of one expert's matrix for all rows that chose the expert.
private func multiplyBlock(
    _ job: ExpertJob, expert: Int, block: Int, x: UnsafePointer<Float>, xWidth: Int,
    y: UnsafeMutablePointer<Float>, matrix: UnsafePointer<ck_matrix>
) {
    let first = Int(job.start[expert])
    let count = Int(job.start[expert + 1]) - first
    let outputs = matrix[expert].rows
    job.kernels.pointee.matmul(
        y + first * outputs, outputs, x + first * xWidth, xWidth, count, matrix + expert,
        block * blockRows, min((block + 1) * blockRows, outputs))
}

/// delta[row] = shared + sum of weight * expert, experts in rising order.
private func combineRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: GatherJob.self).pointee else { return }
    for row in begin..<end {
        let delta = job.delta + row * job.hidden
        if !job.hasShared { delta.update(repeating: 0, count: job.hidden) }
        for choice in row * job.perToken..<(row + 1) * job.perToken {
            job.kernels.pointee.add_scaled(
                delta, job.weight[choice], job.output + Int(job.slot[choice]) * job.hidden, job.hidden)
        }
    }
}
