import CKimiKernels
import KimiTopology

// Operations that treat each row by itself. A single row is done at once by the caller; several are shared out.

private struct RowJob {
    let arithmetic: Arithmetic
    let x: UnsafePointer<Float>
    let y: Activation
    let weight: Vector?
    let nodeOfWorker: UnsafePointer<UInt8>
    let width: Int
    let epsilon: Float
    let integers: Bool
}

extension TextModel {
    /// y = x / rms(x) * weight, for each row of `width` (by default hidden) elements. `y.floats` may be `x`.
    ///
    /// - Parameter integers: whether a product that reads the integer form follows.
    func normalize(
        _ x: UnsafePointer<Float>, into y: Activation, weight: Vector, integers: Bool,
        width: Int? = nil, epsilon: Float? = nil, rows: Int
    ) {
        var job = RowJob(
            arithmetic: arithmetic, x: x, y: y, weight: weight, nodeOfWorker: pool.groupOfWorker, width: width ?? config.hiddenSize,
            epsilon: epsilon ?? config.normEpsilon, integers: integers)
        pool.run(prepareRows, &job, count: rows, grain: 4)
    }

    /// Makes the integer form of rows whose floats are there.
    func split(_ y: Activation, width: Int, rows: Int) {
        var job = RowJob(
            arithmetic: arithmetic, x: y.floats, y: y, weight: nil, nodeOfWorker: pool.groupOfWorker, width: width, epsilon: 0, integers: true)
        pool.run(prepareRows, &job, count: rows, grain: 4)
    }
}

private func prepareRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because the functions above pass exactly this type and wait for the job.
    guard let job = context?.assumingMemoryBound(to: RowJob.self).pointee else { return }
    let weight = job.weight?.on(Int(job.nodeOfWorker[worker]))
    for row in begin..<end {
        let y = job.y.floats + row * job.width
        if let weight {
            job.arithmetic.kernels.pointee.rms_norm(y, job.x + row * job.width, weight, job.width, job.epsilon)
        }
        if job.integers { job.arithmetic.split(job.y, row: row, from: y, begin: 0, end: job.width, width: job.width) }
    }
}
