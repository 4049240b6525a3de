import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// Files that shrink under a model, and weights that are no numbers.
struct DamagedCheckpointTests {
    private static let shard = "model-00002-of-000002.safetensors"

    private static func copy() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.copyFixture("tiny-kimi")
        return folder
    }

    // MARK: A shard that shrinks

    @Test(
        "a mapped shard that shrinks is an error that names it, never a signal, and stays one with its bytes back",
        arguments: ["model-00001-of-000002.safetensors", shard], [0, 4096, 300_000])
    func shrunk(_ name: String, length: Int) throws {
        let folder = try Self.copy()
        let path = folder.url.appending(path: name).path
        let bytes = try Data(contentsOf: URL(filePath: path))
        let session = try Session(model: try Tiny.open(folder.path))
        try session.evaluate(Tiny.ids(0, to: 60))
        #expect(truncate(path, off_t(length)) == 0)
        for _ in 0..<2 {
            let error = failure { try session.evaluate(Tiny.ids(60, to: 70)) }
            #expect(error?.status == .io)
            #expect(error?.file == path)
            #expect(error?.message.contains("\(length)") == true && error?.message.contains("\(bytes.count)") == true)
        }
        // The logits of the last token were at hand; the next step is not.
        #expect(failure { try session.events { $0.ignoreEnd = true } }?.status == .io)
        #expect(failure { _ = try session.polled { $0.ignoreEnd = true } }?.status == .io)
        #expect(try session.ids().prefix(60) == Tiny.ids(0, to: 60)[...])
        try session.truncate(to: 60)
        // In place: the same file, as long as before. Whether it has other bytes in it nobody knows.
        let handle = try FileHandle(forWritingTo: URL(filePath: path))
        try handle.write(contentsOf: bytes)
        try handle.close()
        let error = failure { try session.evaluate(Tiny.ids(60, to: 130)) }
        #expect(error?.status == .io && error?.file == path && error?.message.contains("modified") == true)
        let again = try Session(model: try Tiny.open(folder.path))
        #expect(try again.evaluate(Tiny.ids(0, to: 130)) == Tiny.expected(after: 130))
    }

    @Test("a mapped shard that is written to is an error, not another result", arguments: [LoadPolicy.map, .stream])
    func written(_ load: LoadPolicy) throws {
        let folder = try Self.copy()
        let path = folder.url.appending(path: Self.shard).path
        let session = try Session(model: try Tiny.open(folder.path) { $0.loadPolicy = load })
        let handle = try FileHandle(forWritingTo: URL(filePath: path))
        try handle.seek(toOffset: 200_000)
        try handle.write(contentsOf: Data(repeating: 7, count: 100_000))
        try handle.close()
        let error = failure { try session.evaluate(Tiny.ids(0, to: 60)) }
        #expect(error?.status == .io && error?.file == path && error?.message.contains("modified") == true)
    }

    @Test("a shard that is replaced does no harm")
    func replaced() throws {
        let folder = try Self.copy()
        let path = folder.url.appending(path: Self.shard).path
        let session = try Session(model: try Tiny.open(folder.path))
        #expect(try session.evaluate(Tiny.ids(0, to: 60)) == Tiny.expected(after: 60))
        try folder.write("other", "no weights")
        #expect(rename(folder.path + "/other", path) == 0)
        #expect(try session.evaluate(Tiny.ids(60, to: 70)) == Tiny.expected(after: 70))
        try FileManager.default.removeItem(atPath: path)
        #expect(try session.evaluate(Tiny.ids(70, to: 80)) == Tiny.expected(after: 80))
    }

    @Test("copied weights need no files")
    func copied() throws {
        let folder = try Self.copy()
        let model = try Tiny.open(folder.path) { $0.loadPolicy = .copy }
        let session = try Session(model: model)
        try session.evaluate(Tiny.ids(0, to: 60))
        for name in ["model-00001-of-000002.safetensors", Self.shard] {
            #expect(truncate(folder.url.appending(path: name).path, 0) == 0)
        }
        #expect(try session.evaluate(Tiny.ids(60, to: 130)) == Tiny.expected(after: 130))
        #expect(try session.events { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 3, true) }.ids.count == 3)
    }

    // MARK: Numbers that are none

    /// Overwrites 16-bit elements of a tensor of the tiny checkpoint.
    private static func patch(_ folder: TemporaryFolder, _ tensor: String, at elements: Range<Int>, with word: UInt16) throws {
        for name in ["model-00001-of-000002.safetensors", shard] {
            let url = folder.url.appending(path: name)
            var bytes = [UInt8](try Data(contentsOf: url))
            let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            let header = try JSONSerialization.jsonObject(with: Data(bytes[8..<8 + length])) as? [String: [String: Any]]
            guard let entry = header?[tensor] else { continue }
            let offsets = try #require(entry["data_offsets"] as? [Int])
            #expect(entry["dtype"] as? String == "BF16")
            for element in elements {
                let place = 8 + length + offsets[0] + 2 * element
                try #require(place + 2 <= 8 + length + offsets[1])
                (bytes[place], bytes[place + 1]) = (UInt8(word & 255), UInt8(word >> 8))
            }
            try Data(bytes).write(to: url)
            return
        }
        Issue.record("no tensor \(tensor)")
    }

    static let notANumber: UInt16 = 0x7FC0
    static let infinite: UInt16 = 0x7F80
    static let tensors = [
        "language_model.lm_head.weight", "language_model.model.norm.weight", "language_model.model.layers.0.mlp.down_proj.weight",
        "language_model.model.layers.2.mlp.gate.weight", "language_model.model.layers.1.self_attn.kv_b_proj.weight",
        "language_model.model.layers.3.self_attn.o_proj.weight", "language_model.model.layers.1.mlp.shared_experts.up_proj.weight",
    ]

    @Test("a weight that is no number is an error, not a token, and the session stays usable", arguments: tensors, [notANumber, infinite])
    func damagedWeight(_ tensor: String, word: UInt16) throws {
        let folder = try Self.copy()
        try Self.patch(folder, tensor, at: 0..<1, with: word)
        let model = try Tiny.open(folder.path)
        let session = try Session(model: model)
        for _ in 0..<2 {
            let error = failure { try session.evaluate(Tiny.ids(0, to: 10)) }
            #expect(error?.status == .numeric && error?.file != nil, "\(String(describing: error))")
            #expect(session.position == 0)
            #expect(failure { try session.evaluate(Tiny.ids(0, to: 10), all: true) }?.status == .numeric)
            var events: [GenerationEvent] = []
            let generation = failure {
                try session.generate(Tiny.ids(0, to: 10), options: GenerationOptions()) {
                    events.append($0)
                    return true
                }
            }
            #expect(generation?.status == .numeric && events.allSatisfy { $0.isPrompt })
        }
        let generation = try Generation(session: session, prompt: Tiny.ids(0, to: 10), options: GenerationOptions())
        let first = failure { _ = try generation.next() }
        #expect(first?.status == .numeric)
        #expect(failure { _ = try generation.next() } == first)
        try session.reset()
        _ = try session.fork()
    }

    @Test("one damaged token spoils nothing but the steps it is in")
    func damagedToken() throws {
        let bad = try #require((0..<1792).first { !Tiny.ids.prefix(300).contains($0) })
        let folder = try Self.copy()
        let hidden = 192
        try Self.patch(
            folder, "language_model.model.embed_tokens.weight", at: Int(bad) * hidden..<(Int(bad) + 1) * hidden, with: Self.notANumber)
        let session = try Session(model: try Tiny.open(folder.path) { $0.chunkSize = 16 })
        try session.evaluate(Tiny.ids(0, to: 10))
        #expect(failure { try session.evaluate([bad]) }?.status == .numeric)
        #expect(failure { try session.evaluate(Tiny.ids(10, to: 13) + [bad]) }?.status == .numeric)
        #expect(session.position == 10)
        #expect(try session.evaluate(Tiny.ids(10, to: 60)) == Tiny.expected(after: 60))
        // In a step that wants no logits the damage shows later; taken back, it is gone.
        #expect(failure { try session.evaluate([bad] + Tiny.ids(60, to: 90)) }?.status == .numeric)
        #expect(session.position == 76)
        #expect(failure { try session.evaluate([1]) }?.status == .numeric)
        try session.truncate(to: 60)
        #expect(try session.evaluate(Tiny.ids(60, to: 130)) == Tiny.expected(after: 130))
    }
}
