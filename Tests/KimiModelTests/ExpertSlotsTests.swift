import Glibc
import KimiModel
import KimiTestSupport
import Testing

/// The table of slots against a plain model of it.
@Suite struct ExpertSlotsTests {
    /// What an expert is worth, from the list of all its uses.
    private func worth(_ uses: [(time: Int, rows: Int)], now: Int) -> Double {
        uses.reduce(0) { sum, use in
            let age = Double(now - use.time)
            return sum + Double(use.rows) * (exp2(-age / 64) + 4 * exp2(-age / 4))
        }
    }

    @Test("worth is the sum over all uses")
    func worth() {
        var random = SplitMix(3)
        var counted = ExpertUses(keys: 5)
        var uses = [[(time: Int, rows: Int)]](repeating: [], count: 5)
        for time in 1...500 {
            counted.advance(tokens: 1)
            for key in 0..<5 where Int(random.next() % 20) < key * key {
                let rows = 1 + Int(random.next() % 3)
                counted.add(key, rows: rows)
                uses[key].append((time, rows))
            }
            for key in 0..<5 {
                // After 64 tokens the short count is left out; it is 2^-14 of a use by then.
                #expect(abs(counted.worth(key) - worth(uses[key], now: time)) < 1e-3 + 1e-9 * counted.worth(key))
            }
        }
        #expect(counted.worth(-1) == 0 && counted.worth(5) == 0)
    }

    @Test("rows of a chunk count as if they were spread evenly over its tokens", arguments: [1, 2, 7, 100, 512])
    func chunk(_ tokens: Int) {
        var counted = ExpertUses(keys: 2)
        counted.advance(tokens: 9)
        counted.add(0, rows: 2)
        counted.advance(tokens: tokens)
        counted.add(1, rows: 3)
        var long = 0.0, short = 0.0
        for age in 0..<tokens {
            long += 3 / Double(tokens) * exp2(-Double(age) / 64)
            short += 3 / Double(tokens) * exp2(-Double(age) / 4)
        }
        #expect(abs(counted.worth(1) - (long + 4 * short)) < 1e-9)
        // The chunk is as long as it is for what was before.
        let before = (0..<9).reduce(0.0) { $0 + 2 / 9.0 * exp2(-Double($1 + tokens) / 64) }
        let shortBefore = (0..<9).reduce(0.0) { $0 + 2 / 9.0 * exp2(-Double($1 + tokens) / 4) }
        #expect(abs(counted.worth(0) - (before + 4 * shortBefore)) < 1e-3)
    }

    @Test("what is expected is what uses with that probability would have come to")
    func expected() {
        var counted = ExpertUses(keys: 2)
        counted.expect(0, probability: 0.25)
        // 64 half-lives are as good as for ever.
        for time in 0..<4096 {
            counted.advance(tokens: 1)
            if time % 4 == 0 { counted.add(1, rows: 1) }
        }
        // The last use is three tokens old, and they come every four: the short count is 2^(-3/4) + 2^(-7/4) + ...
        #expect(abs(counted.worth(1) - 4 * 2 * exp2(-0.75) - 0.25 / (1 - exp2(-1 / 64.0))) < 0.5)
        #expect(counted.worth(0) < 1e-9)
        let fresh = ExpertUses(keys: 1)
        fresh.expect(0, probability: 0.25)
        #expect(abs(fresh.worth(0) - 0.25 / (1 - exp2(-1 / 64.0))) < 1e-9)
    }

