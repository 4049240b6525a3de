/// The strings a schema allows, as a deterministic automaton over Unicode scalars. States are small numbers; a state from which no
/// string can be completed does not exist (`next` gives -1 instead).
///
/// A pattern is searched for, as JSON Schema has it, and has to be found both by ECMA-262 and by Python's `re.search`: where the two
/// differ (`\d \w \s \b` and their opposites, `.`, `$` before a last line feed) the strings are those that both accept, no more
/// and no fewer. Characters are those of Unicode 16, which is more than some versions of Python know as letters; of those few, what
/// `\W` and `\D` match is not allowed. Formats are those of `FormatPatterns`.
///
/// Immutable: any thread.
package final class StringLanguage: Sendable {
    /// The formats that can be enforced.
    package static let formats: Set<String> = Set(FormatPatterns.all.keys)

    /// The state before the first scalar; -1 if no string is allowed at all.
    package let start: Int32

    private let classes: ScalarClasses
    /// A scalar of each class.
    private let examples: [UInt32]
    private let automaton: ScalarAutomaton
    private let lengths: LengthCount
    private let isCounted: Bool
    private let stateCount: Int

    /// No context of the model holds a string of this many scalars: a longer `maxLength` is none, a longer `minLength` not supported.
    private static let endlessLength = 1 << 26

    /// The strings that match all patterns and formats and have an allowed length.
    ///
    /// Takes milliseconds, and at most a fraction of a second: what would need more is unsupported.
    ///
    /// - Throws: `UnsupportedPattern` for what the subset lacks or what would grow too large.
    package init(patterns: [String], formats: [String], lengths: LengthRange) throws(UnsupportedPattern) {
        var alphabet = ScalarAlphabet()
        let anything = try alphabet.number(of: .all)
        var parsed: [Pattern] = []
        func parse(_ text: String, _ dialect: PatternDialect) throws(UnsupportedPattern) -> Pattern {
            var parser = PatternParser(text, dialect, alphabet)
            let pattern = try parser.parse()
            alphabet = parser.alphabet
            return pattern
        }
        for text in patterns {
            parsed.append(try parse(text, .ecma))
            if parsed[parsed.count - 1].dependsOnDialect { parsed.append(try parse(text, .python)) }
        }
        guard lengths.min <= Self.endlessLength else {
            throw UnsupportedPattern(reason: "the shortest length is longer than any text")
        }
        // Below 0 there is no string, how far ever.
        var bounds = LengthRange(min: max(lengths.min, 0), max: lengths.max.map { max($0, -1) })
        for name in formats {
            guard let format = FormatPatterns.all[name] else {
                throw UnsupportedPattern(reason: "the format \(name.prefix(40)) is not supported")
            }
            parsed.append(try parse(format.pattern, .ecma))
            if let longest = format.longest { bounds.max = min(bounds.max ?? longest, longest) }
        }
        if let max = bounds.max, max > Self.endlessLength { bounds.max = nil }

        let classes = alphabet.classes()
        var compiler = PatternCompiler(alphabet, classes)
        var product = ScalarAutomaton.everything(classCount: classes.count)
        for pattern in parsed {
            let automaton = try compiler.automaton(pattern, anything: anything)
            product = try product.intersection(automaton, work: &compiler.work)
        }
        let merged = product.mergingClasses()
        automaton = merged.automaton
        self.classes = classes.renumbered(merged.classes, count: merged.automaton.classCount)
        self.lengths = try LengthCount(automaton, bounds)
        examples = self.classes.examples()
        isCounted = self.lengths.isCounted
        // With lengths, a state is the automaton's plus its count of states for each scalar taken.
        let counts = (self.lengths.bounds.max ?? self.lengths.bounds.min) + 1
        let (total, overflow) = counts.multipliedReportingOverflow(by: automaton.count)
        guard !overflow, total < Int(Int32.max) else { throw UnsupportedPattern(reason: "too many states with their lengths") }
        stateCount = isCounted ? total : automaton.count
        let first = automaton.starts.first ?? -1
        start = first >= 0 && self.lengths.remaining(Int(first), taken: 0) != nil ? first : -1
    }

    /// The state after one scalar more; -1 if no allowed string goes on so. Surrogates and numbers beyond Unicode lead nowhere.
    package func next(_ state: Int32, _ scalar: UInt32) -> Int32 {
        guard state >= 0, state < stateCount else { return -1 }
        let column = classes.number(of: scalar)
        return column < 0 ? -1 : next(state, column: column)
    }

    @inline(__always)
    private func next(_ state: Int32, column: Int32) -> Int32 {
        guard isCounted else { return automaton.next(state, column) }
        let (state, taken) = parts(state)
        let next = automaton.next(Int32(state), column)
        guard next >= 0 else { return -1 }
        // Without an upper bound, what is beyond the lower one is all the same.
        let more = lengths.bounds.max == nil ? min(taken + 1, lengths.bounds.min) : taken + 1
        guard lengths.remaining(Int(next), taken: more) != nil else { return -1 }
        return Int32(more * automaton.count + Int(next))
    }

    /// Whether the string may end here.
    package func accepts(_ state: Int32) -> Bool {
        guard state >= 0, state < stateCount else { return false }
        let (state, taken) = parts(state)
        return automaton.accepting[state] && taken >= lengths.bounds.min
    }

    /// Whether every scalar leads from here back to a state that behaves the same, all accepting: any text may follow.
    package func isUniversal(_ state: Int32) -> Bool {
        guard state >= 0, state < stateCount, lengths.bounds.max == nil else { return false }
        let (state, taken) = parts(state)
        return state == Int(automaton.universal) && taken >= lengths.bounds.min
    }

    /// Fewest further scalars to acceptance; 0 for what is no state.
    package func shortest(_ state: Int32) -> Int {
        guard state >= 0, state < stateCount else { return 0 }
        let (state, taken) = parts(state)
        return lengths.remaining(state, taken: taken) ?? 0
    }

    /// Whether some scalar of a range leads on from a state. Costs a look at each class there, not at each scalar.
    package func goesOn(_ state: Int32, in range: ClosedRange<UInt32>) -> Bool {
        guard state >= 0, state < stateCount else { return false }
        return classes.contains(in: range) { next(state, column: $0) >= 0 }
    }

    /// A scalar on a shortest way to acceptance; nil if the string may end here, and for what is no state.
    package func scalarTowardsEnd(_ state: Int32) -> UInt32? {
        let distance = shortest(state)
        guard distance > 0 else { return nil }
        return examples.first { scalar in
            let next = next(state, scalar)
            return next >= 0 && shortest(next) < distance
        }
    }

    @inline(__always)
    private func parts(_ state: Int32) -> (state: Int, taken: Int) {
        isCounted ? (Int(state) % automaton.count, Int(state) / automaton.count) : (Int(state), 0)
    }
}
