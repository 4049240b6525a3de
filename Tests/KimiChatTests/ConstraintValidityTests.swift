import Foundation
import KimiChat
import KimiCore
import KimiTestSupport
import Testing

/// Texts that are written by masks alone, judged by Python's jsonschema.
///
/// The fixture is made by `Tests/reference/constraints.py schemas`. `KIMI_CONSTRAINT_SCHEMAS` names another file of schemas, one a
/// line, and `KIMI_CONSTRAINT_SAMPLES` how many texts of each are written.
@Suite struct ConstraintValidityTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let script = Fixtures.root.deletingLastPathComponent().appending(path: "reference/constraints.py").path

    private static func schemas() throws -> [[UInt8]] {
        guard let path = environment["KIMI_CONSTRAINT_SCHEMAS"] else { return try lines("constraints/schemas.jsonl") }
        return [UInt8](try Data(contentsOf: URL(filePath: path))).split(separator: 0x0A).map(Array.init)
    }

    private static func python(_ arguments: [String], input: String? = nil) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3"] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = try input.map { try FileHandle(forReadingFrom: URL(filePath: $0)) } ?? FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    static let hasValidator = (try? python(["-c", "import jsonschema; jsonschema.Draft202012Validator"]).status == 0) ?? false

    @Test(.enabled(if: hasValidator, "python3-jsonschema is not installed"))
    func everyTextIsValidUnderJSONSchema() throws {
        let tokenizer = try TestVocabulary.tokenizer.get()
        let tree = try TestVocabulary.tree.get()
        let samples = Self.environment["KIMI_CONSTRAINT_SAMPLES"].flatMap { Int($0) } ?? 5
        let folder = try TemporaryFolder()
        var cases: [UInt8] = []
        var exact = 0
        for (index, schema) in try Self.schemas().enumerated() {
            let grammar = Grammar(schema: try JSON.parse(schema, file: "schema \(index)"))
            // What a schema cannot enforce it says; its texts are then only JSON.
            guard grammar.degradations.isEmpty else { continue }
            exact += 1
            let matcher = GrammarMatcher(grammar, tree)
            for sample in 0..<samples {
                var numbers = SeededNumbers(index * 1000 + sample)
                matcher.reset()
                let length = Int.random(in: 0...60, using: &numbers)
                let text = try #require(
                    matcher.writeAtRandom(length, &numbers, tokenizer), "dead end in sample \(sample) of schema \(index)")
                let written = try #require(String(validating: text, as: UTF8.self), "schema \(index): not UTF-8")
                cases += Array(#"{"schema":"#.utf8) + schema + Array(#","text":"#.utf8) + Array(JSONWriter.quoted(written).utf8)
                cases += Array("}\n".utf8)
            }
        }
        // Some of the generated schemas allow nothing at all.
        #expect(exact > 130)
        try folder.write("cases.jsonl", cases)
        let result = try Self.python([Self.script, "validate"], input: folder.path + "/cases.jsonl")
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.hasSuffix("\(exact * samples) texts checked, 0 not valid\n"), "\(result.output)")
    }
}
