import CKimiKernels
import KimiTopology

/// One matrix product of a job: y[r] = matrix * x[r] for every row r, and what becomes of it.
struct Product {
    /// What happens to a block of outputs while it is still in the core's cache.
    enum Finish {
        case none
        /// sum[r] += y[r]; rows as far apart as y's.
        case add(to: UnsafeMutablePointer<Float>)
        /// y[r] = silu(y[r]) * (up * x[r]): the first half of an MLP. `forms` of y are what the second half reads.
        case gate(up: Matrix, scratch: UnsafeMutablePointer<Float>, forms: ActivationForms, of: Activation)
    }

    var matrix: Matrix
    var x: Activation
    var y: UnsafeMutablePointer<Float>
    var finish = Finish.none
    /// Whether x is read as floats whatever the precision: what the router says must not be rounded.
    var byFloats = false
}

/// What the workers need for products that run as one job, the output rows of each node laid end to end.
private struct ProductJob {
    let arithmetic: Arithmetic
    let products: UnsafePointer<Product>
    let count: Int
    let rows: Int
}

/// Output rows come in multiples of this many: groups of integer activations never straddle two pieces.
private let unit = 32

private func roundedUp(_ outputs: Int) -> Int { (outputs + unit - 1) / unit * unit }

extension TextModel {
    /// Computes one or two products of `rows` rows as one job, so that there is one barrier for both.
    func multiply(_ first: Product, _ second: Product? = nil, rows: Int) {
        let list = workspace.products
        let outputs = workspace.itemCounts
        outputs.update(repeating: 0, count: pool.groupCount)
        var count = 0
        func add(_ product: Product) {
            list[count] = product
            count += 1
            for node in 0..<pool.groupCount { outputs[node] += roundedUp(product.matrix.rows(of: node).count) }
        }
        add(first)
        if let second { add(second) }
        var job = ProductJob(arithmetic: arithmetic, products: list, count: count, rows: rows)
        pool.run(multiplyPieces, &job, counts: outputs, grain: unit)
    }

    /// The first half of an MLP: silu(gate x) * up x into `workspace.inner`, as the down projection reads it.
    func gated(_ mlp: MLPWeights, _ x: Activation) -> Product {
        let w = workspace
        return Product(
            matrix: mlp.gate, x: x, y: w.inner.floats,
            finish: .gate(up: mlp.up, scratch: w.up, forms: arithmetic.forms(of: mlp.down.typeBit), of: w.inner))
    }
}

private func multiplyPieces(
    _ context: UnsafeMutableRawPointer?, _ node: Int, _ begin: Int, _ end: Int, _ worker: Int
) {
    // Safe because `multiply` passes exactly this type and waits for the job.
    guard let job = context?.assumingMemoryBound(to: ProductJob.self).pointee else { return }
    var firstOutput = 0
    for index in 0..<job.count {
        let product = job.products + index
        let outputs = product.pointee.matrix.rows(of: node)
        let from = max(begin - firstOutput, 0)
        let to = min(end - firstOutput, outputs.count)
        if from < to { multiply(job, product, node, outputs.lowerBound + from, outputs.lowerBound + to) }
        firstOutput += roundedUp(outputs.count)
    }
}

/// Outputs `from ..< to` of one product, which are a node's, for all rows.
private func multiply(_ job: ProductJob, _ product: UnsafePointer<Product>, _ node: Int, _ from: Int, _ to: Int) {
    let arithmetic = job.arithmetic
    let kernels = arithmetic.kernels
    let y = product.pointee.y
    let stride = product.pointee.matrix.rows
    let x = product.pointee.x
    let matrix = product.pointee.matrix.part(node)
    if product.pointee.byFloats {
        arithmetic.multiplyFloats(matrix, x, rows: job.rows, into: y, yStride: stride, from: from, to: to)
    } else {
        arithmetic.multiply(matrix, x, rows: job.rows, into: y, yStride: stride, from: from, to: to)
    }
    switch product.pointee.finish {
    case .none: break
    case .add(let sum):
        for row in 0..<job.rows {
            kernels.pointee.add_scaled(sum + row * stride + from, 1, y + row * stride + from, to - from)
        }
    case .gate(let up, let scratch, let forms, let inner):
        arithmetic.multiply(up.part(node), x, rows: job.rows, into: scratch, yStride: stride, from: from, to: to)
        for row in 0..<job.rows {
            let gate = y + row * stride + from
            kernels.pointee.swiglu(gate, gate, scratch + row * stride + from, to - from)
            arithmetic.make(forms, inner, row: row, from: gate, begin: from, end: to, width: stride)
        }
    }
}
