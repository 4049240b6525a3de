import KimiCore

/// The tokenizer of a checkpoint: text to ids and back. Immutable once open, so any number of threads may use it at
/// once.
///
/// Two kinds of file are read, `tiktoken.model` (byte pairs by rank) and SentencePiece's `tokenizer.model`; callers see
/// no difference but in the ids. Text never becomes a special token unless `special` is true, which is for text that
/// the library itself has written (chat templates) and never for a user's.
package final class Tokenizer: Sendable {
    let vocabulary: Vocabulary
    let specials: SpecialNames
    let engine: TokenizerParts.Engine

    /// Opens the tokenizer of a checkpoint folder: `tiktoken.model` with `tokenizer_config.json`, or a SentencePiece
    /// `tokenizer.model`, with `tokenizer_config.json` if that is there. If both kinds are, `tiktoken.model` is taken.
    ///
    /// - Parameters:
    ///   - folder: the checkpoint's folder.
    ///   - vocabularySize: the `vocab_size` of the model's configuration, or nil where there is no model. A tokenizer
    ///     with fewer ids is fine, one with more is not.
    /// - Throws: `Status.io` if a file is missing or cannot be read, `Status.format` if it is damaged,
    ///   `Status.mismatch` if it has more ids than the model, `Status.unsupported`, `Status.outOfMemory`. The file, and
    ///   the line or field where there is one, is named.
    package init(folder: String, vocabularySize: Int? = nil) throws(KimiError) {
        let parts = try TokenizerParts.open(folder: folder, vocabularySize)
        vocabulary = parts.vocabulary
        specials = parts.specials
        engine = parts.engine
    }

    // MARK: Vocabulary

    /// How many ids there are, special ones included. The model's own vocabulary may be larger, padded with ids that no
    /// text leads to and that cannot be decoded.
    package var vocabularySize: Int { vocabulary.count }

    /// The ids of all special tokens by their names.
    package var specialIDs: [String: Int32] { specials.ids }

    /// Whether an id is a special token. The unknown token of a SentencePiece model is none: text leads to it.
    package func isSpecial(_ id: Int32) -> Bool { specials.contains(id) }

    /// What one id is decoded to (the name, for a special token), or nil if there is no such id.
    package func piece(_ id: Int32) -> [UInt8]? { withPiece(id) { Array($0) } }

    /// Lends the bytes that `piece` copies to `body`, which must not keep the pointer.
    package func withPiece<Result>(_ id: Int32, _ body: (UnsafeRawBufferPointer) -> Result) -> Result? {
        vocabulary.string(id).map { body(UnsafeRawBufferPointer($0)) }
    }

    /// The id that is decoded to exactly these bytes, or nil. Where several are, an ordinary token comes before a
    /// special one, and in a SentencePiece model a written piece before a byte.
    package func id(ofPiece bytes: [UInt8]) -> Int32? {
        let id = bytes.withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { vocabulary.id($0, bytes.count) } ?? -1
        }
        if id >= 0 { return id }
        return String(validating: bytes, as: UTF8.self).flatMap { specials.ids[$0] }
    }

    // MARK: Decoding

    /// The bytes that the ids stand for, special tokens as their names. They need not be UTF-8: a model may stop within
    /// a character. With a SentencePiece model the space that encoding put before the text is taken away again.
    ///
    /// - Throws: `Status.invalidArgument` if an id does not exist.
    package func decode(_ ids: UnsafeBufferPointer<Int32>) throws(KimiError) -> [UInt8] {
        var bytes: [UInt8] = []
        var joint = PieceJoint(self, continuing: false)
        for (index, id) in ids.enumerated() {
            guard let piece = joint.next(id) else { throw noSuchID(id, at: index) }
            bytes.append(contentsOf: piece)
        }
        return bytes
    }

    package func decode(_ ids: [Int32]) throws(KimiError) -> [UInt8] {
        try ids.withUnsafeBufferPointer { (ids) throws(KimiError) in try decode(ids) }
    }

    func noSuchID(_ id: Int32, at index: Int) -> KimiError {
        KimiError(
            .invalidArgument, "token id \(id) at index \(index) does not exist; ids go from 0 to \(vocabularySize - 1)")
    }
}
