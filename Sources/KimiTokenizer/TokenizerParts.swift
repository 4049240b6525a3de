import KimiCore

/// What a tokenizer is made of, read from a checkpoint folder.
struct TokenizerParts {
    /// How text becomes tokens.
    enum Engine: Sendable {
        case bytePairs
        case sentencePiece(SentencePieceModel, SentencePieceSpacing)
    }

    /// The byte strings of all ids, of which the ordinary ones are indexed.
    let vocabulary: Vocabulary
    let specials: SpecialNames
    let engine: Engine

    /// The largest `tiktoken.model` or `tokenizer.model` that is read.
    static let modelLimit = 256 << 20
    /// How many special ids follow the ranks of a `tiktoken.model`, named or not.
    static let reservedIDs: Int32 = 256

    /// Reads the folder as `Tokenizer.init` describes it.
    static func open(folder: String, _ vocabularySize: Int?) throws(KimiError) -> TokenizerParts {
        guard !folder.utf8.contains(0) else {
            throw KimiError(.invalidArgument, "the folder's name has a NUL byte in it")
        }
        let config = folder + "/tokenizer_config.json"
        let ranks = folder + "/tiktoken.model"
        if let content = try FileBytes.read(ranks, limit: modelLimit) {
            return try open(ranks: content, file: ranks, config: config, vocabularySize)
        }
        let pieces = folder + "/tokenizer.model"
        if let content = try FileBytes.read(pieces, limit: modelLimit) {
            return try open(pieces: content, file: pieces, config: config, vocabularySize)
        }
        throw KimiError(
            .io, "has no tokenizer: neither tiktoken.model nor a SentencePiece tokenizer.model is there", file: folder)
    }

    private static func check(_ count: Int, _ vocabularySize: Int?, file: String) throws(KimiError) {
        if let vocabularySize, count > vocabularySize {
            throw KimiError(
                .mismatch, "has \(count) ids, special ones included, but the model's vocab_size is \(vocabularySize)",
                file: file)
        }
    }

