/// Makes the ranks of a byte pair encoding: the 256 bytes, then pairs, each of two tokens with lower ranks.
///
/// First it learns merges from a list of frequent words, as one trains a tokenizer; when these are used up it goes on by rule,
/// through numbers, indentation, other scripts and compounds. The result is the same on every machine.
struct RankComposer {
    /// The tokens by rank.
    private(set) var tokens: [[UInt8]]
    private var ranks: [[UInt8]: Int] = [:]
    private let target: Int

    /// - Parameter count: at least 256.
    /// - Returns: as many tokens as were asked for, or fewer if the rules lead no further; never a repeated one.
    static func tokens(count: Int) -> [[UInt8]] {
        var composer = RankComposer(target: count)
        composer.learn()
        composer.compose()
        return composer.tokens
    }

    private init(target: Int) {
        self.target = target
        tokens = (0...255).map { [UInt8($0)] }
        tokens.reserveCapacity(target)
        ranks.reserveCapacity(target)
        for (rank, token) in tokens.enumerated() { ranks[token] = rank }
    }

    private var isFull: Bool { tokens.count >= target }

    /// Adds a token of two parts; nothing happens if a part is no token yet or the whole is one.
    @discardableResult
    private mutating func join(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard !isFull, ranks[left] != nil, ranks[right] != nil else { return false }
        let whole = left + right
        guard ranks[whole] == nil else { return false }
        ranks[whole] = tokens.count
        tokens.append(whole)
        return true
    }

    private mutating func join(_ left: String, _ right: String) { join(Array(left.utf8), Array(right.utf8)) }

    /// Adds what is missing so that `text` is a token, from its front.
    private mutating func spell(_ text: String) {
        let bytes = Array(text.utf8)
        for end in bytes.indices.dropFirst() { join(Array(bytes[..<end]), [bytes[end]]) }
    }
}

// MARK: Learning from words

extension RankComposer {
    /// A word as the tokens it consists of so far, and how often it is thought to occur.
    private struct Word {
        var parts: [Int]
        let count: Int
    }

    private struct Pair: Hashable {
        let left: Int
        let right: Int
    }

    private static func words() -> [Word] {
        let list = FrequentWords.list(FrequentWords.english) + FrequentWords.list(FrequentWords.programming)
        var counts: [String: Int] = [:]
        for (place, word) in list.enumerated() {
            // Zipf's law, and the forms in which a word stands in text.
            let weight = 1_000_000 / (place % 500 + 8)
            counts[" " + word, default: 0] += weight
            counts[word, default: 0] += weight / 4
            counts[" " + capitalized(word), default: 0] += weight / 8
            counts[capitalized(word), default: 0] += weight / 16
        }
        return counts.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            .map { Word(parts: $0.key.utf8.map { Int($0) }, count: $0.value) }
    }

    private static func capitalized(_ word: String) -> String { word.prefix(1).uppercased() + word.dropFirst() }

    private mutating func learn() {
        var words = Self.words()
        var counts: [Pair: Int] = [:]
        var places: [Pair: Set<Int>] = [:]
        for (index, word) in words.enumerated() {
            for (left, right) in zip(word.parts, word.parts.dropFirst()) {
                counts[Pair(left: left, right: right), default: 0] += word.count
                places[Pair(left: left, right: right), default: []].insert(index)
            }
        }
        while !isFull {
            // The order of a dictionary differs from run to run: ties go to the lower ranks.
            let best = counts.max { a, b in
                (a.value, -a.key.left, -a.key.right) < (b.value, -b.key.left, -b.key.right)
            }
            guard let pair = best?.key else { return }
            let whole = tokens[pair.left] + tokens[pair.right]
            join(tokens[pair.left], tokens[pair.right])
            guard let rank = ranks[whole] else { return }
            for index in places[pair] ?? [] {
                let word = words[index]
                for (left, right) in zip(word.parts, word.parts.dropFirst()) {
                    let old = Pair(left: left, right: right)
                    let count = (counts[old] ?? 0) - word.count
                    if count > 0 { counts[old] = count } else { counts[old] = nil }
                }
                words[index].parts = Self.merged(word.parts, pair, into: rank)
                for (left, right) in zip(words[index].parts, words[index].parts.dropFirst()) {
                    counts[Pair(left: left, right: right), default: 0] += word.count
                    places[Pair(left: left, right: right), default: []].insert(index)
                }
            }
            counts[pair] = nil
            places[pair] = nil
        }
    }

