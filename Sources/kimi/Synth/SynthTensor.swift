/// One tensor of a made-up checkpoint: its place in the format, and what its values look like.
struct SynthTensor {
    enum ElementType: Int {
        // In the order in which the published files keep their tensors: wide types first.
        case f32, i32, bf16

        var spelling: String { ["F32", "I32", "BF16"][rawValue] }
        var byteCount: Int { self == .bf16 ? 2 : 4 }
    }

    enum Values {
        /// Normally distributed around 0.
        case normal(deviation: Double)
        /// Normally distributed around 1: the weights of a norm.
        case aroundOne
        /// Packed INT4, all sixteen values of them, the mean 0.
        case nibbles
        /// Scales of groups: between 3/4 and 5/4 of the mean.
        case scales(mean: Double)
        /// The two numbers of `weight_shape`.
        case shape(rows: Int, columns: Int)
        /// What is added to the router's scores, in f32.
        case routerBias(deviation: Double)
        /// The same, such that choices follow Zipf's law; `logitDeviation` is that of the router's logits.
        case skewedRouterBias(chosen: Int, logitDeviation: Double)
    }

    let name: String
    let type: ElementType
    let shape: [Int]
    let values: Values

    /// Safe from overflow because geometries have bounds, checked by the command: the largest tensor has below 2^40 bytes.
    var byteCount: Int { shape.reduce(type.byteCount, *) }
}

/// All tensors of a geometry in the order of the model.
///
/// The sizes of random weights decide whether a made-up model behaves: each linear map has a gain of about 1.2, what is added
/// to the stream gets less the more layers there are (so that tokens stay distinguishable through 61 of them), and the head
/// gives logits with a standard deviation of 2.
struct TensorPlan {
    private(set) var tensors: [SynthTensor] = []
    private let geometry: Geometry

    private static let prefix = "language_model."
    private static let gain = 1.2
    private static let logitDeviation = 2.0
    /// The standard deviation of the packed values before scaling: 0 and +-1 ... +-7 alike, but 0 twice as often.
    private static let nibbleDeviation = 4.18

    init(_ geometry: Geometry) {
        self.geometry = geometry
        let hidden = geometry.hidden
        normal(Self.prefix + "model.embed_tokens", [geometry.vocabulary, hidden], deviation: 1)
        for layer in 0..<geometry.layers { addLayer(layer) }
        norm(Self.prefix + "model.norm", hidden)
        normal(
            Self.prefix + "lm_head", [geometry.vocabulary, hidden],
            deviation: Self.logitDeviation / Double(hidden).squareRoot())
        if geometry.hasTower { addTower(geometry.tower) }
    }

    /// The gain of what is added to the stream: 2 blocks a layer together add about as much as the embedding has.
    private var outputGain: Double { Self.gain / Double(2 * max(1, geometry.layers)).squareRoot() }

    private mutating func addLayer(_ layer: Int) {
        let name = Self.prefix + "model.layers.\(layer)."
        norm(name + "input_layernorm", geometry.hidden)
        addAttention(name + "self_attn.")
        norm(name + "post_attention_layernorm", geometry.hidden)
        if layer < geometry.denseLayers {
            addMLP(name + "mlp.", width: geometry.denseWidth, packed: false)
        } else {
            addExperts(name + "mlp.")
        }
    }

    private mutating func addAttention(_ name: String) {
        let (hidden, heads) = (geometry.hidden, geometry.heads)
        linear(name + "q_a_proj", rows: geometry.queryRank, columns: hidden)
        norm(name + "q_a_layernorm", geometry.queryRank)
        linear(name + "q_b_proj", rows: heads * (geometry.nope + geometry.rope), columns: geometry.queryRank)
        linear(name + "kv_a_proj_with_mqa", rows: geometry.latent + geometry.rope, columns: hidden)
        norm(name + "kv_a_layernorm", geometry.latent)
        linear(name + "kv_b_proj", rows: heads * (geometry.nope + geometry.value), columns: geometry.latent)
        linear(name + "o_proj", rows: hidden, columns: heads * geometry.value, gain: outputGain)
    }

