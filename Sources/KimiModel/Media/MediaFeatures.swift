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
    package let start: Int
    package let features: MediaFeatures
    /// Those that stand there, within 0 ..< tokens: others may have been evaluated already.
    package let rows: Range<Int>

    /// - Parameter rows: nil: all of them.
    package init(start: Int, features: MediaFeatures, rows: Range<Int>? = nil) {
        self.start = start
        self.features = features
        self.rows = (rows ?? 0..<features.tokens).clamped(to: 0..<features.tokens)
    }

    /// The places it takes.
    package var range: Range<Int> { start..<start + rows.count }

    /// The row at `place`, which must be in `range`.
    package func row(at place: Int) -> UnsafePointer<Float> {
        UnsafePointer(features.rows + (rows.lowerBound + place - start) * features.width)
    }
}

extension [MediaSpan] {
    /// What of them stands in a part of the prompt, with places counted from where that begins.
    package func cut(to part: Range<Int>) -> [MediaSpan] {
        guard !isEmpty else { return [] }
        var found: [MediaSpan] = []
        for span in self where span.range.overlaps(part) {
            let kept = span.range.clamped(to: part)
            let first = span.rows.lowerBound + kept.lowerBound - span.start
            found.append(MediaSpan(
                start: kept.lowerBound - part.lowerBound, features: span.features, rows: first..<first + kept.count))
        }
        return found
    }
}

/// Tokens of a sequence that were a picture, or a chunk of a clip: ids alone do not say which.
package struct MediaMark: Sendable, Equatable {
    /// The place of the first of them.
    package let start: Int
    /// How many they are: in a sequence, those that are held, always from the first row on.
    package var count: Int
    package let digest: MediaDigest

    package init(start: Int, count: Int, digest: MediaDigest) {
        self.start = start
        self.count = count
        self.digest = digest
    }

    package var end: Int { start + count }

    /// How many of `common` tokens that two sequences of ids begin with are the same in their media, too.
    ///
    /// A picture is the same as far as both have it; where one has text or another picture they part before it.
    package static func commonPrefix(_ a: [MediaMark], _ b: [MediaMark], of common: Int) -> Int {
        for index in 0..<max(a.count, b.count) {
            guard index < a.count, index < b.count else { return min(common, (index < a.count ? a : b)[index].start) }
            let (one, other) = (a[index], b[index])
            guard min(one.start, other.start) < common else { return common }
            guard one.start == other.start, one.digest == other.digest else { return min(one.start, other.start) }
            if one.count != other.count { return min(common, min(one.end, other.end)) }
        }
        return common
    }
}
