/// Reads a pattern in one of its two dialects.
///
/// What only one dialect knows, or both read as different things (`[]`, `{,5}`, octal numbers, flags, possessive quantifiers, `\A`),
/// and what is no regular language (back references), is unsupported. A class escape as the end of a range (`[\w-.]`) is read as
/// ECMA-262 without flags reads it, since Python takes no such pattern; so are `\p{..}`, `\u{..}` and `(?<name>..)`.
struct PatternParser {
    let dialect: PatternDialect
    /// Whether something was read that the other dialect would read as something else.
    var dependsOnDialect = false
    private var lookaheads: [PatternNode] = []
    /// The set of word characters, once a boundary was read.
    var words: Int?
    let text: [UInt32]
    var position = 0
    var alphabet: ScalarAlphabet

    /// Longest pattern, in scalars.
    static let lengthLimit = 20_000
    /// Deepest nesting of groups.
    static let depthLimit = 100
    static let lookaheadLimit = 100

    init(_ pattern: String, _ dialect: PatternDialect, _ alphabet: ScalarAlphabet) {
        self.dialect = dialect
        self.alphabet = alphabet
        text = pattern.unicodeScalars.map(\.value)
    }

    mutating func parse() throws(UnsupportedPattern) -> Pattern {
        guard text.count <= Self.lengthLimit else { throw UnsupportedPattern(reason: "longer than \(Self.lengthLimit) characters") }
        let node = try alternatives(depth: 0)
        guard position == text.count else { throw UnsupportedPattern(reason: "a closing parenthesis without its opening one") }
        return Pattern(root: node, lookaheads: lookaheads, words: words, dependsOnDialect: dependsOnDialect)
    }

    private mutating func alternatives(depth: Int) throws(UnsupportedPattern) -> PatternNode {
        guard depth <= Self.depthLimit else { throw UnsupportedPattern(reason: "groups nested deeper than \(Self.depthLimit)") }
        var branches = [try sequence(depth: depth)]
        while take("|") { branches.append(try sequence(depth: depth)) }
        return branches.count == 1 ? branches[0] : .alternatives(branches)
    }

    private mutating func sequence(depth: Int) throws(UnsupportedPattern) -> PatternNode {
        var terms: [PatternNode] = []
        while let next = peek, next != "|", next != ")" {
            // In a group of its own an assertion may be repeated.
            let isGroup = next == "(" && !isLookahead
            let term = try term(next, depth: depth)
            terms.append(try quantified(term, isGroup: isGroup))
        }
        return terms.count == 1 ? terms[0] : .sequence(terms)
    }

    private mutating func term(_ character: Unicode.Scalar, depth: Int) throws(UnsupportedPattern) -> PatternNode {
        switch character {
        case "*", "+", "?": throw UnsupportedPattern(reason: "a quantifier with nothing to repeat")
        case "{" where quantifierInBraces() != nil: throw UnsupportedPattern(reason: "a quantifier with nothing to repeat")
        case "(": return try group(depth: depth)
        case "[": return .set(try alphabet.number(of: try characterClass()))
        case "\\": return try escapedTerm()
        default: break
        }
        position += 1
        switch character {
        case "^": return .start
        case "$":
            dependsOnDialect = true
            return .end(orBefore: dialect == .python ? try alphabet.number(of: PatternDialect.newline) : nil)
        case ".":
            dependsOnDialect = true
            return .set(try alphabet.number(of: dialect.lineEnds.inverted))
        default: return .set(try alphabet.number(of: ScalarSet(character.value)))
        }
    }

    private var isLookahead: Bool {
        position + 2 < text.count && text[position + 1] == 0x3F && (text[position + 2] == 0x3D || text[position + 2] == 0x21)
    }

    private mutating func group(depth: Int) throws(UnsupportedPattern) -> PatternNode {
        position += 1
        var lookahead: Bool?
        if take("?") {
            if take("=") {
                lookahead = false
            } else if take("!") {
                lookahead = true
            } else if take("P") || peek == "<" {
                guard take("<"), let first = peek, first != "=", first != "!" else {
                    throw UnsupportedPattern(reason: "lookbehind, and references to groups, are not supported")
                }
                while let next = peek, next != ">" {
                    guard next.properties.isIDContinue || next == "$" else { throw UnsupportedPattern(reason: "the name of a group") }
                    position += 1
                }
                guard take(">") else { throw UnsupportedPattern(reason: "a group's name without end") }
            } else if !take(":") {
                throw UnsupportedPattern(reason: "flags, comments, conditions and atomic groups are not supported")
            }
        }
        let inner = try alternatives(depth: depth + 1)
        guard take(")") else { throw UnsupportedPattern(reason: "a group without its closing parenthesis") }
        guard let negated = lookahead else { return inner }
        guard lookaheads.count < Self.lookaheadLimit else {
            throw UnsupportedPattern(reason: "more than \(Self.lookaheadLimit) lookaheads")
        }
        lookaheads.append(inner)
        return .lookahead(lookaheads.count - 1, negated: negated)
    }

    private mutating func quantified(_ term: PatternNode, isGroup: Bool) throws(UnsupportedPattern) -> PatternNode {
        var min = 0
        var max: Int?
        switch peek {
        case "*": position += 1
        case "+":
            position += 1
            min = 1
        case "?":
            position += 1
            max = 1
        case "{":
            guard let braces = quantifierInBraces() else { return term }
            guard let low = braces.min else { throw UnsupportedPattern(reason: "a quantifier without its lower number") }
            (min, max, position) = (low, braces.max, braces.end)
        default: return term
        }
        if let max, max < min { throw UnsupportedPattern(reason: "a quantifier whose numbers are out of order") }
        switch term {
        case .start where !isGroup, .end where !isGroup, .boundary where !isGroup, .lookahead where !isGroup:
            throw UnsupportedPattern(reason: "a repeated assertion")
        default: break
        }
        // Lazy or not, the same strings match.
        _ = take("?")
        if let next = peek, "*+?".unicodeScalars.contains(next) || next == "{" && quantifierInBraces() != nil {
            throw UnsupportedPattern(reason: "a quantifier after a quantifier")
        }
        return .repeated(term, min: min, max: max)
    }

    /// `{n}`, `{n,}`, `{n,m}` or `{,m}` at the present position; nil if the brace is a character like others. Numbers stop at a
    /// million.
    private func quantifierInBraces() -> (min: Int?, max: Int?, end: Int)? {
        var at = position + 1
        func number() -> Int? {
            var value: Int?
            while at < text.count, (0x30...0x39).contains(text[at]) {
                value = Swift.min((value ?? 0) * 10 + Int(text[at] - 0x30), 1_000_000)
                at += 1
            }
            return value
        }
        let min = number()
        var max = min
        if at < text.count, text[at] == 0x2C {
            at += 1
            max = number()
        } else if min == nil {
            return nil
        }
        guard at < text.count, text[at] == 0x7D else { return nil }
        return (min, max, at + 1)
    }

    var peek: Unicode.Scalar? { position < text.count ? Unicode.Scalar(text[position]) : nil }

    mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard position < text.count, text[position] == scalar.value else { return false }
        position += 1
        return true
    }
}
