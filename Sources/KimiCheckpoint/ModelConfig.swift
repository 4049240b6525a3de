import KimiCore

/// The numbers of a model of the DeepSeek-V3 text architecture, as `config.json` and `generation_config.json` give them.
///
/// Made by reading a checkpoint folder only, which checks every number against the ranges of `Limits`. Within them no
/// product of sizes of one model leaves `Int`, so later arithmetic on these numbers needs no check of its own.
package struct ModelConfig: Sendable, Equatable {
    /// The outer `model_type`, such as `kimi_k25` or `deepseek_v3`.
    package internal(set) var modelType: String
    /// The first of `architectures`, or "" if the file names none.
    package internal(set) var architecture: String

    package internal(set) var hiddenSize: Int
    /// `num_hidden_layers`; further next-token layers in the file are ignored.
    package internal(set) var layerCount: Int
    package internal(set) var vocabularySize: Int
    /// `max_position_embeddings`.
    package internal(set) var contextLimit: Int
    /// Of the block norms and the final norm.
    package internal(set) var normEpsilon: Float
    /// Whether the output matrix is the embedding matrix.
    package internal(set) var tiedEmbeddings: Bool

    // Attention.
    package internal(set) var headCount: Int
    /// `q_lora_rank`; nil where the query comes from one matrix.
    package internal(set) var queryRank: Int?
    /// `kv_lora_rank`.
    package internal(set) var latentSize: Int
    package internal(set) var nopeSize: Int
    /// Even.
    package internal(set) var ropeSize: Int
    package internal(set) var valueSize: Int
    package internal(set) var ropeBase: Double
    package internal(set) var yarn: YaRN?

    // Feed-forward.
    /// The first layers are dense: `first_k_dense_replace`.
    package internal(set) var denseLayerCount: Int
    /// After those, every how many layers one has experts.
    package internal(set) var moeLayerFrequency: Int
    package internal(set) var intermediateSize: Int
    package internal(set) var moeIntermediateSize: Int
    package internal(set) var expertCount: Int
    package internal(set) var expertsPerToken: Int
    /// May be 0.
    package internal(set) var sharedExpertCount: Int
    package internal(set) var scoring: Scoring
    /// Divides `expertCount`; 1 for no groups.
    package internal(set) var groupCount: Int
    package internal(set) var topGroupCount: Int
    package internal(set) var normalizeTopK: Bool
    package internal(set) var routedScale: Float

    package internal(set) var quantization: Quantization
    /// The vision tower that the configuration describes, if it does; `Checkpoint.hasVisionTensors` says whether one is there.
    package internal(set) var vision: VisionConfig?
    /// The token that stands in a prompt for what a vision tower makes: `media_placeholder_token_id`.
    package internal(set) var mediaToken: Int32?

    /// Tokens that end a generation: those of `generation_config.json`, else the configuration's. May be empty.
    package internal(set) var endTokens: [Int32]
    package internal(set) var bosToken: Int32?
    package internal(set) var eosToken: Int32?
    package internal(set) var padToken: Int32?

    /// How the router turns products into scores. Only the sigmoid with a correction bias (`noaux_tc`) exists in the family.
    package enum Scoring: Sendable, Equatable { case sigmoid }

    /// How expert weights may be stored. INT4 is packed, symmetric, in groups of 32 with a bf16 scale each.
    package enum Quantization: Sendable, Equatable { case none, int4 }

    /// The stretching of rotary positions beyond the trained context.
    package struct YaRN: Sendable, Equatable {
        package internal(set) var factor: Double
        package internal(set) var originalContext: Int
        package internal(set) var betaFast: Double
        package internal(set) var betaSlow: Double
        package internal(set) var mscale: Double
        package internal(set) var mscaleAllDim: Double
    }

    /// Whether a layer has one feed-forward block instead of experts.
    package func isDense(layer: Int) -> Bool {
        layer < denseLayerCount || layer % moeLayerFrequency != 0
    }

    /// What a configuration may say. The largest published sizes are exceeded at least eightfold everywhere.
    package enum Limits {
        package static let hidden = 1...65_536
        package static let layers = 1...1024
        package static let vocabulary = 1...4_194_304
        package static let context = 1...16_777_216
        package static let heads = 1...1024
        package static let rank = 1...65_536
        package static let headSize = 1...4096
        package static let intermediate = 1...1_048_576
        package static let experts = 1...8192
        package static let sharedExperts = 0...256
        package static let epsilon = 1e-12...0.1
        package static let ropeBase = 2.0...1e12
        package static let ropeFactor = 1.0...65_536.0
        package static let routedScale = 1e-6...1e6
    }
}
