import CKimiKernels
import KimiCheckpoint
import KimiCore

extension Weights {
    /// Finds every weight of the text model, by the names of the published layout.
    init(_ loader: inout WeightLoader, checkpoint: Checkpoint, kernels: ck_kernels) throws(KimiError) {
        let config = checkpoint.config
        let prefix = checkpoint.namePrefix + "model."
        embedding = try loader.matrix(
            prefix + "embed_tokens", rows: config.vocabularySize, columns: config.hiddenSize)
        finalNorm = try loader.vector(prefix + "norm.weight", count: config.hiddenSize, kernels: kernels)
        head = config.tiedEmbeddings && !loader.converts(rows: config.vocabularySize, columns: config.hiddenSize)
            ? embedding
            : try loader.matrix(
                config.tiedEmbeddings ? prefix + "embed_tokens" : checkpoint.namePrefix + "lm_head",
                rows: config.vocabularySize, columns: config.hiddenSize, convertible: true)
        var layers: [LayerWeights] = []
        layers.reserveCapacity(config.layerCount)
        for layer in 0..<config.layerCount {
            let name = "\(prefix)layers.\(layer)."
            loader.layer = layer
            layers.append(LayerWeights(
                inputNorm: try loader.vector(name + "input_layernorm.weight", count: config.hiddenSize, kernels: kernels),
                attention: try AttentionWeights(&loader, name + "self_attn.", config, kernels),
                postAttentionNorm: try loader.vector(
                    name + "post_attention_layernorm.weight", count: config.hiddenSize, kernels: kernels),
                feedForward: config.isDense(layer: layer)
                    ? .dense(try MLPWeights(&loader, name + "mlp.", width: config.intermediateSize, config))
                    : .experts(try ExpertWeights(&loader, name + "mlp.", config, kernels))))
        }
        self.layers = layers
    }
}

extension AttentionWeights {
    init(
        _ loader: inout WeightLoader, _ name: String, _ config: ModelConfig, _ kernels: ck_kernels
    ) throws(KimiError) {
        let queryRows = config.headCount * (config.nopeSize + config.ropeSize)
        if let rank = config.queryRank {
            queryDown = try loader.matrix(name + "q_a_proj", rows: rank, columns: config.hiddenSize, convertible: true)
            queryNorm = try loader.vector(name + "q_a_layernorm.weight", count: rank, kernels: kernels)
            queryUp = try loader.matrix(name + "q_b_proj", rows: queryRows, columns: rank, convertible: true)
        } else {
            queryDown = nil
            queryNorm = nil
            queryUp = try loader.matrix(name + "q_proj", rows: queryRows, columns: config.hiddenSize, convertible: true)
        }
        latentDown = try loader.matrix(
            name + "kv_a_proj_with_mqa", rows: config.latentSize + config.ropeSize, columns: config.hiddenSize,
            convertible: true)
        latentNorm = try loader.vector(name + "kv_a_layernorm.weight", count: config.latentSize, kernels: kernels)
        latentUp = try loader.matrix(
            name + "kv_b_proj", rows: config.headCount * (config.nopeSize + config.valueSize), columns: config.latentSize,
            unit: config.nopeSize + config.valueSize)
        output = try loader.matrix(
            name + "o_proj", rows: config.hiddenSize, columns: config.headCount * config.valueSize, convertible: true)
    }
}

extension MLPWeights {
    init(_ loader: inout WeightLoader, _ name: String, width: Int, _ config: ModelConfig) throws(KimiError) {
        func part(_ part: String, rows: Int, columns: Int) throws(KimiError) -> Matrix {
            try loader.matrix(name + part, rows: rows, columns: columns, int4: true, convertible: true)
        }
        gate = try part("gate_proj", rows: width, columns: config.hiddenSize)
        up = try part("up_proj", rows: width, columns: config.hiddenSize)
        down = try part("down_proj", rows: config.hiddenSize, columns: width)
    }
}

extension ExpertWeights {
    init(
        _ loader: inout WeightLoader, _ name: String, _ config: ModelConfig, _ kernels: ck_kernels
    ) throws(KimiError) {
        let count = config.expertCount
        router = try loader.matrix(name + "gate", rows: count, columns: config.hiddenSize)
        bias = try loader.vector(name + "gate.e_score_correction_bias", count: count, kernels: kernels)
        // Several shared experts are stored as one MLP of their joint width.
        shared = config.sharedExpertCount == 0
            ? nil
            : try MLPWeights(
                &loader, name + "shared_experts.", width: config.sharedExpertCount * config.moeIntermediateSize, config)
        let experts = try loader.experts(name + "experts.", config)
        self.experts = experts
        expertTypes = (0..<count).reduce(0) { $0 | experts.gate[$1].typeBit | experts.up[$1].typeBit }
    }
}
