import Foundation
import KimiCheckpoint
import KimiTestSupport
import Testing

/// The digest is the same for the same checkpoint wherever it lies, and another for anything that was changed.
@Suite struct DigestTests {
    private func digest(_ folder: TemporaryFolder) throws -> String { try Checkpoint(folder: folder.path).digest }

    @Test func staysWithTheCheckpoint() throws {
        let folder = try TemporaryFolder.fixture()
        let original = try Checkpoint(folder: Fixtures.path("tiny-kimi")).digest
        #expect(original.count == 32 && original.allSatisfy { "0123456789abcdef".contains($0) })
        #expect(try digest(folder) == original)
        // The order of the index is no part of it.
        let index = try JSONSerialization.jsonObject(with: Data(folder.bytes("model.safetensors.index.json")))
        try folder.write("model.safetensors.index.json", [UInt8](JSONSerialization.data(withJSONObject: index)))
        #expect(try digest(folder) == original)
    }

    @Test func changesWithConfigurationNamesAndShapes() throws {
        var seen: Set<String> = []
        let folder = try TemporaryFolder()
        var tiny = TinyCheckpoint()
        func add(_ shards: Int = 1) throws {
            try tiny.write(to: folder, shards: shards)
            #expect(try seen.insert(digest(folder)).inserted)
        }
        try add()
        tiny.seed = 2
        try add()
        tiny.context = 4097
        try add()
        tiny.experts = 5
        try add()
        try add(2)
        try folder.write("config.json", try folder.bytes("config.json") + [0x20])
        #expect(try seen.insert(digest(folder)).inserted)
    }

    /// Files small enough are sampled whole, and of large ones the first and the last bytes count.
    @Test(arguments: [8, 100_000])
    func changesWithTheData(_ length: Int) throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        var data = [UInt8](repeating: 7, count: length)
        func write() throws -> String {
            let embedding = SafetensorsWriter.Tensor("model.embed_tokens.weight", "U8", [length], data)
            try SafetensorsWriter.write([embedding], to: folder)
            return try digest(folder)
        }
        let original = try write()
        for place in [0, length - 1] {
            data[place] ^= 1
            #expect(try write() != original)
            data[place] ^= 1
        }
        #expect(try write() == original)
    }
}
