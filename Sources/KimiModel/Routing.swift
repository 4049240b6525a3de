import CKimiKernels
import KimiTopology

// The router's choices for the rows of a step: each row by itself.

private struct RoutingJob {
    let router: Router
    let bias: Vector
    let nodeOfWorker: UnsafePointer<UInt8>
    let scores: UnsafeMutablePointer<Float>
    let biased: UnsafeMutablePointer<Float>
    let groupScore: UnsafeMutablePointer<Float>
    let chosen: UnsafeMutablePointer<Int32>
    let weights: UnsafeMutablePointer<Float>
}

extension TextModel {
    /// Turns the rows' router logits in `scores` into `chosen` experts and their weights.
    func choose(_ weights: ExpertWeights, rows: Int) {
        let w = workspace
        var job = RoutingJob(
            router: router, bias: weights.bias, nodeOfWorker: pool.groupOfWorker, scores: w.scores, biased: w.biased, groupScore: w.groupScore,
            chosen: w.chosen, weights: w.chosenWeight)
        pool.run(chooseRows, &job, count: rows, grain: 4)
    }
}

private func chooseRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `choose` passes exactly this type and waits for the job.
    guard let job = context?.assumingMemoryBound(to: RoutingJob.self).pointee else { return }
    let (experts, perToken) = (job.router.experts, job.router.perToken)
    let bias = job.bias.on(Int(job.nodeOfWorker[worker]))
    for row in begin..<end {
        job.router.choose(
            scores: job.scores + row * experts, bias: bias, biased: job.biased + worker * experts,
            groupScore: job.groupScore + worker * experts, chosen: job.chosen + row * perToken,
            weights: job.weights + row * perToken)
    }
}
