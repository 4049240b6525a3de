import KimiCore

extension ModelConfig {
    /// Outer types whose text model lies in `text_config`, and types that are the text model themselves.
    static let wrappedTypes = ["kimi_k25"]
    static let textTypes = ["kimi_k2", "deepseek_v3"]

    /// - Parameters:
    ///   - config: the members of `config.json`.
    ///   - generation: those of `generation_config.json`, nil if the folder has none.
    /// - Throws: `.unsupported` for another family or an unknown variant, `.format` for a missing or impossible value.
    init(_ config: ConfigFields, generation: ConfigFields?) throws(KimiError) {
        modelType = try Self.modelType(config)
        let text = try Self.textFields(config, modelType: modelType)
        let outerArchitecture = try Self.architecture(config)
        let innerArchitecture = try Self.architecture(text)
        architecture = outerArchitecture ?? innerArchitecture ?? ""
        try Self.refuseVariants(text)

        hiddenSize = try text.integer("hidden_size", in: Limits.hidden)
        layerCount = try text.integer("num_hidden_layers", in: Limits.layers)
        vocabularySize = try text.integer("vocab_size", in: Limits.vocabulary)
        contextLimit = try text.integer("max_position_embeddings", in: Limits.context)
        normEpsilon = Float(try text.number("rms_norm_eps", in: Limits.epsilon))
        // Untied is the family's default; the text model's own word counts before the wrapper's.
        let ownTie = try text.optionalFlag("tie_word_embeddings")
        let outerTie = try config.optionalFlag("tie_word_embeddings")
        tiedEmbeddings = ownTie ?? outerTie ?? false
        _ = try text.optionalInteger("num_nextn_predict_layers", in: 0...Limits.layers.upperBound)

        headCount = try text.integer("num_attention_heads", in: Limits.heads)
        if let keyHeads = try text.optionalInteger("num_key_value_heads", in: Limits.heads), keyHeads != headCount {
            throw text.fault(
                "num_key_value_heads", "\(keyHeads) with \(headCount) attention heads is not supported; latent attention has as many",
                .unsupported)
        }
        queryRank = try text.optionalInteger("q_lora_rank", in: Limits.rank)
        latentSize = try text.integer("kv_lora_rank", in: Limits.rank)
        nopeSize = try text.integer("qk_nope_head_dim", in: Limits.headSize)
        ropeSize = try text.integer("qk_rope_head_dim", in: Limits.headSize)
        guard ropeSize % 2 == 0 else {
            throw text.fault("qk_rope_head_dim", "\(ropeSize); rotary positions turn pairs, so an even number must be here")
        }
        valueSize = try text.integer("v_head_dim", in: Limits.headSize)
        (ropeBase, yarn) = try Self.rope(text, contextLimit: contextLimit)

        // 0 is an error where there are layers with experts, which is known a line later.
        let experts = try text.optionalInteger("n_routed_experts", in: 0...Limits.experts.upperBound)
        // More dense layers than layers is how some models without experts are written.
        let mostDense = experts == nil ? Limits.layers.upperBound : layerCount
        denseLayerCount = min(try text.integer("first_k_dense_replace", in: 0...mostDense), layerCount)
        moeLayerFrequency = try text.optionalInteger("moe_layer_freq", in: Limits.layers) ?? 1
        intermediateSize = try text.integer("intermediate_size", in: Limits.intermediate)
        let isAllDense = denseLayerCount == layerCount
        moeIntermediateSize = isAllDense ? 1 : try text.integer("moe_intermediate_size", in: Limits.intermediate)
        if isAllDense {
            expertCount = 0
            expertsPerToken = 0
        } else {
            expertCount = try text.integer("n_routed_experts", in: Limits.experts)
            expertsPerToken = try text.integer("num_experts_per_tok", in: 1...expertCount)
        }
        sharedExpertCount = try text.optionalInteger("n_shared_experts", in: Limits.sharedExperts) ?? 0
        try text.only("sigmoid", "scoring_func")
        try text.only("noaux_tc", "topk_method")
        scoring = .sigmoid
        groupCount = try text.optionalInteger("n_group", in: 1...max(expertCount, 1)) ?? 1
        topGroupCount = try text.optionalInteger("topk_group", in: 1...groupCount) ?? 1
        normalizeTopK = try text.flag("norm_topk_prob")
        routedScale = Float(try text.number("routed_scaling_factor", in: Limits.routedScale))

        quantization = try Self.quantization(config, text)
        if let fields = try config.section("vision_config") {
            vision = try VisionConfig(fields, outer: config, textHiddenSize: hiddenSize)
        }

        let vocabulary = vocabularySize
        func tokens(_ key: String) throws(KimiError) -> [Int32]? {
            if let own = try text.tokens(key, vocabularySize: vocabulary) { return own }
            return try config.tokens(key, vocabularySize: vocabulary)
        }
        bosToken = try tokens("bos_token_id")?.first
        padToken = try tokens("pad_token_id")?.first
        let placeholder = try config.tokens("media_placeholder_token_id", vocabularySize: vocabulary)
        let image = try config.tokens("image_token_id", vocabularySize: vocabulary)
        mediaToken = (placeholder ?? image)?.first
        let ends = try tokens("eos_token_id") ?? []
        eosToken = ends.first
        endTokens = try generation?.tokens("eos_token_id", vocabularySize: vocabulary) ?? ends

        try checkGroups(text)
    }

