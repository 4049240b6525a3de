/// Merges the bytes of one word into tokens: of all neighbours whose joint string is a token, the pair of the lowest
/// rank (which is the token's id) is joined first, the leftmost of equals, until none is left.
struct BytePairMerger {
    /// Ranks to merge by; every single byte is in its index.
    let vocabulary: Vocabulary

    /// A word of at most this many bytes is merged by looking through all its pairs each time, which is faster than a
    /// heap as long as they fit into a few cache lines, and needs no memory but the stack.
    private static let shortWord = 96
    /// The rank of neighbours that are no token together: above every rank, since ids are below 2^31.
    private static let none = UInt32.max

    /// Appends the tokens of one word to `ids`.
    ///
    /// - Parameter length: above 0 and below 2^31.
    /// - Complexity: O(length log length) steps.
    @inline(__always)
    func append(_ word: UnsafePointer<UInt8>, _ length: Int, to ids: inout [Int32]) {
        // A word that is a token is that token, even if merging would not lead to it.
        let whole = length == 1 ? vocabulary.id(word[0]) : vocabulary.id(word, length)
        if whole >= 0 {
            ids.append(whole)
        } else if length <= Self.shortWord {
            mergeShort(word, length, &ids)
        } else {
            mergeLong(word, length, &ids)
        }
    }

    @inline(__always)
    private func rank(_ word: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> UInt32 {
        // -1, no token, becomes `none`.
        UInt32(bitPattern: vocabulary.id(word + start, end &- start))
    }

    @inline(__always)
    private func rankOfBytes(_ word: UnsafePointer<UInt8>, _ index: Int) -> UInt32 {
        UInt32(bitPattern: vocabulary.id(word[index], word[index &+ 1]))
    }

    // MARK: Short words

    /// Parts side by side, closed up after each merge.
    private func mergeShort(_ word: UnsafePointer<UInt8>, _ length: Int, _ ids: inout [Int32]) {
        // Safe because part i is at index i < length of each third, `starts` has one more for the end, and the count of
        // parts only falls.
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 3 &* length &+ 1) { space in
            guard let ranks = space.baseAddress else { return }
            let tokens = ranks + length
            let starts = tokens + length
            var count = length
            for index in 0..<length {
                starts[index] = UInt32(truncatingIfNeeded: index)
                tokens[index] = UInt32(bitPattern: vocabulary.id(word[index]))
                ranks[index] = index &+ 1 < length ? rankOfBytes(word, index) : Self.none
            }
            starts[length] = UInt32(truncatingIfNeeded: length)

            while count > 1 {
                var lowest = Self.none
                for index in 0..<count &- 1 { lowest = min(lowest, ranks[index]) }
                if lowest == Self.none { break }
                var left = 0
                while ranks[left] != lowest { left &+= 1 }

                tokens[left] = lowest
                let moved = count &- left &- 2
                (tokens + left + 1).update(from: tokens + left + 2, count: moved)
                (starts + left + 1).update(from: starts + left + 2, count: moved &+ 1)
                (ranks + left).update(from: ranks + left + 1, count: moved &+ 1)
                count &-= 1
                if left &+ 1 < count { ranks[left] = rank(word, Int(starts[left]), Int(starts[left &+ 2])) }
                if left > 0 { ranks[left &- 1] = rank(word, Int(starts[left &- 1]), Int(starts[left &+ 1])) }
            }
            for index in 0..<count { ids.append(Int32(bitPattern: tokens[index])) }
        }
    }

    // MARK: Long words

    /// A part of a long word, at the index of its first byte.
    private struct Part {
        /// The first byte of the part before, or -1.
        var previous: Int32
        /// The first byte of the part after, or the word's length.
        var next: Int32
        var token: Int32
        /// The rank of this part joined with the next; `none` too once the part was swallowed by the one before.
        var rank: UInt32
    }

