import CKimiKernels

/// The text model's weights, named as the architecture names them. Matrices point into the mapped checkpoint (or its copy), or to
/// bytes made of them (`DenseFormat`); norms and biases are small and were widened to f32 once.
struct Weights {
    /// [vocabulary, hidden]
    let embedding: ck_matrix
    let layers: [LayerWeights]
    let finalNorm: UnsafePointer<Float>
    /// [vocabulary, hidden]
    let head: ck_matrix
}

struct LayerWeights {
    let inputNorm: UnsafePointer<Float>
    let attention: AttentionWeights
    let postAttentionNorm: UnsafePointer<Float>
    let feedForward: FeedForwardWeights
}

/// Multi-head latent attention (DeepSeek-V2 report, section 2.1), with the checkpoint's names behind ours.
struct AttentionWeights {
    /// `q_a_proj` [queryRank, hidden], or nil where queries are not compressed.
    let queryDown: ck_matrix?
    /// `q_a_layernorm` [queryRank]; unused without `queryDown`.
    let queryNorm: UnsafePointer<Float>?
    /// `q_b_proj` [heads * (nope + rope), queryRank], or `q_proj` [..., hidden].
    let queryUp: ck_matrix
    /// `kv_a_proj_with_mqa` [latent + rope, hidden]
    let latentDown: ck_matrix
    /// `kv_a_layernorm` [latent]
    let latentNorm: UnsafePointer<Float>
    /// `kv_b_proj` [heads * (nope + value), latent]
    let latentUp: ck_matrix
    /// `o_proj` [hidden, heads * value]
    let output: ck_matrix

    /// Whether a product with the block's input reads its integer form.
    func inputReadsIntegers(_ arithmetic: Arithmetic) -> Bool {
        arithmetic.readsIntegers(anyOf: latentDown.typeBit | (queryDown ?? queryUp).typeBit)
    }
}

enum FeedForwardWeights {
    case dense(MLPWeights)
    case experts(ExpertWeights)

    /// Whether a product with the block's input reads its integer form.
    func inputReadsIntegers(_ arithmetic: Arithmetic) -> Bool {
        switch self {
        case .dense(let mlp): arithmetic.readsIntegers(anyOf: mlp.inputTypes)
        case .experts(let moe): arithmetic.readsIntegers(anyOf: moe.expertTypes | (moe.shared?.inputTypes ?? 0))
        }
    }
}

/// down(silu(gate x) * up x)
struct MLPWeights {
    let gate: ck_matrix
    let up: ck_matrix
    let down: ck_matrix
    /// Rows of gate and up, columns of down.
    var width: Int { gate.rows }
    /// The types of the matrices that read the input.
    var inputTypes: Int32 { gate.typeBit | up.typeBit }
}

/// One mixture-of-experts layer.
struct ExpertWeights {
    /// `mlp.gate.weight` [experts, hidden]
    let router: ck_matrix
    /// `e_score_correction_bias` [experts]: added for the choice only, never for the weight.
    let bias: UnsafePointer<Float>
    let shared: MLPWeights?
    /// One matrix an expert. Plain pointers, so that a job can carry them to a worker without reference counting.
    let gate: UnsafePointer<ck_matrix>
    let up: UnsafePointer<ck_matrix>
    let down: UnsafePointer<ck_matrix>
    /// The types of the routed experts' matrices that read the input: one, unless a checkpoint mixes them.
    let expertTypes: Int32
}

extension ck_matrix {
    /// Rows `first ..< first + count` of this matrix, which must exist.
    func rows(_ first: Int, _ count: Int) -> ck_matrix {
        var part = self
        // Safe because both numbers come from the model's own shapes, checked when it was opened.
        part.data = data + first * ck_row_bytes(&part)
        if let scales { part.scales = scales + first * (columns / 32) }
        part.rows = count
        return part
    }

    /// Bytes that reading the whole matrix moves.
    var byteCount: Int {
        var matrix = self
        return rows * ck_row_bytes(&matrix) + (scales == nil ? 0 : rows * columns / 16)
    }
}
