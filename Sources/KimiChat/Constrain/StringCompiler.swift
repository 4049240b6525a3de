/// Turns string constraints into shapes; languages and trees that are asked for again are made once.
struct StringCompiler {
    private(set) var trees: [LiteralTree] = []
    private(set) var languages: [StringLanguage] = []
    private var known: [[String]: Int32] = [:]
    private var failures: [[String]: String] = [:]
    /// All scalars of all trees: a schema may list 100,000 words, not fill the memory.
    private var literalScalars = 0

    /// nil if no string is allowed at all; `count` if there are only so many.
    mutating func compile(
        _ constraint: StringConstraint, _ degradations: inout DegradationList
    ) -> (shape: StringShape, count: Int?)? {
        let language = language(constraint, &degradations)
        if var literals = constraint.literals {
            if let language { literals = literals.filter { Self.matches($0, language) } }
            literals = Array(Set(literals))
            guard !literals.isEmpty else { return nil }
            literalScalars += literals.reduce(0) { $0 + $1.count }
            guard literalScalars <= LiteralTree.sizeLimit else {
                degradations.add(
                    "#", "enum", "the words of all enumerations together are longer than \(LiteralTree.sizeLimit) characters")
                return (StringShape(kind: .free, index: 0, minimum: 0, maximum: -1), nil)
            }
            trees.append(LiteralTree(literals))
            return (shape(.literals, trees.count - 1), literals.count)
        }
        if let language {
            guard language.start >= 0 else { return nil }
            return (shape(.language, languageIndex(constraint)), nil)
        }
        return (
            StringShape(
                kind: .free, index: 0, minimum: Int32(clamping: constraint.minimum),
                maximum: constraint.maximum.map { Int32(clamping: $0) } ?? -1), nil)
    }

    private func shape(_ kind: StringShape.Kind, _ index: Int) -> StringShape {
        StringShape(kind: kind, index: Int32(truncatingIfNeeded: index), minimum: 0, maximum: -1)
    }

    private func key(_ constraint: StringConstraint) -> [String] {
        ["\(constraint.minimum) \(constraint.maximum ?? -1) \(constraint.patterns.count)"] + constraint.patterns
            + constraint.formats
    }

    private func languageIndex(_ constraint: StringConstraint) -> Int { Int(known[key(constraint)] ?? 0) }

    /// The automaton of patterns and formats, or nil if there are none, or none that can be enforced.
    private mutating func language(_ constraint: StringConstraint, _ degradations: inout DegradationList) -> StringLanguage? {
        guard !constraint.patterns.isEmpty || !constraint.formats.isEmpty else { return nil }
        let key = key(constraint)
        if let index = known[key] { return languages[Int(index)] }
        if let reason = failures[key] {
            for source in constraint.sources { degradations.add(source.path, source.keyword, reason) }
            return nil
        }
        do {
            let language = try StringLanguage(
                patterns: constraint.patterns, formats: constraint.formats,
                lengths: LengthRange(min: constraint.minimum, max: constraint.maximum))
            known[key] = Int32(truncatingIfNeeded: languages.count)
            languages.append(language)
            return language
        } catch {
            failures[key] = error.reason
            for source in constraint.sources { degradations.add(source.path, source.keyword, error.reason) }
            return nil
        }
    }

    private static func matches(_ literal: [UInt32], _ language: StringLanguage) -> Bool {
        var state = language.start
        for scalar in literal where state >= 0 { state = language.next(state, scalar) }
        return state >= 0 && language.accepts(state)
    }
}
