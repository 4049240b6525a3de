import Foundation

/// A random checkpoint of any small geometry in the published layout, the same for the same numbers.
///
///     var tiny = TinyCheckpoint()
///     tiny.queryRank = nil
///     try tiny.write(to: folder)
package struct TinyCheckpoint {
    package var hidden = 64
    package var layers = 3
    package var denseLayers = 1
    package var intermediate = 96
    /// A multiple of 32 where experts are packed.
    package var moeIntermediate = 32
    package var experts = 4
    package var expertsPerToken = 2
    package var sharedExperts = 1
    package var heads = 2
    package var queryRank: Int? = 32
    package var latent = 32
    package var nope = 16
    package var rope = 8
    package var value = 16
    package var vocabulary = 64
    package var context = 4096
    package var groups = 1
    package var topGroups = 1
    package var tied = false
    /// Further layers as of next-token prediction, in the file and in `num_nextn_predict_layers`.
    package var extraLayers = 0
    package var yarn = true
    /// `rope_parameters` instead of `rope_theta` and `rope_scaling`.
    package var ropeParameters = false
    /// Experts as packed INT4, else like all the rest.
    package var packed = true
    /// BF16, F16 or F32.
    package var plainType = "BF16"
    /// `kimi_k25` (text model inside `text_config`, names with `language_model.`) or a text-only type.
    package var modelType = "kimi_k25"
    package var seed: UInt64 = 1
    /// A vision tower, in the type of all the rest.
    package var tower: TinyTower?

    package init() {}

    package var prefix: String { modelType == "kimi_k25" ? "language_model." : "" }

    // MARK: Configuration

    package static var quantization: [String: Any] {
        [
            "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
            "kv_cache_scheme": NSNull(), "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*"],
            "config_groups": [
                "group_0": [
                    "input_activations": NSNull(), "output_activations": NSNull(), "targets": ["Linear"],
                    "weights": [
                        "actorder": NSNull(), "dynamic": false, "group_size": 32, "num_bits": 4, "observer": "minmax",
                        "strategy": "group", "symmetric": true, "type": "int",
                    ] as [String: Any],
                ] as [String: Any]
            ],
        ]
    }

    /// The members of the text model's configuration.
    package func textConfig() -> [String: Any] {
        var text: [String: Any] = [
            "architectures": ["DeepseekV3ForCausalLM"], "model_type": modelType == "kimi_k25" ? "kimi_k2" : modelType,
            "hidden_size": hidden, "num_hidden_layers": layers, "first_k_dense_replace": denseLayers, "moe_layer_freq": 1,
            "intermediate_size": intermediate, "moe_intermediate_size": moeIntermediate, "n_routed_experts": experts,
            "num_experts_per_tok": expertsPerToken, "n_shared_experts": sharedExperts, "num_attention_heads": heads,
            "num_key_value_heads": heads, "q_lora_rank": queryRank as Any? ?? NSNull(), "kv_lora_rank": latent,
            "qk_nope_head_dim": nope, "qk_rope_head_dim": rope, "v_head_dim": value, "vocab_size": vocabulary,
            "max_position_embeddings": context, "n_group": groups, "topk_group": topGroups, "norm_topk_prob": true,
            "rms_norm_eps": 1e-5, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
            "hidden_act": "silu", "attention_bias": false, "num_nextn_predict_layers": extraLayers,
            "tie_word_embeddings": tied, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
        ]
        var rope: [String: Any] = [:]
        if yarn {
            rope = [
                "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0,
                "mscale_all_dim": 1.0,
            ]
        }
        if ropeParameters {
            rope["rope_type"] = yarn ? "yarn" : "default"
            rope["rope_theta"] = 50000.0
            text["rope_parameters"] = rope
        } else {
            if yarn { rope["type"] = "yarn" }
            text["rope_scaling"] = yarn ? rope as Any : NSNull()
            text["rope_theta"] = 50000.0
        }
        return text
    }

    /// The members of `config.json`.
    package func config() -> [String: Any] {
        var outer: [String: Any]
        if modelType == "kimi_k25" {
            outer = ["architectures": ["KimiK25ForConditionalGeneration"], "model_type": modelType, "text_config": textConfig()]
            if let tower { outer["vision_config"] = tower.config(textHidden: hidden) }
        } else {
            outer = textConfig()
        }
        if packed { outer["quantization_config"] = Self.quantization }
        return outer
    }

    // MARK: Tensors

    package func tensors() -> [SafetensorsWriter.Tensor] {
        var maker = TensorMaker(type: plainType, seed: seed)
        let model = prefix + "model."
        maker.matrix(model + "embed_tokens.weight", vocabulary, hidden, scale: 1)
        for layer in 0..<layers + extraLayers { addLayer(layer, "\(model)layers.\(layer).", &maker) }
        maker.norm(model + "norm.weight", hidden)
        if !tied { maker.matrix(prefix + "lm_head.weight", vocabulary, hidden) }
        tower?.add(textHidden: hidden, &maker)
        return maker.tensors
    }

    private func addLayer(_ layer: Int, _ name: String, _ maker: inout TensorMaker) {
        maker.norm(name + "input_layernorm.weight", hidden)
        maker.norm(name + "post_attention_layernorm.weight", hidden)
        let attention = name + "self_attn."
        if let queryRank {
            maker.matrix(attention + "q_a_proj.weight", queryRank, hidden)
            maker.norm(attention + "q_a_layernorm.weight", queryRank)
            maker.matrix(attention + "q_b_proj.weight", heads * (nope + rope), queryRank)
        } else {
            maker.matrix(attention + "q_proj.weight", heads * (nope + rope), hidden)
        }
        maker.matrix(attention + "kv_a_proj_with_mqa.weight", latent + rope, hidden)
        maker.norm(attention + "kv_a_layernorm.weight", latent)
        maker.matrix(attention + "kv_b_proj.weight", heads * (nope + value), latent)
        maker.matrix(attention + "o_proj.weight", hidden, heads * value)
        if layer < denseLayers {
            addBlock(name + "mlp.", intermediate, packed: false, &maker)
            return
        }
        maker.matrix(name + "mlp.gate.weight", experts, hidden)
        maker.values(name + "mlp.gate.e_score_correction_bias", "F32", [experts], scale: 0.1)
        if sharedExperts > 0 {
            addBlock(name + "mlp.shared_experts.", sharedExperts * moeIntermediate, packed: false, &maker)
        }
        for expert in 0..<experts { addBlock("\(name)mlp.experts.\(expert).", moeIntermediate, packed: packed, &maker) }
    }

    private func addBlock(_ name: String, _ inner: Int, packed: Bool, _ maker: inout TensorMaker) {
        for (part, rows, columns) in [("gate_proj", inner, hidden), ("up_proj", inner, hidden), ("down_proj", hidden, inner)] {
            if packed {
                maker.packed(name + part, rows, columns)
            } else {
                maker.matrix(name + part + ".weight", rows, columns)
            }
        }
    }

    // MARK: Files

    /// Writes `config.json` and the weights. `change` may edit the configuration first.
    package func write(
        to folder: TemporaryFolder, shards: Int = 1, change: (inout [String: Any]) -> Void = { _ in }
    ) throws {
        var members = config()
        change(&members)
        let text = try JSONSerialization.data(withJSONObject: members, options: [.sortedKeys, .prettyPrinted])
        try folder.write("config.json", [UInt8](text))
        try SafetensorsWriter.write(tensors(), to: folder, shards: shards)
    }
}

