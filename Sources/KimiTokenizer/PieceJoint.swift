/// How a SentencePiece model marks the space before a word, as far as decoding must know.
struct SentencePieceSpacing: Sendable {
    /// For each id whether its piece begins with the space mark.
    let beginsWithSpace: [Bool]
    /// Whether the space at the start of a text is taken away.
    let strips: Bool
    /// Whether all spaces at the start are taken away, not only the first.
    let stripsAll: Bool
}

/// Joins pieces to text, one after the other.
///
/// In a byte-pair vocabulary a piece is its bytes, wherever it stands. SentencePiece puts a space before the first word
/// of a text when it encodes, so the first piece loses it again; special tokens divide texts.
struct PieceJoint {
    private let tokenizer: Tokenizer
    private var isAtStart: Bool

    /// - Parameter continuing: whether text came before, so that the first piece keeps its space.
    init(_ tokenizer: Tokenizer, continuing: Bool) {
        self.tokenizer = tokenizer
        isAtStart = !continuing
    }

    /// The bytes that the next id adds, borrowed from the tokenizer; nil (and nothing changed) if there is no such id.
    @inline(__always)
    mutating func next(_ id: Int32) -> UnsafeBufferPointer<UInt8>? {
        guard let piece = tokenizer.vocabulary.string(id) else { return nil }
        guard case .sentencePiece(_, let spacing) = tokenizer.engine else { return piece }
        return strip(piece, id, spacing)
    }

    private mutating func strip(
        _ piece: UnsafeBufferPointer<UInt8>, _ id: Int32, _ spacing: SentencePieceSpacing
    ) -> UnsafeBufferPointer<UInt8> {
        if tokenizer.isSpecial(id) {
            isAtStart = true
            return piece
        }
        guard isAtStart else { return piece }
        // Ids beyond the model's own pieces are special, so every other one has its mark.
        guard spacing.strips, spacing.beginsWithSpace[Int(id)] else {
            isAtStart = piece.isEmpty
            return piece
        }
        isAtStart = spacing.stripsAll && piece.count == 1
        return UnsafeBufferPointer(rebasing: piece.dropFirst())
    }
}
