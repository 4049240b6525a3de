import KimiBench
import KimiTestSupport
import Testing

@Suite struct SlotReplayTests {
    private static func trace(_ uses: [[Int32]], experts: Int = 6) -> ExpertTrace {
        var trace = ExpertTrace(name: "test", layers: 1, experts: experts, perToken: 1)
        for chosen in uses { trace.add(tokens: 1, choices: [chosen]) }
        return trace
    }

    /// The most hits that any choice of who gives way, or stays out, can have.
    private func mostHits(_ uses: ArraySlice<Int32>, _ held: Set<Int32>, _ slots: Int) -> Int {
        guard let use = uses.first else { return 0 }
        let rest = uses.dropFirst()
        if held.contains(use) { return 1 + mostHits(rest, held, slots) }
        if held.count < slots { return mostHits(rest, held.union([use]), slots) }
        return held.map { mostHits(rest, held.subtracting([$0]).union([use]), slots) }.reduce(mostHits(rest, held, slots), max)
    }

    @Test("the optimum is what trying everything finds", arguments: 0..<12)
    func optimum(_ seed: UInt64) throws {
        var random = SplitMix(seed)
        let uses = (0..<14).map { _ in Int32(min(random.next() % 5, random.next() % 5)) }
        for slots in 1...4 {
            let rate = try Self.trace(uses.map { [$0] }).hitRate(.optimum, slots: slots)
            #expect(abs(rate * 14 - Double(mostHits(uses[...], [], slots))) < 1e-9)
        }
    }

    @Test("policies by hand")
    func byHand() throws {
        // Two slots. The recent: 0 1 0+ 2 0+ 1 2; the frequent lets 0 stay; a short half-life is recency.
        let trace = Self.trace([[0], [1], [0], [2], [0], [1], [2]])
        #expect(abs(try trace.hitRate(.leastRecent, slots: 2) - 2 / 7.0) < 1e-9)
        #expect(abs(try trace.hitRate(.decaying(halfLife: 0.1), slots: 2) - 2 / 7.0) < 1e-9)
        let frequent = Self.trace([[0], [0], [0], [1], [2], [1], [2], [0]])
        #expect(abs(try frequent.hitRate(.leastFrequent, slots: 2) - 3 / 8.0) < 1e-9)
        #expect(abs(try frequent.hitRate(.leastRecent, slots: 2) - 4 / 8.0) < 1e-9)
    }

    @Test("a step's rows are gathered by expert, and what fills the slots does not count")
    func steps() {
        var trace = ExpertTrace(name: "test", layers: 2, experts: 4, perToken: 2)
        trace.add(tokens: 3, choices: [[3, 1, 1, 3, 3, 0], [2, 2, 9, -1]])
        #expect(trace.steps[0].tokens == 3)
        #expect(trace.steps[0].layers == [
            [.init(expert: 0, rows: 1), .init(expert: 1, rows: 2), .init(expert: 3, rows: 3)], [.init(expert: 2, rows: 2)],
        ])
        trace.add(tokens: 1, choices: [[1, 2], [2, 3]])
        trace.counted = 1
        #expect(trace.likeness.next == 0.5 && trace.likeness.withinEight == 0.5)
    }

    private static func small(_ kind: SyntheticTrace, seed: UInt64 = 5) -> ExpertTrace {
        kind.trace(layers: 3, experts: 48, perToken: 4, tokens: 1200, seed: seed)
    }

    @Test("nobody beats the optimum, more room is never less to it, and all room is all hits", arguments: SyntheticTrace.allCases)
    func bounds(_ kind: SyntheticTrace) throws {
        let trace = Self.small(kind)
        var before = 0.0
        for slots in [4, 12, 36, 72, 144] {
            let best = try trace.hitRate(.optimum, slots: slots)
            #expect(best >= before)
            before = best
            for policy in SlotPolicy.all { #expect(try trace.hitRate(policy, slots: slots) <= best, "\(policy.name), \(slots)") }
        }
        for policy in SlotPolicy.all { #expect(try trace.hitRate(policy, slots: 144) > 0.99) }
    }

    @Test("random routing has hits by the share of slots, whatever the policy", arguments: SlotPolicy.all.dropLast())
    func uniform(_ policy: SlotPolicy) throws {
        let rate = try Self.small(.uniform).hitRate(policy, slots: 48)
        #expect(abs(rate - 1 / 3.0) < 0.04, "\(rate)")
    }

    @Test("the library is near the best of the others, wherever the heat is", arguments: SyntheticTrace.allCases)
    func library(_ kind: SyntheticTrace) throws {
        let trace = Self.small(kind)
        // With no more slots than a token takes, only recency is right for some and only frequency for others.
        for (slots, distance) in [(12, 0.13), (24, 0.04), (36, 0.04), (72, 0.04)] {
            let best = try SlotPolicy.all.filter { $0 != .optimum && $0 != .library }
                .map { try trace.hitRate($0, slots: slots) }.reduce(0, max)
            let own = try trace.hitRate(.library, slots: slots)
            #expect(own > best - distance, "\(slots) slots: \(own), \(best)")
        }
    }

    @Test("one seed, one trace; another, another")
    func seeds() {
        for kind in SyntheticTrace.allCases {
            #expect(Self.small(kind).steps == Self.small(kind).steps)
            #expect(Self.small(kind).steps != Self.small(kind, seed: 6).steps)
            #expect(Self.small(kind).steps.allSatisfy { $0.layers.allSatisfy { $0.count == 4 } })
        }
    }
}
