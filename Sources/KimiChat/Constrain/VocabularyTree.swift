import KimiTokenizer

/// The tokens of a vocabulary as a tree of their bytes, in which a grammar finds all tokens that may come next. Made once for a
/// tokenizer, immutable, for any number of threads. Special tokens and ids without bytes are not in it.
///
/// Making it takes some tenths of a second for 163,840 tokens, and about 20 bytes for each byte of them.
package final class VocabularyTree: Sendable {
    /// How many ids there are, those outside the tree included.
    package let vocabularySize: Int
    /// How many 64-bit words a mask has.
    package let maskWords: Int

    struct Node {
        let byte: UInt8
        /// How many bytes lead here.
        let depth: UInt16
        /// The node behind the last one below.
        var end: Int32
        /// The token that ends here, or -1.
        var token: Int32
    }

    struct ScalarNode {
        let scalar: UInt32
        let depth: Int32
        var end: Int32
        var token: Int32
    }

    /// All tokens in preorder.
    let all: [Node]
    /// Plain text of a JSON string, as a tree of scalars.
    let plainTree: [ScalarNode]
    /// Those that are not plain text of a JSON string: with a quote, a backslash, a control character or a part of a character.
    let other: [Node]
    /// The bytes of all ids end to end, and where each begins; none for an id that is not in the tree.
    private let bytes: [UInt8]
    private let starts: [UInt32]
    /// The most bytes of a token.
    let longest: Int
    /// Plain tokens by how many scalars they have: those of n stand from `plainStarts[n]` up to `plainStarts[n + 1]`.
    let plain: [Int32]
    let plainStarts: [Int]
    /// Masks of the plain tokens of at most 0, 1, 2, ... scalars, one behind the other.
    let plainMasks: [UInt64]
    /// For a token with the same bytes as another one, that other, and so on; -1 ends the chain.
    let twins: [Int32: Int32]
    /// The most white space at the beginning or in the middle of a token, and the longest token of a number's characters.
    let longestSpaces: Int
    let longestNumber: Int
    /// Whether a token can end one key of an object and a whole next one.
    let hasTwoKeys: Bool
    /// ASCII characters that are no token by themselves. Where a value needs one of them, no token may be left to write it.
    package let missingCharacters: [UInt8]

    /// Up to so many scalars there is a mask of its own.
    static let maskedScalars = 24

    package convenience init(_ tokenizer: Tokenizer) {
        var pieces: [[UInt8]?] = []
        pieces.reserveCapacity(tokenizer.vocabularySize)
        for id in 0..<Int32(clamping: tokenizer.vocabularySize) {
            pieces.append(tokenizer.isSpecial(id) ? nil : tokenizer.piece(id))
        }
        self.init(pieces: pieces)
    }

    /// - Parameter pieces: the bytes of each id, nil for ids that never come into a constrained stretch.
    package init(pieces: [[UInt8]?]) {
        vocabularySize = pieces.count
        maskWords = (pieces.count + 63) / 64
        let singles = Set(pieces.compactMap { $0?.count == 1 ? $0?.first : nil })
        missingCharacters = (UInt8(0x20)..<0x7F).filter { !singles.contains($0) }
        // Half a character must be possible to complete.
        let hasAllParts = (UInt8(0x80)...0xBF).allSatisfy { singles.contains($0) }

        var tokens: [PlainText] = []
        tokens.reserveCapacity(pieces.count)
        for (id, piece) in pieces.enumerated() {
            guard let piece, !piece.isEmpty, piece.count < Int(UInt16.max) else { continue }
            let text = PlainText(id: Int32(truncatingIfNeeded: id), bytes: piece)
            if text.isWhole || hasAllParts { tokens.append(text) }
        }
        (bytes, starts) = Self.joined(tokens, count: pieces.count)
        tokens.sort { $0.bytes.lexicographicallyPrecedes($1.bytes) || ($0.bytes == $1.bytes && $0.id < $1.id) }
        var twins: [Int32: Int32] = [:]
        let bytesOf = { (token: PlainText) in token.bytes.map(UInt32.init) }
        all = Self.tree(tokens, &twins, bytesOf).map(Node.init)
        other = Self.tree(tokens.filter { $0.plainScalars == nil }, &twins, bytesOf).map(Node.init)
        plainTree = Self.tree(tokens.filter { $0.plainScalars != nil }, &twins) { token in
            String(decoding: token.bytes, as: UTF8.self).unicodeScalars.map(\.value)
        }
        self.twins = twins
        longest = tokens.reduce(0) { max($0, $1.bytes.count) }
        longestSpaces = tokens.reduce(0) { max($0, $1.longestRun { $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 }) }
        longestNumber = tokens.reduce(0) { longest, token in
            max(longest, token.longestRun { $0 &- 0x30 < 10 || $0 == 0x2E || $0 == 0x2B || $0 == 0x2D || $0 | 0x20 == 0x65 })
        }
        hasTwoKeys = tokens.contains { $0.holdsTwoKeys }

        let plainTokens = tokens.filter { $0.plainScalars != nil }.sorted { ($0.plainScalars ?? 0) < ($1.plainScalars ?? 0) }
        plain = plainTokens.map(\.id)
        var starts: [Int] = [0]
        for (index, token) in plainTokens.enumerated() {
            while starts.count <= token.plainScalars ?? 0 { starts.append(index) }
        }
        starts.append(plainTokens.count)
        plainStarts = starts
        var masks: [UInt64] = []
        var mask = [UInt64](repeating: 0, count: maskWords)
        for scalars in 0...Self.maskedScalars {
            if scalars + 1 < starts.count {
                for id in plain[starts[scalars]..<starts[scalars + 1]] { mask[Int(id) >> 6] |= 1 << UInt64(id & 63) }
            }
            masks += mask
        }
        plainMasks = masks
    }

    /// The bytes of a token, or nil for an id that is not in the tree.
    func bytes(_ id: Int32) -> ArraySlice<UInt8>? {
        guard id >= 0, Int(id) < vocabularySize else { return nil }
        let range = Int(starts[Int(id)])..<Int(starts[Int(id) + 1])
        return range.isEmpty ? nil : bytes[range]
    }

    private static func joined(_ tokens: [PlainText], count: Int) -> ([UInt8], [UInt32]) {
        var bytes: [UInt8] = []
        var starts = [UInt32](repeating: 0, count: count + 1)
        var next = 0
        for token in tokens {
            while next <= Int(token.id) {
                starts[next] = UInt32(truncatingIfNeeded: bytes.count)
                next += 1
            }
            bytes += token.bytes
        }
        while next <= count {
            starts[next] = UInt32(truncatingIfNeeded: bytes.count)
            next += 1
        }
        return (bytes, starts)
    }

    /// The most scalars of a plain token.
    var longestPlain: Int { plainStarts.count - 2 }

    /// Adds the plain tokens of at most `scalars` scalars to a mask.
    func addPlain(upTo scalars: Int, _ mask: UnsafeMutablePointer<UInt64>) {
        guard scalars > 0 else { return }
        let base = min(scalars, Self.maskedScalars) * maskWords
        for word in 0..<maskWords { mask[word] |= plainMasks[base + word] }
        if scalars > Self.maskedScalars, plainStarts.count > Self.maskedScalars + 1 {
            for id in plain[plainStarts[Self.maskedScalars + 1]..<plainStarts[min(scalars + 1, plainStarts.count - 1)]] {
                mask[Int(id) >> 6] |= 1 << UInt64(id & 63)
            }
        }
    }

    /// The tree of some tokens, which are in the order of their bytes and so of their scalars too.
    private static func tree(
        _ tokens: [PlainText], _ twins: inout [Int32: Int32], _ letters: (PlainText) -> [UInt32]
    ) -> [ScalarNode] {
        var nodes: [ScalarNode] = []
        var path: [Int] = []
        var previous: [UInt32] = []
        for token in tokens {
            let letters = letters(token)
            var shared = 0
            while shared < previous.count, shared < letters.count, previous[shared] == letters[shared] { shared += 1 }
            while path.count > shared { nodes[path.removeLast()].end = Int32(truncatingIfNeeded: nodes.count) }
            for depth in shared..<letters.count {
                path.append(nodes.count)
                nodes.append(ScalarNode(scalar: letters[depth], depth: Int32(truncatingIfNeeded: depth + 1), end: 0, token: -1))
            }
            if let last = path.last {
                if nodes[last].token >= 0 { twins[token.id] = nodes[last].token }
                nodes[last].token = token.id
            }
            previous = letters
        }
        while let last = path.popLast() { nodes[last].end = Int32(truncatingIfNeeded: nodes.count) }
        return nodes
    }
}

