/// The sets of scalars that patterns name, and the classes of scalars that none of them tells apart.
///
/// Filled while patterns are parsed; automata are built over the classes afterwards.
struct ScalarAlphabet {
    private(set) var sets: [ScalarSet] = []
    private var numbers: [ScalarSet: Int] = [:]
    /// Every literal character is a set; more than this no readable pattern has.
    static let setLimit = 2000

    mutating func number(of set: ScalarSet) throws(UnsupportedPattern) -> Int {
        if let number = numbers[set] { return number }
        guard sets.count < Self.setLimit else {
            throw UnsupportedPattern(reason: "more than \(Self.setLimit) different characters and classes")
        }
        numbers[set] = sets.count
        sets.append(set)
        return sets.count - 1
    }

    /// The coarsest partition of the scalars in which every set is a union of classes.
    func classes() -> ScalarClasses {
        // Pieces in ascending order; a piece ends where the next begins.
        var starts: [UInt32] = [0, 0xD800, 0xE000]
        var classOf: [Int32] = [0, ScalarClasses.surrogate, 0]
        var count: Int32 = 1
        for set in sets {
            var newStarts: [UInt32] = []
            var newClasses: [Int32] = []
            newStarts.reserveCapacity(starts.count + 2 * set.ranges.count)
            newClasses.reserveCapacity(starts.count + 2 * set.ranges.count)
            // What of a class lies in the set, and what does not: the part met first keeps the class.
            var inside = [Int32](repeating: -1, count: Int(count))
            var outside = inside
            func split(_ old: Int32, _ isInside: Bool) -> Int32 {
                guard old >= 0 else { return old }
                let own = isInside ? inside[Int(old)] : outside[Int(old)]
                if own >= 0 { return own }
                let other = isInside ? outside[Int(old)] : inside[Int(old)]
                var new = old
                if other >= 0 {
                    new = count
                    count += 1
                }
                if isInside { inside[Int(old)] = new } else { outside[Int(old)] = new }
                return new
            }
            var next = 0
            for piece in starts.indices {
                var from = starts[piece]
                let end = piece + 1 < starts.count ? starts[piece + 1] : 0x110000
                while from < end {
                    while next < set.ranges.count, set.ranges[next].upperBound < from { next += 1 }
                    var to = end
                    var isInside = false
                    if next < set.ranges.count {
                        let range = set.ranges[next]
                        isInside = range.lowerBound <= from
                        to = min(end, isInside ? range.upperBound + 1 : range.lowerBound)
                    }
                    newStarts.append(from)
                    newClasses.append(split(classOf[piece], isInside))
                    from = to
                }
            }
            starts = newStarts
            classOf = newClasses
        }
        return ScalarClasses(starts: starts, classes: classOf, count: Int(count))
    }
}

/// Which class a scalar is in: a table for ASCII, a binary search above.
struct ScalarClasses: Sendable {
    static let surrogate: Int32 = -1

    private(set) var count: Int
    private var ascii: [Int32] = []
    private var starts: [UInt32] = []
    private var classes: [Int32] = []

    /// - Parameters:
    ///   - starts: of the pieces, ascending from 0.
    ///   - classes: of each piece; `surrogate` for no class.
    init(starts: [UInt32], classes: [Int32], count: Int) {
        self.count = count
        for (start, number) in zip(starts, classes) where self.classes.last != number {
            self.starts.append(start)
            self.classes.append(number)
        }
        ascii = (0..<128).map { search($0) }
    }

    /// The class of a scalar, or `surrogate` for what is none.
    @inline(__always)
    func number(of scalar: UInt32) -> Int32 {
        scalar < 128 ? ascii[Int(scalar)] : search(scalar)
    }

    private func search(_ scalar: UInt32) -> Int32 {
        scalar < 0x110000 ? classes[piece(of: scalar)] : Self.surrogate
    }

    /// The last piece that begins at a scalar or before it.
    private func piece(of scalar: UInt32) -> Int {
        var low = 0
        var high = starts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= scalar { low = middle } else { high = middle }
        }
        return low
    }

    /// One scalar of each class, a letter or another printable one where there is one.
    func examples() -> [UInt32] {
        var examples = [UInt32](repeating: 0, count: count)
        for (start, number) in zip(starts, classes) where number >= 0 { examples[Int(number)] = start }
        for scalar in Array(UInt32(0x20)...0x7E) + Array(0x61...0x7A) where ascii[Int(scalar)] >= 0 {
            examples[Int(ascii[Int(scalar)])] = scalar
        }
        return examples
    }

    /// Whether some class that has scalars in a range fulfils a condition.
    func contains(in range: ClosedRange<UInt32>, where holds: (Int32) -> Bool) -> Bool {
        var piece = self.piece(of: range.lowerBound)
        while piece < starts.count, starts[piece] <= range.upperBound {
            if classes[piece] >= 0, holds(classes[piece]) { return true }
            piece += 1
        }
        return false
    }

    /// The classes in a set that is a union of classes.
    func members(of set: ScalarSet) -> [Int32] {
        var members = Set<Int32>()
        var piece = 0
        for range in set.ranges {
            while piece + 1 < starts.count, starts[piece + 1] <= range.lowerBound { piece += 1 }
            while true {
                members.insert(classes[piece])
                guard piece + 1 < starts.count, starts[piece + 1] <= range.upperBound else { break }
                piece += 1
            }
        }
        members.remove(Self.surrogate)
        return members.sorted()
    }

    /// The same scalars under other numbers.
    func renumbered(_ new: [Int32], count: Int) -> ScalarClasses {
        ScalarClasses(starts: starts, classes: classes.map { $0 >= 0 ? new[Int($0)] : $0 }, count: count)
    }
}
