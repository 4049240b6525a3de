import KimiCore

/// `quantization_config`: compressed-tensors' INT4 `pack-quantized` in symmetric groups of 32, or none. It stands at the top,
/// inside `text_config`, or in both places; then both must agree.
extension ModelConfig {
    static func quantization(_ config: ConfigFields, _ text: ConfigFields) throws(KimiError) -> Quantization {
        let outer = try quantization(config)
        // Without a text_config the two are the same object.
        let inner = text.path.isEmpty ? nil : try quantization(text)
        if let outer, let inner, outer != inner {
            throw text.fault("quantization_config", "says \(inner), but the outer quantization_config says \(outer)")
        }
        return outer ?? inner ?? .none
    }

    /// Nil if there is no such member.
    private static func quantization(_ parent: ConfigFields) throws(KimiError) -> Quantization? {
        guard let fields = try parent.section("quantization_config"), !fields.keys.isEmpty else { return nil }
        try require(fields, "quant_method", "compressed-tensors")
        if let transform = try fields.section("transform_config"), !transform.keys.isEmpty {
            throw fields.fault("transform_config", "transformed weights are not supported; supported is \(supported)", .unsupported)
        }
        if let sparsity = try fields.section("sparsity_config") { try sparsity.only("dense", "format") }

        guard let groups = try fields.section("config_groups"), !groups.keys.isEmpty else {
            throw fields.missing("config_groups", "at least one group")
        }
        let outerFormat = try fields.optionalText("format")
        for name in groups.keys {
            guard let group = try groups.section(name) else { throw groups.missing(name, "an object") }
            if try group.optionalText("format") != nil || outerFormat == nil {
                try require(group, "format", "pack-quantized")
            } else {
                try require(fields, "format", "pack-quantized")
            }
            for activations in ["input_activations", "output_activations"] {
                guard group[activations] == nil else {
                    throw group.fault(activations, "quantised activations are not supported; null is", .unsupported)
                }
            }
            try checkWeights(group)
        }
        return .int4
    }

    private static func checkWeights(_ group: ConfigFields) throws(KimiError) {
        guard let weights = try group.section("weights") else { throw group.missing("weights", "an object") }
        try requireNumber(weights, "num_bits", 4)
        try requireNumber(weights, "group_size", 32)
        try weights.only("int", "type")
        try weights.only("group", "strategy")
        try weights.only(true, "symmetric")
        try weights.only(false, "dynamic")
        if let order = weights["actorder"] {
            throw weights.fault(
                "actorder", "\(ConfigFields.words(order)) is not supported; weights in their own order (null) are", .unsupported)
        }
    }

    private static let supported = "compressed-tensors pack-quantized INT4, symmetric, group size 32, or no quantisation"

    private static func require(_ fields: ConfigFields, _ key: String, _ wanted: String) throws(KimiError) {
        guard let found = try fields.optionalText(key) else { throw fields.missing(key, JSONText.quoted(wanted)) }
        guard found == wanted else {
            throw fields.fault(key, "\(JSONText.quoted(found)) is not supported; supported is \(supported)", .unsupported)
        }
    }

    private static func requireNumber(_ fields: ConfigFields, _ key: String, _ wanted: Int) throws(KimiError) {
        guard let value = fields[key] else { throw fields.missing(key, "\(wanted)") }
        guard let found = value.intValue else {
            throw fields.fault(key, "\(ConfigFields.words(value)); \(wanted) must be here")
        }
        guard found == wanted else {
            throw fields.fault(key, "\(found) is not supported; supported is \(supported)", .unsupported)
        }
    }
}
