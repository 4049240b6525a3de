/// Tokens that look like those of a large byte-pair vocabulary, for measuring where no such tokenizer is at hand: single bytes,
/// words with and without a space in front, Chinese and other scripts, parts of characters, digits, punctuation as programs and
/// JSON have it, runs of white space. The same every time.
package enum SyntheticVocabulary {
    /// - Parameter count: how many tokens, at least some thousands.
    package static func pieces(count: Int) -> [[UInt8]] {
        var builder = Builder(count: count)
        for byte in UInt8.min...UInt8.max { builder.add([byte]) }
        builder.addDigits()
        builder.addPunctuation()
        builder.addSpaces()
        builder.addPartialCharacters()
        builder.addScripts()
        builder.addWords()
        return builder.pieces
    }
}

private struct Builder {
    let count: Int
    var pieces: [[UInt8]] = []
    private var known: Set<[UInt8]> = []
    private var state: UInt64 = 1

    init(count: Int) { self.count = count }

    mutating func add(_ piece: [UInt8]) {
        guard pieces.count < count, known.insert(piece).inserted else { return }
        pieces.append(piece)
    }

    mutating func add(_ text: String) { add(Array(text.utf8)) }

    /// A number below `bound`, the small ones more often.
    private mutating func skewed(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let unit = Double(state >> 11) * 0x1p-53
        return min(Int(unit * unit * Double(bound)), bound - 1)
    }

    private mutating func any(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(truncatingIfNeeded: state >> 33) % bound
    }

    mutating func addDigits() {
        for number in 0..<10 { add(String(number)) }
        for number in 0..<100 { add((number < 10 ? "0" : "") + String(number)) }
        for number in 0..<1000 { add((number < 10 ? "00" : number < 100 ? "0" : "") + String(number)) }
    }

    mutating func addPunctuation() {
        let marks = "\"':,.;{}[]()\\/-_=<>!?*#&|+".map(String.init)
        for first in marks {
            add(" " + first)
            for second in marks {
                add(first + second)
                add(" " + first + second)
                for third in marks where any(3) == 0 { add(first + second + third) }
                add(first + second + "\n")
            }
            for length in 2...16 { add(String(repeating: first, count: length)) }
        }
        for text in [
            "\":\"", "\": \"", "\",\"", "\", \"", "\":{\"", "\": {\"", "\":[\"", "\"]}", "\"}]", "\"}}", "\": [", "\":true",
            "\": null", "\\n", "\\\"", "\\u00",
        ] { add(text) }
    }

    mutating func addSpaces() {
        for length in 1...80 { add(String(repeating: " ", count: length)) }
        for length in 1...20 { add(String(repeating: "\t", count: length)) }
        for lines in 1...8 {
            for length in 0...32 { add(String(repeating: "\n", count: lines) + String(repeating: " ", count: length)) }
        }
        for length in 1...8 { add(String(repeating: "\r\n", count: length)) }
    }

    mutating func addPartialCharacters() {
        for lead in UInt8(0xE2)...0xEC {
            for second in UInt8(0x80)...0xBF { add([lead, second]) }
        }
        for second in UInt8(0x90)...0x9F {
            add([0xF0, second])
            for third in UInt8(0x80)...0xBF where any(2) == 0 { add([0xF0, second, third]) }
        }
    }

    mutating func addScripts() {
        let share = count / 4
        func character(_ scalar: Int) -> String { UnicodeScalar(UInt32(scalar)).map { String(Character($0)) } ?? "" }
        for scalar in 0x4E00..<0x7E00 where pieces.count < share { add(character(scalar)) }
        let ranges = [
            (0x4E00, 6000), (0x0430, 32), (0x0430, 32), (0x03B1, 24), (0x0627, 36), (0xAC00, 3000), (0x3041, 80), (0x30A1, 80),
            (0x0E01, 40), (0x0905, 50),
        ]
        while pieces.count < share * 3 / 2 {
            let (start, size) = ranges[any(ranges.count)]
            var text = start < 0x3000 && any(2) == 0 ? " " : ""
            for _ in 0...(start >= 0x4E00 ? 1 + skewed(3) : 1 + skewed(8)) { text += character(start + skewed(size)) }
            add(text)
        }
    }

    /// Words of syllables; most tokens are these.
    mutating func addWords() {
        let heads = [
            "", "s", "t", "c", "p", "m", "d", "b", "r", "l", "n", "f", "h", "g", "v", "st", "tr", "pr", "ch", "th", "w", "j",
            "k", "sh", "qu", "y", "z", "x",
        ]
        let hearts = [
            "e", "a", "i", "o", "u", "er", "in", "on", "at", "en", "or", "ing", "ed", "al", "es", "ar", "ion", "ly", "ment",
            "ea", "ou", "é", "ü", "ä",
        ]
        while pieces.count < count {
            var word = ""
            for _ in 0...skewed(4) { word += heads[skewed(heads.count)] + hearts[skewed(hearts.count)] }
            if any(4) == 0 { word += heads[skewed(heads.count)] }
            switch any(10) {
            case 0: word = word.uppercased()
            case 1, 2: word = word.prefix(1).uppercased() + word.dropFirst()
            case 3: word = "_" + word
            default: break
            }
            add(any(2) == 0 ? " " + word : word)
        }
    }
}
