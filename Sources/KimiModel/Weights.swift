import CKimiKernels

/// The text model's weights, named as the architecture names them. Matrices point into the mapped checkpoint (or its copy), or to
/// bytes made of them (`DenseFormat`); norms and biases are small and were widened to f32 once.
struct Weights {
    /// [vocabulary, hidden]
    let embedding: Matrix
    let layers: [LayerWeights]
    let finalNorm: Vector
    /// [vocabulary, hidden]
    let head: Matrix
}

struct LayerWeights {
    let inputNorm: Vector
    let attention: AttentionWeights
    let postAttentionNorm: Vector
    let feedForward: FeedForwardWeights

    /// The routed experts, if it has any.
    var expertTable: ExpertTable? {
        if case .experts(let moe) = feedForward { moe.experts } else { nil }
    }
}

/// Multi-head latent attention (DeepSeek-V2 report, section 2.1), with the checkpoint's names behind ours.
struct AttentionWeights {
    /// `q_a_proj` [queryRank, hidden], or nil where queries are not compressed.
    let queryDown: Matrix?
    /// `q_a_layernorm` [queryRank]; unused without `queryDown`.
    let queryNorm: Vector?
    /// `q_b_proj` [heads * (nope + rope), queryRank], or `q_proj` [..., hidden].
    let queryUp: Matrix
    /// `kv_a_proj_with_mqa` [latent + rope, hidden]
    let latentDown: Matrix
    /// `kv_a_layernorm` [latent]
    let latentNorm: Vector
    /// `kv_b_proj` [heads * (nope + value), latent]; a node has whole heads.
    let latentUp: Matrix
    /// `o_proj` [hidden, heads * value]
    let output: Matrix

    /// The forms that products with the block's input read.
    func inputForms(_ arithmetic: Arithmetic) -> ActivationForms {
        arithmetic.forms(of: latentDown.typeBit | (queryDown ?? queryUp).typeBit)
    }
}

enum FeedForwardWeights {
    case dense(MLPWeights)
    case experts(ExpertWeights)

    /// The forms that products with the block's input read.
    func inputForms(_ arithmetic: Arithmetic) -> ActivationForms {
        switch self {
        case .dense(let mlp): arithmetic.forms(of: mlp.inputTypes)
        case .experts(let moe): arithmetic.forms(of: moe.shared?.inputTypes ?? 0, gathered: moe.expertTypes)
        }
    }
}

/// down(silu(gate x) * up x)
struct MLPWeights {
    let gate: Matrix
    let up: Matrix
    let down: Matrix
    /// Rows of gate and up, columns of down.
    var width: Int { gate.rows }
    /// The types of the matrices that read the input.
    var inputTypes: Int32 { gate.typeBit | up.typeBit }
}

/// One mixture-of-experts layer.
struct ExpertWeights {
    /// `mlp.gate.weight` [experts, hidden]
    let router: Matrix
    /// `e_score_correction_bias` [experts]: added for the choice only, never for the weight.
    let bias: Vector
    let shared: MLPWeights?
    /// The routed experts.
    let experts: ExpertTable
    /// The types of the routed experts' matrices that read the input: one, unless a checkpoint mixes them.
    let expertTypes: Int32
}

/// The matrices of a layer's routed experts. Plain pointers, so that a job can carry them to a worker without reference counting.
struct ExpertTable {
    /// The layer, and the number of its experts.
    let layer: Int
    let count: Int
    /// [nodes, experts] each, addressed by the rows of the whole expert as in `Matrix`.
    let gate: UnsafeMutablePointer<ck_matrix>
    let up: UnsafeMutablePointer<ck_matrix>
    let down: UnsafeMutablePointer<ck_matrix>
    /// How experts that are split are split.
    let splits: ExpertSplits
    /// Where the nodes' rows of all downs of this layer begin, and where the last one's end.
    let downBounds: UnsafePointer<Int>
    /// For each expert the set of nodes that hold it whole, 0 if it is split; nil if all are.
    let homes: UnsafePointer<UInt64>?

    func gate(_ expert: Int, on node: Int) -> UnsafeMutablePointer<ck_matrix> { gate + (node * count + expert) }
    func up(_ expert: Int, on node: Int) -> UnsafeMutablePointer<ck_matrix> { up + (node * count + expert) }
    func down(_ expert: Int, on node: Int) -> UnsafeMutablePointer<ck_matrix> { down + (node * count + expert) }

    /// The nodes that hold an expert whole; 0 if it is split.
    func homes(_ expert: Int) -> UInt64 { homes?[expert] ?? 0 }
}

/// The parts of gate and up that nodes have of experts that are split, the same in all layers.
struct ExpertSplits {
    let nodes: Int
    /// [nodes, nodes + 1]: for experts 0, 1, ... where the nodes' rows begin and the last one's end; the next expert after as many as there
    /// are nodes is split as the first.
    let bounds: UnsafePointer<Int>
    /// The most blocks of rows (ExpertBlocks) that each node has of any expert.
    let mostBlocks: UnsafePointer<Int>

    /// The rows of an expert's gate and up that are a node's part.
    func rows(_ expert: Int, of node: Int) -> Range<Int> {
        let bounds = bounds + expert % nodes * (nodes + 1)
        return bounds[node]..<bounds[node + 1]
    }
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
