import KimiCore

/// The files of a made-up checkpoint that are not weights, in the published layout.
struct CheckpointTexts {
    let geometry: Geometry

    private var base: Int { geometry.rankCount }

    /// The published names of special ids, by distance from the first one; the rest are reserved and nameless.
    private static let specialNames: [(distance: Int, name: String)] = [
        (0, "[BOS]"), (1, "[EOS]"), (2, "<|im_end|>"), (3, "<|im_user|>"), (4, "<|im_assistant|>"),
        (6, "<|start_header_id|>"), (7, "<|end_header_id|>"), (9, "[EOT]"), (10, "<|im_system|>"),
        (11, "<|tool_calls_section_begin|>"), (12, "<|tool_calls_section_end|>"), (13, "<|tool_call_begin|>"),
        (14, "<|tool_call_argument_begin|>"), (15, "<|tool_call_end|>"), (17, "<|im_middle|>"), (18, "<|media_begin|>"),
        (19, "<|media_content|>"), (20, "<|media_end|>"), (21, "<|media_pad|>"), (22, "<think>"), (23, "</think>"),
        (254, "[UNK]"), (255, "[PAD]"),
    ]

    /// Names whose tokens belong to the answer's text as published: `special` is false for them.
    private static func isPartOfText(_ name: String) -> Bool { name.contains("think>") || name.contains("tool_call") }

    var config: String {
        """
        {
          "architectures": ["KimiK25ForConditionalGeneration"],
          "model_type": "kimi_k25",
          "torch_dtype": "bfloat16",
          "bos_token_id": \(base),
          "eos_token_id": \(base + 1),
          "pad_token_id": \(base + 255),
          "ignore_index": -100,
          "media_placeholder_token_id": \(base + 21),
          "tie_word_embeddings": false,
          "quantization_config": \(quantization(indent: "  ")),\(visionConfig)
          "text_config": {
            "architectures": ["DeepseekV3ForCausalLM"],
            "model_type": "kimi_k2",
            "vocab_size": \(geometry.vocabulary),
            "hidden_size": \(geometry.hidden),
            "num_hidden_layers": \(geometry.layers),
            "first_k_dense_replace": \(geometry.denseLayers),
            "intermediate_size": \(geometry.denseWidth),
            "moe_layer_freq": 1,
            "moe_intermediate_size": \(geometry.expertWidth),
            "n_routed_experts": \(geometry.experts),
            "num_experts_per_tok": \(geometry.expertsPerToken),
            "n_shared_experts": \(geometry.sharedExperts),
            "n_group": 1,
            "topk_group": 1,
            "topk_method": "noaux_tc",
            "scoring_func": "sigmoid",
            "norm_topk_prob": true,
            "routed_scaling_factor": 2.827,
            "num_attention_heads": \(geometry.heads),
            "num_key_value_heads": \(geometry.heads),
            "q_lora_rank": \(geometry.queryRank),
            "kv_lora_rank": \(geometry.latent),
            "qk_nope_head_dim": \(geometry.nope),
            "qk_rope_head_dim": \(geometry.rope),
            "v_head_dim": \(geometry.value),
            "attention_bias": false,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-05,
            "rope_theta": 50000.0,
            "rope_scaling": {
              "type": "yarn",
              "factor": 64.0,
              "original_max_position_embeddings": 4096,
              "beta_fast": 32.0,
              "beta_slow": 1.0,
              "mscale": 1.0,
              "mscale_all_dim": 1.0
            },
            "max_position_embeddings": \(Geometry.context),
            "num_nextn_predict_layers": 0,
            "tie_word_embeddings": false,
            "torch_dtype": "bfloat16",
            "bos_token_id": \(base),
            "eos_token_id": \(base + 1),
            "pad_token_id": \(base + 255),
            "quantization_config": \(quantization(indent: "    "))
          }
        }

        """
    }

    /// `vision_config` on lines of its own, if there is a tower.
    private var visionConfig: String {
        guard geometry.hasTower else { return "" }
        return "\n  \"vision_config\": {\n\(geometry.tower.config(textHidden: geometry.hidden))\n  },"
    }

    /// The text of `preprocessor_config.json`, if there is a tower.
    var preprocessorConfig: String? { geometry.hasTower ? TowerGeometry.preprocessor : nil }

    private func quantization(indent: String) -> String {
        """
        {
          "config_groups": {
            "group_0": {
              "input_activations": null,
              "output_activations": null,
              "targets": ["Linear"],
              "weights": {
                "actorder": null,
                "block_structure": null,
                "dynamic": false,
                "group_size": 32,
                "num_bits": 4,
                "observer": "minmax",
                "observer_kwargs": {},
                "strategy": "group",
                "symmetric": true,
                "type": "int"
              }
            }
          },
          "format": "pack-quantized",
          "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\\\.(gate|up|gate_up|down)_proj.*"],
          "kv_cache_scheme": null,
          "quant_method": "compressed-tensors",
          "quantization_status": "compressed"
        }
        """.replacing("\n", with: "\n" + indent)
    }

    var generationConfig: String {
        """
        {
          "max_length": \(Geometry.context),
          "eos_token_id": \(base + 2)
        }

        """
    }

    var tokenizerConfig: String {
        let tokens = Self.specialNames.map { distance, name in
            """
                "\(base + distance)": {
                  "content": \(JSONWriter.quoted(name)),
                  "lstrip": false,
                  "normalized": false,
                  "rstrip": false,
                  "single_word": false,
                  "special": \(!Self.isPartOfText(name))
                }
            """
        }
        let names = Self.specialNames.map { JSONWriter.quoted($0.name) }
        return """
            {
              "added_tokens_decoder": {
            \(tokens.joined(separator: ",\n"))
              },
              "additional_special_tokens": [\(names.joined(separator: ", "))],
              "bos_token": "[BOS]",
              "eos_token": "[EOS]",
              "unk_token": "[UNK]",
              "pad_token": "[PAD]",
              "model_max_length": 1000000000000000019884624838656,
              "tokenizer_class": "TikTokenTokenizer"
            }

            """
    }

    /// The text of `tiktoken.model`: a line for each rank.
    static func rankFile(_ tokens: [[UInt8]]) -> String {
        var text = ""
        text.reserveCapacity(tokens.count * 20)
        for (rank, token) in tokens.enumerated() { text += base64(token) + " \(rank)\n" }
        return text
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    private static func base64(_ bytes: [UInt8]) -> String {
        var result: [UInt8] = []
        for begin in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[begin..<min(begin + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0..<4 {
                result.append(place <= group.count ? alphabet[bits >> (18 - 6 * place) & 63] : 0x3D)
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
