import CKimiKernels

/// A linear map with a bias.
struct TowerLinear {
    /// In the mapped files or in the tower's own memory.
    let matrix: ck_matrix
    let bias: UnsafePointer<Float>

    /// What it reads and makes.
    var columns: Int { matrix.columns }
    var rows: Int { matrix.rows }
}

/// A layer norm's weights and bias.
struct TowerNorm {
    let weight: UnsafePointer<Float>
    let bias: UnsafePointer<Float>
}

/// One block of the encoder.
struct TowerBlock {
    let attentionNorm: TowerNorm
    /// [3 * hidden, hidden]: queries, keys and values of all heads.
    let queryKeyValue: TowerLinear
    let output: TowerLinear
    let mlpNorm: TowerNorm
    let up: TowerLinear
    let down: TowerLinear
}

/// The weights of a tower and its projector. Matrices are as they are stored; norms and biases were widened to f32 once.
struct TowerWeights {
    /// The convolution over patches, as a product: [hidden, 3 * side * side]
    let patch: TowerLinear
    /// The learned grid: [rows * columns, hidden]
    let positions: ck_matrix
    let blocks: [TowerBlock]
    let finalNorm: TowerNorm
    /// Of single patches, in front of the projector.
    let mergeNorm: TowerNorm
    /// [merged, merged]
    let projectorUp: TowerLinear
    /// [text hidden, merged]
    let projectorDown: TowerLinear
}