/// A vision tower of any small geometry.
package struct TinyTower {
    package var hidden = 24
    package var layers = 2
    package var heads = 2
    package var intermediate = 40
    package var patch = 4
    package var positionRows = 5
    package var positionColumns = 6
    package var frames = 4
    package var merge = (rows: 2, columns: 2)

    package init() {}

    func config(textHidden: Int) -> [String: Any] {
        [
            "vt_hidden_size": hidden, "vt_num_hidden_layers": layers, "vt_num_attention_heads": heads,
            "vt_intermediate_size": intermediate, "patch_size": patch, "init_pos_emb_height": positionRows,
            "init_pos_emb_width": positionColumns, "init_pos_emb_time": frames, "merge_kernel_size": [merge.rows, merge.columns],
            "mm_hidden_size": hidden, "text_hidden_size": textHidden, "projector_ln_eps": 1e-5, "merge_type": "sd2_tpool",
            "mm_projector_type": "patchmerger", "pos_emb_type": "divided_fixed", "video_attn_type": "spatial_temporal",
            "projector_hidden_act": "gelu",
        ]
    }

    fileprivate func add(textHidden: Int, _ maker: inout TensorMaker) {
        func linear(_ name: String, _ rows: Int, _ columns: Int) {
            maker.matrix(name + ".weight", rows, columns)
            maker.values(name + ".bias", maker.type, [rows], scale: 0.1)
        }
        func norm(_ name: String) {
            maker.norm(name + ".weight", hidden)
            maker.values(name + ".bias", maker.type, [hidden], scale: 0.1)
        }
        let tower = "vision_tower."
        let elements = 3 * patch * patch
        maker.values(
            tower + "patch_embed.proj.weight", maker.type, [hidden, 3, patch, patch], scale: (3 / Float(elements)).squareRoot())
        maker.values(tower + "patch_embed.proj.bias", maker.type, [hidden], scale: 0.1)
        maker.values(tower + "patch_embed.pos_emb.weight", maker.type, [positionRows, positionColumns, hidden], scale: 1)
        for layer in 0..<layers {
            let name = tower + "encoder.blocks.\(layer)."
            norm(name + "norm0")
            linear(name + "wqkv", 3 * hidden, hidden)
            linear(name + "wo", hidden, hidden)
            norm(name + "norm1")
            linear(name + "mlp.fc0", intermediate, hidden)
            linear(name + "mlp.fc1", hidden, intermediate)
        }
        norm(tower + "encoder.final_layernorm")
        norm("mm_projector.pre_norm")
        let merged = hidden * merge.rows * merge.columns
        linear("mm_projector.proj.0", merged, merged)
        linear("mm_projector.proj.2", textHidden, merged)
    }
}

