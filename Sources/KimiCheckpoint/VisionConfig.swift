import KimiCore

/// The numbers of a MoonViT tower and of its projector, as `vision_config` of `config.json` gives them.
///
/// Published files name them `vt_hidden_size` and so on; files that `transformers` has written leave out the `vt_` and the
/// `init_`. What is missing is as Kimi K2.5 has it, which is what the reference does.
package struct VisionConfig: Sendable, Equatable {
    /// Of a patch, a multiple of `headCount`.
    package internal(set) var hiddenSize: Int
    package internal(set) var layerCount: Int
    package internal(set) var headCount: Int
    package internal(set) var intermediateSize: Int
    /// Pixels of a patch's side.
    package internal(set) var patchSize: Int
    /// Of the learned grid of positions.
    package internal(set) var positionRows: Int
    package internal(set) var positionColumns: Int
    /// The most frames of a chunk.
    package internal(set) var positionFrames: Int
    /// Patches that become one token: rows, columns.
    package internal(set) var mergeRows: Int
    package internal(set) var mergeColumns: Int
    /// Of the norm in front of the projector; the tower's own norms have `normEpsilon`.
    package internal(set) var projectorEpsilon: Float
    /// What the projector makes, which must be the text model's hidden size.
    package internal(set) var textHiddenSize: Int

    /// Of the tower's norms: fixed in the architecture.
    package static let normEpsilon: Float = 1e-5
    /// Of the rotary positions, likewise.
    package static let ropeBase = 10_000.0
    /// Red, green, blue.
    package static let channels = 3

    /// A multiple of 4: pairs turn by the column and by the row in turns.
    package var headSize: Int { hiddenSize / headCount }
    /// Numbers of a patch.
    package var patchElements: Int { Self.channels * patchSize * patchSize }
    /// Patches that become one token, of one frame.
    package var mergeCount: Int { mergeRows * mergeColumns }
    /// What the projector's products read.
    package var mergedSize: Int { hiddenSize * mergeCount }

    /// What a configuration may say. Products of any two of these, and of three of them and a byte count, stay within `Int`.
    package enum Limits {
        package static let hidden = 4...65_536
        package static let layers = 1...1024
        package static let heads = 1...1024
        package static let headSize = 4096
        package static let intermediate = 1...1_048_576
        package static let patch = 1...256
        package static let positions = 1...4096
        package static let frames = 1...1024
        package static let merge = 1...16
    }
}

extension VisionConfig {
    /// - Parameters:
    ///   - fields: `vision_config`.
    ///   - outer: the members of `config.json` around it.
    /// - Throws: `.unsupported` for a tower or projector of another kind, `.format` for an impossible value.
    init(_ fields: ConfigFields, outer: ConfigFields, textHiddenSize: Int) throws(KimiError) {
        try fields.only("divided_fixed", "pos_emb_type")
        try fields.only("sd2_tpool", "merge_type")
        try fields.only("spatial_temporal", "video_attn_type")
        try fields.only("patchmerger", "mm_projector_type")
        try fields.only("gelu", "projector_hidden_act")
        try fields.only("gelu_pytorch_tanh", "hidden_act")
        try fields.only("bicubic", "pos_emb_interpolation_mode")

        func integer(_ names: String..., in range: ClosedRange<Int>, otherwise: Int) throws(KimiError) -> Int {
            for name in names { if let value = try fields.optionalInteger(name, in: range) { return value } }
            return otherwise
        }
        let hidden = try integer("vt_hidden_size", "hidden_size", in: Limits.hidden, otherwise: 1152)
        hiddenSize = hidden
        layerCount = try integer("vt_num_hidden_layers", "num_hidden_layers", in: Limits.layers, otherwise: 27)
        headCount = try integer("vt_num_attention_heads", "num_attention_heads", in: Limits.heads, otherwise: 16)
        guard hidden % headCount == 0, hidden / headCount % 4 == 0, hidden / headCount <= Limits.headSize else {
            let key = fields["vt_num_attention_heads"] == nil ? "num_attention_heads" : "vt_num_attention_heads"
            throw fields.fault(
                key, "\(headCount) heads of \(hidden) numbers; a head's share must be a multiple of 4, at most \(Limits.headSize)")
        }
        intermediateSize = try integer("vt_intermediate_size", "intermediate_size", in: Limits.intermediate, otherwise: 4304)
        patchSize = try integer("patch_size", in: Limits.patch, otherwise: 14)
        positionRows = try integer("init_pos_emb_height", "pos_emb_height", in: Limits.positions, otherwise: 64)
        positionColumns = try integer("init_pos_emb_width", "pos_emb_width", in: Limits.positions, otherwise: 64)
        positionFrames = try integer("init_pos_emb_time", "pos_emb_time", in: Limits.frames, otherwise: 4)
        (mergeRows, mergeColumns) = try Self.merge(fields)
        if let width = try fields.optionalInteger("mm_hidden_size", in: Limits.hidden),
            width != hidden, width != hidden * mergeRows * mergeColumns {
            throw fields.fault(
                "mm_hidden_size", "\(width) is not supported; the projector reads the tower's \(hidden) numbers a patch",
                .unsupported)
        }
        if let width = try fields.optionalInteger("text_hidden_size", in: ModelConfig.Limits.hidden), width != textHiddenSize {
            throw fields.fault("text_hidden_size", "\(width); the text model's hidden_size is \(textHiddenSize)")
        }
        self.textHiddenSize = textHiddenSize
        let own = try fields.optionalNumber("projector_ln_eps", in: ModelConfig.Limits.epsilon)
        let others = try outer.optionalNumber("projection_layer_norm_eps", in: ModelConfig.Limits.epsilon)
        projectorEpsilon = Float(own ?? others ?? 1e-5)
    }

    /// `merge_kernel_size`: a pair of numbers, or one for both.
    private static func merge(_ fields: ConfigFields) throws(KimiError) -> (Int, Int) {
        let key = "merge_kernel_size"
        guard let value = fields[key] else { return (2, 2) }
        let numbers = (value.arrayValue ?? [value, value]).map(\.intValue)
        guard numbers.count == 2, let rows = numbers[0], let columns = numbers[1], Limits.merge.contains(rows),
            Limits.merge.contains(columns)
        else {
            throw fields.fault(
                key,
                "\(ConfigFields.words(value)); two integers from \(Limits.merge.lowerBound) to \(Limits.merge.upperBound) "
                    + "must be here")
        }
        return (rows, columns)
    }
}
