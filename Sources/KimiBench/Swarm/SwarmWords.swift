import KimiCore
import KimiRuntime
import KimiTokenizer

/// Words that are one token each wherever they stand, so that a text of them has as many tokens as were asked for.
///
/// Texts are drawn at random: agents that all said the same would choose the same experts, which real ones do not.
package struct SwarmWords: Sendable {
    private let words: [String]

    /// More make no text more various.
    private static let most = 4096

    package init(_ tokenizer: Tokenizer) {
        var words: [String] = []
        for id in 0..<tokenizer.vocabularySize where words.count < Self.most {
            guard let id = Int32(exactly: id), !tokenizer.isSpecial(id), let piece = tokenizer.piece(id), piece.count > 1,
                piece[0] == 0x20, piece.dropFirst().allSatisfy({ (0x61...0x7A).contains($0) })
            else { continue }
            let word = String(decoding: piece, as: UTF8.self)
            if (try? tokenizer.encode(word + word, special: false)) == [id, id] { words.append(word) }
        }
        self.words = words.isEmpty ? [" a"] : words
    }

    /// A text of so many tokens; the same for the same seed.
    func text(tokens: Int, seed: Int) -> String {
        var random = Random(seed: UInt64(truncatingIfNeeded: seed) &+ 1)
        var text = ""
        for _ in 0..<max(0, tokens) { text += words[Int(random.next() % UInt64(words.count))] }
        return text
    }
}
