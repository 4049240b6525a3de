import KimiCore
import KimiRuntime
import KimiTestSupport
import Testing

struct TokenChoiceTests {
    enum Kind: CaseIterable {
        case except, among, oneBit, oneOf

        /// Whether a token may be chosen, in words.
        func allows(_ id: Int) -> Bool {
            switch self {
            case .except: id % 3 != 0
            case .among: id % 5 == 1
            case .oneBit: id == 65
            case .oneOf: id == 2 || id == 64
            }
        }

        func lend<R>(_ size: Int, _ body: (TokenChoice) throws -> R) throws -> R {
            if self == .except { return try body(.except((0..<size).filter { $0 % 3 == 0 }.map { Int32($0) } + [-1, Int32(size)])) }
            if self == .oneOf { return try body(.oneOf([64, 2, -1, Int32(size)])) }
            var words = [UInt64](repeating: 0, count: (size + 63) / 64)
            for id in 0..<size where allows(id) { words[id / 64] |= 1 << UInt64(id % 64) }
            // Bits beyond the vocabulary are nobody's.
            if size % 64 != 0 { words[size / 64] |= ~0 << UInt64(size % 64) }
            return try words.withUnsafeBufferPointer { try body(.among(try #require($0.baseAddress))) }
        }
    }

    @Test("a choice leaves its tokens and no other, whatever the options are", arguments: Kind.allCases, [70, 128, 200])
    func choices(_ kind: Kind, size: Int) throws {
        var random = SplitMix(UInt64(size))
        let changes: [(inout GenerationOptions) -> Void] = [
            { $0.seed = 3 }, { $0.greedy = true }, { ($0.seed, $0.topK, $0.topP) = (4, 2, 0.5) },
            { ($0.seed, $0.presencePenalty) = (5, 100) },
        ]
        for change in changes {
            var options = GenerationOptions()
            change(&options)
            var sampler = try Sampler(options: options, vocabulary: size)
            for _ in 0..<50 {
                let logits = randomLogits(size, &random, spread: 3)
                let chosen = Int(try kind.lend(size) { sampler.choose(logits, from: $0) })
                sampler.note(Int32(chosen))
                #expect(kind.allows(chosen), "\(chosen)")
                if options.greedy { #expect(chosen == (0..<size).filter(kind.allows).max { logits[$0] < logits[$1] }) }
            }
        }
    }

    @Test("a mask holds even where a bias forbids all that it leaves")
    func biasAgainstMask() throws {
        var options = GenerationOptions()
        options.logitBias = (0..<128).filter { $0 != 3 }.map { (Int32($0), -.infinity) }
        var sampler = try Sampler(options: options, vocabulary: 128)
        var random = SplitMix(1)
        let logits = randomLogits(128, &random)
        #expect(try Kind.oneBit.lend(128) { sampler.choose(logits, from: $0) } == 65)
    }

    @Test("a forced token is taken, and draws nothing")
    func forced() throws {
        var options = GenerationOptions()
        options.seed = 11
        var random = SplitMix(2)
        let logits = randomLogits(64, &random, spread: 0.1)
        var plain = try Sampler(options: options, vocabulary: 64)
        var forced = try Sampler(options: options, vocabulary: 64)
        let expected = (0..<8).map { _ in plain.choose(logits) }
        var found: [Int32] = []
        for _ in 0..<8 {
            #expect(forced.choose(logits, from: .only(7)) == 7)
            found.append(forced.choose(logits))
        }
        #expect(found == expected)
    }
}
