import Foundation
import KimiCore
import KimiRuntime
import KimiTestSupport
import Testing

struct SamplerTests {
    static let sizes = [1, 2, 3, 7, 64, 1000, 5000, 163_840]

    @Test("greedy takes the largest logit, and of equal ones the lowest id", arguments: sizes)
    func greedy(_ size: Int) throws {
        var random = SplitMix(UInt64(size))
        for change in [{ $0.greedy = true }, { $0.temperature = 0 }, { $0.topK = 1 }] as [(inout GenerationOptions) -> Void] {
            var options = GenerationOptions()
            change(&options)
            var sampler = try Sampler(options: options, vocabulary: size)
            for _ in 0..<5 {
                // Few different values, so that ties are everywhere.
                let logits = (0..<size).map { _ in Float(Int.random(in: -3...3, using: &random)) }
                let expected = logits.firstIndex(of: logits.max() ?? 0)
                #expect(Int(sampler.choose(logits)) == expected)
            }
        }
    }

    struct Case: Sendable {
        let name: String
        let change: @Sendable (inout GenerationOptions, Int) -> Void
        init(_ name: String, _ change: @escaping @Sendable (inout GenerationOptions, Int) -> Void) {
            self.name = name
            self.change = change
        }
    }

    static let cases: [Case] = [
        Case("nothing") { _, _ in },
        Case("top_k 5") { o, _ in o.topK = 5 },
        Case("top_k of all but one") { o, size in o.topK = max(2, size - 1) },
        Case("top_k beyond the vocabulary") { o, _ in o.topK = 1 << 30 },
        Case("top_p 0.9") { o, _ in o.topP = 0.9 },
        Case("top_p of next to nothing") { o, _ in o.topP = 1e-6 },
        Case("top_p of nearly all") { o, _ in o.topP = 0.9999 },
        Case("min_p 0.05") { o, _ in o.minP = 0.05 },
        Case("min_p 1") { o, _ in o.minP = 1 },
        Case("all three") { o, _ in (o.topK, o.topP, o.minP) = (40, 0.95, 0.02) },
        Case("hot top_p") { o, _ in (o.temperature, o.topP) = (100, 0.5) },
        Case("hot top_k") { o, _ in (o.temperature, o.topK) = (100, 17) },
        Case("cold") { o, _ in o.temperature = 1e-6 },
        Case("cold top_p") { o, _ in (o.temperature, o.topP) = (1e-6, 0.9) },
        Case("temperature before top_p and min_p") { o, _ in (o.temperature, o.topP, o.minP) = (0.3, 0.8, 0.1) },
        Case("half forbidden") { o, size in
            o.logitBias = (0..<size / 2).map { (Int32($0 * 2), -.infinity) }
            (o.topK, o.topP) = (max(2, size), 0.97)
        },
        Case("all but one forbidden") { o, size in
            o.logitBias = (0..<size).filter { $0 != size / 3 }.map { (Int32($0), -.infinity) }
            o.topK = 3
        },
    ]

    @Test("top_k, top_p and min_p leave exactly the right tokens, in the right proportions", arguments: cases.indices, sizes)
    func kept(_ index: Int, size: Int) throws {
        let test = Self.cases[index]
        var random = SplitMix(UInt64(index * 1000 + size))
        var options = GenerationOptions()
        test.change(&options, size)
        var sampler = try Sampler(options: options, vocabulary: size)
        let reference = ReferenceSampler(options: options)
        for spread in size > 5000 ? [2] : [0.01, 2, 20] as [Float] {
            let logits = randomLogits(size, &random, spread: spread)
            // In the single precision of a weight, what is less likely than 1e-38 cannot be drawn.
            let expected = reference.distribution(logits).filter { $0.probability > 1e-37 }
            let found = sampler.distribution(logits).filter { $0.probability > 1e-37 }
            #expect(Set(found.map(\.id)) == Set(expected.map(\.id)), "\(test.name), spread \(spread)")
            let probability = Dictionary(found.map { ($0.id, $0.probability) }) { a, _ in a }
            for (id, share) in expected { #expect(abs((probability[id] ?? 0) - share) < 1e-5 * share + 1e-12) }
        }
    }

    @Test("ties at the edge of top_k go to the lower ids")
    func tiesAtTheEdge() throws {
        var options = GenerationOptions()
        options.topK = 3
        var sampler = try Sampler(options: options, vocabulary: 8)
        let found = sampler.distribution([1, 2, 1, 2, 1, 2, 2, 2])
        #expect(Set(found.map(\.id)) == [1, 3, 5])
    }

    @Test("draws follow the distribution", arguments: [0, 5, 20], [1, 0.5] as [Float])
    func draws(topK: Int, temperature: Float) throws {
        var random = SplitMix(7)
        var options = GenerationOptions()
        (options.seed, options.topK, options.temperature) = (42, topK, temperature)
        let logits = randomLogits(40, &random, spread: 0.7)
        var sampler = try Sampler(options: options, vocabulary: 40)
        let expected = ReferenceSampler(options: options).distribution(logits)
        let count = 50_000
        var seen: [Int32: Int] = [:]
        for _ in 0..<count { seen[sampler.choose(logits), default: 0] += 1 }
        #expect(Set(seen.keys).isSubset(of: expected.map(\.id)))
        var statistic = 0.0
        var cells = 0
        for (id, probability) in expected where probability * Double(count) >= 5 {
            let wanted = probability * Double(count)
            statistic += pow(Double(seen[id] ?? 0) - wanted, 2) / wanted
            cells += 1
        }
        // Mean cells - 1 and variance twice that; six deviations above is never by chance.
        let freedom = Double(cells - 1)
        #expect(statistic < freedom + 6 * (2 * freedom).squareRoot(), "chi-square \(statistic) with \(freedom) degrees of freedom")
    }

    @Test("equal seeds draw equal tokens, other seeds and no seed others")
    func seeds() throws {
        var random = SplitMix(3)
        let logits = randomLogits(1000, &random, spread: 1)
        func draws(_ seed: UInt64?) throws -> [Int32] {
            var options = GenerationOptions()
            options.seed = seed
            var sampler = try Sampler(options: options, vocabulary: 1000)
            return (0..<50).map { _ in sampler.choose(logits) }
        }
        #expect(try draws(1) == draws(1))
        #expect(try draws(.max) == draws(.max))
        #expect(try draws(1) != draws(2))
        #expect(try draws(nil) != draws(nil))
    }

    @Test("the generator is xoshiro256** seeded by splitmix64")
    func generator() {
        // Of the published algorithms, by the authors' C code, for splitmix64 seed 0.
        var splitmix = SplitMix(0)
        #expect((0..<4).map { _ in splitmix.next() } == [
            0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F, 0xF88B_B8A8_724C_81EC,
        ])
        var found = Random(seed: 0)
        var (a, b, c, d) = (
            UInt64(0xE220_A839_7B1D_CDAF), UInt64(0x6E78_9E6A_A1B9_65F4), UInt64(0x06C4_5D18_8009_454F), UInt64(0xF88B_B8A8_724C_81EC))
        for _ in 0..<1000 {
            let scrambled = b &* 5
            let expected = ((scrambled << 7) | (scrambled >> 57)) &* 9
            let t = b << 17
            c ^= a
            d ^= b
            b ^= c
            a ^= d
            c ^= t
            d = (d << 45) | (d >> 19)
            #expect(found.next() == expected)
        }
        for _ in 0..<10_000 { #expect((0..<1).contains(found.unit())) }
        #expect(Random.entropySeed() != 0)
    }
}