/// Random tensors, the same for the same seed and order.
private struct TensorMaker {
    var tensors: [SafetensorsWriter.Tensor] = []
    let type: String
    private var state: UInt64

    init(type: String, seed: UInt64) {
        self.type = type
        state = seed
    }

    /// SplitMix64.
    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Uniform in -1..<1.
    private mutating func uniform() -> Float { Float(Int64(bitPattern: next()) >> 40) / Float(1 << 23) }

    mutating func values(_ name: String, _ type: String, _ shape: [Int], scale: Float, offset: Float = 0) {
        var bytes: [UInt8] = []
        for _ in 0..<shape.reduce(1, *) {
            let value = uniform() * scale + offset
            switch type {
            case "F32": withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 }
            case "F16": withUnsafeBytes(of: Float16(value).bitPattern.littleEndian) { bytes += $0 }
            default: withUnsafeBytes(of: Self.bf16(value).littleEndian) { bytes += $0 }
            }
        }
        tensors.append(.init(name, type, shape, bytes))
    }

    mutating func matrix(_ name: String, _ rows: Int, _ columns: Int, scale: Float? = nil) {
        values(name, type, [rows, columns], scale: scale ?? (3 / Float(columns)).squareRoot())
    }

    mutating func norm(_ name: String, _ count: Int) { values(name, type, [count], scale: 0.1, offset: 1) }

    mutating func packed(_ base: String, _ rows: Int, _ columns: Int) {
        let words = (0..<rows * columns / 2).map { _ in UInt8(truncatingIfNeeded: next() >> 32) }
        tensors.append(.init(base + ".weight_packed", "I32", [rows, columns / 8], words))
        let scale = (3 / Float(columns)).squareRoot() / 8
        values(base + ".weight_scale", "BF16", [rows, columns / 32], scale: scale / 4, offset: scale)
        let shape = [Int32(rows), Int32(columns)].flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
        tensors.append(.init(base + ".weight_shape", "I32", [2], shape))
    }

    /// Rounded to the nearest, ties to even.
    private static func bf16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
    }
}
