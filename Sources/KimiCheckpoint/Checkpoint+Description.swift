import KimiCore

extension Checkpoint {
    /// Writes what this checkpoint is as members of a JSON object: the common part of `kimi_model_info` and `kimi inspect --json`.
    ///
    /// - Parameter vision: writes the member `vision`; nil: whether there is a tower.
    package func describe(_ costs: CostReport, in json: inout JSONWriter, vision: ((inout JSONWriter) -> Void)? = nil) {
        json.member("path", folder)
        json.member("architecture", config.architecture)
        json.member("model_type", config.modelType)
        json.member("digest", digest)
        json.object("sizes") { json in
            json.member("hidden", config.hiddenSize)
            json.member("layers", config.layerCount)
            json.member("dense_layers", costs.layers.count { $0.isDense })
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
        json.array("end_tokens") { json in for id in config.endTokens { json.element(Int(id)) } }
        if let vision { vision(&json) } else { json.member("vision", hasVisionTensors) }
        json.member("tensors", tensorCount)
        json.member("shards", shardCount)
        json.member("parameters", costs.parameters)
        Self.kinds("bytes", \.stored, costs, &json)
        json.member("dense", costs.dense.rawValue)
        if costs.dense != .stored { Self.kinds("made_bytes", \.made, costs, &json) }
        Self.kinds("token_reads", \.read, costs, &json)
    }

    private static func kinds(
        _ name: String, _ figure: KeyPath<CostReport.Cost, Int>, _ costs: CostReport, _ json: inout JSONWriter
    ) {
        json.object(name) { json in
            for (kind, cost) in costs.kinds { json.member(kind.rawValue, cost[keyPath: figure]) }
            json.member("all", costs.total[keyPath: figure])
        }
    }
}
