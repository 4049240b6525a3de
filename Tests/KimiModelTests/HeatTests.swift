import Foundation
import KimiCore
import KimiModel
import KimiTestSupport
import Testing

/// What is counted of the router's choices, against those of the public implementation (`Tests/Fixtures/README.md`).
struct HeatTests {
    struct Heat: Decodable, Equatable {
        let format: String
        let version: Int
        let layers: Int
        let experts: Int
        let counts: [[UInt64]]

        static func of(_ model: TextModel) throws -> Heat {
            try JSONDecoder().decode(Heat.self, from: Data(model.heat().utf8))
        }
    }

    private static let prompt = ReferenceTests.prompts["medium"]?.ids ?? []

    @Test("counts are the reference's choices, in steps of any size; a dense layer has none", arguments: [nil, 1, 7])
    func reference(_ chunk: Int?) throws {
        let harness = try Harness("tiny-kimi")
        let config = harness.model.config
        #expect(try Heat.of(harness.model).counts.allSatisfy { $0.allSatisfy { $0 == 0 } })
        for round in 1...2 {
            _ = try harness.evaluate(Self.prompt, chunk: chunk)
            let heat = try Heat.of(harness.model)
            #expect(heat.format == "kimi-heat" && heat.version == 1 && heat.layers == 4 && heat.experts == 16)
            #expect(heat.counts.count == config.layerCount && heat.counts.allSatisfy { $0.count == config.expertCount })
            #expect(heat.counts[0].allSatisfy { $0 == 0 })
            guard round == 1 else {
                // The second time at other positions: as many, whichever.
                #expect(heat.counts[1...].allSatisfy { $0.reduce(0, +) == UInt64(2 * Self.prompt.count * config.expertsPerToken) })
                continue
            }
            for layer in 1..<config.layerCount {
                var expected = [UInt64](repeating: 0, count: config.expertCount)
                for expert in try NPY("tiny-kimi-expected/medium.experts.\(layer).npy").ints() { expected[Int(expert)] += 1 }
                #expect(heat.counts[layer] == expected, "layer \(layer)")
            }
        }
    }

    @Test("two sequences in one step count both; a probe of one layer counts nothing")
    func batch() throws {
        let harness = try Harness("tiny-kimi")
        let other = try Harness(sharing: harness)
        _ = try harness.evaluate([1, 2, 3], beside: other, [4, 5])
        let expected = UInt64(5 * harness.model.config.expertsPerToken)
        #expect(try Heat.of(harness.model).counts[1...].allSatisfy { $0.reduce(0, +) == expected })
        let before = try Heat.of(harness.model)
        let input = [Float](repeating: 0.5, count: harness.model.config.hiddenSize)
        _ = try input.withUnsafeBufferPointer { input in
            try harness.model.probeExperts(
                layer: 1, rows: 1, input: #require(input.baseAddress), cancellation: Cancellation())
        }
        #expect(try Heat.of(harness.model) == before)
    }
}
