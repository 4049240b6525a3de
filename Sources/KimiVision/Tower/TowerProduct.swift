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
    /// The matrix as tiles, if x are halves.
    var packed: UnsafeRawPointer?
    let x: TowerRows
    /// [rows, linear.rows]
    let y: UnsafeMutablePointer<Float>
    let finish: Finish
}

/// Products are cut into tiles of some rows and some outputs: enough of both that what is read is used often, and few enough that
/// there are tiles for all threads.
///
/// Floats and integers: what a tile reads and makes is small. Halves: the rows of a tile stay in the second cache while weights
/// pass by, once for each tile, so that a tile has as many outputs as there can be.
struct TowerTiles {
    /// Rows and outputs of a tile: multiples of 32.
    let rows: Int
    let outputs: Int
    /// Outputs that are finished at once, while they are in the first cache.
    let part: Int
    let rowTiles: Int
    let count: Int

    private static let mostRows = 512
    private static let leastRows = 64
    private static let plainOutputs = 256
    /// Of halves: outputs whose sums go to memory and back, and those whose do not.
    private static let mostSums = 1152
    private static let tiledPart = 64

    /// - Parameter tiled: of halves, columns of a row, and how many halves a number has; nil for other forms.
    init(rows: Int, outputs: Int, tiled: (columns: Int, halves: Int)?, threads: Int) {
        if let tiled {
            let most = Int(CK_TILE_PASS_ROWS)
            self.rows = min(rows, most)
            rowTiles = (rows + most - 1) / most
            let staying = tiled.columns * tiled.halves <= Int(CK_TILE_PASS_HALVES * CK_TILE_STEP)
            let groups = max(1, (Self.tilesOfThread * threads + rowTiles - 1) / rowTiles)
            let group = ((outputs + groups - 1) / groups + Self.tiledPart - 1) / Self.tiledPart * Self.tiledPart
            self.outputs = staying ? group : min(group, Self.mostSums)
            // Whole tiles are written.
            let written = (outputs + TowerRows.blockRows - 1) / TowerRows.blockRows * TowerRows.blockRows
            part = staying ? Self.tiledPart : min(written, Self.mostSums)
        } else {
            var tile = Self.mostRows
            let columns = (outputs + Self.plainOutputs - 1) / Self.plainOutputs
            while tile > Self.leastRows, (rows + tile - 1) / tile * columns < Self.tilesOfThread * threads { tile /= 2 }
            self.rows = tile
            rowTiles = (rows + tile - 1) / tile
            self.outputs = Self.plainOutputs
            part = Self.plainOutputs
        }
        count = rowTiles * ((outputs + self.outputs - 1) / self.outputs)
    }

    /// Enough that all threads end at about the same time.
    private static let tilesOfThread = 4

    /// Floats of the largest part of a tile.
    static let floats = max(mostRows * plainOutputs, Int(CK_TILE_PASS_ROWS) * mostSums)
}

/// A product of some rows as threads compute it.
struct TowerProductJob {
    let arithmetic: TowerArithmetic
    let product: TowerProduct
    let rows: Int
    let tiles: TowerTiles
    /// [workers, TowerTiles.floats]
    let scratch: UnsafeMutablePointer<Float>
}

extension TowerProductJob {
    init(_ product: TowerProduct, _ arithmetic: TowerArithmetic, rows: Int, threads: Int, scratch: UnsafeMutablePointer<Float>) {
        let tiled = product.packed == nil ? nil : arithmetic.tiles.map { (product.linear.columns, $0.pointee.halves) }
        self.init(
            arithmetic: arithmetic, product: product, rows: rows,
            tiles: TowerTiles(rows: rows, outputs: product.linear.rows, tiled: tiled, threads: threads), scratch: scratch)
    }

    /// Computes all rows on all threads of the pool.
    func run(on pool: WorkerPool) {
        var job = self
        pool.run(multiplyTiles, &job, count: tiles.count, grain: 1)
    }

    /// One tile.
    fileprivate func compute(tile: Int, worker: Int) {
        let row = tile % tiles.rowTiles * tiles.rows
        let first = tile / tiles.rowTiles * tiles.outputs
        compute(
            row..<min(row + tiles.rows, rows), outputs: first..<min(first + tiles.outputs, product.linear.rows), part: tiles.part,
            worker: worker)
    }

    /// All outputs of some rows of halves, at most `CK_TILE_PASS_ROWS`.
    func compute(_ rows: Range<Int>, worker: Int) {
        compute(rows, outputs: 0..<product.linear.rows, part: tiles.part, worker: worker)
    }

    private func compute(_ rows: Range<Int>, outputs: Range<Int>, part: Int, worker: Int) {
        var matrix = product.linear.matrix
        let scratch = scratch + worker * TowerTiles.floats
        for output in stride(from: outputs.lowerBound, to: outputs.upperBound, by: part) {
            let count = min(part, outputs.upperBound - output)
            arithmetic.multiply(
                &matrix, packed: product.packed, product.x, first: rows.lowerBound, rows: rows.count, into: scratch - output,
                stride: part, from: output, to: output + count)
            for index in 0..<rows.count { finish(rows.lowerBound + index, scratch + index * part, output, count) }
        }
    }
}

private func multiplyTiles(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `run` passes exactly this type and waits for the job.
    guard let job = context?.assumingMemoryBound(to: TowerProductJob.self).pointee else { return }
    // Neighbours have the same weights.
    for tile in begin..<end { job.compute(tile: tile, worker: worker) }
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
