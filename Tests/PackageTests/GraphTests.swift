import Foundation
import KimiTestSupport
import Testing

/// Doors open downwards only: the rooms of `Package.swift` depend on each other in one direction.
struct GraphTests {
    /// Lower rooms first. A target may depend on targets before it, never on one after it or beside it in its row.
    static let floors: [[String]] = [
        ["CKimi", "CHwloc", "CLineEditing", "CSentencePiece", "CKimiSystem", "CKimiKernels", "CKimiMedia"],
        ["KimiCore"],
        ["KimiCheckpoint", "KimiTopology", "KimiTokenizer"],
        ["KimiModel", "KimiChat"],
        ["KimiVision"],
        ["KimiRuntime"],
        ["KimiAgent"],
        ["KimiBench", "KimiABI"],
        ["kimi"],
    ]

    struct Description: Decodable {
        struct Target: Decodable {
            let name: String
            let type: String
            let path: String
            let target_dependencies: [String]?
        }
        let targets: [Target]
    }

    static func describe() throws -> Description {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        // The test run itself holds the build folder's lock.
        process.arguments = ["swift", "package", "--ignore-lock", "describe", "--type", "json"]
        process.currentDirectoryURL = Fixtures.root.deletingLastPathComponent().deletingLastPathComponent()
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return try JSONDecoder().decode(Description.self, from: data)
    }

    @Test("no target depends on one above it or beside it")
    func direction() throws {
        let floor = Dictionary(uniqueKeysWithValues: Self.floors.enumerated().flatMap { level, names in names.map { ($0, level) } })
        let targets = try Self.describe().targets
        let rooms = targets.filter { !$0.path.hasPrefix("Tests/") }
        #expect(Set(rooms.map(\.name)) == Set(floor.keys), "a new room needs its floor in this test")
        for room in rooms {
            for dependency in room.target_dependencies ?? [] {
                let from = try #require(floor[room.name])
                let to = try #require(floor[dependency], "\(room.name) depends on \(dependency)")
                #expect(to < from, "\(room.name) must not depend on \(dependency)")
            }
        }
    }

    @Test("no room depends on a test")
    func testsStayOutside() throws {
        let targets = try Self.describe().targets
        let tests = Set(targets.filter { $0.path.hasPrefix("Tests/") }.map(\.name))
        for room in targets where !room.path.hasPrefix("Tests/") {
            #expect(tests.isDisjoint(with: room.target_dependencies ?? []), "\(room.name)")
        }
    }
}
