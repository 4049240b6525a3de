import CKimiKernels

/// A matrix of the model: rows of the output, columns of the input. With several nodes each has some of the rows.
struct Matrix {
    let rows: Int
    let columns: Int
    /// CK_BF16, ...
    let type: Int32
    /// One a node, each addressed by the rows of the whole; only the node's own rows are there.
    let parts: UnsafePointer<ck_matrix>
    /// Where each node's rows begin, and where the last one's end: one number more than there are nodes.
    let bounds: UnsafePointer<Int>

    /// The rows that are a node's part.
    func rows(of node: Int) -> Range<Int> { bounds[node]..<bounds[node + 1] }

    /// What a worker of a node reads, and nobody else.
    func part(_ node: Int) -> UnsafePointer<ck_matrix> { parts + node }

    var typeBit: Int32 { parts[0].typeBit }
    /// Bytes that reading the whole matrix moves.
    var byteCount: Int { parts[0].byteCount }
    var elements: Int { rows * columns }
}

/// Numbers that every worker reads, such as a norm's weights: a copy on each node.
struct Vector {
    let copies: UnsafePointer<UnsafePointer<Float>>

    func on(_ node: Int) -> UnsafePointer<Float> { copies[node] }
}
