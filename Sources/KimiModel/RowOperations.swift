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
    let forms: ActivationForms
}

extension TextModel {
    /// y = x / rms(x) * weight, for each row of `width` (by default hidden) elements. `y.floats` may be `x`.
    ///
    /// - Parameter forms: what the products that follow read beside floats.
    func normalize(
        _ x: UnsafePointer<Float>, into y: Activation, weight: Vector, forms: ActivationForms,
        width: Int? = nil, epsilon: Float? = nil, rows: Int
    ) {
        var job = RowJob(
            arithmetic: arithmetic, x: x, y: y, weight: weight, nodeOfWorker: pool.groupOfWorker, width: width ?? config.hiddenSize,
            epsilon: epsilon ?? config.normEpsilon, forms: forms)
        pool.run(prepareRows, &job, count: rows, grain: 4)
    }

    /// Makes forms of rows whose floats are there.
    func make(_ forms: ActivationForms, of y: Activation, width: Int, rows: Int) {
        if forms.isEmpty { return }
        var job = RowJob(
            arithmetic: arithmetic, x: y.floats, y: y, weight: nil, nodeOfWorker: pool.groupOfWorker, width: width, epsilon: 0, forms: forms)
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
        job.arithmetic.make(job.forms, job.y, row: row, from: y, begin: 0, end: job.width, width: job.width)
    }
}
