import Foundation
import KimiCore
import KimiRuntime
import KimiTestSupport
import Testing

/// Penalties, bias, and numbers at the edges.
struct PenaltyTests {
    /// The adjusted logits up to a constant: logarithms of the probabilities at temperature 1.
    private func logarithms(_ change: (inout GenerationOptions) -> Void, _ logits: [Float], past: [Int32] = [], generated: [Int32] = []) throws -> [Double] {
        var options = GenerationOptions()
        change(&options)
        var sampler = try Sampler(options: options, vocabulary: logits.count)
        for id in generated { sampler.note(id) }
        var result = [Double](repeating: -.infinity, count: logits.count)
        for (id, probability) in sampler.distribution(logits, past: past) { result[Int(id)] = log(probability) }
        return result
    }

    private func close(_ a: [Double], _ b: [Double]) -> Bool {
        zip(a, b).allSatisfy { abs(($0 - a[0]) - ($1 - b[0])) < 1e-5 }
    }

    @Test("repetition divides positive and multiplies negative logits, once for each token of the session")
    func repetition() throws {
        let found = try logarithms({ $0.repetitionPenalty = 2 }, [1, 3, -2, 4, 0], past: [1, 1, 1, 2, 4])
        #expect(close(found, [1, 1.5, -4, 4, 0]))
    }

    @Test("a repetition penalty below 1 favours")
    func favour() throws {
        let found = try logarithms({ $0.repetitionPenalty = 0.5 }, [1, 3, -2], past: [1, 2])
        #expect(close(found, [1, 6, -1]))
    }

    @Test("presence counts once, frequency each time, and only for generated tokens")
    func presenceAndFrequency() throws {
        let options: (inout GenerationOptions) -> Void = { ($0.presencePenalty, $0.frequencyPenalty) = (0.5, 0.25) }
        let found = try logarithms(options, [1, 1, 1, 1], past: [0, 0, 3], generated: [1, 2, 2, 2])
        #expect(close(found, [1, 1 - 0.75, 1 - 1.25, 1]))
    }

    @Test("negative penalties favour")
    func negative() throws {
        let options: (inout GenerationOptions) -> Void = { ($0.presencePenalty, $0.frequencyPenalty) = (-1, -2) }
        let found = try logarithms(options, [0, 0], generated: [1, 1])
        #expect(close(found, [0, 5]))
    }

    @Test("penalties come first, then bias, then temperature")
    func order() throws {
        let options: (inout GenerationOptions) -> Void = {
            ($0.repetitionPenalty, $0.presencePenalty, $0.temperature) = (2, 1, 0.5)
            $0.logitBias = [(0, 3), (2, -1), (2, -1)]
        }
        let found = try logarithms(options, [4, 1, 1, 0], past: [0], generated: [0])
        // (4 / 2 - 1 + 3) / 0.5, 1 / 0.5, (1 - 2) / 0.5, 0
        #expect(close(found, [8, 2, -2, 0]))
    }

