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

    @Test("any instruction set gives the same bits", arguments: levels)
    func instructionSets(_ isa: Int32) throws {
        let harness = try Harness("tiny-kimi", isa: isa)
        #expect(identical(try harness.evaluate(Self.ids, all: true), Self.expected))
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

    @Test("a bf16 cache stays close to the exact one")
    func bf16Cache() throws {
        let harness = try Harness("tiny-kimi", cache: .bf16)
        let logits = try harness.evaluate(Self.ids)
        let exact = Array(Self.expected.suffix(harness.vocabulary))
        var dot = 0.0, a = 0.0, b = 0.0
        for (x, y) in zip(logits, exact) {
            dot += Double(x) * Double(y)
            a += Double(x) * Double(x)
            b += Double(y) * Double(y)
        }
        #expect(dot / (a * b).squareRoot() > 0.999)
        #expect(!identical(logits, exact), "a bf16 cache that changes nothing is not in use")
    }
}
