/// A pattern as a graph of steps: a nondeterministic automaton whose assertions about what follows are automata of their own.
struct PatternProgram {
    enum Step {
        /// Takes a scalar of the set.
        case take(set: Int, next: Int32)
        case either(Int32, Int32)
        /// Only before the first scalar.
        case start(next: Int32)
        /// The rest of the string is in a language.
        case rest(Rest, next: Int32)
        case boundary(words: Int, negated: Bool, inEmpty: Bool, next: Int32)
        /// The pattern is matched; what follows is free.
        case matched
        case impossible
    }

    /// What the rest of the string has to be.
    enum Rest: Hashable {
        case nothing
        /// Nothing, or one line feed; the alphabet's set of it.
        case nothingOrNewline(Int)
        /// Begins with a match of a lookahead, or does not.
        case begins(lookahead: Int, negated: Bool)
    }

    private(set) var steps: [Step] = [.matched]
    private(set) var entry: Int32 = 0

    /// Quantifiers are written out, so that this bounds counts.
    static let stepLimit = 40_000

    /// - Parameters:
    ///   - isSearch: whether a match may begin anywhere; otherwise at the first scalar.
    ///   - anything: the alphabet's set of all scalars.
    init(_ node: PatternNode, isSearch: Bool, anything: Int) throws(UnsupportedPattern) {
        entry = try add(node, next: 0)
        guard isSearch else { return }
        let loop = try add(.impossible)
        let skip = try add(.take(set: anything, next: loop))
        steps[Int(loop)] = .either(entry, skip)
        entry = loop
    }

    private mutating func add(_ step: Step) throws(UnsupportedPattern) -> Int32 {
        guard steps.count < Self.stepLimit else { throw UnsupportedPattern(reason: "too large, with its repetitions written out") }
        steps.append(step)
        return Int32(steps.count - 1)
    }

    /// The step at which `node`, followed by `next`, begins. The recursion is as deep as the parser allowed groups to be.
    private mutating func add(_ node: PatternNode, next: Int32) throws(UnsupportedPattern) -> Int32 {
        switch node {
        case .set(let set): return try add(.take(set: set, next: next))
        case .sequence(let terms):
            var next = next
            for term in terms.reversed() { next = try add(term, next: next) }
            return next
        case .alternatives(let branches):
            guard let last = branches.last else { return try add(.impossible) }
            var entry = try add(last, next: next)
            for branch in branches.dropLast().reversed() { entry = try add(.either(try add(branch, next: next), entry)) }
            return entry
        case .repeated(let body, let min, let max): return try addRepeated(body, min, max, next: next)
        case .start: return try add(.start(next: next))
        case .end(let newline):
            return try add(.rest(newline.map { .nothingOrNewline($0) } ?? .nothing, next: next))
        case .boundary(let words, let negated, let inEmpty):
            return try add(.boundary(words: words, negated: negated, inEmpty: inEmpty, next: next))
        case .lookahead(let number, let negated):
            return try add(.rest(.begins(lookahead: number, negated: negated), next: next))
        }
    }

    private mutating func addRepeated(_ body: PatternNode, _ min: Int, _ max: Int?, next: Int32) throws(UnsupportedPattern) -> Int32 {
        var entry = next
        if let max {
            for _ in min..<max {
                let before = entry
                // Each copy may be left out, and with it all that follow.
                let copy = try add(body, next: entry)
                guard copy != before else { break }
                entry = try add(.either(copy, next))
            }
        } else {
            let loop = try add(.impossible)
            let copy = try add(body, next: loop)
            steps[Int(loop)] = .either(copy, next)
            entry = loop
        }
        for _ in 0..<min {
            let before = entry
            entry = try add(body, next: entry)
            // A body of nothing is the same however often it is written.
            guard entry != before else { break }
        }
        return entry
    }
}
