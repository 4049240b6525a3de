import Foundation
import KimiCheckpoint
import KimiCore
import KimiTestSupport
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// Folders, indexes and shard sets that are not what they must be.
@Suite struct FolderFaultTests {
    static let index = "model.safetensors.index.json"
    static let shard2 = "model-00002-of-000002.safetensors"

    @Test func missingFolder() {
        Expected(.io, file: "nowhere", "No such file").check { _ = try Checkpoint(folder: "/tmp/kimi-test/nowhere") }
    }

    @Test(arguments: ["", "/tmp\0x"])
    func nameThatIsNone(_ name: String) {
        Expected(.io, "name of a checkpoint folder").check { _ = try Checkpoint(folder: name) }
    }

    @Test func emptyFolder() throws {
        let folder = try TemporaryFolder()
        Expected(.io, subject: "config.json", "no config.json").check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test func fileForAFolder() {
        Expected(.io, file: "config.json", "Not a directory").check {
            _ = try Checkpoint(folder: Fixtures.path("tiny-kimi/config.json"))
        }
    }

    @Test func noWeights() throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        try folder.remove("model.safetensors")
        Expected(.io, "no weights", "model.safetensors").check { _ = try Checkpoint(folder: folder.path) }
    }

    /// Files and folders nobody may read. Root may read anything, so as root the thread takes on another user's rights
    /// for file access while it opens.
    @Test(arguments: ["", "config.json", index, shard2])
    func noPermission(_ name: String) throws {
        let folder = try TemporaryFolder.fixture()
        let path = name.isEmpty ? folder.path : folder.path + "/" + name
        #expect(chmod(path, 0) == 0)
        defer { chmod(path, 0o700) }
        typealias SetUser = @convention(c) (UInt32) -> Int32
        let setUser = dlsym(nil, "setfsuid").map { unsafeBitCast($0, to: SetUser.self) }
        let isRoot = geteuid() == 0
        if isRoot { _ = setUser?(65534) }
        defer { if isRoot { _ = setUser?(0) } }
        Expected(.io, "Permission denied").check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test(arguments: ["config.json", index, shard2])
    func folderForAFile(_ name: String) throws {
        let folder = try TemporaryFolder.fixture()
        try folder.remove(name)
        try FileManager.default.createDirectory(at: folder.url.appending(path: name), withIntermediateDirectories: false)
        Expected(.io, file: name, "Is a directory").check { _ = try Checkpoint(folder: folder.path) }
    }

    /// Opening a pipe must neither wait for a writer nor read.
    @Test(arguments: ["config.json", index, shard2])
    func pipeForAFile(_ name: String) throws {
        let folder = try TemporaryFolder.fixture()
        try folder.remove(name)
        #expect(mkfifo(folder.path + "/" + name, 0o600) == 0)
        Expected(.io, file: name).check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test func linkToNothing() throws {
        let folder = try TemporaryFolder.fixture()
        try folder.remove(Self.shard2)
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/" + Self.shard2, withDestinationPath: folder.path + "/gone")
        Expected(.io, file: Self.shard2, "No such file").check { _ = try Checkpoint(folder: folder.path) }
    }

    // MARK: Index

    @Test func missingShard() throws {
        let folder = try TemporaryFolder.fixture()
        try folder.remove(Self.shard2)
        Expected(.io, file: Self.shard2, "1 of the 2").check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test(arguments: [
        "../outside", "../outside.safetensors", "/etc/passwd", "/tmp/x.safetensors", "sub/model.safetensors", "..", ".", "",
        "model.bin", ".safetensors", "a\\u0000.safetensors", "./model-00002-of-000002.safetensors",
    ])
    func shardOutsideTheFolder(_ name: String) throws {
        let folder = try TemporaryFolder.fixture()
        try folder.edit(
            Self.index, "\"language_model.model.norm.weight\": \"\(Self.shard2)\"",
            "\"language_model.model.norm.weight\": \"\(name)\"")
        Expected(.format, file: Self.index, subject: "language_model.model.norm.weight", "in the same folder").check {
            _ = try Checkpoint(folder: folder.path)
        }
    }

    @Test func tensorInAnotherShardThanTheIndexSays() throws {
        let folder = try TemporaryFolder.fixture()
        try folder.edit(
            Self.index, "\"language_model.model.norm.weight\": \"\(Self.shard2)\"",
            "\"language_model.model.norm.weight\": \"model-00001-of-000002.safetensors\"")
        Expected(.format, file: Self.shard2, subject: "language_model.model.norm.weight", "places the tensor in model-00001").check {
            _ = try Checkpoint(folder: folder.path)
        }
    }

    @Test func tensorInNoShard() throws {
        let folder = try TemporaryFolder.fixture()
        try folder.edit(Self.index, "\"weight_map\": {", "\"weight_map\": { \"extra\": \"\(Self.shard2)\",")
        Expected(.format, file: Self.index, subject: "extra", Self.shard2, "does not hold it").check {
            _ = try Checkpoint(folder: folder.path)
        }
    }

    @Test(arguments: [
        (#"{"weight_map":{"a":"x.safetensors","a":"x.safetensors"}}"#, "a", "twice"),
        (#"{"weight_map":{"a":"x.safetensors","\u0061":"x.safetensors"}}"#, "a", "twice"),
        (#"{"weight_map":{"a":5}}"#, "a", "expected a string"), (#"{"weight_map":{"a":null}}"#, "a", "expected a string"),
        (#"{"weight_map":[]}"#, nil, "expected '{'"), (#"{"weight_map":{}}"#, nil, "is empty"),
        (#"{"metadata":{}}"#, nil, "no weight_map"), ("{}", nil, "no weight_map"), ("[]", nil, "expected '{'"),
        ("", nil, "the text ends"), (#"{"weight_map":{},"weight_map":{}}"#, nil, "stands twice"),
        (#"{"weight_map":{"a":"x.safetensors"}} x"#, nil, "continues"), (#"{"weight_map":{"a":"x.safetensors",}}"#, nil, "expected a string"),
        (#"{"metadata":"# + String(repeating: "[", count: 10_000), nil, "too deep"),
        ("{\"weight_map\":{\"\":\"x.safetensors\"}}", nil, "name is empty"),
    ] as [(String, String?, String)])
    func indexText(_ text: String, _ subject: String?, _ words: String) throws {
        let folder = try TemporaryFolder.fixture()
        try folder.write(Self.index, text)
        Expected(.format, file: Self.index, subject: subject, words).check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test func tensorInTwoShards() throws {
        let folder = try TemporaryFolder()
        let tiny = TinyCheckpoint()
        try tiny.write(to: folder, shards: 2)
        var second = tiny.tensors()
        second.removeFirst((second.count + 1) / 2)
        let twice = tiny.tensors()[0]
        try folder.write(SafetensorsWriter.shardName(1, of: 2), SafetensorsWriter(second + [twice]).file())
        let expected = Expected(.format, file: SafetensorsWriter.shardName(1, of: 2), subject: twice.name, "is also in", "00001")
        expected.check { _ = try Checkpoint(folder: folder.path) }
        try folder.remove(Self.index)
        expected.check { _ = try Checkpoint(folder: folder.path) }
    }

    // MARK: Shards without an index

    @Test(arguments: [
        (["model-00001-of-000003.safetensors", "model-00003-of-000003.safetensors"], Status.io, "shard 2 of 3"),
        (["model-00001-of-000001.safetensors", "model-00001-of-000002.safetensors"], .format, "set of 1"),
        (["model-1-of-1.safetensors", "model-01-of-01.safetensors"], .format, "same shard number"),
        (["model-00000-of-000001.safetensors"], .format, "shard 0 of 1"),
        (["model-00002-of-000001.safetensors"], .format, "shard 2 of 1"),
        (["model-00001-of-999999.safetensors"], .format, "4096"),
        (["model-99999999999999999999-of-1.safetensors", "model-x-of-2.safetensors"], .io, "no weights"),
    ])
    func shardSet(_ names: [String], _ status: Status, _ words: String) throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        let bytes = try folder.bytes("model.safetensors")
        try folder.remove("model.safetensors")
        for name in names { try folder.write(name, bytes) }
        Expected(status, words).check { _ = try Checkpoint(folder: folder.path) }
    }

    // MARK: Prefix

    @Test func bothPrefixes() throws {
        let folder = try TemporaryFolder()
        var tensors = TinyCheckpoint().tensors()
        tensors.append(.init("model.embed_tokens.weight", "U8", [1], [0]))
        try TinyCheckpoint().write(to: folder)
        try SafetensorsWriter.write(tensors, to: folder)
        Expected(.format, subject: "model.embed_tokens.weight", "with and without").check {
            _ = try Checkpoint(folder: folder.path)
        }
    }

    // MARK: In use

    /// A file that shrinks while it is open: an error from the check and from reading, by name.
    @Test func shrinkingShard() throws {
        let folder = try TemporaryFolder.fixture()
        let checkpoint = try Checkpoint(folder: folder.path)
        let tensor = try #require(checkpoint.tensor("vision_tower.patch_embed.proj.weight"))
        var copy = [UInt8](repeating: 0, count: tensor.byteCount)
        try checkpoint.checkIntact()
        let handle = try FileHandle(forWritingTo: folder.url.appending(path: Self.shard2))
        try handle.truncate(atOffset: UInt64(checkpoint.shardSize(1) - 1))
        Expected(.io, file: Self.shard2, "became smaller", "\(checkpoint.shardSize(1))").check { try checkpoint.checkIntact() }
        let expected = Expected(.io, file: Self.shard2, subject: "vision_tower.patch_embed.proj.weight", "ended at byte")
        expected.check { try copy.withUnsafeMutableBytes { try checkpoint.read(tensor, into: $0) } }
        try handle.truncate(atOffset: 0)
        expected.check { try copy.withUnsafeMutableBytes { try checkpoint.read(tensor, into: $0) } }
        // What lies in the other shard is still there.
        let other = try #require(checkpoint.tensor("language_model.lm_head.weight"))
        var weights = [UInt8](repeating: 0, count: other.byteCount)
        try weights.withUnsafeMutableBytes { try checkpoint.read(other, into: $0) }
        // And a new opening says what is wrong.
        Expected(.format, file: Self.shard2, "truncated").check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test func removedAndReplacedShardsStayReadable() throws {
        let folder = try TemporaryFolder.fixture()
        let checkpoint = try Checkpoint(folder: folder.path)
        try folder.remove(Self.shard2)
        let tensor = try #require(checkpoint.tensor("vision_tower.patch_embed.proj.weight"))
        try checkpoint.checkIntact()
        #expect(try checkpoint.bytes(of: tensor).count == tensor.byteCount)
    }

    @Test func buffersAndTensorsThatDoNotFit() throws {
        let checkpoint = try Checkpoint(folder: Fixtures.path("tiny-kimi"))
        let tensor = try #require(checkpoint.tensor("language_model.lm_head.weight"))
        var small = [UInt8](repeating: 0, count: 10)
        Expected(.invalidArgument, subject: "language_model.lm_head.weight", "10 bytes").check {
            try small.withUnsafeMutableBytes { try checkpoint.read(tensor, into: $0) }
        }
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        let other = try Checkpoint(folder: folder.path)
        Expected(.invalidArgument, "another checkpoint").check { _ = try other.bytes(of: tensor) }
    }

    /// Open descriptors and mappings go with the checkpoint, after success and after failure.
    @Test func nothingIsLeftBehind() throws {
        let folder = try TemporaryFolder.fixture()
        // Files, each once: the system may show a mapping in several lines.
        func links(to part: String) throws -> Int {
            Set(try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap {
                try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + $0)
            }.filter { $0.contains(part) }).count
        }
        func mappings(of part: String) throws -> Int {
            // Line by line: of a file whose size is said to be 0, Foundation reads the first page only.
            let list = try #require(fopen("/proc/self/maps", "r"))
            defer { fclose(list) }
            var line = [CChar](repeating: 0, count: 8192)
            var files: Set<Substring> = []
            while fgets(&line, Int32(line.count), list) != nil {
                let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                if text.contains(part) { files.insert(text.drop { $0 != "/" }) }
            }
            return files.count
        }
        /// The lists may lack a line where other tests open files and map memory while they are read; what is left behind stays in them.
        func found(_ count: Int, of part: String) throws -> Bool {
            for _ in 0..<20 where try links(to: part) == count && mappings(of: part) == count { return true }
            return false
        }
        let part = folder.url.lastPathComponent
        do {
            let checkpoint = try Checkpoint(folder: folder.path)
            #expect(try found(2, of: part))
            withExtendedLifetime(checkpoint) {}
        }
        #expect(try found(0, of: part))
        try folder.edit(Self.index, "\"weight_map\": {", "\"weight_map\": { \"extra\": \"\(Self.shard2)\",")
        for _ in 0..<10 { #expect(throws: KimiError.self) { try Checkpoint(folder: folder.path) } }
        #expect(try found(0, of: part))
    }
}
