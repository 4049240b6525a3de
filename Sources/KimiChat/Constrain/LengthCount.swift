/// How many scalars a string may have.
package struct LengthRange: Equatable, Sendable {
    package var min: Int
    package var max: Int?

    package init(min: Int, max: Int?) {
        self.min = min
        self.max = max
    }
}

/// The lengths of the strings that an automaton accepts from each of its states, and whether bounds can still be kept.
///
/// A state with a number of scalars already taken is alive if some string leads from it to acceptance within the bounds. Above the
/// lower bound the shortest string decides. Below it, the shortest of those that are long enough decides, which depends on the
/// number: one row a number, counted down from the bound until the rows repeat.
struct LengthCount: Sendable {
    /// Fewest scalars from each state to acceptance.
    let shortest: [Int32]
    /// Most scalars from the start to acceptance, or nil if there is no limit.
    let longest: Int?
    let bounds: LengthRange

    /// `rows[k][q]`: by how much the shortest string from q that is at least k long is longer than k, `never` if there is none.
    private var rows: [[Int32]] = []
    /// Rows from here on repeat with this period.
    private var repeatsFrom = 0
    private var period = 1

    private static let never = Int32.max
    /// Numbers in all rows, and work to make them.
    private static let rowLimit = 2_000_000

    /// Bounds that the automaton keeps by itself are dropped.
    init(_ automaton: ScalarAutomaton, _ bounds: LengthRange) throws(UnsupportedPattern) {
        let targets = (0..<automaton.count).map { state in
            Set(automaton.table[state * automaton.classCount..<(state + 1) * automaton.classCount]).filter { $0 >= 0 }.sorted()
        }
        shortest = Self.shortest(targets, automaton.accepting)
        longest = Self.longest(targets)
        var bounds = LengthRange(min: Swift.max(bounds.min, 0), max: bounds.max)
        guard let start = automaton.starts.first, start >= 0 else {
            self.bounds = LengthRange(min: 0, max: nil)
            return
        }
        if Int(shortest[Int(start)]) >= bounds.min { bounds.min = 0 }
        if let most = bounds.max, let longest, longest <= most { bounds.max = nil }
        self.bounds = bounds
        if bounds.min > 0 { try fillRows(targets) }
    }

    var isCounted: Bool { bounds.min > 0 || bounds.max != nil }

    private static func shortest(_ targets: [[Int32]], _ accepting: [Bool]) -> [Int32] {
        var sources = [[Int32]](repeating: [], count: targets.count)
        for (state, next) in targets.enumerated() {
            for target in next { sources[Int(target)].append(Int32(state)) }
        }
        var distances = accepting.map { $0 ? Int32(0) : never }
        var queue = accepting.indices.filter { accepting[$0] }
        var done = 0
        while done < queue.count {
            let state = queue[done]
            done += 1
            for source in sources[state] where distances[Int(source)] == never {
                distances[Int(source)] = distances[state] + 1
                queue.append(Int(source))
            }
        }
        return distances
    }

    /// Every state can be reached and can accept, so that a cycle means no limit.
    private static func longest(_ targets: [[Int32]]) -> Int? {
        var incoming = [Int](repeating: 0, count: targets.count)
        for next in targets { for target in next { incoming[Int(target)] += 1 } }
        var depths = [Int](repeating: 0, count: targets.count)
        var queue = incoming.indices.filter { incoming[$0] == 0 }
        var done = 0
        while done < queue.count {
            let state = queue[done]
            done += 1
            for target in targets[state] {
                depths[Int(target)] = Swift.max(depths[Int(target)], depths[state] + 1)
                incoming[Int(target)] -= 1
                if incoming[Int(target)] == 0 { queue.append(Int(target)) }
            }
        }
        return done == targets.count ? depths.max() ?? 0 : nil
    }

    private mutating func fillRows(_ targets: [[Int32]]) throws(UnsupportedPattern) {
        rows = [shortest]
        var firstSeen: [[Int32]: Int] = [shortest: 0]
        var work = 0
        while rows.count <= bounds.min {
            let previous = rows[rows.count - 1]
            let row = targets.map { next in next.map { previous[Int($0)] }.min() ?? Self.never }
            if let known = firstSeen[row] {
                (repeatsFrom, period) = (known, rows.count - known)
                return
            }
            work += targets.reduce(row.count) { $0 + $1.count }
            guard work <= Self.rowLimit else { throw UnsupportedPattern(reason: "too large with its shortest length") }
            firstSeen[row] = rows.count
            rows.append(row)
        }
    }

    /// Fewest scalars from a state with `taken` scalars before it to acceptance within the lower bound; nil if there is no way within
    /// both.
    func remaining(_ state: Int, taken: Int) -> Int? {
        let missing = bounds.min - taken
        let least: Int
        if missing > 0 {
            let row = missing < rows.count ? missing : repeatsFrom + (missing - repeatsFrom) % period
            let excess = rows[row][state]
            guard excess != Self.never else { return nil }
            least = missing + Int(excess)
        } else {
            least = Int(shortest[state])
        }
        if let most = bounds.max, least > most - taken { return nil }
        return least
    }
}