    /// `AddedTokens` has seen to it that no name stands twice.
    private static func byName(_ names: [Int32: String]) -> [String: Int32] {
        Dictionary(names.map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    }

    private static func append(_ string: some Collection<UInt8>, to strings: inout VocabularyStrings, _ file: String)
        throws(KimiError)
    {
        guard strings.append(string) else { throw KimiError(.format, "holds more than 4 GiB of tokens", file: file) }
    }

    // MARK: tiktoken.model

    private static func open(
        ranks content: [UInt8], file: String, config: String, _ vocabularySize: Int?
    ) throws(KimiError) -> TokenizerParts {
        var strings = try RankFile.parse(content, file: file)
        // No overflow: there are at most RankFile.mostTokens.
        let base = Int32(truncatingIfNeeded: strings.count)
        let reserved = base..<base + reservedIDs
        try check(Int(reserved.upperBound), vocabularySize, file: file)

        guard let content = try FileBytes.read(config, limit: AddedTokens.fileLimit) else {
            throw KimiError(.io, "is missing; it gives the names of the special tokens of tiktoken.model", file: config)
        }
        let ids = Int(reserved.lowerBound)..<Int(reserved.upperBound)
        let names = try AddedTokens(content, file: config, ids: ids, required: true).filled(reserved)
        for id in reserved { try append((names[id] ?? "").utf8, to: &strings, file) }
        let vocabulary = Vocabulary(strings, indexed: 0..<base)
        try RankFile.check(vocabulary, file: file)
        return TokenizerParts(vocabulary: vocabulary, specials: SpecialNames(byName(names)), engine: .bytePairs)
    }

    // MARK: tokenizer.model

    private static let spaceMark: [UInt8] = Array("\u{2581}".utf8)

    private static func open(
        pieces content: [UInt8], file: String, config: String, _ vocabularySize: Int?
    ) throws(KimiError) -> TokenizerParts {
        let model = try SentencePieceFile(content, file: file)
        let count = model.pieces.count
        let names = try specialNames(model, file: file, config: config)
        let total = max(count, names.keys.reduce(0) { max($0, Int($1) + 1) })
        try check(total, vocabularySize, file: file)

        let control = Set(names.keys.lazy.map { Int($0) }.filter { $0 < count })
        let engine = try SentencePieceModel(model.withControlPieces(control), pieces: count, file: file)
        var strings = VocabularyStrings()
        for (id, piece) in model.pieces.enumerated() {
            try append(decoded(piece, model, isSpecial: control.contains(id), file: file), to: &strings, file)
        }
        for id in count..<total { try append((names[Int32(truncatingIfNeeded: id)] ?? "").utf8, to: &strings, file) }

        let spacing = SentencePieceSpacing(
            beginsWithSpace: model.pieces.map { ($0.kind == .normal || $0.kind == .userDefined || $0.kind == .unused)
                && $0.name.starts(with: spaceMark) },
            strips: model.addsDummyPrefix || model.removesExtraSpaces, stripsAll: model.removesExtraSpaces)
        let ordinary = model.pieces.indices.filter { !control.contains($0) }
        let written = ordinary.filter { model.pieces[$0].kind == .normal || model.pieces[$0].kind == .userDefined }
        let others = ordinary.filter { model.pieces[$0].kind != .normal && model.pieces[$0].kind != .userDefined }
        return TokenizerParts(
            vocabulary: Vocabulary(strings, indexed: (written + others).map { Int32(truncatingIfNeeded: $0) }),
            specials: SpecialNames(byName(names)), engine: .sentencePiece(engine, spacing))
    }

    /// What a piece is decoded to, space marks as spaces.
    private static func decoded(
        _ piece: SentencePieceFile.Piece, _ model: SentencePieceFile, isSpecial: Bool, file: String
    ) throws(KimiError) -> [UInt8] {
        if isSpecial { return piece.name }
        switch piece.kind {
        case .unknown: return model.unknownSurface
        case .byte:
            guard let byte = byteValue(piece.name) else {
                let name = String(decoding: piece.name, as: UTF8.self)
                throw KimiError(.format, "byte piece \"\(name)\" is not written <0x00> to <0xFF>", file: file)
            }
            return [byte]
        case .normal, .userDefined, .unused, .control:
            var text: [UInt8] = []
            var rest = piece.name[...]
            while let byte = rest.first {
                let isMark = rest.starts(with: spaceMark)
                text.append(isMark ? 0x20 : byte)
                rest = rest.dropFirst(isMark ? spaceMark.count : 1)
            }
            return text
        }
    }

    private static func byteValue(_ name: [UInt8]) -> UInt8? {
        // UInt8 accepts a sign, the format does not.
        guard name.count == 6, name.starts(with: "<0x".utf8), name[5] == 0x3E, name[3] != 0x2B else { return nil }
        return UInt8(String(decoding: name[3..<5], as: UTF8.self), radix: 16)
    }

    /// The special tokens of a SentencePiece model: its control pieces, and what `tokenizer_config.json` adds or
    /// declares. Unnamed ids between the model's pieces and the last added token are `<|reserved_token_ID|>`.
    private static func specialNames(
        _ model: SentencePieceFile, file: String, config: String
    ) throws(KimiError) -> [Int32: String] {
        let count = model.pieces.count
        var names: [Int32: String] = [:]
        if let content = try FileBytes.read(config, limit: AddedTokens.fileLimit) {
            let added = try AddedTokens(content, file: config, ids: 0..<count + 0x10000, required: false)
            let last = added.names.keys.reduce(Int32(truncatingIfNeeded: count)) { max($0, $1 &+ 1) }
            names = try added.filled(Int32(truncatingIfNeeded: count)..<last)
        }
        var idOfName = byName(names)
        for (index, piece) in model.pieces.enumerated() {
            let id = Int32(truncatingIfNeeded: index)
            let text = String(decoding: piece.name, as: UTF8.self)
            if let name = names[id], name != text {
                throw KimiError(
                    .mismatch, "id \(id) is \"\(name)\", but \"\(text)\" in \(file)", file: config,
                    subject: "added_tokens_decoder")
            }
            // Text leads to the unknown token, so it cannot be one that only templates write.
            if piece.kind == .unknown { names[id] = nil; continue }
            guard piece.kind == .control || names[id] != nil else { continue }
            // The library takes a piece of one character for that character, control piece or not.
            guard text.unicodeScalars.count > 1 else {
                throw KimiError(
                    .unsupported,
                    "the special token \(id), \"\(text)\", has one character, so that plain text would lead to it",
                    file: file)
            }
            if let other = idOfName[text], other != id {
                throw KimiError(.format, "\"\(text)\" is the name of the special tokens \(other) and \(id)", file: file)
            }
            names[id] = text
            idOfName[text] = id
        }
        return names
    }
}