    /// Parts in a list, pairs in a heap by rank and then by place. A pair that changed leaves its old entry behind,
    /// which is known by its rank when it comes up.
    private func mergeLong(_ word: UnsafePointer<UInt8>, _ length: Int, _ ids: inout [Int32]) {
        // Safe because parts are at indices below `length`, and the heap gets one entry per neighbouring pair, fewer
        // than `length`, and two more for each of fewer than `length` merges.
        withUnsafeTemporaryAllocation(of: Part.self, capacity: length) { space in
            withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 3 &* length) { entries in
                guard let parts = space.baseAddress, let entries = entries.baseAddress else { return }
                var heap = RankHeap(entries)
                for index in 0..<length {
                    let rank = index &+ 1 < length ? rankOfBytes(word, index) : Self.none
                    (parts + index).initialize(to: Part(
                        previous: Int32(truncatingIfNeeded: index &- 1), next: Int32(truncatingIfNeeded: index &+ 1),
                        token: vocabulary.id(word[index]), rank: rank))
                    if rank != Self.none { heap.append(rank, index) }
                }
                heap.order()

                while let (lowest, left) = heap.popLowest() {
                    guard parts[left].rank == lowest else { continue }
                    let swallowed = Int(parts[left].next)
                    let next = Int(parts[swallowed].next)
                    parts[swallowed].rank = Self.none
                    parts[left].token = Int32(bitPattern: lowest)
                    parts[left].next = Int32(truncatingIfNeeded: next)
                    parts[left].rank = Self.none
                    if next < length {
                        parts[next].previous = Int32(truncatingIfNeeded: left)
                        update(left, to: Int(parts[next].next), word, parts, &heap)
                    }
                    if parts[left].previous >= 0 { update(Int(parts[left].previous), to: next, word, parts, &heap) }
                }
                var index = 0
                while index < length {
                    ids.append(parts[index].token)
                    index = Int(parts[index].next)
                }
            }
        }
    }

    /// Looks up the pair that starts at part `index` and now ends at byte `end`.
    @inline(__always)
    private func update(
        _ index: Int, to end: Int, _ word: UnsafePointer<UInt8>, _ parts: UnsafeMutablePointer<Part>,
        _ heap: inout RankHeap
    ) {
        let rank = rank(word, index, end)
        parts[index].rank = rank
        if rank != Self.none { heap.push(rank, index) }
    }
}

/// A binary heap of (rank, place), the lowest rank on top and of equals the lowest place.
///
/// The space is borrowed and large enough for all entries that are ever in it at once; ranks and places are below 2^32.
private struct RankHeap {
    private let entries: UnsafeMutablePointer<UInt64>
    private var count = 0

    init(_ entries: UnsafeMutablePointer<UInt64>) { self.entries = entries }

    /// Adds an entry without ordering; `order` comes before the first pop.
    @inline(__always)
    mutating func append(_ rank: UInt32, _ place: Int) {
        (entries + count).initialize(to: UInt64(rank) &<< 32 | UInt64(truncatingIfNeeded: place))
        count &+= 1
    }

    mutating func order() {
        var index = count / 2
        while index > 0 {
            index &-= 1
            sink(index)
        }
    }

    @inline(__always)
    mutating func push(_ rank: UInt32, _ place: Int) {
        append(rank, place)
        var index = count &- 1
        let entry = entries[index]
        while index > 0 {
            let parent = (index &- 1) / 2
            guard entry < entries[parent] else { break }
            entries[index] = entries[parent]
            index = parent
        }
        entries[index] = entry
    }

    @inline(__always)
    mutating func popLowest() -> (rank: UInt32, place: Int)? {
        guard count > 0 else { return nil }
        let lowest = entries[0]
        count &-= 1
        if count > 0 {
            entries[0] = entries[count]
            sink(0)
        }
        return (UInt32(truncatingIfNeeded: lowest &>> 32), Int(lowest & 0xFFFF_FFFF))
    }

    private func sink(_ start: Int) {
        var index = start
        let entry = entries[index]
        while true {
            var child = 2 &* index &+ 1
            guard child < count else { break }
            if child &+ 1 < count && entries[child &+ 1] < entries[child] { child &+= 1 }
            guard entries[child] < entry else { break }
            entries[index] = entries[child]
            index = child
        }
        entries[index] = entry
    }
}
