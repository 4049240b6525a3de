import Foundation
import KimiChat
import KimiCore
import KimiTestSupport
import KimiTokenizer

/// A generator that gives the same numbers every time.
struct SeededNumbers: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: Int) { state = UInt64(truncatingIfNeeded: seed) &+ 0x1234_5678 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}

/// The tokenizer of the tests and its tree.
enum TestVocabulary {
    static let tokenizer = Result { try Tokenizer(folder: Fixtures.path("tiny-kimi")) }
    static let tree = tokenizer.map { VocabularyTree($0) }

    /// A way to write bytes as tokens: at each place any token that fits.
    static func tokens(of text: [UInt8], _ numbers: inout SeededNumbers) throws -> [Int32] {
        let tokenizer = try tokenizer.get()
        var result: [Int32] = []
        var place = 0
        while place < text.count {
            let choices = (1...min(10, text.count - place)).compactMap { length -> (Int32, Int)? in
                let id = tokenizer.id(ofPiece: Array(text[place..<place + length]))
                return id.flatMap { tokenizer.isSpecial($0) ? nil : ($0, length) }
            }
            guard let (id, length) = choices.randomElement(using: &numbers) else { return [] }
            result.append(id)
            place += length
        }
        return result
    }
}

func grammar(_ schema: String) throws -> Grammar { Grammar(schema: try JSON.parse(Array(schema.utf8), file: "schema")) }

/// Whether a text is a whole value of a schema, taken byte by byte.
func allows(_ schema: String, _ text: String) throws -> Bool {
    let matcher = GrammarMatcher(try grammar(schema), try TestVocabulary.tree.get())
    return matcher.accept(bytes: Array(text.utf8)) && matcher.canEnd
}

func lines(_ fixture: String) throws -> [[UInt8]] {
    try Fixtures.bytes(fixture).split(separator: 0x0A).map(Array.init)
}

extension GrammarMatcher {
    /// The ids whose bits a mask has.
    func allowedTokens() -> [Int32] {
        var result: [Int32] = []
        for (index, word) in mask().enumerated() {
            var word = word
            while word != 0 {
                result.append(Int32(index * 64 + word.trailingZeroBitCount))
                word &= word - 1
            }
        }
        return result
    }

    /// Writes with tokens drawn from the masks, now and then a byte on the way to the end, and to the end after `length` steps.
    /// Returns what was written, or nil where the grammar came to a dead end.
    func writeAtRandom(_ length: Int, _ numbers: inout SeededNumbers, _ tokenizer: Tokenizer) -> [UInt8]? {
        var text: [UInt8] = []
        for step in 0... {
            if canEnd, step >= length || Int.random(in: 0..<3, using: &numbers) == 0 { return text }
            if step >= length || Int.random(in: 0..<3, using: &numbers) == 0 {
                guard let rest = shortCompletion(), !rest.isEmpty else { return canEnd ? text : nil }
                let part = step >= length ? rest[...] : rest.prefix(2)
                guard accept(bytes: part) else { return nil }
                text += part
            } else {
                guard let id = allowedTokens().randomElement(using: &numbers), accept(id), let piece = tokenizer.piece(id) else {
                    return canEnd ? text : nil
                }
                text += piece
            }
        }
        return nil
    }
}
