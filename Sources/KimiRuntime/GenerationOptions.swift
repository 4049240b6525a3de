import Glibc
import KimiCore

/// How to choose tokens and when to stop; see `kimi_generation_options` in kimi.h for the meaning of each.
package struct GenerationOptions: Sendable {
    package var greedy = false
    /// nil: as many as the context holds.
    package var maxTokens: Int?
    /// nil: a new random seed.
    package var seed: UInt64?
    package var temperature: Float = 1
    package var topP: Float = 1
    package var topK = 0
    package var minP: Float = 0
    package var repetitionPenalty: Float = 1
    package var presencePenalty: Float = 0
    package var frequencyPenalty: Float = 0
    package var logitBias: [(id: Int32, bias: Float)] = []
    package var stopStrings: [[UInt8]] = []
    package var stopIDs: [Int32] = []
    package var ignoreEnd = false
    /// nil: no log-probabilities.
    package var topLogprobs: Int?

    package init() {}

    /// The most stop strings and bytes in one.
    package static let maxStopStrings = 64
    package static let maxStopBytes = 4096

    /// Checks every field against its range.
    ///
    /// - Throws: `invalidArgument` naming the field and its range.
    package func validate(vocabulary: Int) throws(KimiError) {
        try check("temperature", temperature, 0...100)
        try check("top_p", topP, 0...1)
        try check("min_p", minP, 0...1)
        try check("repetition_penalty", repetitionPenalty, 0.01...100)
        try check("presence_penalty", presencePenalty, -100...100)
        try check("frequency_penalty", frequencyPenalty, -100...100)
        guard topK >= 0 else { throw refused("top_k", "\(topK)", "0 (all) or more") }
        if let maxTokens, maxTokens < 1 { throw refused("max_tokens", "\(maxTokens)", "1 or more") }
        if let topLogprobs, !(0...20).contains(topLogprobs) { throw refused("top_logprobs", "\(topLogprobs)", "0 to 20") }
        for (id, bias) in logitBias {
            guard id >= 0 && Int(id) < vocabulary else { throw refused("logit_bias", "token \(id)", "below \(vocabulary)") }
            guard !bias.isNaN && bias < .infinity else { throw refused("logit_bias", "\(bias)", "finite or minus infinity") }
        }
        if logitBias.count >= vocabulary, Set(logitBias.lazy.filter { $0.bias == -.infinity }.map(\.id)).count == vocabulary {
            throw refused("logit_bias", "minus infinity for all \(vocabulary) tokens", "above it for one at least")
        }
        for id in stopIDs where id < 0 || Int(id) >= vocabulary {
            throw refused("stop_ids", "token \(id)", "0 to \(vocabulary - 1)")
        }
        guard stopStrings.count <= Self.maxStopStrings else {
            throw refused("stop_strings", "\(stopStrings.count) strings", "at most \(Self.maxStopStrings)")
        }
        for string in stopStrings {
            guard !string.isEmpty && string.count <= Self.maxStopBytes else {
                throw refused("stop_strings", "a string of \(string.count) bytes", "1 to \(Self.maxStopBytes) bytes each")
            }
            guard String(validating: string, as: UTF8.self) != nil else {
                throw refused("stop_strings", "bytes that are not UTF-8", "UTF-8 text")
            }
        }
    }

    private func check(_ name: String, _ value: Float, _ range: ClosedRange<Float>) throws(KimiError) {
        // NaN is in no range.
        guard range.contains(value) else {
            throw refused(name, "\(value)", "\(range.lowerBound) to \(range.upperBound)")
        }
    }

    private func refused(_ name: String, _ found: String, _ right: String) -> KimiError {
        KimiError(.invalidArgument, "\(name) is \(found); it must be \(right)", subject: name)
    }
}