extension VocabularyTree.Node {
    init(_ node: VocabularyTree.ScalarNode) {
        self.init(
            byte: UInt8(truncatingIfNeeded: node.scalar), depth: UInt16(truncatingIfNeeded: node.depth), end: node.end,
            token: node.token)
    }
}

/// A token's bytes seen as a part of a JSON string.
struct PlainText {
    let id: Int32
    let bytes: [UInt8]
    /// Whether it is made of whole characters.
    let isWhole: Bool
    /// How many scalars it has, or nil if it is not plain text within a JSON string.
    let plainScalars: Int?

    init(id: Int32, bytes: [UInt8]) {
        self.id = id
        self.bytes = bytes
        isWhole = String(validating: bytes, as: UTF8.self) != nil
        let isPlain = isWhole && !bytes.contains { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C }
        plainScalars = isPlain ? bytes.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) } : nil
    }

    func longestRun(_ belongs: (UInt8) -> Bool) -> Int {
        var longest = 0
        var run = 0
        for byte in bytes {
            run = belongs(byte) ? run + 1 : 0
            longest = max(longest, run)
        }
        return longest
    }

    /// Whether it may hold a quote, a colon, a comma and two more quotes, in this order.
    var holdsTwoKeys: Bool {
        let wanted: [UInt8] = [0x22, 0x3A, 0x2C, 0x22, 0x22]
        var found = 0
        for byte in bytes where found < wanted.count && byte == wanted[found] { found += 1 }
        return found == wanted.count
    }
}
