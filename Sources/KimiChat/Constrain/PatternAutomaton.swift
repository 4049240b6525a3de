/// Makes patterns into automata over the classes of one alphabet, with one budget of work for all.
struct PatternCompiler {
    let classCount: Int
    /// The classes in each set of the alphabet.
    let members: [[Int32]]
    var work = 0

    /// Where an automaton may begin.
    enum Context: Int, CaseIterable {
        case atStart, afterOther, afterWord
    }

    init(_ alphabet: ScalarAlphabet, _ classes: ScalarClasses) {
        classCount = classes.count
        members = alphabet.sets.map(classes.members)
    }

    /// The strings in which a match of the pattern is found.
    ///
    /// - Parameter anything: the alphabet's set of all scalars.
    mutating func automaton(_ pattern: Pattern, anything: Int) throws(UnsupportedPattern) -> ScalarAutomaton {
        var lookaheads: [ScalarAutomaton] = []
        for body in pattern.lookaheads {
            let program = try PatternProgram(body, isSearch: false, anything: anything)
            lookaheads.append(try determinise(program, lookaheads, pattern.words, Context.allCases))
        }
        let program = try PatternProgram(pattern.root, isSearch: true, anything: anything)
        return try determinise(program, lookaheads, pattern.words, [.atStart])
    }

    private mutating func determinise(
        _ program: PatternProgram, _ lookaheads: [ScalarAutomaton], _ words: Int?, _ contexts: [Context]
    ) throws(UnsupportedPattern) -> ScalarAutomaton {
        var threads = PatternThreads(program, RestSets(classCount: classCount, members: members, lookaheads: lookaheads), words)
        var numbers: [[UInt64]: Int32] = [:]
        var states: [[UInt64]] = []
        func number(of state: [UInt64]) -> Int32 {
            // No thread, no string.
            if state.isEmpty { return -1 }
            if let known = numbers[state] { return known }
            let new = Int32(states.count)
            numbers[state] = new
            states.append(state)
            return new
        }
        let entry = PatternThreads.thread(program.entry, RestSets.none)
        let starts = contexts.map { number(of: threads.closure([entry], $0)) }
        var table: [Int32] = []
        var accepting: [Bool] = []
        var buckets = [[UInt64]](repeating: [], count: classCount)
        while accepting.count < states.count {
            let state = states[accepting.count]
            accepting.append(threads.accepts(state))
            for column in buckets.indices { buckets[column].removeAll(keepingCapacity: true) }
            threads.step(state, into: &buckets)
            for column in 0..<classCount {
                let context: Context = threads.isWord(column) ? .afterWord : .afterOther
                table.append(buckets[column].isEmpty ? -1 : number(of: threads.closure(buckets[column], context)))
            }
            guard states.count <= ScalarAutomaton.stateLimit, table.count <= ScalarAutomaton.tableLimit,
                work + threads.work + table.count <= ScalarAutomaton.workLimit
            else { throw UnsupportedPattern(reason: "too many states") }
        }
        work += threads.work + table.count
        return ScalarAutomaton(classCount: classCount, table: table, accepting: accepting, starts: starts)
    }
}
