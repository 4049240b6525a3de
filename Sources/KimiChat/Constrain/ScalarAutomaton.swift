/// A deterministic automaton over classes of scalars. From every state an accepting one can be reached: where none can be, there is
/// no state, and the table has -1. States that behave the same are one.
struct ScalarAutomaton: Sendable {
    let classCount: Int
    /// `classCount` numbers a state.
    let table: [Int32]
    let accepting: [Bool]
    /// One for each context in which the automaton may begin; -1 for a context in which there is no string.
    let starts: [Int32]
    /// The state from which every string is accepted, or -1.
    let universal: Int32

    var count: Int { accepting.count }

    /// The limits within which one is built: in states, in numbers of the table, and in steps of work over a whole language.
    static let stateLimit = 24_000
    static let tableLimit = 4_000_000
    static let workLimit = 3_000_000

    /// Minimises; states from which nothing can be accepted go.
    ///
    /// - Parameters:
    ///   - table: of states all of which can be reached from a start.
    init(classCount: Int, table: [Int32], accepting: [Bool], starts: [Int32]) {
        let minimal = StatePartition(classCount: classCount, table: table, accepting: accepting)
        self.classCount = classCount
        self.starts = starts.map { $0 < 0 ? -1 : minimal.number(of: Int($0)) }
        var newTable = [Int32](repeating: -1, count: minimal.count * classCount)
        var newAccepting = [Bool](repeating: false, count: minimal.count)
        for state in accepting.indices {
            let new = Int(minimal.number(of: state))
            guard new >= 0 else { continue }
            newAccepting[new] = accepting[state]
            for column in 0..<classCount {
                let target = table[state * classCount + column]
                newTable[new * classCount + column] = target < 0 ? -1 : minimal.number(of: Int(target))
            }
        }
        self.table = newTable
        self.accepting = newAccepting
        let universal = newAccepting.indices.first { state in
            newAccepting[state] && newTable[state * classCount..<(state + 1) * classCount].allSatisfy { $0 == Int32(state) }
        }
        self.universal = Int32(universal ?? -1)
    }

    func next(_ state: Int32, _ column: Int32) -> Int32 { table[Int(state) * classCount + Int(column)] }

    /// All strings.
    static func everything(classCount: Int) -> ScalarAutomaton {
        ScalarAutomaton(
            classCount: classCount, table: [Int32](repeating: 0, count: classCount), accepting: [true], starts: [0])
    }

    /// The strings that this one does not accept, context by context.
    var inverted: ScalarAutomaton {
        let sink = Int32(count)
        let rows = table.map { $0 < 0 ? sink : $0 } + [Int32](repeating: sink, count: classCount)
        return ScalarAutomaton(
            classCount: classCount, table: rows, accepting: accepting.map { !$0 } + [true], starts: starts.map { $0 < 0 ? sink : $0 })
    }

    /// The strings that both accept, from the first context of each.
    func intersection(_ other: ScalarAutomaton, work: inout Int) throws(UnsupportedPattern) -> ScalarAutomaton {
        guard let left = starts.first, let right = other.starts.first, left >= 0, right >= 0 else {
            return ScalarAutomaton(classCount: classCount, table: [], accepting: [], starts: [-1])
        }
        var pairs: [(Int32, Int32)] = [(left, right)]
        var numbers: [UInt64: Int32] = [Self.key(left, right): 0]
        var table: [Int32] = []
        var accepting: [Bool] = []
        var done = 0
        while done < pairs.count {
            let (first, second) = pairs[done]
            done += 1
            accepting.append(self.accepting[Int(first)] && other.accepting[Int(second)])
            work += classCount
            guard pairs.count <= Self.stateLimit, table.count <= Self.tableLimit, work <= Self.workLimit else {
                throw UnsupportedPattern(reason: "too many states together")
            }
            for column in 0..<Int32(classCount) {
                let (one, two) = (next(first, column), other.next(second, column))
                guard one >= 0, two >= 0 else {
                    table.append(-1)
                    continue
                }
                let key = Self.key(one, two)
                if let known = numbers[key] {
                    table.append(known)
                } else {
                    let new = Int32(pairs.count)
                    numbers[key] = new
                    pairs.append((one, two))
                    table.append(new)
                }
            }
        }
        return ScalarAutomaton(classCount: classCount, table: table, accepting: accepting, starts: [0])
    }

    private static func key(_ first: Int32, _ second: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: first)) << 32 | UInt64(UInt32(bitPattern: second))
    }
}

extension ScalarAutomaton {
    /// The same automaton with classes that lead everywhere to the same states made one, and the new number of each class.
    func mergingClasses() -> (automaton: ScalarAutomaton, classes: [Int32]) {
        var numbers: [[Int32]: Int32] = [:]
        var kept: [Int] = []
        let new = (0..<classCount).map { column in
            let targets = (0..<count).map { table[$0 * classCount + column] }
            if let known = numbers[targets] { return known }
            let number = Int32(kept.count)
            numbers[targets] = number
            kept.append(column)
            return number
        }
        let rows = (0..<count).flatMap { state in kept.map { table[state * classCount + $0] } }
        return (ScalarAutomaton(classCount: kept.count, table: rows, accepting: accepting, starts: starts), new)
    }
}