    private static func merged(_ parts: [Int], _ pair: Pair, into rank: Int) -> [Int] {
        var result: [Int] = []
        var index = 0
        while index < parts.count {
            if index + 1 < parts.count && parts[index] == pair.left && parts[index + 1] == pair.right {
                result.append(rank)
                index += 2
            } else {
                result.append(parts[index])
                index += 1
            }
        }
        return result
    }
}

// MARK: Going on by rule

extension RankComposer {
    private mutating func compose() {
        guard !isFull else { return }
        composeLayout()
        composeNumbers()
        composeScripts()
        composeForms()
        composeCompounds()
    }

    /// Indentation, ends of lines, and pairs of punctuation.
    private mutating func composeLayout() {
        spell(String(repeating: " ", count: 16))
        spell("\n\n")
        for tabs in 1...8 { spell("\n" + String(repeating: "\t", count: tabs)) }
        for depth in 1...12 { join("\n", String(repeating: " ", count: depth)) }
        let marks = "()[]{}<>.,;:!?'\"`=+-*/\\|&^%$#@~_"
        for first in marks { for second in marks { join(String(first), String(second)) } }
    }

    /// All numbers of two and three digits; longer ones the pre-tokenizer cuts anyway.
    private mutating func composeNumbers() {
        for number in 0..<100 { join(String(number / 10), String(number % 10)) }
        for number in 0..<1000 {
            let digits = String(number + 1000).dropFirst()
            join(String(digits.dropLast()), String(digits.suffix(1)))
        }
    }

    /// Single characters of other scripts: Latin, Greek, Cyrillic, kana, Han, Hangul.
    private mutating func composeScripts() {
        let ranges = [
            0xC0...0x17F, 0x391...0x3C9, 0x410...0x44F, 0x3001...0x30FF, 0xFF01...0xFF5E, 0x4E00...0x9FFF, 0xAC00...0xD7A3,
        ]
        for range in ranges {
            for value in range {
                guard !isFull else { return }
                if let scalar = UnicodeScalar(UInt32(value)) { spell(String(Character(scalar))) }
            }
        }
    }

    /// Words with endings.
    private mutating func composeForms() {
        let endings = FrequentWords.list(FrequentWords.endings)
        for ending in endings { spell(ending) }
        let stems = tokens.filter { $0.count >= 3 && $0.allSatisfy { $0 == 0x20 || Self.isLetter($0) } }
        for ending in endings {
            for stem in stems {
                guard !isFull else { return }
                join(stem, Array(ending.utf8))
            }
        }
    }

    /// Two words as one, the most frequent ones first.
    private mutating func composeCompounds() {
        let rights = (FrequentWords.list(FrequentWords.english) + FrequentWords.list(FrequentWords.programming))
            .filter { $0.utf8.count >= 3 }
        let lefts = rights.flatMap { [" " + $0, $0] }
        for right in rights { spell(right) }
        for left in lefts { spell(left) }
        for distance in 0..<(lefts.count + rights.count) {
            for place in max(0, distance - rights.count + 1)..<min(lefts.count, distance + 1) {
                guard !isFull else { return }
                join(lefts[place], rights[distance - place])
            }
        }
        // Compounds of three, and so on, for any count that a command line can ask for.
        var begin = 256
        while !isFull && begin < tokens.count {
            let end = tokens.count
            for left in begin..<end where Self.isLetter(tokens[left].last ?? 0) {
                for right in rights {
                    guard !isFull else { return }
                    join(tokens[left], Array(right.utf8))
                }
            }
            begin = end
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }
}