    /// Groups divide the experts evenly, have two members for their score, and leave enough experts to choose from.
    private func checkGroups(_ text: ConfigFields) throws(KimiError) {
        guard groupCount > 1 else { return }
        guard expertCount % groupCount == 0 else {
            throw text.fault("n_group", "\(groupCount) groups do not divide \(expertCount) experts evenly")
        }
        let groupSize = expertCount / groupCount
        guard groupSize >= 2 else {
            throw text.fault("n_group", "groups of one expert; a group's score is the sum of its two best")
        }
        guard expertsPerToken <= topGroupCount * groupSize else {
            throw text.fault(
                "topk_group",
                "\(topGroupCount) groups of \(groupSize) experts are fewer than the \(expertsPerToken) experts of a token")
        }
    }

    // MARK: Which model

    private static func modelType(_ config: ConfigFields) throws(KimiError) -> String {
        guard let type = try config.optionalText("model_type") else {
            throw config.missing("model_type", "one of \(supportedTypes)")
        }
        guard wrappedTypes.contains(type) || textTypes.contains(type) else { throw unsupported(config, type) }
        return type
    }

    private static func textFields(_ config: ConfigFields, modelType: String) throws(KimiError) -> ConfigFields {
        guard wrappedTypes.contains(modelType) else { return config }
        guard let text = try config.section("text_config") else {
            throw config.missing("text_config", "the text model's configuration")
        }
        if let type = try text.optionalText("model_type"), !textTypes.contains(type) { throw unsupported(text, type) }
        return text
    }

    private static var supportedTypes: String { (wrappedTypes + textTypes).joined(separator: ", ") }

    private static func unsupported(_ fields: ConfigFields, _ type: String) -> KimiError {
        fields.fault(
            "model_type",
            "the model is a \(JSONText.quoted(type)), which is not supported; supported are \(supportedTypes) (DeepSeek-V3 text architecture)",
            .unsupported)
    }

    private static func architecture(_ fields: ConfigFields) throws(KimiError) -> String? {
        guard let value = fields["architectures"] else { return nil }
        guard let names = value.arrayValue else {
            throw fields.fault("architectures", "\(ConfigFields.words(value)); a list of strings must be here")
        }
        guard let first = names.first else { return nil }
        guard let name = first.stringValue else {
            throw fields.fault("architectures", "\(ConfigFields.words(first)) in a list of strings")
        }
        return name
    }

    /// Members that would change the mathematics in ways that are not implemented: refused, not ignored.
    private static func refuseVariants(_ text: ConfigFields) throws(KimiError) {
        try text.only("silu", "hidden_act")
        try text.only(false, "attention_bias")
        try text.only(false, "mlp_bias")
        try text.only(true, "rope_interleave")
        for key in ["linear_attn_config", "index_topk", "index_n_heads", "sliding_window", "layer_types", "hc_mult"] {
            guard let value = text[key] else { continue }
            if key == "layer_types", let types = value.arrayValue,
                types.allSatisfy({ $0.stringValue == "full_attention" }) { continue }
            throw text.fault(
                key, "belongs to another attention than this library has (\(ConfigFields.words(value))); full latent attention is supported",
                .unsupported)
        }
    }
}
