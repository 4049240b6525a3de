import CKimiKernels
import KimiModel
import KimiTestSupport
import Testing

/// The fixture checkpoint against the values of the public implementation in float32 (`Tests/Fixtures/README.md`).
@Suite(.serialized) struct ReferenceTests {
    struct Prompt: Decodable {
        let ids: [Int32]
        let greedy: [Int32]?
        let margin: [Float]?
    }

    static let prompts = (try? Fixtures.decode([String: Prompt].self, "tiny-kimi-expected/prompts.json")) ?? [:]
    static let short = ["one", "short", "medium", "special", "page", "pages"]

    @Test("logits, argmax and greedy tokens equal the reference", arguments: short, levels)
    func prompt(_ name: String, isa: Int32) throws {
        let prompt = try #require(Self.prompts[name])
        for threads in [1, 2] {
            let harness = try Harness("tiny-kimi", isa: isa, threads: threads)
            let logits = try harness.evaluate(prompt.ids, all: true)
            let last = Array(logits.suffix(harness.vocabulary))
            let expected = try NPY("tiny-kimi-expected/\(name).logits_last.npy").floats()
            #expect(largestDifference(last, expected) <= 2e-3)
            let expectedArgmax = try NPY("tiny-kimi-expected/\(name).argmax.npy").ints()
            let found = (0..<prompt.ids.count).map {
                Int32(argmax(logits[$0 * harness.vocabulary..<($0 + 1) * harness.vocabulary]))
            }
            #expect(found == expectedArgmax)
            try checkGreedy(prompt, harness, first: last)
        }
    }

    /// Greedy tokens equal the reference's as long as its margin is no coin toss.
    private func checkGreedy(_ prompt: Prompt, _ harness: Harness, first: [Float]) throws {
        let greedy = try #require(prompt.greedy)
        let margin = try #require(prompt.margin)
        var logits = first
        for step in greedy.indices {
            guard margin[step] > 5e-3 else { break }
            let token = Int32(argmax(logits[...]))
            #expect(token == greedy[step], "step \(step)")
            guard token == greedy[step] else { return }
            logits = try harness.evaluate([token])
        }
    }

    @Test("6,000 tokens, beyond the original context of YaRN", arguments: levels)
    func long(isa: Int32) throws {
        let prompt = try #require(Self.prompts["long"])
        let harness = try Harness("tiny-kimi", isa: isa)
        let logits = try harness.evaluate(prompt.ids)
        let expected = try NPY("tiny-kimi-expected/long.logits_last.npy").floats()
        #expect(largestDifference(logits, expected) <= 2e-3)
        #expect(argmax(logits[...]) == argmax(expected[...]))
    }

    @Test("block outputs and expert choices of every layer", arguments: levels)
    func layers(isa: Int32) throws {
        let prompt = try #require(Self.prompts["medium"])
        let harness = try Harness("tiny-kimi", isa: isa)
        let hidden = try NPY("tiny-kimi-expected/medium.hidden.npy").floats()
        var worst: Float = 0
        var outputs: [Int: [Float]] = [:]
        var chosen: [Int: [Set<Int32>]] = [:]
        var weights: [Int: [[Int32: Float]]] = [:]
        harness.model.layerObserver = { layer, output, choices in
            outputs[layer] = Array(output)
            guard layer > 0 else { return } // dense: nothing was chosen
            let perToken = choices.experts.count / prompt.ids.count
            chosen[layer] = (0..<prompt.ids.count).map { Set(choices.experts[$0 * perToken..<($0 + 1) * perToken]) }
            weights[layer] = (0..<prompt.ids.count).map { row in
                Dictionary(uniqueKeysWithValues: (row * perToken..<(row + 1) * perToken).map {
                    (choices.experts[$0], choices.weights[$0])
                })
            }
        }
        _ = try harness.evaluate(prompt.ids)
        let size = prompt.ids.count * harness.model.config.hiddenSize
        for layer in 0..<harness.model.config.layerCount {
            let expected = Array(hidden[layer * size..<(layer + 1) * size])
            worst = max(worst, largestDifference(try #require(outputs[layer]), expected))
            guard layer > 0 else { continue }
            let experts = try NPY("tiny-kimi-expected/medium.experts.\(layer).npy").ints()
            let expectedWeights = try NPY("tiny-kimi-expected/medium.expert_weights.\(layer).npy").floats()
            let perToken = experts.count / prompt.ids.count
            for row in 0..<prompt.ids.count {
                let range = row * perToken..<(row + 1) * perToken
                #expect(chosen[layer]?[row] == Set(experts[range]), "layer \(layer), row \(row)")
                for slot in range {
                    let found = weights[layer]?[row][experts[slot]] ?? .nan
                    #expect(abs(found - expectedWeights[slot]) < 1e-4)
                }
            }
        }
        #expect(worst < 1e-3)
    }
}
