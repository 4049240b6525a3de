import KimiCore

/// What the vision tower made of a picture, or of one chunk of a clip: the rows that stand in the prompt in place of embeddings.
/// Immutable once it is filled.
package final class MediaFeatures: @unchecked Sendable {
    // Safe because only its maker writes to `rows`, before anybody else has it.
    /// Of the picture or the chunk.
    package let digest: MediaDigest
    /// How many tokens it takes.
    package let tokens: Int
    /// Floats of a row: the hidden size of the text model.
    package let width: Int
    private let memory: ChargedMemory

    /// Room for features, zeros at first.
    package init(digest: MediaDigest, tokens: Int, width: Int, on budget: MemoryBudget) throws(KimiError) {
        guard let floats = Checked.product(tokens, width), let bytes = Checked.product(floats, MemoryLayout<Float>.stride) else {
            throw KimiError(.outOfMemory, "features of \(tokens) tokens are beyond any memory")
        }
        memory = try ChargedMemory(byteCount: bytes, on: budget, for: .features, what: "features of a picture")
        (self.digest, self.tokens, self.width) = (digest, tokens, width)
    }

    /// [tokens, width]
    package var rows: UnsafeMutablePointer<Float> { memory.memory.pointer(to: Float.self) }
    package var byteCount: Int { memory.memory.byteCount }
}

/// Tokens of a prompt whose rows are features.
package struct MediaSpan: Sendable {
    /// The place of the first of them in the prompt.
    package var start: Int
    package let features: MediaFeatures

    package init(start: Int, features: MediaFeatures) {
        self.start = start
        self.features = features
    }

    /// The places it takes.
    package var range: Range<Int> { start..<start + features.tokens }
}
