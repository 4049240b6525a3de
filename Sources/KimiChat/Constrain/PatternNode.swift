/// A pattern, parsed. Sets are numbers of a `ScalarAlphabet`.
indirect enum PatternNode {
    case set(Int)
    /// Empty: the empty string.
    case sequence([PatternNode])
    /// Empty: no string.
    case alternatives([PatternNode])
    case repeated(PatternNode, min: Int, max: Int?)
    /// `^`
    case start
    /// `$`; Python's holds before a final line feed too, which is given as a set.
    case end(orBefore: Int?)
    /// `\b` and `\B`; words are the alphabet's set of that number. Python's `\B` does not hold in an empty string.
    case boundary(words: Int, negated: Bool, inEmpty: Bool)
    /// What follows begins with the pattern of that number in `Pattern.lookaheads`, or does not.
    case lookahead(Int, negated: Bool)
}

/// A whole pattern in one dialect.
struct Pattern {
    let root: PatternNode
    /// A lookahead names only those before it.
    let lookaheads: [PatternNode]
    /// The alphabet's set of word characters, if a boundary is asked for anywhere.
    let words: Int?
    /// Whether the other dialect would read it as something else.
    let dependsOnDialect: Bool
}

/// Why a pattern or format cannot be enforced, in words.
package struct UnsupportedPattern: Error, Equatable, Sendable {
    package let reason: String

    package init(reason: String) { self.reason = reason }
}
