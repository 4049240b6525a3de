import Foundation
import KimiCheckpoint
import KimiCore
import KimiTestSupport
import Testing

/// What an error must say: its status, the end of its file's path, its subject, and words of its message.
struct Expected: Sendable {
    var status: Status
    /// The file's name; nil: not checked.
    var file: String?
    /// nil: not checked.
    var subject: String?
    var words: [String]

    init(_ status: Status, file: String? = nil, subject: String? = nil, _ words: String...) {
        self.status = status
        self.file = file
        self.subject = subject
        self.words = words
    }

    /// Runs `body`, which must fail in this way.
    func check(_ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) {
        do {
            try body()
            Issue.record("no error; expected \(status) about \(words)", sourceLocation: sourceLocation)
        } catch let error as KimiError {
            #expect(error.status == status, "\(error)", sourceLocation: sourceLocation)
            if let file { #expect(error.file?.hasSuffix("/" + file) == true, "\(error)", sourceLocation: sourceLocation) }
            if let subject { #expect(error.subject == subject, "\(error)", sourceLocation: sourceLocation) }
            for word in words {
                #expect(error.message.contains(word), "\"\(word)\" is not in: \(error)", sourceLocation: sourceLocation)
            }
        } catch {
            Issue.record("another error: \(error)", sourceLocation: sourceLocation)
        }
    }
}

extension TemporaryFolder {
    func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: url.appending(path: name))) }

    /// Replaces text in a file, which must hold it.
    func edit(_ name: String, _ old: String, _ new: String) throws {
        let text = String(decoding: try bytes(name), as: UTF8.self)
        try #require(text.contains(old), "\(old) is not in \(name)")
        try write(name, text.replacing(old, with: new))
    }

    func remove(_ name: String) throws { try FileManager.default.removeItem(at: url.appending(path: name)) }

    /// A copy of the tiny-kimi fixture.
    static func fixture() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.copyFixture("tiny-kimi")
        return folder
    }
}

/// A tensor as Foundation's JSON reader sees it in a header: the independent reference for our own reader.
struct ReferenceTensor {
    let dtype: String, shape: [Int], begin: Int, end: Int

    static func read(_ file: [UInt8]) throws -> (tensors: [String: ReferenceTensor], dataStart: Int) {
        let length = file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        let json = try JSONSerialization.jsonObject(with: Data(file[8..<8 + length]))
        var tensors: [String: ReferenceTensor] = [:]
        for (name, value) in try #require(json as? [String: [String: Any]]) where name != "__metadata__" {
            let offsets = try #require(value["data_offsets"] as? [Int])
            tensors[name] = ReferenceTensor(
                dtype: try #require(value["dtype"] as? String), shape: try #require(value["shape"] as? [Int]),
                begin: offsets[0], end: offsets[1])
        }
        return (tensors, 8 + length)
    }
}
