import CKimiKernels
import Foundation
import KimiModel
import KimiTestSupport
import Testing

/// Checkpoints of other shapes against the independent NumPy reference (`Tests/reference`).
@Suite(.serialized) struct ShapeTests {
    struct Expected: Decodable {
        let ids: [Int32]
        let greedy: [Int32]
        let margin: [Float]
    }

    static let names = (try? FileManager.default.contentsOfDirectory(atPath: Fixtures.path("shapes")).sorted()) ?? []

    @Test("logits of every token and greedy tokens equal the reference", arguments: names, levels)
    func shape(_ name: String, isa: Int32) throws {
        let expected = try Fixtures.decode(Expected.self, "shapes/\(name)/expected.json")
        let reference = try NPY("shapes/\(name)/expected.logits.npy").floats()
        let harness = try Harness("shapes/\(name)", isa: isa)
        let logits = try harness.evaluate(expected.ids, chunk: 5, all: true)
        #expect(largestDifference(logits, reference) <= 2e-3)
        var last = Array(logits.suffix(harness.vocabulary))
        for (step, token) in expected.greedy.enumerated() {
            guard expected.margin[step] > 5e-3 else { break }
            #expect(argmax(last[...]) == Int(token), "step \(step)")
            last = try harness.evaluate([token])
        }
    }

    @Test("all shapes are there")
    func complete() { #expect(Self.names.count == 9) }
}
