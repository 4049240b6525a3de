import KimiCore

/// Rotary positions in both spellings: `rope_theta` with `rope_scaling`, and `rope_parameters` that hold all of it.
extension ModelConfig {
    static func rope(_ text: ConfigFields, contextLimit: Int) throws(KimiError) -> (base: Double, yarn: YaRN?) {
        var base = try text.optionalNumber("rope_theta", in: Limits.ropeBase)
        var stretch: (yarn: YaRN?, key: String)?
        for key in ["rope_scaling", "rope_parameters"] {
            guard let fields = try text.section(key) else { continue }
            if let inner = try fields.optionalNumber("rope_theta", in: Limits.ropeBase) {
                guard base == nil || base == inner else {
                    throw fields.fault("rope_theta", "\(inner), but another place says \(base ?? 0)")
                }
                base = inner
            }
            let yarn = try self.yarn(fields, contextLimit: contextLimit)
            if let stretch, stretch.yarn != yarn {
                throw text.fault(key, "says otherwise than \(stretch.key); one of them must go")
            }
            stretch = (yarn, key)
        }
        guard let base else {
            throw text.missing("rope_theta", "a number from \(Limits.ropeBase.lowerBound) to \(Limits.ropeBase.upperBound)")
        }
        return (base, stretch?.yarn)
    }

    /// The YaRN of one section, or nil if it asks for no stretching.
    private static func yarn(_ fields: ConfigFields, contextLimit: Int) throws(KimiError) -> YaRN? {
        let old = try fields.optionalText("type")
        let new = try fields.optionalText("rope_type")
        if let old, let new, old != new {
            throw fields.fault("rope_type", "\(JSONText.quoted(new)), but type says \(JSONText.quoted(old))")
        }
        guard let kind = new ?? old else {
            guard fields["factor"] == nil else { throw fields.missing("rope_type", "\"yarn\" or \"default\"") }
            return nil
        }
        switch kind {
        case "default": return nil
        case "yarn": break
        default:
            throw fields.fault(
                new == nil ? "type" : "rope_type",
                "\(JSONText.quoted(kind)) is not supported; \"yarn\" and \"default\" are", .unsupported)
        }

        let betas = 1e-3...1e6
        let yarn = YaRN(
            factor: try fields.number("factor", in: Limits.ropeFactor),
            originalContext: try fields.optionalInteger("original_max_position_embeddings", in: Limits.context)
                ?? contextLimit,
            betaFast: try fields.optionalNumber("beta_fast", in: betas) ?? 32,
            betaSlow: try fields.optionalNumber("beta_slow", in: betas) ?? 1,
            // The reference's own defaults.
            mscale: try fields.optionalNumber("mscale", in: 0...100) ?? 1,
            mscaleAllDim: try fields.optionalNumber("mscale_all_dim", in: 0...100) ?? 0)
        guard yarn.betaFast >= yarn.betaSlow else {
            throw fields.fault("beta_fast", "\(yarn.betaFast) is smaller than beta_slow \(yarn.betaSlow)")
        }
        // Two later additions to the format, which say something only if they differ from what YaRN does anyway.
        try fields.only(true, "truncate")
        if let value = fields["attention_factor"] {
            throw fields.fault(
                "attention_factor",
                "\(ConfigFields.words(value)) is not supported; mscale and mscale_all_dim determine it", .unsupported)
        }
        return yarn
    }
}
