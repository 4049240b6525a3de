import KimiCore

// How often each expert was chosen, as a heat file says it:
//
//   {"format": "kimi-heat", "version": 1, "layers": L, "experts": E, "counts": [[E numbers], ... L of them]}
//
// A row of zeros stands for a dense layer.

/// The text of a heat file.
///
/// - Parameter counts: `layers` rows of `experts` numbers, one after another.
func heatText(_ counts: [UInt64], layers: Int, experts: Int) -> String {
    var json = JSONWriter()
    json.object { json in
        json.member("format", "kimi-heat")
        json.member("version", 1)
        json.member("layers", layers)
        json.member("experts", experts)
        json.array("counts") { json in
            for layer in 0..<layers {
                json.array { json in
                    for count in counts[layer * experts..<(layer + 1) * experts] { json.element(Int(clamping: count)) }
                }
            }
        }
    }
    return json.text
}

extension TextModel {
    /// What the router has chosen since the model was opened, as the text of a heat file. Waits for the step in progress; layers of
    /// steps that failed are counted as far as they went.
    ///
    /// - Throws: `cancelled` while waiting.
    package func heat(_ cancellation: Cancellation? = nil) throws(KimiError) -> String {
        let counts = try withStep(cancellation) { statistics.expertChoices }
        return heatText(counts, layers: config.layerCount, experts: config.expertCount)
    }
}
