import KimiCore

/// Decodes ids as they come, so that no output ends within a UTF-8 character that a later id could complete.
///
/// All outputs together are exactly what `Tokenizer.decode` gives for all ids. At most three bytes are held back; bytes
/// that cannot become a character pass through as they are. For one stream and one thread at a time.
package struct StreamDecoder {
    private let tokenizer: Tokenizer
    private var joint: PieceJoint
    private var held: [UInt8] = []
    private var index = 0

    /// - Parameter continuing: whether the ids go on from text that is already there. It matters to SentencePiece only,
    ///   whose first piece otherwise loses the space in front; the whole is then the end of the decoded text, not all.
    package init(_ tokenizer: Tokenizer, continuing: Bool = false) {
        self.tokenizer = tokenizer
        joint = PieceJoint(tokenizer, continuing: continuing)
    }

    /// The bytes that are complete with this id; often none, sometimes those of earlier ids too.
    ///
    /// - Throws: `Status.invalidArgument` if there is no such id; the decoder is then as it was before.
    package mutating func feed(_ id: Int32) throws(KimiError) -> [UInt8] {
        guard let piece = joint.next(id) else { throw tokenizer.noSuchID(id, at: index) }
        index &+= 1
        var output = held
        output.append(contentsOf: piece)
        let unfinished = UTF8Check.unfinishedTail(of: output)
        held = Array(output.suffix(unfinished))
        output.removeLast(unfinished)
        return output
    }

    /// What is still held back: the beginning of a character that never ended. The decoder is then empty, and goes on.
    package mutating func finish() -> [UInt8] {
        let rest = held
        held = []
        return rest
    }
}
