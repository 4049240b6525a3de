/// Conditions on the rest of a string: sets of automata in their states, all of which must accept it. A set is a number; the empty
/// one is `none`.
struct RestSets {
    static let none: Int32 = 0

    let members: [[Int32]]
    private let classCount: Int
    private let lookaheads: [ScalarAutomaton]
    private var automata: [ScalarAutomaton] = []
    private var automatonOf: [Rest: Int] = [:]
    /// Each an ascending list of automaton << 32 | state.
    private var sets: [[UInt64]] = [[]]
    private var numbers: [[UInt64]: Int32] = [[]: 0]
    private var steps: [UInt64: Int32] = [:]

    private enum Rest: Hashable {
        case step(PatternProgram.Rest)
        case word(Int)
        /// No word character comes; the end may.
        case otherOrEnd(Int)
        case other(Int)
    }

    init(classCount: Int, members: [[Int32]], lookaheads: [ScalarAutomaton]) {
        self.classCount = classCount
        self.members = members
        self.lookaheads = lookaheads
    }

    func columns(_ set: Int) -> [Bool] {
        var columns = [Bool](repeating: false, count: classCount)
        for column in members[set] { columns[Int(column)] = true }
        return columns
    }

    /// The set with one condition more; nil if nothing fulfils that condition.
    mutating func adding(_ rest: PatternProgram.Rest, to set: Int32, _ context: PatternCompiler.Context) -> Int32? {
        adding(.step(rest), to: set, context)
    }

    mutating func addingBoundary(
        _ words: Int, negated: Bool, inEmpty: Bool, to set: Int32, _ context: PatternCompiler.Context
    ) -> Int32? {
        let rest: Rest =
            (context == .afterWord) == negated
            ? .word(words) : (negated && !inEmpty && context == .atStart ? .other(words) : .otherOrEnd(words))
        return adding(rest, to: set, context)
    }

    private mutating func adding(_ rest: Rest, to set: Int32, _ context: PatternCompiler.Context) -> Int32? {
        let number = automatonOf[rest] ?? automata.count
        if number == automata.count {
            automatonOf[rest] = number
            automata.append(automaton(rest))
        }
        let automaton = automata[number]
        let start = automaton.starts.count > 1 ? automaton.starts[context.rawValue] : automaton.starts[0]
        if start < 0 { return nil }
        if start == automaton.universal { return set }
        let condition = UInt64(number) << 32 | UInt64(start)
        let conditions = sets[Int(set)]
        return conditions.contains(condition) ? set : intern((conditions + [condition]).sorted())
    }

    /// What is left of the conditions after a scalar of a class; nil if one of them failed.
    mutating func after(_ set: Int32, _ column: Int32) -> Int32? {
        let key = UInt64(set) << 32 | UInt64(column)
        if let known = steps[key] { return known < 0 ? nil : known }
        var left: Set<UInt64> = []
        var failed = false
        for condition in sets[Int(set)] {
            let automaton = automata[Int(condition >> 32)]
            let next = automaton.next(Int32(truncatingIfNeeded: condition), column)
            if next < 0 {
                failed = true
                break
            }
            if next != automaton.universal { left.insert((condition & ~0xFFFF_FFFF) | UInt64(next)) }
        }
        let after = failed ? -1 : intern(left.sorted())
        steps[key] = after
        return failed ? nil : after
    }

    /// Whether the string may end here.
    func accepts(_ set: Int32) -> Bool {
        sets[Int(set)].allSatisfy { automata[Int($0 >> 32)].accepting[Int($0 & 0xFFFF_FFFF)] }
    }

    private mutating func intern(_ conditions: [UInt64]) -> Int32 {
        if let known = numbers[conditions] { return known }
        let new = Int32(sets.count)
        sets.append(conditions)
        numbers[conditions] = new
        return new
    }

    private func automaton(_ rest: Rest) -> ScalarAutomaton {
        switch rest {
        case .step(.begins(let number, let negated)): return negated ? lookaheads[number].inverted : lookaheads[number]
        case .step(.nothing): return small([.none], accepting: [true])
        case .step(.nothingOrNewline(let newline)): return small([.to(1, newline), .none], accepting: [true, true])
        case .word(let words): return small([.to(1, words), .all(1)], accepting: [false, true])
        case .otherOrEnd(let words): return small([.except(1, words), .all(1)], accepting: [true, true])
        case .other(let words): return small([.except(1, words), .all(1)], accepting: [false, true])
        }
    }

    private enum Row {
        case none
        case all(Int32)
        case to(Int32, Int)
        case except(Int32, Int)
    }

    private func small(_ rows: [Row], accepting: [Bool]) -> ScalarAutomaton {
        let table = rows.flatMap { row in
            switch row {
            case .none: [Int32](repeating: -1, count: classCount)
            case .all(let state): [Int32](repeating: state, count: classCount)
            case .to(let state, let set): columns(set).map { $0 ? state : -1 }
            case .except(let state, let set): columns(set).map { $0 ? -1 : state }
            }
        }
        return ScalarAutomaton(classCount: classCount, table: table, accepting: accepting, starts: [0])
    }
}
