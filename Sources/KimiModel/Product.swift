import CKimiKernels
import KimiTopology

/// One matrix product of a job: y[r] = matrix * x[r] for every row r.
struct Product {
    var matrix: ck_matrix
    var x: UnsafePointer<Float>
    var y: UnsafeMutablePointer<Float>
    /// Elements from one row of x, and of y, to the next.
    var xStride: Int
    var yStride: Int
}

/// What the workers need for products that run as one job, their output rows laid end to end.
private struct ProductJob {
    let kernels: UnsafePointer<ck_kernels>
    let products: UnsafePointer<Product>
    let count: Int
    let rows: Int
}

extension TextModel {
    /// Computes up to four products of `rows` rows as one job, so that there is one barrier for all of them.
    func multiply(
        _ first: Product, _ second: Product? = nil, _ third: Product? = nil, _ fourth: Product? = nil, rows: Int
    ) {
        let list = workspace.products
        var count = 0
        var outputs = 0
        func add(_ product: Product) {
            list[count] = product
            count += 1
            outputs += product.matrix.rows
        }
        add(first)
        if let second { add(second) }
        if let third { add(third) }
        if let fourth { add(fourth) }
        var job = ProductJob(kernels: kernels, products: list, count: count, rows: rows)
        pool.run(multiplyPieces, &job, count: outputs, grain: pool.pieces(of: outputs, atLeast: 16))
    }

    func product(
        _ matrix: ck_matrix, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>
    ) -> Product {
        Product(matrix: matrix, x: x, y: y, xStride: matrix.columns, yStride: matrix.rows)
    }
}

extension WorkerPool {
    /// A grain that gives every thread several pieces to take, each a multiple of `unit`: small enough to balance, large enough
    /// to stream.
    func pieces(of count: Int, atLeast unit: Int) -> Int {
        guard threads > 1 else { return max(count, 1) }
        let target = count / (threads * 8)
        return max(unit, target / unit * unit)
    }
}

private func multiplyPieces(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `multiply` passes exactly this type and waits for the job.
    guard let job = context?.assumingMemoryBound(to: ProductJob.self).pointee else { return }
    var firstOutput = 0
    for index in 0..<job.count {
        let product = job.products + index
        let outputs = product.pointee.matrix.rows
        let from = max(begin - firstOutput, 0)
        let to = min(end - firstOutput, outputs)
        if from < to {
            var matrix = product.pointee.matrix
            job.kernels.pointee.matmul(
                product.pointee.y, product.pointee.yStride, product.pointee.x, product.pointee.xStride,
                job.rows, &matrix, from, to)
        }
        firstOutput += outputs
    }
}
