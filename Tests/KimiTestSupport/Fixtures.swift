import Foundation

/// Where the test data lies, found from this file's own place so that tests run from any folder.
package enum Fixtures {
    package static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures")

    /// The path of a file or folder under `Tests/Fixtures`.
    package static func path(_ name: String) -> String { root.appending(path: name).path }

    package static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: root.appending(path: name)))
    }

    /// A JSON fixture decoded into a type of the test's own.
    package static func decode<T: Decodable>(_ type: T.Type, _ name: String) throws -> T {
        try JSONDecoder().decode(type, from: Data(contentsOf: root.appending(path: name)))
    }
}

/// A folder that is gone when the last reference goes.
package final class TemporaryFolder {
    package let url: URL
    package var path: String { url.path }

    package init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "kimi-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    package func write(_ name: String, _ bytes: some Sequence<UInt8>) throws {
        try Data(bytes).write(to: url.appending(path: name))
    }

    /// Gives a file other bytes, in place. Making a file anew, or emptying it first, waits for the disk; thousands of cases should
    /// not.
    ///
    /// - Parameter length: of the file afterwards, if it is to have a hole at its end.
    package func rewrite(_ name: String, _ bytes: some Sequence<UInt8>, length: Int? = nil) throws {
        let url = url.appending(path: name)
        let data = Data(bytes)
        if !FileManager.default.fileExists(atPath: url.path) { try data.write(to: url) }
        let handle = try FileHandle(forWritingTo: url)
        defer { try? handle.close() }
        try handle.write(contentsOf: data)
        try handle.truncate(atOffset: UInt64(length ?? data.count))
    }

    package func write(_ name: String, _ text: String) throws { try write(name, text.utf8) }

    /// Copies a fixture folder in; its files are then free to be damaged.
    package func copyFixture(_ name: String) throws {
        for file in try FileManager.default.contentsOfDirectory(atPath: Fixtures.path(name)) {
            try FileManager.default.copyItem(
                at: Fixtures.root.appending(path: name).appending(path: file), to: url.appending(path: file))
        }
    }
}
