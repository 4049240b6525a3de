import KimiCheckpoint
import KimiCore
import KimiModel

extension Model {
    /// What was opened and how it runs, as JSON, for `kimi_model_info`.
    package var info: String {
        let config = checkpoint.config
        let sizes = StoredSizes(checkpoint)
        var json = JSONWriter()
        json.object { json in
            json.member("path", checkpoint.folder)
            json.member("architecture", config.architecture)
            json.member("model_type", config.modelType)
            json.member("digest", checkpoint.digest)
            json.object("sizes") { json in
                json.member("hidden", config.hiddenSize)
                json.member("layers", config.layerCount)
                json.member("dense_layers", (0..<config.layerCount).count { config.isDense(layer: $0) })
                json.member("dense_width", config.intermediateSize)
                json.member("heads", config.headCount)
                if let rank = config.queryRank { json.member("query_rank", rank) } else { json.null("query_rank") }
                json.member("latent", config.latentSize)
                json.member("nope", config.nopeSize)
                json.member("rope", config.ropeSize)
                json.member("value", config.valueSize)
                json.member("experts", config.expertCount)
                json.member("experts_per_token", config.expertsPerToken)
                json.member("expert_width", config.moeIntermediateSize)
                json.member("shared_experts", config.sharedExpertCount)
                json.member("expert_groups", config.groupCount)
            }
            json.member("quantization", config.quantization == .int4 ? "int4 group 32" : "none")
            json.member("vocabulary", config.vocabularySize)
            json.member("context_length", config.contextLimit)
            json.member("context_limit", contextLimit)
            json.array("end_tokens") { json in for id in config.endTokens { json.element(Int(id)) } }
            json.member("vision", config.hasVision)
            json.member("tensors", checkpoint.tensorCount)
            json.member("parameters", sizes.parameters)
            json.object("bytes") { json in
                for (kind, bytes) in sizes.bytes { json.member(kind, bytes) }
                json.member("all", sizes.total)
            }
            json.member("isa", text.isaName)
            json.member("threads", text.pool.threads)
            json.member("bound_threads", text.pool.boundThreads)
            json.member("cache_type", options.cacheType == .f32 ? "f32" : "bf16")
            json.member("cache_bytes_per_token", text.cache.blockBytes / BlockPool.blockTokens)
            json.member("load_policy", text.loadPolicy == .map ? "map" : "copy")
            json.member("chunk_size", options.chunkSize)
        }
        return json.text
    }
}

/// What a checkpoint stores, by kind of weight, from its headers alone.
package struct StoredSizes {
    /// Kind and bytes, in the order of the model.
    package private(set) var bytes: [(kind: String, bytes: Int)] = []
    package private(set) var total = 0
    /// Weights, packed ones counted one by one.
    package private(set) var parameters = 0

    package init(_ checkpoint: Checkpoint) {
        var sums: [String: Int] = [:]
        var parameters = 0
        checkpoint.forEachTensor { (name, tensor) throws(Never) in
            sums[Self.kind(of: name), default: 0] += tensor.byteCount
            if name.hasSuffix(".weight_packed") {
                parameters += tensor.byteCount * 2
            } else if !name.hasSuffix(".weight_scale") && !name.hasSuffix(".weight_shape") {
                parameters += tensor.shape.elementCount ?? 0
            }
        }
        bytes = Self.kinds.compactMap { kind in sums[kind].map { (kind, $0) } }
        total = sums.values.reduce(0, +)
        self.parameters = parameters
    }

    package static let kinds = [
        "embedding", "attention", "dense_mlp", "router", "shared_experts", "routed_experts", "norms", "head", "vision", "other",
    ]

    /// The kind of a tensor, by its name in the published layout.
    package static func kind(of name: String) -> String {
        if name.hasPrefix("vision_tower.") || name.hasPrefix("mm_projector.") { return "vision" }
        if name.hasSuffix("embed_tokens.weight") { return "embedding" }
        if name.hasSuffix("lm_head.weight") { return "head" }
        if name.hasSuffix("norm.weight") { return "norms" }
        if name.contains(".self_attn.") { return "attention" }
        if name.contains(".mlp.experts.") { return "routed_experts" }
        if name.contains(".mlp.shared_experts.") { return "shared_experts" }
        if name.contains(".mlp.gate.") { return "router" }
        if name.contains(".mlp.") { return "dense_mlp" }
        return "other"
    }
}
