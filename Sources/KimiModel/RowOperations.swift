import CKimiKernels
import KimiTopology

// Operations that treat each row by itself. A single row is done at once by the caller; several are shared out.

private struct RowJob {
    let kernels: UnsafePointer<ck_kernels>
    let x: UnsafePointer<Float>
    let y: UnsafeMutablePointer<Float>
    let weight: UnsafePointer<Float>
    let width: Int
    let epsilon: Float
}

extension TextModel {
    /// y = x / rms(x) * weight, for each row of `width` (by default hidden) elements. `y` may be `x`.
    func normalize(
        _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, weight: UnsafePointer<Float>,
        width: Int? = nil, epsilon: Float? = nil, rows: Int
    ) {
        var job = RowJob(
            kernels: kernels, x: x, y: y, weight: weight, width: width ?? config.hiddenSize,
            epsilon: epsilon ?? config.normEpsilon)
        pool.run(normalizeRows, &job, count: rows, grain: 4)
    }

    /// gate = silu(gate) * up, for each row of `width` elements.
    func activate(gate: UnsafeMutablePointer<Float>, up: UnsafePointer<Float>, width: Int, rows: Int) {
        var job = RowJob(kernels: kernels, x: up, y: gate, weight: up, width: width, epsilon: 0)
        pool.run(activateRows, &job, count: rows, grain: 4)
    }

    /// hidden += delta
    func addDelta(rows: Int) {
        var job = RowJob(
            kernels: kernels, x: workspace.delta, y: workspace.hidden, weight: workspace.delta,
            width: config.hiddenSize, epsilon: 0)
        pool.run(addRows, &job, count: rows, grain: 4)
    }
}

private func normalizeRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because the functions above pass exactly this type and wait for the job; so too below.
    guard let job = context?.assumingMemoryBound(to: RowJob.self).pointee else { return }
    for row in begin..<end {
        job.kernels.pointee.rms_norm(
            job.y + row * job.width, job.x + row * job.width, job.weight, job.width, job.epsilon)
    }
}

private func activateRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: RowJob.self).pointee else { return }
    for row in begin..<end {
        let gate = job.y + row * job.width
        job.kernels.pointee.swiglu(gate, gate, job.x + row * job.width, job.width)
    }
}

private func addRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: RowJob.self).pointee else { return }
    for row in begin..<end { job.kernels.pointee.add_scaled(job.y + row * job.width, 1, job.x + row * job.width, job.width) }
}
