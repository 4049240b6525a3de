/// The states of an automaton sorted into blocks that behave the same, by Hopcroft's refinement.
struct StatePartition {
    /// Blocks from which something is accepted.
    private(set) var count = 0
    private var numbers: [Int32] = []

    /// The block of a state, or -1 if nothing is accepted from it.
    func number(of state: Int) -> Int32 { numbers[state] }

    /// - Parameter table: of `accepting.count` states; -1 leads nowhere.
    init(classCount: Int, table: [Int32], accepting: [Bool]) {
        // Nowhere becomes a state like others; what falls into its block accepts nothing.
        let nowhere = accepting.count
        let count = nowhere + 1
        var blocks = Blocks(count: count) { $0 < nowhere && accepting[$0] }
        let sources = Self.sources(classCount: classCount, table: table, count: count)
        var work = Array(0..<blocks.count)
        while let splitter = work.popLast() {
            let members = blocks.members(splitter)
            for column in 0..<classCount {
                for member in members {
                    let row = column * (count + 1) + member
                    for at in Int(sources.heads[row])..<Int(sources.heads[row + 1]) { blocks.mark(Int(sources.states[at])) }
                }
                work += blocks.splitMarked()
            }
        }
        let dead = blocks.block(of: nowhere)
        var order: [Int: Int32] = [:]
        numbers = (0..<nowhere).map { state in
            let block = blocks.block(of: state)
            if block == dead { return -1 }
            if let known = order[block] { return known }
            let new = Int32(order.count)
            order[block] = new
            return new
        }
        self.count = order.count
    }

    /// For each class and state, the states that the class leads to it: `states[heads[k]..<heads[k + 1]]` with
    /// k = class * (count + 1) + state.
    private static func sources(classCount: Int, table: [Int32], count: Int) -> (heads: [Int32], states: [Int32]) {
        let nowhere = count - 1
        func target(_ state: Int, _ column: Int) -> Int {
            guard state < nowhere else { return nowhere }
            let target = table[state * classCount + column]
            return target < 0 ? nowhere : Int(target)
        }
        var heads = [Int32](repeating: 0, count: classCount * (count + 1) + 1)
        for column in 0..<classCount {
            for state in 0..<count { heads[column * (count + 1) + target(state, column) + 1] += 1 }
        }
        for at in 1..<heads.count { heads[at] += heads[at - 1] }
        var fill = heads
        var states = [Int32](repeating: 0, count: classCount * count)
        for column in 0..<classCount {
            for state in 0..<count {
                let row = column * (count + 1) + target(state, column)
                states[Int(fill[row])] = Int32(state)
                fill[row] += 1
            }
        }
        return (heads, states)
    }
}

/// A partition that is refined: the members of a block lie together, the marked ones first.
private struct Blocks {
    private var elements: [Int]
    private var positions: [Int]
    private var owner: [Int]
    private var first: [Int] = []
    private var end: [Int] = []
    private var marked: [Int] = []
    private var touched: [Int] = []

    var count: Int { first.count }

    init(count: Int, where belongs: (Int) -> Bool) {
        elements = (0..<count).filter(belongs)
        let inside = elements.count
        elements += (0..<count).filter { !belongs($0) }
        positions = [Int](repeating: 0, count: count)
        owner = positions
        for range in [0..<inside, inside..<count] where !range.isEmpty {
            for at in range {
                positions[elements[at]] = at
                owner[elements[at]] = first.count
            }
            first.append(range.lowerBound)
            end.append(range.upperBound)
            marked.append(0)
        }
    }

    func block(of element: Int) -> Int { owner[element] }

    func members(_ block: Int) -> [Int] { Array(elements[first[block]..<end[block]]) }

    mutating func mark(_ element: Int) {
        let block = owner[element]
        let place = first[block] + marked[block]
        guard positions[element] >= place else { return }
        if marked[block] == 0 { touched.append(block) }
        let other = elements[place]
        elements.swapAt(place, positions[element])
        positions[other] = positions[element]
        positions[element] = place
        marked[block] += 1
    }

    /// Splits what is marked from what is not; the smaller part becomes a new block. Returns the new ones.
    mutating func splitMarked() -> [Int] {
        var new: [Int] = []
        for block in touched {
            let cut = first[block] + marked[block]
            let size = end[block] - first[block]
            let part = marked[block] * 2 <= size ? first[block]..<cut : cut..<end[block]
            marked[block] = 0
            guard cut < first[block] + size else { continue }
            if part.lowerBound == first[block] { first[block] = cut } else { end[block] = cut }
            for at in part { owner[elements[at]] = count }
            new.append(count)
            first.append(part.lowerBound)
            end.append(part.upperBound)
            marked.append(0)
        }
        touched.removeAll(keepingCapacity: true)
        return new
    }
}
