import CKimiKernels
import KimiModel
import KimiTopology

/// One product of a tower: linear(x[r]) for some rows, and what becomes of it.
struct TowerProduct {
    enum Finish {
        /// y[r] = the result.
        case store
        /// y[r] += the result: back into the stream.
        case add
        /// gelu(the result), by erf or by tanh, in the form that the product behind it reads: `rows`, whose floats are y.
        case gelu(byErf: Bool, TowerArithmetic.Form, rows: TowerRows)
    }

    let linear: TowerLinear
    /// The matrix as tiles, if x are pairs.
    var packed: UnsafeRawPointer?
    let x: TowerRows
    /// [rows, linear.rows]
    let y: UnsafeMutablePointer<Float>
    let finish: Finish
}

/// Products are cut into tiles of some rows and some outputs: enough of both that what is read is used often, and few enough that
/// there are tiles for all threads.
struct TowerTiles {
    /// Outputs of a tile: a multiple of 32.
    static let outputs = 256
    private static let mostRows = 512
    private static let leastRows = 64

    /// Rows of a tile.
    let rows: Int
    let rowTiles: Int
    let count: Int

    init(rows: Int, outputs: Int, threads: Int) {
        let columns = (outputs + Self.outputs - 1) / Self.outputs
        var tile = Self.mostRows
        while tile > Self.leastRows, (rows + tile - 1) / tile * columns < 4 * threads { tile /= 2 }
        self.rows = tile
        rowTiles = (rows + tile - 1) / tile
        count = rowTiles * columns
    }

    /// Floats of the largest tile.
    static var floats: Int { mostRows * outputs }
}

private struct TowerProductJob {
    let arithmetic: TowerArithmetic
    let product: TowerProduct
    let rows: Int
    let tiles: TowerTiles
    /// [workers, TowerTiles.floats]
    let scratch: UnsafeMutablePointer<Float>
}

extension TowerProduct {
    /// Computes the product of `rows` rows on all threads of the pool.
    func run(_ arithmetic: TowerArithmetic, rows: Int, pool: WorkerPool, scratch: UnsafeMutablePointer<Float>) {
        let tiles = TowerTiles(rows: rows, outputs: linear.rows, threads: pool.threads)
        var job = TowerProductJob(arithmetic: arithmetic, product: self, rows: rows, tiles: tiles, scratch: scratch)
        pool.run(multiplyTiles, &job, count: tiles.count, grain: 1)
    }
}

private func multiplyTiles(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `run` passes exactly this type and waits for the job.
    guard let job = context?.assumingMemoryBound(to: TowerProductJob.self).pointee else { return }
    var matrix = job.product.linear.matrix
    let scratch = job.scratch + worker * TowerTiles.floats
    // Neighbours have the same weights.
    for tile in begin..<end {
        let row = tile % job.tiles.rowTiles * job.tiles.rows
        let output = tile / job.tiles.rowTiles * TowerTiles.outputs
        let rows = min(job.tiles.rows, job.rows - row)
        let outputs = min(TowerTiles.outputs, matrix.rows - output)
        job.arithmetic.multiply(
            &matrix, packed: job.product.packed, job.product.x, first: row, rows: rows, into: scratch - output,
            stride: TowerTiles.outputs, from: output, to: output + outputs)
        for index in 0..<rows { job.finish(row + index, scratch + index * TowerTiles.outputs, output, outputs) }
    }
}

extension TowerProductJob {
    /// What becomes of a row of a tile.
    @inline(__always)
    fileprivate func finish(_ row: Int, _ made: UnsafeMutablePointer<Float>, _ output: Int, _ outputs: Int) {
        let kernels = arithmetic.kernels
        let y = product.y + row * product.linear.rows + output
        let bias = product.linear.bias + output
        switch product.finish {
        case .store:
            kernels.pointee.add_scaled(made, 1, bias, outputs)
            y.update(from: made, count: outputs)
        case .add:
            kernels.pointee.add_scaled(made, 1, bias, outputs)
            kernels.pointee.add_scaled(y, 1, made, outputs)
        case .gelu(let byErf, let form, let rows):
            let gelu = byErf ? kernels.pointee.gelu_erf : kernels.pointee.gelu_tanh
            gelu?(form == .floats ? y : made, made, bias, outputs)
            arithmetic.prepare(form, rows, row: row, from: made, begin: output, end: output + outputs)
        }
    }
}
