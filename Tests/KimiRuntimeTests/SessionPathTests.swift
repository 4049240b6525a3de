import Foundation
import KimiCore
import KimiRuntime
import KimiTestSupport
import Testing

/// Saving to and loading from places that are none, and what is left behind.
struct SessionPathTests {
    private func session(_ count: Int) throws -> Session {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(0, to: count))
        return session
    }

    private func names(_ folder: TemporaryFolder) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    }

    @Test("places where nothing can be written")
    func unwritable() throws {
        let session = try session(5)
        let folder = try TemporaryFolder()
        try folder.write("file", "text")
        try FileManager.default.createDirectory(at: folder.url.appending(path: "sub"), withIntermediateDirectories: true)
        try folder.write("sub/file", "text")
        let before = try names(folder)
        for path in ["", folder.path + "/missing/session", folder.path + "/file/session", folder.path + "/sub", folder.path + "/",
            folder.path + "/" + String(repeating: "x", count: 256), String(repeating: "y/", count: 3000)] {
            let error = failure { try session.save(to: path) }
            #expect(error?.status == (path.isEmpty ? .invalidArgument : .io), "\(path.prefix(80)): \(String(describing: error))")
            #expect(path.isEmpty || error?.file == path)
        }
        #expect(try names(folder) == before)
        #expect(try session.evaluate(Tiny.ids(5, to: 6)) == Tiny.expected(after: 6))
    }

    @Test("a name as long as names can be")
    func longName() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/" + String(repeating: "x", count: 255)
        try session(5).save(to: path)
        let loaded = try Tiny.session()
        try loaded.load(from: path)
        #expect(try loaded.ids() == Tiny.ids(0, to: 5))
    }

    @Test("places where nothing can be read")
    func unreadable() throws {
        let session = try session(5)
        let folder = try TemporaryFolder()
        try folder.write("empty", "")
        try folder.write("text", String(repeating: "no session\n", count: 100))
        #expect(mkfifo(folder.path + "/pipe", 0o600) == 0)
        for (name, status) in [("", Status.io), ("missing", .io), ("missing/session", .io), ("empty", .format), ("text", .format), ("text/x", .io), ("pipe", .io)] {
            let error = failure { try session.load(from: folder.path + "/" + name) }
            #expect(error?.status == status && error?.file == folder.path + "/" + name, "\(name): \(String(describing: error))")
        }
        #expect(failure { try session.load(from: "") }?.status == .invalidArgument)
        #expect(failure { try session.load(from: "/dev/zero") }?.status == .io)
        #expect(try session.evaluate(Tiny.ids(5, to: 6)) == Tiny.expected(after: 6))
    }

    @Test("without permission, where the system asks for any", .enabled(if: geteuid() != 0, "the superuser may do everything"))
    func noPermission() throws {
        let session = try session(5)
        let folder = try TemporaryFolder()
        let path = folder.path + "/session"
        try session.save(to: path)
        chmod(path, 0)
        #expect(failure { try session.load(from: path) }?.status == .io)
        chmod(folder.path, 0o500)
        #expect(failure { try session.save(to: folder.path + "/other") }?.status == .io)
        chmod(folder.path, 0o700)
    }

    @Test("saving over a file replaces it as a whole: who has the old one open goes on reading it")
    func atomic() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/session"
        try session(70).save(to: path)
        let old = try Data(contentsOf: URL(filePath: path))
        let handle = try FileHandle(forReadingFrom: URL(filePath: path))
        try session(5).save(to: path)
        #expect(try handle.readToEnd() == old)
        #expect(try Data(contentsOf: URL(filePath: path)) != old)
        #expect(try names(folder) == ["session"])
        let loaded = try Tiny.session()
        try loaded.load(from: path)
        #expect(loaded.position == 5)
    }

    @Test("a save that is broken off leaves the old file and nothing else")
    func brokenOff() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/session"
        try session(5).save(to: path)
        let old = try Data(contentsOf: URL(filePath: path))
        let session = try session(70)
        session.cancellation.end()
        #expect(failure { try session.save(to: path) }?.status == .cancelled)
        #expect(try Data(contentsOf: URL(filePath: path)) == old)
        #expect(try names(folder) == ["session"])
    }

    @Test("a load that is broken off leaves the session as it was")
    func loadBrokenOff() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/session"
        try session(70).save(to: path)
        let session = try session(5)
        session.cancellation.end()
        #expect(failure { try session.load(from: path) }?.status == .cancelled)
        #expect(try session.ids() == Tiny.ids(0, to: 5))
    }

    @Test("files are for their owner alone")
    func mode() throws {
        let folder = try TemporaryFolder()
        try session(5).save(to: folder.path + "/session")
        let attributes = try FileManager.default.attributesOfItem(atPath: folder.path + "/session")
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }
}
