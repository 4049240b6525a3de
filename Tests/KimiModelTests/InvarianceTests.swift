import CKimiKernels
import Glibc
import KimiModel
import KimiTestSupport
import Testing

/// The exact path gives the same bits whatever the machine does.
@Suite(.serialized) struct InvarianceTests {
    static let ids: [Int32] = (ReferenceTests.prompts["pages"]?.ids).map { Array($0.prefix(300)) } ?? []

    static let expected: [Float] = {
        guard let harness = try? Harness("tiny-kimi", threads: 1) else { return [] }
        return (try? harness.evaluate(ids, all: true)) ?? []
    }()

    @Test("any chunk size gives the same bits", arguments: [1, 7, 64, 300], [1, 2])
    func chunks(_ chunk: Int, threads: Int) throws {
        let harness = try Harness("tiny-kimi", threads: threads, rows: 512)
        #expect(identical(try harness.evaluate(Self.ids, chunk: chunk, all: true), Self.expected))
    }

    @Test("any thread count gives the same bits", arguments: [1, 2, 3, 5, 16])
    func threads(_ threads: Int) throws {
        let harness = try Harness("tiny-kimi", threads: threads)
        #expect(identical(try harness.evaluate(Self.ids, chunk: 97, all: true), Self.expected))
    }

