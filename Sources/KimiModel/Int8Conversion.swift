import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiTopology
import Synchronization

/// Makes CK_INT8 of stored matrices, on all threads, straight from the files: a worker reads some rows into a buffer of its own and
/// converts them while they are in its cache, so that neither a mapping nor a copy is touched, and a file that has shrunk is an
/// error.
struct Int8Conversion {
    private let checkpoint: Checkpoint
    private let pool: WorkerPool
    private let kernels: UnsafePointer<ck_kernels>

    /// What a worker reads at once, if a row is no longer.
    private static let pieceBytes = 1 << 18
    /// Pieces of a thread between two reports of progress.
    private static let piecesPerReport = 32

    init(_ checkpoint: Checkpoint, pool: WorkerPool, kernels: UnsafePointer<ck_kernels>) {
        self.checkpoint = checkpoint
        self.pool = pool
        self.kernels = kernels
    }

    /// Fills some rows of `matrix` from a tensor of the same rows and columns.
    ///
    /// - Parameter progress: bytes read since the last call.
    func run(
        _ tensor: TensorInfo, into matrix: ck_matrix, rows wanted: Range<Int>, progress: (Int) throws(KimiError) -> Void
    ) throws(KimiError) {
        let rowBytes = tensor.byteCount / max(matrix.rows, 1)
        let pieceRows = max(1, Self.pieceBytes / max(rowBytes, 1))
        let buffers = try MappedMemory(byteCount: pieceRows * rowBytes * pool.threads, what: "weights being converted")
        let failure = FirstFailure()
        var job = ConversionJob(
            checkpoint: checkpoint, failure: failure, kernels: kernels, tensor: tensor, matrix: matrix,
            type: try WeightLoader.type(of: tensor, name: "a weight"), buffers: buffers.base, rowBytes: rowBytes,
            pieceRows: pieceRows, firstRow: wanted.lowerBound, end: wanted.upperBound)
        let stride = pieceRows * pool.threads * Self.piecesPerReport
        while job.firstRow < job.end {
            let rows = min(stride, job.end - job.firstRow)
            pool.run(convertPieces, &job, count: (rows + pieceRows - 1) / pieceRows, grain: 1)
            if let error = failure.error { throw error }
            try progress(rows * rowBytes)
            job.firstRow += rows
        }
    }
}

/// What the workers need. The classes are alive during the job: its caller has them.
private struct ConversionJob {
    unowned(unsafe) let checkpoint: Checkpoint
    unowned(unsafe) let failure: FirstFailure
    let kernels: UnsafePointer<ck_kernels>
    let tensor: TensorInfo
    let matrix: ck_matrix
    /// The tensor's CK_ type.
    let type: Int32
    /// Room for one piece a worker.
    let buffers: UnsafeMutableRawPointer
    let rowBytes: Int
    let pieceRows: Int
    /// The row that piece 0 begins with.
    var firstRow: Int
    /// Where the wanted rows end.
    let end: Int
}

/// The first error of any worker.
private final class FirstFailure: Sendable {
    private let found = Mutex<KimiError?>(nil)

    var error: KimiError? { found.withLock { $0 } }

    func note(_ error: KimiError) { found.withLock { if $0 == nil { $0 = error } } }
}

private func convertPieces(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `run` passes exactly this type and waits for the job.
    guard let job = context?.assumingMemoryBound(to: ConversionJob.self).pointee else { return }
    let buffer = job.buffers + worker * job.pieceRows * job.rowBytes
    for piece in begin..<end where job.failure.error == nil {
        let first = job.firstRow + piece * job.pieceRows
        let count = min(job.pieceRows, job.end - first)
        do throws(KimiError) {
            try job.checkpoint.read(
                job.tensor, from: first * job.rowBytes,
                into: UnsafeMutableRawBufferPointer(start: buffer, count: count * job.rowBytes))
        } catch {
            return job.failure.note(error)
        }
        var stored = ck_matrix(
            data: buffer, scales: nil, rows: count, columns: job.matrix.columns, type: job.type, reserved: 0)
        let target = job.matrix.rows(first, count)
        // Safe to write to because the loader made this memory, and each piece has rows of its own.
        job.kernels.pointee.quantize_rows(
            UnsafeMutableRawPointer(mutating: target.data), UnsafeMutablePointer(mutating: target.scales), &stored)
    }
}
