import KimiCore

/// Which expert is in which slot, and which one gives way: the one that is worth least by `ExpertUses`, among those that are not
/// pinned.
///
/// Recency alone would be the worst there is with little room: a token goes through the layers in order, so the expert that was
/// used longest ago belongs to the layer that comes next. All layers share the slots, since some spread their tokens over more
/// experts than others.
///
/// Numbers only, no memory of experts. Allocates nothing after init. One thread at a time.
package struct ExpertSlots: ~Copyable {
    /// Layer times experts of a layer plus expert.
    package typealias Key = Int

    package let slotCount: Int
    private var uses: ExpertUses
    /// For each key its slot, or -1; for each slot its key, or -1, and how often it is pinned.
    private let slotOfKey: UnsafeMutablePointer<Int32>
    private let keyOfSlot: UnsafeMutablePointer<Int32>
    private let pins: UnsafeMutablePointer<Int32>

    /// A slot that may give way, and what its expert was worth when that was found.
    private struct Candidate {
        var slot: Int32
        var worth: Double

        /// Whether it gives way after the other; of equals the lower slot goes first.
        func isAfter(_ other: Candidate) -> Bool { worth > other.worth || worth == other.worth && slot > other.slot }
    }
    /// Those that give way next, in this order from `nextCandidate` on. Looking through all slots for each expert that comes in
    /// would cost a token of a large model ten million looks; now all are looked through once for `mostCandidates` experts. Those
    /// are a small part of the slots: what came in since may be worth less.
    private let candidates: UnsafeMutablePointer<Candidate>
    private var candidateCount = 0
    private var nextCandidate = 0
    private let mostCandidates: Int

    /// - Throws: `unsupported` for more experts than there can be.
    package init(slots: Int, layers: Int, experts: Int) throws(KimiError) {
        guard let keys = Checked.product(layers, experts), keys < Int32.max, slots > 0, slots < Int32.max else {
            throw KimiError(.unsupported, "\(layers) layers of \(experts) experts are beyond any memory")
        }
        slotCount = slots
        uses = ExpertUses(keys: keys)
        slotOfKey = Self.numbers(keys, -1)
        keyOfSlot = Self.numbers(slots, -1)
        pins = Self.numbers(slots, 0)
        mostCandidates = min(max(slots / 16, 1), 128)
        candidates = .allocate(capacity: mostCandidates)
        candidates.initialize(repeating: Candidate(slot: 0, worth: 0), count: mostCandidates)
    }

    private static func numbers(_ count: Int, _ value: Int32) -> UnsafeMutablePointer<Int32> {
        let memory = UnsafeMutablePointer<Int32>.allocate(capacity: max(count, 1))
        memory.initialize(repeating: value, count: max(count, 1))
        return memory
    }

    deinit {
        for memory in [slotOfKey, keyOfSlot, pins] { memory.deallocate() }
        candidates.deallocate()
    }

    /// Another step begins, which brings its sequences at most so many tokens forward.
    package mutating func advance(tokens: Int) {
        uses.advance(tokens: tokens)
        // What was worth least then may not be so now.
        candidateCount = 0
        nextCandidate = 0
    }

    /// The slot that an expert is in, or is being read into.
    package func find(_ key: Key) -> Int? {
        let slot = slotOfKey[key]
        return slot < 0 ? nil : Int(slot)
    }

    /// The expert in a slot; nil if there is none.
    package func key(of slot: Int) -> Key? { keyOfSlot[slot] < 0 ? nil : Int(keyOfSlot[slot]) }

    /// Counts uses by rows of the step, whether the expert is there or not.
    package func touch(_ key: Key, rows: Int = 1) { uses.add(key, rows: rows) }

    /// Begins as if every token had used the expert with this probability.
    package func expect(_ key: Key, probability: Double) { uses.expect(key, probability: probability) }

    /// Keeps a slot from giving way until it is unpinned as often.
    package func pin(_ slot: Int) { pins[slot] += 1 }
    package func unpin(_ slot: Int) { pins[slot] -= 1 }

    /// Gives an expert that is nowhere a slot, whose expert gives way. What was unpinned in this step may be worth less than that.
    ///
    /// - Parameter worthMore: only if the expert is worth more than the one that gives way.
    /// - Returns: nil if all slots are pinned, or by `worthMore`.
    package mutating func admit(_ key: Key, worthMore: Bool = false) -> Int? {
        guard let candidate = leastWorth() else { return nil }
        guard !worthMore || uses.worth(key) > candidate.worth else { return nil }
        nextCandidate += 1
        let slot = Int(candidate.slot)
        if keyOfSlot[slot] >= 0 { slotOfKey[Int(keyOfSlot[slot])] = -1 }
        keyOfSlot[slot] = Int32(truncatingIfNeeded: key)
        slotOfKey[key] = candidate.slot
        return slot
    }

    /// Forgets what is in a slot, which is the next to be given then.
    package mutating func invalidate(_ slot: Int) {
        let key = keyOfSlot[slot]
        if key >= 0 { slotOfKey[Int(key)] = -1 }
        keyOfSlot[slot] = -1
        candidateCount = 0
        nextCandidate = 0
    }

    // MARK: Candidates

    /// Worth of what a slot holds; nothing is worth least.
    private func worth(of slot: Int) -> Double { keyOfSlot[slot] < 0 ? -1 : uses.worth(Int(keyOfSlot[slot])) }

    /// The first of the candidates, after those are dropped that have been used or pinned since.
    private mutating func leastWorth() -> Candidate? {
        for pass in 0...1 {
            while nextCandidate < candidateCount {
                let candidate = candidates[nextCandidate]
                if pins[Int(candidate.slot)] == 0, worth(of: Int(candidate.slot)) <= candidate.worth { return candidate }
                nextCandidate += 1
            }
            if pass == 0 { collect() }
        }
        return nil
    }

    /// Finds the slots that are worth least: a heap with the last of them on top, which an earlier one drives out; then sorts them.
    private mutating func collect() {
        candidateCount = 0
        nextCandidate = 0
        for slot in 0..<slotCount where pins[slot] == 0 {
            let found = Candidate(slot: Int32(truncatingIfNeeded: slot), worth: worth(of: slot))
            if candidateCount < mostCandidates {
                candidates[candidateCount] = found
                candidateCount += 1
                if candidateCount == mostCandidates { makeHeap() }
            } else if candidates[0].isAfter(found) {
                candidates[0] = found
                sink(0, in: candidateCount)
            }
        }
        if candidateCount < mostCandidates { makeHeap() }
        for last in stride(from: candidateCount - 1, to: 0, by: -1) {
            exchange(0, last)
            sink(0, in: last)
        }
    }

    private func makeHeap() {
        for place in stride(from: candidateCount / 2 - 1, through: 0, by: -1) { sink(place, in: candidateCount) }
    }

    /// A function of its own: in a mutating one the compiler's ThreadSanitizer takes the struct itself for the memory's address.
    private func exchange(_ one: Int, _ other: Int) { swap(&candidates[one], &candidates[other]) }

    private func sink(_ from: Int, in count: Int) {
        var place = from
        while true {
            var next = 2 * place + 1
            guard next < count else { return }
            if next + 1 < count, candidates[next + 1].isAfter(candidates[next]) { next += 1 }
            guard candidates[next].isAfter(candidates[place]) else { return }
            exchange(place, next)
            place = next
        }
    }
}
