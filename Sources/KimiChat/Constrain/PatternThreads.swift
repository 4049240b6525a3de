/// The simultaneous ways through a program. A thread is a step and what the rest of the string has to be for the thread to count;
/// a set of threads, as an ascending list, is a state of the deterministic automaton.
struct PatternThreads {
    private let program: PatternProgram
    private var rests: RestSets
    private let isWordColumn: [Bool]
    /// Steps followed so far.
    private(set) var work = 0
    /// Round in which a step was last reached without conditions.
    private var seen: [UInt32]
    private var round: UInt32 = 0

    /// The set that stays as it is: the match is found, whatever follows.
    private static let settled: [UInt64] = [.max]

    /// - Parameter words: the word characters, if the program or one of its lookaheads asks for boundaries.
    init(_ program: PatternProgram, _ rests: RestSets, _ words: Int?) {
        self.program = program
        self.rests = rests
        seen = [UInt32](repeating: 0, count: program.steps.count)
        isWordColumn = words.map(rests.columns) ?? []
    }

    static func thread(_ step: Int32, _ rest: Int32) -> UInt64 { UInt64(UInt32(step)) << 32 | UInt64(UInt32(rest)) }

    /// Whether a class is one of word characters; false where nobody asks.
    func isWord(_ column: Int) -> Bool { column < isWordColumn.count && isWordColumn[column] }

    /// The threads that wait for a scalar, or have matched, on the ways from `threads`.
    mutating func closure(_ threads: [UInt64], _ context: PatternCompiler.Context) -> [UInt64] {
        round += 1
        var seenWithRest = Set<UInt64>()
        var waiting: [UInt64] = []
        var conditional = false
        var open = threads
        while let thread = open.popLast() {
            let step = Int32(truncatingIfNeeded: thread >> 32)
            let rest = Int32(truncatingIfNeeded: thread)
            if rest == RestSets.none {
                guard seen[Int(step)] != round else { continue }
                seen[Int(step)] = round
            } else {
                guard seen[Int(step)] != round, seenWithRest.insert(thread).inserted else { continue }
                conditional = true
            }
            work += 1
            var next: Int32?
            var added: Int32? = rest
            switch program.steps[Int(step)] {
            case .take: waiting.append(thread)
            case .matched:
                if rest == RestSets.none { return Self.settled }
                waiting.append(thread)
            case .impossible: break
            case .either(let one, let other):
                open.append(Self.thread(one, rest))
                next = other
            case .start(let after): next = context == .atStart ? after : nil
            case .rest(let what, let after):
                next = after
                added = rests.adding(what, to: rest, context)
            case .boundary(let words, let negated, let inEmpty, let after):
                next = after
                added = rests.addingBoundary(words, negated: negated, inEmpty: inEmpty, to: rest, context)
            }
            if let next, let added { open.append(Self.thread(next, added)) }
        }
        // A thread with conditions adds nothing to the same step without them.
        if conditional {
            waiting.removeAll { $0 & 0xFFFF_FFFF != UInt64(RestSets.none) && seen[Int($0 >> 32)] == round }
        }
        waiting.sort()
        return waiting
    }

    /// Adds to each class's bucket the threads that a scalar of the class makes of `state`.
    mutating func step(_ state: [UInt64], into buckets: inout [[UInt64]]) {
        if state == Self.settled {
            for column in buckets.indices { buckets[column].append(Self.thread(0, RestSets.none)) }
            return
        }
        for thread in state {
            let step = thread >> 32
            let rest = Int32(truncatingIfNeeded: thread)
            switch program.steps[Int(step)] {
            case .take(let set, let next):
                for column in rests.members[set] { advance(rest, column, next, &buckets) }
            case .matched:
                for column in buckets.indices { advance(rest, Int32(column), Int32(step), &buckets) }
            default: break
            }
        }
    }

    private mutating func advance(_ rest: Int32, _ column: Int32, _ next: Int32, _ buckets: inout [[UInt64]]) {
        work += 1
        guard rest != RestSets.none else {
            buckets[Int(column)].append(Self.thread(next, rest))
            return
        }
        if let after = rests.after(rest, column) { buckets[Int(column)].append(Self.thread(next, after)) }
    }

    /// Whether the string may end in a state.
    func accepts(_ state: [UInt64]) -> Bool {
        if state == Self.settled { return true }
        return state.contains { thread in
            guard case .matched = program.steps[Int(thread >> 32)] else { return false }
            return rests.accepts(Int32(truncatingIfNeeded: thread))
        }
    }
}
