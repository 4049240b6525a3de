/// Escapes, and classes in brackets.
extension PatternParser {
    private enum Escape {
        case scalar(UInt32)
        case set(ScalarSet)
    }

    /// An escape outside brackets.
    mutating func escapedTerm() throws(UnsupportedPattern) -> PatternNode {
        if position + 1 < text.count, text[position + 1] == 0x62 || text[position + 1] == 0x42 {
            let negated = text[position + 1] == 0x42
            position += 2
            dependsOnDialect = true
            let words = try alphabet.number(of: dialect.words)
            self.words = words
            return .boundary(words: words, negated: negated, inEmpty: dialect == .ecma)
        }
        switch try escape() {
        case .scalar(let scalar): return .set(try alphabet.number(of: ScalarSet(scalar)))
        case .set(let set): return .set(try alphabet.number(of: set))
        }
    }

    /// A class in brackets.
    mutating func characterClass() throws(UnsupportedPattern) -> ScalarSet {
        position += 1
        let negated = take("^")
        guard peek != "]" else { throw UnsupportedPattern(reason: "a class that is empty or begins with its own end") }
        var ranges: [ClosedRange<UInt32>] = []
        while !take("]") {
            let low = try classMember()
            // A hyphen is a range's unless it ends the class.
            if position + 1 < text.count, text[position] == 0x2D, text[position + 1] != 0x5D {
                position += 1
                let high = try classMember()
                if case .scalar(let first) = low, case .scalar(let last) = high {
                    guard first <= last else { throw UnsupportedPattern(reason: "a range of characters that is out of order") }
                    ranges.append(first...last)
                    continue
                }
                ranges += Self.ranges(low) + [0x2D...0x2D] + Self.ranges(high)
            } else {
                ranges += Self.ranges(low)
            }
        }
        let set = ScalarSet(ranges)
        return negated ? set.inverted : set
    }

    private static func ranges(_ member: Escape) -> [ClosedRange<UInt32>] {
        switch member {
        case .scalar(let scalar): [scalar...scalar]
        case .set(let set): set.ranges
        }
    }

    private mutating func classMember() throws(UnsupportedPattern) -> Escape {
        guard position < text.count else { throw UnsupportedPattern(reason: "a class without its closing bracket") }
        guard text[position] == 0x5C else {
            position += 1
            return .scalar(text[position - 1])
        }
        if position + 1 < text.count, text[position + 1] == 0x62 {
            position += 2
            return .scalar(0x08)
        }
        return try escape()
    }

    private mutating func escape() throws(UnsupportedPattern) -> Escape {
        position += 1
        guard let character = peek else { throw UnsupportedPattern(reason: "a backslash at the end") }
        position += 1
        switch character {
        case "d", "D": return .set(dialectSet(dialect.digits, negated: character == "D"))
        case "w", "W": return .set(dialectSet(dialect.words, negated: character == "W"))
        case "s", "S": return .set(dialectSet(dialect.spaces, negated: character == "S"))
        case "t": return .scalar(0x09)
        case "n": return .scalar(0x0A)
        case "v": return .scalar(0x0B)
        case "f": return .scalar(0x0C)
        case "r": return .scalar(0x0D)
        case "0":
            if let next = peek, (0x30...0x39).contains(next.value) { throw UnsupportedPattern(reason: "octal numbers") }
            return .scalar(0)
        case "1"..."9", "k": throw UnsupportedPattern(reason: "back references are not supported")
        case "x": return .scalar(try hexadecimal(digits: 2))
        case "u": return .scalar(try unicodeEscape())
        case "c":
            guard let letter = peek, letter.isASCII, letter.properties.isAlphabetic else {
                throw UnsupportedPattern(reason: "\\c without a letter")
            }
            position += 1
            return .scalar(letter.value & 0x1F)
        case "p", "P": return .set(try property(negated: character == "P"))
        default:
            guard !(character.isASCII && character.properties.isAlphabetic) else {
                throw UnsupportedPattern(reason: "\\\(character) is not supported")
            }
            return .scalar(character.value)
        }
    }

    private mutating func dialectSet(_ set: ScalarSet, negated: Bool) -> ScalarSet {
        dependsOnDialect = true
        return negated ? set.inverted : set
    }

    private mutating func hexadecimal(digits: Int) throws(UnsupportedPattern) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let digit = peek.flatMap({ $0.isASCII ? Character($0).hexDigitValue : nil }) else {
                throw UnsupportedPattern(reason: "a hexadecimal number with too few digits")
            }
            value = value * 16 + UInt32(digit)
            position += 1
        }
        return value
    }

    private mutating func unicodeEscape() throws(UnsupportedPattern) -> UInt32 {
        var value: UInt32 = 0
        if take("{") {
            let start = position
            while let next = peek, next.isASCII, let digit = Character(next).hexDigitValue {
                value = min(value * 16 + UInt32(digit), 0x110000)
                position += 1
            }
            guard position > start, take("}") else { throw UnsupportedPattern(reason: "\\u{..} without a number") }
        } else {
            value = try hexadecimal(digits: 4)
        }
        // The dialects do not agree on what a pair of them is.
        guard Unicode.Scalar(value) != nil else { throw UnsupportedPattern(reason: "a surrogate or a number beyond Unicode") }
        return value
    }

    private mutating func property(negated: Bool) throws(UnsupportedPattern) -> ScalarSet {
        guard take("{") else { throw UnsupportedPattern(reason: "\\p without a property") }
        var name = ""
        while let next = peek, next != "}" {
            name.unicodeScalars.append(next)
            position += 1
        }
        guard take("}") else { throw UnsupportedPattern(reason: "\\p without a property") }
        guard let set = PatternDialect.property(name) else {
            throw UnsupportedPattern(reason: "the property \(name.prefix(40)) is not supported")
        }
        return negated ? set.inverted : set
    }
}