    private mutating func addExperts(_ name: String) {
        linear(name + "gate", rows: geometry.experts, columns: geometry.hidden)
        tensors.append(SynthTensor(
            name: name + "gate.e_score_correction_bias", type: .f32, shape: [geometry.experts],
            values: geometry.heat == .uniform
                ? .routerBias(deviation: 0.02)
                : .skewedRouterBias(chosen: geometry.expertsPerToken, logitDeviation: Self.gain)))
        for expert in 0..<geometry.experts {
            addMLP(name + "experts.\(expert).", width: geometry.expertWidth, packed: true)
        }
        if geometry.sharedExperts > 0 {
            addMLP(name + "shared_experts.", width: geometry.expertWidth * geometry.sharedExperts, packed: false)
        }
    }

    private mutating func addMLP(_ name: String, width: Int, packed: Bool) {
        for (part, rows, columns, gain) in [
            ("gate_proj", width, geometry.hidden, Self.gain), ("up_proj", width, geometry.hidden, Self.gain),
            ("down_proj", geometry.hidden, width, outputGain),
        ] {
            if packed {
                int4(name + part, rows: rows, columns: columns, gain: gain)
            } else {
                linear(name + part, rows: rows, columns: columns, gain: gain)
            }
        }
    }

    // MARK: The vision tower

    private mutating func addTower(_ tower: TowerGeometry) {
        let hidden = tower.hidden
        let name = "vision_tower."
        biased(
            name + "patch_embed.proj", [hidden, 3, TowerGeometry.patch, TowerGeometry.patch],
            deviation: Self.gain / Double(TowerGeometry.patchElements).squareRoot())
        normal(name + "patch_embed.pos_emb", [tower.positions, tower.positions, hidden], deviation: 0.5)
        let outputGain = Self.gain / Double(2 * tower.layers).squareRoot()
        func deviation(_ columns: Int, _ gain: Double = Self.gain) -> Double { gain / Double(columns).squareRoot() }
        for layer in 0..<tower.layers {
            let block = name + "encoder.blocks.\(layer)."
            biasedNorm(block + "norm0", hidden)
            biased(block + "wqkv", [3 * hidden, hidden], deviation: deviation(hidden))
            biased(block + "wo", [hidden, hidden], deviation: deviation(hidden, outputGain))
            biasedNorm(block + "norm1", hidden)
            biased(block + "mlp.fc0", [tower.intermediate, hidden], deviation: deviation(hidden))
            biased(block + "mlp.fc1", [hidden, tower.intermediate], deviation: deviation(tower.intermediate, outputGain))
        }
        biasedNorm(name + "encoder.final_layernorm", hidden)
        biasedNorm("mm_projector.pre_norm", hidden)
        biased("mm_projector.proj.0", [tower.merged, tower.merged], deviation: deviation(tower.merged))
        // Features as large as embeddings.
        biased("mm_projector.proj.2", [geometry.hidden, tower.merged], deviation: deviation(tower.merged))
    }

    private mutating func biased(_ name: String, _ shape: [Int], deviation: Double) {
        normal(name, shape, deviation: deviation)
        bias(name, shape[0])
    }

    private mutating func biasedNorm(_ name: String, _ count: Int) {
        norm(name, count)
        bias(name, count)
    }

    private mutating func bias(_ name: String, _ count: Int) {
        tensors.append(SynthTensor(name: name + ".bias", type: .bf16, shape: [count], values: .normal(deviation: 0.02)))
    }

    // MARK: Kinds of tensors

    private mutating func normal(_ name: String, _ shape: [Int], deviation: Double) {
        tensors.append(SynthTensor(
            name: name + ".weight", type: .bf16, shape: shape, values: .normal(deviation: deviation)))
    }

    private mutating func linear(_ name: String, rows: Int, columns: Int, gain: Double = TensorPlan.gain) {
        normal(name, [rows, columns], deviation: gain / Double(columns).squareRoot())
    }

    private mutating func norm(_ name: String, _ count: Int) {
        tensors.append(SynthTensor(name: name + ".weight", type: .bf16, shape: [count], values: .aroundOne))
    }

    private mutating func int4(_ name: String, rows: Int, columns: Int, gain: Double) {
        let scale = gain / Double(columns).squareRoot() / Self.nibbleDeviation
        tensors.append(SynthTensor(
            name: name + ".weight_packed", type: .i32, shape: [rows, columns / 8], values: .nibbles))
        tensors.append(SynthTensor(
            name: name + ".weight_scale", type: .bf16, shape: [rows, columns / 32], values: .scales(mean: scale)))
        tensors.append(SynthTensor(
            name: name + ".weight_shape", type: .i32, shape: [2], values: .shape(rows: rows, columns: columns)))
    }
}
