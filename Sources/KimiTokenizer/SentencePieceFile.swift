import KimiCore

/// What is in a SentencePiece `tokenizer.model`, checked before libsentencepiece sees it.
///
/// The library parses the protocol buffer with care but trusts what is in it, and it cannot be told which pieces user
/// text must not reach. So the file is read here first: for its pieces, for the few settings that decoding needs, for
/// damage that would crash the library, and to hand it a copy in which every special token is a control piece, which it
/// never takes out of text.
struct SentencePieceFile {
    /// The types of piece, as the format numbers them.
    enum Kind: UInt64 {
        case normal = 1, unknown, control, userDefined, unused, byte
    }

    struct Piece {
        let name: [UInt8]
        let kind: Kind
        /// The piece's field in the file.
        fileprivate let range: Range<Int>
    }

    private(set) var pieces: [Piece] = []
    /// Text begins with a space that the model put there and decoding takes away again.
    private(set) var addsDummyPrefix = true
    /// Text loses all spaces at its start.
    private(set) var removesExtraSpaces = true
    /// What the unknown piece is written as.
    private(set) var unknownSurface = Array(" \u{2047} ".utf8)

    private let content: [UInt8]
    private let file: String
    /// The fields that are neither pieces nor the self-test.
    private var settings: [Range<Int>] = []

    /// - Throws: `Status.format` if the file is damaged, `Status.unsupported` for a model that rewrites decoded text.
    init(_ content: [UInt8], file: String) throws(KimiError) {
        self.content = content
        self.file = file
        do {
            var fields = ProtocolBuffer(content, 0..<content.count)
            while let field = try fields.next() { try read(field) }
        } catch let error as ProtocolBuffer.Malformed {
            throw KimiError(.format, "is no SentencePiece model: malformed at byte \(error.offset)", file: file)
        } catch let error as KimiError {
            throw error
        } catch {
            throw KimiError(.internal, "\(error)", file: file)
        }
        guard !pieces.isEmpty else {
            throw KimiError(.format, "is no SentencePiece model: it has no pieces", file: file)
        }
        try checkUserDefined()
    }

    private func fault(_ subject: String, _ message: String) -> KimiError {
        KimiError(.format, message, file: file, subject: subject)
    }

    private mutating func read(_ field: ProtocolBuffer.Field) throws {
        switch (field.number, field.content) {
        case (1, .bytes(let range)): try readPiece(range, field.range)
        case (2, .bytes(let range)): try readTrainer(range)
        case (3, .bytes(let range)): try readNormalizer(range, subject: "normalizer_spec")
        case (5, .bytes(let range)):
            var fields = ProtocolBuffer(content, range)
            while let field = try fields.next() {
                if field.number == 2, case .bytes(let map) = field.content, !map.isEmpty {
                    throw KimiError(
                        .unsupported, "the model rewrites decoded text, which would not be the tokens' text any more",
                        file: file, subject: "denormalizer_spec")
                }
            }
        case (1, _), (2, _), (3, _), (5, _): throw ProtocolBuffer.Malformed(offset: field.range.lowerBound)
        default: break
        }
        if field.number != 1 && field.number != 4 { settings.append(field.range) }
    }

    private mutating func readPiece(_ range: Range<Int>, _ whole: Range<Int>) throws {
        var fields = ProtocolBuffer(content, range)
        var name: Range<Int>?
        var kind = Kind.normal
        let subject = "piece \(pieces.count)"
        guard pieces.count < RankFile.mostTokens else {
            throw fault(subject, "at most \(RankFile.mostTokens) are read")
        }
        while let field = try fields.next() {
            switch (field.number, field.content) {
            case (1, .bytes(let range)): name = range
            case (2, .fixed32(let bits)):
                guard Float(bitPattern: bits).isFinite else { throw fault(subject, "its score is not a finite number") }
            case (3, .integer(let value)):
                guard let known = Kind(rawValue: value) else { throw fault(subject, "type \(value) is unknown") }
                kind = known
            case (1, _), (2, _), (3, _): throw ProtocolBuffer.Malformed(offset: field.range.lowerBound)
            default: break
            }
        }
        guard let name, !name.isEmpty else { throw fault(subject, "has no text") }
        // The library builds its tables from C strings.
        guard !content[name].contains(0) else { throw fault(subject, "has a NUL byte in its text") }
        guard name.count <= SpecialNames.longestName else {
            throw fault(subject, "has \(name.count) bytes; at most \(SpecialNames.longestName) are accepted")
        }
        pieces.append(Piece(name: Array(content[name]), kind: kind, range: whole))
    }

    private mutating func readTrainer(_ range: Range<Int>) throws {
        var fields = ProtocolBuffer(content, range)
        while let field = try fields.next() {
            if field.number == 44, case .bytes(let surface) = field.content {
                // The library uses it as a C string.
                unknownSurface = Array(content[surface].prefix { $0 != 0 })
            }
        }
    }

    private mutating func readNormalizer(_ range: Range<Int>, subject: String) throws {
        var fields = ProtocolBuffer(content, range)
        while let field = try fields.next() {
            switch (field.number, field.content) {
            case (2, .bytes(let map)):
                if let damage = CharacterMap.damage(content[map]) { throw fault(subject, damage) }
            case (3, .integer(let value)): addsDummyPrefix = value != 0
            case (4, .integer(let value)): removesExtraSpaces = value != 0
            case (2, _), (3, _), (4, _): throw ProtocolBuffer.Malformed(offset: field.range.lowerBound)
            default: break
            }
        }
    }

    /// The library looks for user-defined pieces with room for 64 that begin alike, and reads on where there are more.
    private func checkUserDefined() throws(KimiError) {
        let names = Set(pieces.lazy.filter { $0.kind == .userDefined }.map(\.name))
        for name in names {
            var prefix: [UInt8] = []
            var nested = 0
            for byte in name {
                prefix.append(byte)
                if names.contains(prefix) { nested += 1 }
            }
            guard nested <= 64 else {
                throw fault("user-defined pieces", "\(nested) of them begin with each other; at most 64 can")
            }
        }
    }

    /// The file with the given pieces made control pieces, and without its self-test, which may depend on them.
    func withControlPieces(_ ids: Set<Int>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(content.count + 16)
        for (id, piece) in pieces.enumerated() {
            guard ids.contains(id), piece.kind != .control else {
                result += content[piece.range]
                continue
            }
            // Tag 1 (text) and tag 3 (type); a control piece needs no score.
            let text = [0x0A] + ProtocolBuffer.varint(piece.name.count) + piece.name
            let message = text + [0x18, UInt8(Kind.control.rawValue)]
            result += [0x0A] + ProtocolBuffer.varint(message.count) + message
        }
        for range in settings { result += content[range] }
        return result
    }
}
