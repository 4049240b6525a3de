/// What a tensor is for, by its name in the published layout. The raw values are the keys of JSON output, in the
/// order of the model.
package enum WeightKind: String, CaseIterable, Sendable {
    case embedding
    case attention
    case denseMLP = "dense_mlp"
    case router
    case sharedExperts = "shared_experts"
    case routedExperts = "routed_experts"
    case norms
    case head
    case vision
    case other

    /// The kind of a tensor and the layer it belongs to.
    ///
    /// - Parameter prefix: what stands before `model.` and `lm_head.` in this checkpoint's names.
    package static func parse(_ name: String, prefix: String) -> (kind: WeightKind, layer: Int?) {
        guard name.hasPrefix(prefix), !name.hasPrefix("vision_tower."), !name.hasPrefix("mm_projector.") else {
            return (name.hasPrefix("vision_tower.") || name.hasPrefix("mm_projector.") ? .vision : .other, nil)
        }
        // model . layers . N . self_attn . q_a_proj . weight
        let parts = name.utf8.dropFirst(prefix.utf8.count)
            .split(separator: UInt8(ascii: "."), maxSplits: 6).map { Substring($0) }
        guard parts.count >= 2 else { return (.other, nil) }
        if parts[0] == "lm_head" { return (.head, nil) }
        guard parts[0] == "model" else { return (.other, nil) }
        if parts[1] == "embed_tokens" { return (.embedding, nil) }
        if parts[1] == "norm" { return (.norms, nil) }
        guard parts[1] == "layers", parts.count >= 5, let layer = Int(parts[2]) else { return (.other, nil) }
        switch parts[3] {
        case "input_layernorm", "post_attention_layernorm": return (.norms, layer)
        case "self_attn": return (parts[4].hasSuffix("layernorm") ? .norms : .attention, layer)
        case "mlp":
            switch parts[4] {
            case "gate": return (.router, layer)
            case "experts": return (.routedExperts, layer)
            case "shared_experts": return (.sharedExperts, layer)
            case "gate_proj", "up_proj", "down_proj": return (.denseMLP, layer)
            default: return (.other, layer)
            }
        default: return (.other, layer)
        }
    }
}
