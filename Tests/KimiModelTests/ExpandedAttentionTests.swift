import CKimiKernels
import KimiCheckpoint
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

/// Long runs of rows in fast steps, which are attended expanded. The models have float weights, so the form of attention is all that a
/// fast step changes; and no experts, so that a rounding tips nothing over.
@Suite(.serialized) struct ExpandedAttentionTests {
    struct Sizes: Sendable {
        var heads = 2, nope = 16, rope = 8, value = 16, latent = 32
    }

    static let sizes = [
        Sizes(), Sizes(heads: 3, nope: 24, rope: 10, value: 40, latent: 40),
        Sizes(heads: 1, nope: 7, rope: 2, value: 17, latent: 50),
    ]
    static let ids = (0..<700).map { Int32($0 * 37 % 61) }
    /// What is cached before, absorbed: no whole blocks, so that runs begin within one.
    static let past = (0..<37).map { Int32($0 * 11 % 59) }

    private func harness(
        _ sizes: Sizes = Self.sizes[1], isa: Int32 = ck_isa_best(), threads: Int = 2,
        cache: CacheType = .f32, layers: Int = 3
    ) throws -> Harness {
        var tiny = TinyCheckpoint()
        (tiny.layers, tiny.denseLayers, tiny.packed, tiny.plainType) = (layers, layers, false, "F32")
        (tiny.heads, tiny.nope, tiny.rope, tiny.value, tiny.latent) = (sizes.heads, sizes.nope, sizes.rope, sizes.value, sizes.latent)
        let folder = try TemporaryFolder()
        try tiny.write(to: folder)
        var options = TextModel.Options()
        (options.isa, options.threads, options.cacheType, options.maxRows) = (isa, threads, cache, 1024)
        options.loadPolicy = .copy
        return try Harness(
            TextModel(checkpoint: try Checkpoint(folder: folder.path), topology: try Topology.current(), options: options))
    }

    private func evaluate(_ harness: Harness, chunk: Int? = nil, precision: Precision = .fast) throws -> [Float] {
        _ = try harness.evaluate(Self.past)
        return try harness.evaluate(Self.ids, chunk: chunk, all: true, precision: precision)
    }

    /// The absorbed form of an int8 cache rounds queries and weights to 16 bits; all else is the rounding of floats. Behind a
    /// rounded cache there is one layer: the latents of a second one would be rounded, and a last place would now and then tip one.
    @Test("expanded equals absorbed to rounding", arguments: CacheType.allCases, sizes.indices)
    func absorbed(_ cache: CacheType, index: Int) throws {
        let layers = cache == .f32 ? 3 : 1
        let expanded = try evaluate(try harness(Self.sizes[index], cache: cache, layers: layers))
        let absorbed = try evaluate(try harness(Self.sizes[index], cache: cache, layers: layers), precision: .exact)
        #expect(!identical(expanded, absorbed), "the expanded form is not in use")
        #expect(largestDifference(expanded, absorbed) <= (cache == .int8 ? 2e-4 : 2e-5))
    }

    @Test("short runs of a fast step are absorbed, bit for bit", arguments: CacheType.allCases)
    func short(_ cache: CacheType) throws {
        let exact = try evaluate(try harness(cache: cache), precision: .exact)
        #expect(identical(try evaluate(try harness(cache: cache), chunk: 100), exact))
    }

    @Test("threads and chunks give the same bits, as long as all chunks are long", arguments: CacheType.allCases, [1, 2, 3, 5])
    func same(_ cache: CacheType, threads: Int) throws {
        let expected = try evaluate(try harness(threads: 1, cache: cache))
        for chunk in [700, 400, 350] {
            #expect(identical(try evaluate(try harness(threads: threads, cache: cache), chunk: chunk), expected), "\(chunk)")
        }
    }

    @Test("any instruction set gives the same bits", arguments: levels, CacheType.allCases)
    func instructionSets(_ isa: Int32, cache: CacheType) throws {
        #expect(identical(try evaluate(try harness(isa: isa, cache: cache)), try evaluate(try harness(cache: cache))))
    }

    @Test("other sequences of a step, long or short, change nothing", arguments: [1, 2, 3], [5, 300])
    func beside(_ threads: Int, others: Int) throws {
        let own = Array(Self.ids.prefix(310))
        let other = Array(Self.ids.suffix(others))
        let expected = try harness(threads: 1).evaluate(own, all: true, precision: .fast)
        let expectedOther = try harness(threads: 1).evaluate(other, all: true, precision: .fast)
        let first = try harness(threads: threads)
        let second = try Harness(sharing: first)
        let both = try first.evaluate(own, beside: second, other, precision: .fast)
        #expect(identical(both.own, expected) && identical(both.other, expectedOther))
        let (third, fourth) = (try Harness(sharing: first), try Harness(sharing: first))
        let turned = try third.evaluate(other, beside: fourth, own, precision: .fast)
        #expect(identical(turned.other, expected) && identical(turned.own, expectedOther))
    }
}
