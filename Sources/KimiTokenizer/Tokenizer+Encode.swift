import KimiCore

extension Tokenizer {
    /// The ids of a text.
    ///
    /// - Parameters:
    ///   - text: UTF-8.
    ///   - special: whether names of special tokens in the text become those tokens. If false, no special id comes out,
    ///     whatever the text says.
    /// - Throws: `Status.invalidArgument` with the offset of the first byte that is not UTF-8.
    /// - Complexity: O(n log n) at worst, in practice linear.
    package func encode(_ text: UnsafeRawBufferPointer, special: Bool) throws(KimiError) -> [Int32] {
        if let offset = UTF8Check.firstFault(in: text) {
            throw KimiError(.invalidArgument, "text is not UTF-8: byte \(offset) (\(text[offset])) is out of place")
        }
        var ids: [Int32] = []
        guard let base = text.baseAddress, !text.isEmpty else { return ids }
        ids.reserveCapacity(text.count / 4 + 8)
        // Safe because the text stays where it is during this call and was checked to be UTF-8.
        let checked = CheckedText(bytes: base.assumingMemoryBound(to: UInt8.self), count: text.count)
        switch engine {
        case .bytePairs: encodePairs(checked, special, &ids)
        case .sentencePiece(let model, _): try encodePieces(checked, special, model, &ids)
        }
        return ids
    }

    package func encode(_ text: [UInt8], special: Bool) throws(KimiError) -> [Int32] {
        // Typed throws do not pass through withUnsafeBytes' rethrow; a Result does.
        try text.withUnsafeBytes { text in
            Result { () throws(KimiError) in try encode(text, special: special) }
        }.get()
    }

    package func encode(_ text: String, special: Bool) throws(KimiError) -> [Int32] {
        try encode(Array(text.utf8), special: special)
    }

    /// How many ids `encode` gives for a text without special tokens.
    package func tokenCount(_ text: UnsafeRawBufferPointer) throws(KimiError) -> Int {
        try encode(text, special: false).count
    }

    package func tokenCount(_ text: String) throws(KimiError) -> Int { try encode(text, special: false).count }

    // MARK: Byte pairs

    /// Special tokens are looked for inside the pieces of the cut, as the reference does: one that a cut divides is
    /// text.
    private func encodePairs(_ text: CheckedText, _ special: Bool, _ ids: inout [Int32]) {
        let merger = BytePairMerger(vocabulary: vocabulary)
        var cut = TextCut(text)
        while let piece = cut.next() {
            var start = piece.start
            while special, let name = specials.first(in: text, from: start, to: piece.end) {
                encodeWords(text, start, name.start, merger, &ids)
                ids.append(name.id)
                start = name.end
            }
            encodeWords(text, start, piece.end, merger, &ids)
        }
    }

    private func encodeWords(
        _ text: CheckedText, _ start: Int, _ end: Int, _ merger: BytePairMerger, _ ids: inout [Int32]
    ) {
        var words = PreTokenizer(text, from: start, to: end)
        while let word = words.next() {
            merger.append(text.bytes + word.start, word.end &- word.start, to: &ids)
        }
    }

    // MARK: SentencePiece

    /// Between special tokens each stretch is a text of its own to the model, with its own space in front.
    private func encodePieces(
        _ text: CheckedText, _ special: Bool, _ model: SentencePieceModel, _ ids: inout [Int32]
    ) throws(KimiError) {
        var start = 0
        while special, let name = specials.first(in: text, from: start, to: text.count) {
            try encodeStretch(text, start, name.start, model, &ids)
            ids.append(name.id)
            start = name.end
        }
        try encodeStretch(text, start, text.count, model, &ids)
    }

    private func encodeStretch(
        _ text: CheckedText, _ start: Int, _ end: Int, _ model: SentencePieceModel, _ ids: inout [Int32]
    ) throws(KimiError) {
        let before = ids.count
        try model.append(text, from: start, to: end, to: &ids)
        // All special tokens are control pieces to the library, which text does not lead to. That is its promise; ours
        // must not hang on it.
        for id in ids[before...] where isSpecial(id) {
            throw KimiError(.internal, "libsentencepiece made the special token \(id) out of plain text")
        }
    }
}
