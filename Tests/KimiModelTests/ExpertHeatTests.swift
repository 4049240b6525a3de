import Foundation
import KimiCore
import KimiModel
import Testing

@Suite struct ExpertHeatTests {
    private func heat(_ text: String) throws -> ExpertHeat {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("heat-\(UUID().uuidString).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return try ExpertHeat(file: path, layers: 2, experts: 3)
    }

    private static func text(_ counts: String, layers: String = "2", experts: String = "3", version: String = "1") -> String {
        "{\"format\": \"kimi-heat\", \"version\": \(version), \"layers\": \(layers), \"experts\": \(experts), \"counts\": \(counts)}"
    }

    @Test("counts are read as they are written")
    func reading() throws {
        #expect(try heat(Self.text("[[0, 0, 0], [1, 2.5, 1e3]]")).counts == [0, 0, 0, 1, 2.5, 1000])
    }

    @Test("what is wrong is named", arguments: [
        (text("[[0, 0, 0], [1, 2]]"), "layer 1: a list of 2; a list of 3"),
        (text("[[0, 0, 0], 7]"), "layer 1: an integer; a list of 3"),
        (text("[[0, 0, 0]]"), "has 1 lists; 2 must be here"),
        (text("[[0, 0, 0], [1, -2, 3]]"), "layer 1, expert 1: -2.0; a number from 0"),
        (text("[[0, 0, 1e300], [1, 2, 3]]"), "layer 0, expert 2: 1e+300; a number from 0"),
        (text("[[0, 0, 0], [1, \"2\", 3]]"), "layer 1, expert 1: a string; a number from 0"),
        (text("7"), "2 lists of 3 numbers must be here, found an integer"),
        (text("[[0, 0, 0], [1, 2, 3]]", layers: "61"), "with 61 layers; this one has 2"),
        (text("[[0, 0, 0], [1, 2, 3]]", experts: "384"), "with 384 experts; this one has 3"),
        (text("[[0, 0, 0], [1, 2, 3]]", experts: "\"3\""), "3 must be here, found a string"),
        (text("[[0, 0, 0], [1, 2, 3]]", version: "2"), "another version; 1 must be here"),
        ("{\"format\": \"heat\"}", "is no heat file"),
        ("[1, 2, 3]", "is no heat file"),
        ("{", "not valid JSON at byte 1"),
        ("[[[[[[[[1]]]]]]]]", "nested too deep"),
    ])
    func faults(_ text: String, _ words: String) throws {
        let error = try #require(throws: KimiError.self) { try heat(text) }
        #expect(error.status == .format)
        #expect(error.message.contains(words), "\(error.message)")
        #expect(error.file != nil)
    }

    @Test("a file that is not there, a folder and an empty file are errors")
    func noFile() throws {
        #expect(try #require(throws: KimiError.self) { try ExpertHeat(file: "/no/such/file", layers: 2, experts: 3) }.status == .io)
        #expect(throws: KimiError.self) { try ExpertHeat(file: "/tmp", layers: 2, experts: 3) }
        #expect(throws: KimiError.self) { try ExpertHeat(file: "", layers: 2, experts: 3) }
        #expect(throws: KimiError.self) { try heat("") }
    }

    @Test("probabilities add up to what a token chooses, and none is above one")
    func probabilities() {
        let heat = ExpertHeat(layers: 3, experts: 4, counts: [0, 0, 0, 0, 1, 1, 1, 1, 1000, 1, 1, 2])
        #expect(heat.probabilities(layer: 0, perToken: 2) == [0.5, 0.5, 0.5, 0.5])
        #expect(heat.probabilities(layer: 1, perToken: 2) == [0.5, 0.5, 0.5, 0.5])
        // The first is chosen every time; the other choice goes 1 : 1 : 2.
        let skewed = heat.probabilities(layer: 2, perToken: 2)
        for (found, expected) in zip(skewed, [1, 0.25, 0.25, 0.5]) { #expect(abs(found - expected) < 1e-9) }
        let never = ExpertHeat(layers: 1, experts: 4, counts: [5, 5, 0, 0]).probabilities(layer: 0, perToken: 3)
        #expect(abs(never.reduce(0, +) - 3) < 1e-9 && never.allSatisfy { $0 <= 1 })
    }
}
