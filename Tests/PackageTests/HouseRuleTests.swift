import Foundation
import KimiTestSupport
import Testing

/// Rules of the house that a search can see.
struct HouseRuleTests {
    static let sources = Fixtures.root.deletingLastPathComponent().deletingLastPathComponent().appending(path: "Sources")

    /// Every Swift file of the library, with its lines; the program `kimi` may print and use Foundation.
    static func library() throws -> [(file: String, lines: [String])] {
        let files = try FileManager.default.subpathsOfDirectory(atPath: sources.path)
        return try files.filter { $0.hasSuffix(".swift") && !$0.hasPrefix("kimi/") }.map { file in
            (file, try String(contentsOf: sources.appending(path: file), encoding: .utf8).components(separatedBy: "\n"))
        }
    }

    @Test(
        "what would end the host, write to its terminal, or bring Foundation along is not in the library",
        arguments: ["try!", "fatalError(", "preconditionFailure(", "as! ", " print(", "import Foundation", "abort()", " exit("])
    func forbidden(_ word: String) throws {
        let found = try Self.library().flatMap { file, lines in
            lines.enumerated().filter { _, line in
                line.contains(word) && !line.trimmingCharacters(in: .whitespaces).hasPrefix("//")
            }.map { "\(file):\($0.offset + 1)" }
        }
        #expect(found.isEmpty, "\(word) in \(found)")
    }

    @Test("no file grows beyond 600 lines")
    func length() throws {
        // A generated table is data, not reading matter.
        for (file, lines) in try Self.library() where !file.hasSuffix("Table.swift") {
            #expect(lines.count <= 600, "\(file) has \(lines.count) lines")
        }
    }

    @Test("the status codes of Swift and of kimi.h are the same")
    func statusCodes() throws {
        let root = Self.sources.deletingLastPathComponent()
        let header = try String(contentsOf: root.appending(path: "Include/kimi.h"), encoding: .utf8)
        let inHeader = header.matches(of: #/#define KIMI_(?:OK|ERROR_[A-Z_]+) \(?(-?\d+)\)?/#).compactMap { Int($0.1) }
        let swift = try String(contentsOf: Self.sources.appending(path: "KimiCore/Status.swift"), encoding: .utf8)
        let inSwift = swift.matches(of: #/case [`a-zA-Z]+ = (-?\d+)/#).compactMap { Int($0.1) }
        #expect(inHeader.sorted() == inSwift.sorted())
        #expect(inHeader.count == 14)
    }
}
