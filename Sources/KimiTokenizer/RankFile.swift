import KimiCore

/// Reads `tiktoken.model`: one line for each token, its bytes in base64, a space and its rank, which is its id.
///
/// Lines may stand in any order, and empty ones are passed over, but the ranks must be 0, 1, 2 ... without a gap, no
/// token may repeat, and all 256 single bytes must be there, since otherwise some text could not be written in tokens.
enum RankFile {
    /// More tokens than this are taken for damage; the published file has 163,584.
    static let mostTokens = 1 << 22

    /// The tokens' byte strings by rank.
    ///
    /// - Parameter file: the path for messages, which name the line besides.
    /// - Throws: `Status.format`.
    static func parse(_ content: [UInt8], file: String) throws(KimiError) -> VocabularyStrings {
        var lines = try LineTokens(content, file: file)
        try lines.readAll()
        return try lines.inOrderOfRank()
    }

    /// Checks what only shows in the index: repeated tokens and absent bytes.
    static func check(_ vocabulary: Vocabulary, file: String) throws(KimiError) {
        if let repeated = vocabulary.repeated {
            throw KimiError(
                .format, "ranks \(repeated.first) and \(repeated.second) are the same token; each may stand once",
                file: file)
        }
        for byte in UInt8.min ... .max where vocabulary.id(byte) < 0 {
            throw KimiError(
                .format, "there is no token for the single byte \(byte); all 256 are needed to write any text",
                file: file)
        }
    }
}

/// The lines of a rank file as they are read, before they are put in order.
private struct LineTokens {
    private struct Entry {
        let rank: Int
        let line: Int
        let start: Int
        let end: Int
    }

    private let content: [UInt8]
    private let file: String
    private var entries: [Entry] = []
    private var bytes: [UInt8] = []

    init(_ content: [UInt8], file: String) throws(KimiError) {
        guard !content.isEmpty else { throw KimiError(.format, "is empty; it must list the tokens", file: file) }
        self.content = content
        self.file = file
        bytes.reserveCapacity(content.count / 2)
    }

    private func fault(_ line: Int, _ message: String) -> KimiError {
        KimiError(.format, message, file: file, subject: "line \(line)")
    }

    mutating func readAll() throws(KimiError) {
        var position = 0
        var line = 0
        while position < content.count {
            line += 1
            var end = position
            while end < content.count && content[end] != 0x0A { end += 1 }
            let next = end + 1
            if end > position && content[end - 1] == 0x0D { end -= 1 }
            if end > position { try read(position..<end, line) }
            position = next
        }
    }

    private mutating func read(_ range: Range<Int>, _ line: Int) throws(KimiError) {
        guard let space = content[range].firstIndex(of: 0x20) else {
            throw fault(line, "has no space between a token and its rank")
        }
        let start = bytes.count
        guard Base64.decode(content[range.lowerBound..<space], to: &bytes), bytes.count > start else {
            throw fault(line, "does not begin with a token in base64")
        }
        let digits = content[space + 1..<range.upperBound]
        guard let rank = Self.number(digits) else {
            let text = String(decoding: digits.prefix(40), as: UTF8.self)
            throw fault(line, "rank \"\(text)\" is not a whole number from 0 to \(RankFile.mostTokens - 1)")
        }
        guard entries.count < RankFile.mostTokens else {
            throw fault(line, "is token \(entries.count + 1); at most \(RankFile.mostTokens) are read")
        }
        entries.append(Entry(rank: rank, line: line, start: start, end: bytes.count))
    }

    /// A decimal number below `mostTokens`, or nil.
    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        guard !digits.isEmpty else { return nil }
        var value = 0
        for digit in digits {
            guard digit >= 0x30, digit <= 0x39 else { return nil }
            value = value * 10 + Int(digit - 0x30)
            guard value < RankFile.mostTokens else { return nil }
        }
        return value
    }

    func inOrderOfRank() throws(KimiError) -> VocabularyStrings {
        guard !entries.isEmpty else { throw KimiError(.format, "has no tokens, only empty lines", file: file) }
        // The entry of each rank; ranks past the count of tokens mean that one is missing below.
        var places = [Int](repeating: -1, count: entries.count)
        var beyond: Entry?
        for (index, entry) in entries.enumerated() {
            guard entry.rank < places.count else { beyond = beyond ?? entry; continue }
            if places[entry.rank] >= 0 {
                throw fault(entry.line, "rank \(entry.rank) stands in line \(entries[places[entry.rank]].line) already")
            }
            places[entry.rank] = index
        }
        if let beyond, let missing = places.firstIndex(of: -1) {
            throw fault(
                beyond.line, "rank \(beyond.rank), but rank \(missing) is missing: \(entries.count) tokens must have "
                    + "the ranks 0 to \(entries.count - 1)")
        }
        var strings = VocabularyStrings()
        for place in places {
            let entry = entries[place]
            guard strings.append(bytes[entry.start..<entry.end]) else {
                throw KimiError(.format, "holds more than 4 GiB of tokens", file: file)
            }
        }
        return strings
    }
}

/// Base64 as RFC 4648 has it: the standard alphabet, padded, no white space, no stray bits behind the last byte.
enum Base64 {
    /// The value of each character, 255 for those outside the alphabet.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (value, character) in alphabet.utf8.enumerated() { values[Int(character)] = UInt8(value) }
        return values
    }()

    /// Appends what `text` stands for; false if it is not base64, and then anything may have been appended.
    static func decode(_ text: ArraySlice<UInt8>, to bytes: inout [UInt8]) -> Bool {
        guard text.count % 4 == 0 else { return false }
        var position = text.startIndex
        while position < text.endIndex {
            let isLast = text.endIndex - position == 4
            var group: UInt32 = 0
            var padding = 0
            for offset in 0..<4 {
                let character = text[position + offset]
                if character == 0x3D && isLast && offset >= 2 {
                    padding += 1
                    group <<= 6
                    continue
                }
                let value = values[Int(character)]
                guard value < 64, padding == 0 else { return false }
                group = group << 6 | UInt32(value)
            }
            bytes.append(UInt8(truncatingIfNeeded: group >> 16))
            if padding < 2 { bytes.append(UInt8(truncatingIfNeeded: group >> 8)) }
            if padding < 1 { bytes.append(UInt8(truncatingIfNeeded: group)) }
            let unused: UInt32 = padding == 2 ? 0xFFFF : padding == 1 ? 0xFF : 0
            guard group & unused == 0 else { return false }
            position += 4
        }
        return true
    }
}