    /// The past is cut into spans, which several threads share when there is little else to do.
    @Test("a past of several spans gives the same bits", arguments: [1, 2, 5], [1, 40, 256])
    func spans(_ threads: Int, chunk: Int) throws {
        let ids = Array(try #require(ReferenceTests.prompts["long"]).ids.prefix(1100))
        let whole = try Harness("tiny-kimi", threads: 1, rows: 1200).evaluate(ids, all: true)
        let harness = try Harness("tiny-kimi", threads: threads)
        let (before, tail) = (ids.prefix(990), ids.suffix(110))
        _ = try harness.evaluate(Array(before))
        let logits = try harness.evaluate(Array(tail), chunk: chunk, all: true)
        #expect(identical(logits, Array(whole.suffix(logits.count))))
        // And beside a sequence of one span in the same step.
        let short = Array(ids.prefix(20))
        let other = try Harness(sharing: harness)
        let fork = try Harness(sharing: harness)
        _ = try fork.evaluate(Array(before))
        let both = try fork.evaluate(Array(tail), beside: other, short)
        #expect(identical(both.own, Array(whole.suffix(both.own.count))))
        #expect(identical(both.other, Array(whole.prefix(both.other.count))))
    }

    /// With tiles only if it is asked for: else products with bf16 weights have another order of sums there, with the same errors.
    @Test("any instruction set gives the same bits", arguments: levels)
    func instructionSets(_ isa: Int32) throws {
        let scalar = try Harness("tiny-kimi", isa: Int32(CK_ISA_SCALAR)).evaluate(Self.ids, all: true)
        #expect(identical(try Harness("tiny-kimi", isa: isa, exact: true).evaluate(Self.ids, all: true), scalar))
        let usual = try Harness("tiny-kimi", isa: isa).evaluate(Self.ids, all: true)
        #expect(identical(usual, scalar) == (isa < Int32(CK_ISA_AMX)))
        #expect(largestDifference(usual, scalar) <= 1e-4)
    }

    @Test("a host's floating-point settings do not matter", arguments: [Int32(0x800), Int32(0xC00)])
    func hostSettings(_ rounding: Int32) throws { // FE_UPWARD, FE_TOWARDZERO on x86-64
        fesetround(rounding)
        defer { fesetround(0) }
        let harness = try Harness("tiny-kimi")
        let logits = try harness.evaluate(Self.ids, all: true)
        #expect(fegetround() == rounding, "the host's settings are the host's")
        fesetround(0)
        #expect(identical(logits, Self.expected))
    }

    @Test("copied weights give the same bits as mapped ones")
    func copied() throws {
        let harness = try Harness("tiny-kimi", policy: .copy)
        #expect(identical(try harness.evaluate(Self.ids, all: true), Self.expected))
    }

    @Test("several sequences in one step do not touch each other")
    func batches() throws {
        let harness = try Harness("tiny-kimi", rows: 512)
        let others = try (0..<3).map { _ in try TokenSequence(pool: harness.model.cache, contextLimit: 512) }
        let ids = Array(Self.ids.prefix(100))
        var rows: [StepRow] = []
        for (index, sequence) in others.enumerated() {
            // Each sequence gets another piece of the text, so that a mix-up cannot go unseen.
            try sequence.prepare(50)
            for position in 0..<50 {
                rows.append(StepRow(sequence: sequence, token: ids[index * 20 + position], position: position))
            }
        }
        var logits = [Float](repeating: 0, count: rows.count * harness.vocabulary)
        // Rows do not keep their sequences alive.
        try withExtendedLifetime(others) {
            try logits.withUnsafeMutableBufferPointer { target in
                try rows.withUnsafeBufferPointer { rows in
                    try harness.model.step(
                        rows, logits: LogitsTarget(target.baseAddress, rows: rows.count), cancellation: Cancellation())
                }
            }
        }
        for index in 0..<3 {
            let alone = try Harness("tiny-kimi", threads: 1).evaluate(Array(ids[index * 20..<index * 20 + 50]), all: true)
            #expect(identical(Array(logits[index * 50 * harness.vocabulary..<(index + 1) * 50 * harness.vocabulary]), alone))
        }
    }

    @Test("fork and truncation share the past and go apart", arguments: [1, 63, 64, 65, 130])
    func forks(_ split: Int) throws {
        let ids = Self.ids
        let harness = try Harness("tiny-kimi")
        _ = try harness.evaluate(Array(ids.prefix(split)))
        let fork = try harness.fork()
        // The original goes another way first: the fork's past must not feel it.
        _ = try harness.evaluate(Array(ids.reversed().prefix(70)))
        let rest = Array(ids[split..<200])
        let expected = Array(Self.expected[split * harness.vocabulary..<200 * harness.vocabulary])
        #expect(identical(try fork.evaluate(rest, all: true), expected))
        harness.sequence.truncate(to: split)
        #expect(identical(try harness.evaluate(rest, all: true), expected))
    }

    /// A rounded cache against the exact one over a prompt of 700 tokens. Medians: of this model's random experts some are chosen
    /// by a hair, and where rounding changes the choice, the logits are others.
    @Test("a rounded cache stays close to the exact one", arguments: [(CacheType.bf16, 0.9997, 1.5e-3), (.int8, 0.999, 6e-3)])
    func roundedCache(_ type: CacheType, cosine: Double, divergence: Double) throws {
        let ids = try #require(ReferenceTests.prompts["pages"]).ids
        let exact = try Harness("tiny-kimi").evaluate(ids, all: true)
        let harness = try Harness("tiny-kimi", cache: type)
        let logits = try harness.evaluate(ids, all: true)
        #expect(!identical(logits, exact), "a rounded cache that changes nothing is not in use")
        let rows = ids.indices.map { row in
            let range = row * harness.vocabulary..<(row + 1) * harness.vocabulary
            return closeness(Array(logits[range]), Array(exact[range]))
        }
        #expect(rows.map(\.cosine).sorted()[rows.count / 2] >= cosine)
        #expect(rows.map(\.divergence).sorted()[rows.count / 2] <= divergence)
        #expect(try #require(rows.last).cosine >= 0.999)
    }

    @Test("with an int8 cache threads, chunks and instruction sets do not matter either", arguments: levels, [1, 2, 5])
    func int8(_ isa: Int32, threads: Int) throws {
        let ids = Array(try #require(ReferenceTests.prompts["long"]).ids.prefix(700))
        let expected = try Harness("tiny-kimi", threads: 1, cache: .int8, rows: 700, exact: true).evaluate(ids)
        let harness = try Harness("tiny-kimi", isa: isa, threads: threads, cache: .int8, exact: true)
        #expect(identical(try harness.evaluate(ids, chunk: 97), expected))
        let single = try Harness(sharing: harness)
        _ = try single.evaluate(Array(ids.prefix(690)))
        #expect(identical(try single.evaluate(Array(ids.suffix(10)), chunk: 1), expected))
    }
}

/// The cosine of two rows of logits, and the KL divergence of the first's distribution from the second's, in nats.
private func closeness(_ a: [Float], _ b: [Float]) -> (cosine: Double, divergence: Double) {
    let x = a.map(Double.init), y = b.map(Double.init)
    let product = zip(x, y).reduce(0) { $0 + $1.0 * $1.1 }
    let norms = x.reduce(0) { $0 + $1 * $1 } * y.reduce(0) { $0 + $1 * $1 }
    let (p, q) = (logProbabilities(x), logProbabilities(y))
    return (product / norms.squareRoot(), zip(q, p).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) })
}

private func logProbabilities(_ logits: [Double]) -> [Double] {
    let top = logits.max() ?? 0
    let sum = log(logits.reduce(0) { $0 + exp($1 - top) })
    return logits.map { $0 - top - sum }
}