    @Test("the table is a dictionary, pinned slots stay, and the least worth gives way", arguments: [1, 2, 5, 12, 31])
    func operations(_ slotCount: Int) throws {
        var random = SplitMix(UInt64(slotCount))
        let (layers, experts) = (3, 16)
        var slots = try ExpertSlots(slots: slotCount, layers: layers, experts: experts)
        var slotOf: [Int: Int] = [:]
        var pins = [Int](repeating: 0, count: slotCount)
        var uses = [[(time: Int, rows: Int)]](repeating: [], count: layers * experts)
        var time = 0
        // Who gives way next was found before what has happened in the step since an expert was refused.
        var isExact = true
        func draw(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        for _ in 0..<6000 {
            switch draw(12) {
            case 0:
                time += 1
                slots.advance(tokens: 1)
                isExact = true
            case 1:
                let slot = draw(slotCount)
                if pins[slot] < 3, draw(3) == 0 {
                    slots.pin(slot)
                    pins[slot] += 1
                }
            case 2, 3:
                let slot = draw(slotCount)
                if pins[slot] > 0 {
                    slots.unpin(slot)
                    pins[slot] -= 1
                }
            case 4:
                let slot = draw(slotCount)
                if pins[slot] == 0, draw(4) == 0 {
                    slots.invalidate(slot)
                    slotOf = slotOf.filter { $0.value != slot }
                    isExact = true
                }
            default:
                // Small numbers more often, so that some are hot.
                let key = min(draw(layers * experts), draw(layers * experts))
                uses[key].append((time, 1))
                slots.touch(key)
                #expect(slots.find(key) == slotOf[key])
                guard slotOf[key] == nil else { continue }
                let least = slotOf.filter { pins[$0.value] == 0 }.map { worth(uses[$0.key], now: time) }.min()
                let empty = Set(0..<slotCount).subtracting(slotOf.values).filter { pins[$0] == 0 }
                let careful = draw(4) == 0
                guard let slot = slots.admit(key, worthMore: careful) else {
                    // Only if nothing may go, or what may is worth as much.
                    #expect(empty.isEmpty && (careful || least == nil))
                    if isExact, let least { #expect(least >= worth(uses[key], now: time) - 1e-3) }
                    isExact = false
                    continue
                }
                #expect(pins[slot] == 0)
                if let gone = slotOf.first(where: { $0.value == slot })?.key {
                    #expect(empty.isEmpty)
                    if isExact { #expect(worth(uses[gone], now: time) <= (least ?? 0) + 1e-3) }
                    slotOf[gone] = nil
                }
                slotOf[key] = slot
                isExact = true
            }
            for slot in 0..<slotCount {
                #expect(slots.key(of: slot) == slotOf.first { $0.value == slot }?.key)
            }
        }
        for key in 0..<layers * experts { #expect(slots.find(key) == slotOf[key]) }
    }

    @Test("a prompt that takes every expert leaves the hot ones where they are", arguments: [false, true])
    func longPrompt(_ wide: Bool) throws {
        let (layers, experts, hot) = (4, 96, 30)
        // Room for the hot ones and for a sixteenth more, among which those come and go that are looked for meanwhile.
        var slots = try ExpertSlots(slots: layers * hot + (wide ? 60 : 10), layers: layers, experts: experts)
        func layer(_ layer: Int, _ chosen: [(expert: Int, rows: Int)]) -> Int {
            var hits = 0
            var missing: [Int] = []
            for (expert, rows) in chosen {
                slots.touch(layer * experts + expert, rows: rows)
                if slots.find(layer * experts + expert) == nil { missing.append(layer * experts + expert) } else { hits += 1 }
            }
            // Eight at a time are read and computed.
            while !missing.isEmpty {
                let wave = missing.prefix(8).compactMap { slots.admit($0) }
                for slot in wave { slots.pin(slot) }
                for slot in wave { slots.unpin(slot) }
                missing.removeFirst(wave.count)
            }
            return hits
        }
        for token in 0..<300 {
            slots.advance(tokens: 1)
            for number in 0..<layers { _ = layer(number, (0..<8).map { ((token * 8 + $0) % hot, 1) }) }
        }
        for _ in 0..<3 {
            slots.advance(tokens: 512)
            for number in 0..<layers { _ = layer(number, (0..<experts).map { ($0, $0 < hot ? 100 : 1) }) }
        }
        slots.advance(tokens: 1)
        var hits = 0
        for number in 0..<layers { hits += layer(number, (0..<hot).map { ($0, 1) }) }
        #expect(hits >= layers * hot - 8, "\(hits) of \(layers * hot)")
    }
}