    @Test("random settings agree with the reference", arguments: 0..<50)
    func random(_ seed: Int) throws {
        var random = SplitMix(UInt64(seed))
        let size = Int.random(in: 2...400, using: &random)
        var options = GenerationOptions()
        options.repetitionPenalty = .random(in: 0.5...2, using: &random)
        options.presencePenalty = .random(in: -2...2, using: &random)
        options.frequencyPenalty = .random(in: -1...1, using: &random)
        options.temperature = .random(in: 0.3...2, using: &random)
        options.topP = .random(in: 0.3...1, using: &random)
        options.topK = .random(in: 0...size, using: &random)
        if options.topK == 1 { options.topK = 2 }
        options.logitBias = (0..<size / 4).map { _ in
            (Int32.random(in: 0..<Int32(size), using: &random), Bool.random(using: &random) ? -.infinity : .random(in: -3...3, using: &random))
        }
        func ids(_ count: Int) -> [Int32] { (0..<count).map { _ in .random(in: 0..<Int32(size), using: &random) } }
        let (past, generated) = (ids(30), ids(20))
        let logits = randomLogits(size, &random, spread: 1)
        var sampler = try Sampler(options: options, vocabulary: size)
        for id in generated { sampler.note(id) }
        let expected = ReferenceSampler(options: options, past: past, generated: generated).distribution(logits)
        let found = Dictionary(sampler.distribution(logits, past: past).map { ($0.id, $0.probability) }) { a, _ in a }
        #expect(Set(found.keys) == Set(expected.map(\.id)))
        for (id, probability) in expected { #expect(abs((found[id] ?? 0) - probability) < 1e-4) }
    }

    @Test("a forbidden token is never chosen, however much else speaks for it", arguments: [true, false])
    func forbidden(_ greedy: Bool) throws {
        var options = GenerationOptions()
        (options.greedy, options.repetitionPenalty, options.presencePenalty) = (greedy, 0.01, -100)
        options.logitBias = [(0, 3e38), (0, 3e38), (0, -.infinity), (0, 3e38), (1, -.infinity)]
        var sampler = try Sampler(options: options, vocabulary: 3)
        for _ in 0..<100 {
            sampler.note(0)
            #expect(sampler.choose([3e38, 1e38, -3e38], past: [0, 1, 2]) == 2)
        }
    }

    static let extremes: [[Float]] = [
        [1e38, -1e38], [-1e38, 1e38], [3.4e38, 3.4e38, -3.4e38], [-3.4e38, -3.4e38], [0, 0, 0], [1e-38, -1e-38, 0],
        [.greatestFiniteMagnitude, -.greatestFiniteMagnitude, 1e30, 0], [1e38, Float(1e38).nextDown, Float(1e38).nextUp],
    ]

    @Test("extreme logits give a token and no trap", arguments: extremes.indices)
    func extreme(_ index: Int) throws {
        let logits = Self.extremes[index]
        let best = logits.firstIndex(of: logits.max() ?? 0)
        for (topK, topP, minP) in [(0, 1, 0), (2, 1, 0), (0, 0.5, 0), (2, 0.9, 0.5), (0, 1, 1)] as [(Int, Float, Float)] {
            for temperature in [1e-6, 1, 100, .leastNonzeroMagnitude] as [Float] {
                for penalty in [0.01, 1, 100] as [Float] {
                    var options = GenerationOptions()
                    (options.topK, options.topP, options.minP, options.temperature) = (topK, topP, minP, temperature)
                    (options.repetitionPenalty, options.presencePenalty, options.seed) = (penalty, 100, 1)
                    options.logitBias = [(0, 3e38), (1, -3e38)]
                    var sampler = try Sampler(options: options, vocabulary: logits.count)
                    sampler.note(0)
                    let id = sampler.choose(logits, past: [0, 1])
                    #expect((0..<Int32(logits.count)).contains(id))
                    let sum = sampler.distribution(logits, past: [0, 1]).reduce(0) { $0 + $1.probability }
                    #expect(abs(sum - 1) < 1e-6)
                }
            }
        }
        var options = GenerationOptions()
        options.greedy = true
        var sampler = try Sampler(options: options, vocabulary: logits.count)
        #expect(Int(sampler.choose(logits)) == best)
    }

    @Test("a low temperature takes the best, a high one takes all alike")
    func temperatures() throws {
        var options = GenerationOptions()
        (options.seed, options.temperature) = (1, 1e-6)
        let logits = (0..<100).map { Float($0) / 100 }
        var cold = try Sampler(options: options, vocabulary: 100)
        for _ in 0..<100 { #expect(cold.choose(logits) == 99) }
        options.temperature = 100
        var hot = try Sampler(options: options, vocabulary: 100)
        #expect(hot.distribution(logits).allSatisfy { abs($0.probability - 0.01) < 1e-4 })
    }

    @Test("log-probabilities and the best tokens agree with the reference", arguments: [1, 2, 30, 5000, 163_840])
    func logprobs(_ size: Int) throws {
        var random = SplitMix(UInt64(size))
        // Rounded, so that there are ties.
        let logits = randomLogits(size, &random).map { ($0 * 8).rounded() / 8 }
        let top = Double(logits.max() ?? 0)
        let expected = top + log(logits.reduce(0.0) { $0 + exp(Double($1) - top) })
        let order = logits.indices.sorted { logits[$0] > logits[$1] || (logits[$0] == logits[$1] && $0 < $1) }.map { Int32($0) }
        try logits.withUnsafeBufferPointer { buffer in
            let base = try #require(buffer.baseAddress)
            #expect(abs(Sampler.logSumExp(base, size) - expected) < 1e-9)
            for count in [0, 1, 5, 20] { #expect(Sampler.top(base, size, count: count) == Array(order.prefix(count))) }
        }
    }

    @Test("the logarithm of the sum of extremes is finite")
    func extremeSums() throws {
        for logits in Self.extremes {
            try logits.withUnsafeBufferPointer { buffer in
                let sum = Sampler.logSumExp(try #require(buffer.baseAddress), logits.count)
                #expect(sum.isFinite && sum >= Double(logits.max() ?? 0))
            }
        }
    }
}
