import CKimiKernels
import KimiCheckpoint
import KimiModel
import KimiTestSupport
import Testing

/// The fast path of stored weights: activations of 16 bits, and long runs of rows attended expanded.
@Suite(.serialized) struct FastPathTests {
    static let pages = ReferenceTests.prompts["pages"]?.ids ?? []
    static let rows = Precision.fastRows(.stored)

    /// The bars that the project sets for a path that rounds activations.
    @Test("logits stay close to those of the exact path", arguments: [CacheType.f32])
    func accuracy(cache: CacheType) throws {
        let (exact, fast) = (try Harness("tiny-kimi", cache: cache, rows: 700), try Harness("tiny-kimi", cache: cache, rows: 700))
        let (right, found) = (
            try exact.evaluate(Self.pages, all: true), try fast.evaluate(Self.pages, all: true, precision: .fast)
        )
        #expect(!identical(right, found), "the fast path is not in use")
        let comparison = Comparison(right, found, width: exact.vocabulary)
        #expect(comparison.rows == 700)
        #expect(comparison.cosines.allSatisfy { $0 >= 0.999 })
        #expect(comparison.meanDivergence <= 1e-3)
        #expect(comparison.clear > 300 && comparison.sameClear == comparison.clear)
    }

    @Test("the last logits of every prompt are those of the reference, nearly", arguments: ReferenceTests.short)
    func reference(_ name: String) throws {
        let ids = try #require(ReferenceTests.prompts[name]).ids
        let harness = try Harness("tiny-kimi", rows: 700)
        let found = try harness.evaluate(ids, precision: .fast)
        let expected = try NPY("tiny-kimi-expected/\(name).logits_last.npy").floats()
        let comparison = Comparison(expected, found, width: harness.vocabulary)
        #expect(comparison.meanCosine >= 0.999999)
        #expect(comparison.sameArgmax == 1)
        #expect(largestDifference(expected, found) <= 1e-2)
    }

    @Test("threads and chunks give the same bits, as long as all chunks are long", arguments: [1, 2, 3, 5])
    func same(threads: Int) throws {
        let ids = Array(Self.pages.prefix(3 * Self.rows))
        let expected = try Harness("tiny-kimi", threads: 1, rows: 512).evaluate(ids, all: true, precision: .fast)
        for chunk in [512, 240, Self.rows] {
            let found = try Harness("tiny-kimi", threads: threads, rows: 512)
                .evaluate(ids, chunk: chunk, all: true, precision: .fast)
            #expect(identical(found, expected), "chunks of \(chunk)")
        }
    }

    /// But for tiles, whose products with bf16 weights have another order of sums.
    @Test("any instruction set gives the same bits", arguments: levels, [DenseFormat.stored, .int8])
    func instructionSets(_ isa: Int32, dense: DenseFormat) throws {
        let ids = Array(Self.pages.prefix(200))
        let expected = try Harness("tiny-kimi", isa: Int32(CK_ISA_SCALAR), dense: dense).evaluate(ids, all: true, precision: .fast)
        let found = try Harness("tiny-kimi", isa: isa, dense: dense).evaluate(ids, all: true, precision: .fast)
        #expect(identical(found, expected) == (isa < Int32(CK_ISA_AMX) || dense == .int8))
        #expect(largestDifference(found, expected) <= 1e-2)
    }

    @Test("other sequences of a step, long or short, change nothing", arguments: [1, 2], [3, 200])
    func beside(threads: Int, others: Int) throws {
        let (own, other) = (Array(Self.pages.prefix(200)), Array(Self.pages.suffix(others)))
        let expected = try Harness("tiny-kimi", rows: 512).evaluate(own, all: true, precision: .fast)
        let first = try Harness("tiny-kimi", threads: threads, rows: 512)
        let both = try first.evaluate(own, beside: Harness(sharing: first), other, precision: .fast)
        #expect(identical(both.own, expected))
    }

    @Test("the number of rows chooses the path, and the option `exact` overrules it")
    func choice() throws {
        let harness = try Harness("tiny-kimi")
        #expect(harness.model.precision(rows: Self.rows) == .fast)
        #expect(harness.model.precision(rows: Self.rows - 1) == .exact)
        let bytes = try Harness("tiny-kimi", dense: .int8).model
        #expect(bytes.precision(rows: Precision.fastRows(.int8)) == .fast)
        #expect(bytes.precision(rows: 1) == .exact)
    }

    @Test("a prompt goes in shares that all take one path", arguments: [(256, 600), (512, 513), (160, 1000), (300, 301)])
    func shares(_ sizes: (most: Int, tokens: Int)) throws {
        let model = try Harness("tiny-kimi", rows: sizes.most).model
        var (rest, shares): (Int, [Int]) = (sizes.tokens, [])
        while rest > 0 {
            shares.append(model.chunk(of: rest))
            rest -= shares[shares.count - 1]
        }
        #expect(shares.reduce(0, +) == sizes.tokens && shares.count == (sizes.tokens + sizes.most - 1) / sizes.most)
        #expect(shares.allSatisfy { $0 <= sizes.most } && (shares.max() ?? 0) - (shares.min() ?? 0) <= 1)
        // A model that never takes the fast path fills its steps.
        let small = try Harness("tiny-kimi", rows: 100).model
        #expect(small.chunk(of: 130) == 100 && small.chunk(of: 30) == 30)
    }
}
