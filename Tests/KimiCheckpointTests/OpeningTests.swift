import Foundation
import KimiCheckpoint
import KimiCore
import KimiTestSupport
import Testing

/// A correct checkpoint is read as what it is.
@Suite struct OpeningTests {
    @Test func fixtureConfiguration() throws {
        let checkpoint = try Checkpoint(folder: Fixtures.path("tiny-kimi"))
        let config = checkpoint.config
        #expect(config.modelType == "kimi_k25")
        #expect(config.architecture == "KimiK25ForConditionalGeneration")
        #expect([config.hiddenSize, config.layerCount, config.denseLayerCount, config.moeLayerFrequency] == [192, 4, 1, 1] as [Int])
        #expect([config.intermediateSize, config.moeIntermediateSize] == [320, 96] as [Int])
        #expect([config.expertCount, config.expertsPerToken, config.sharedExpertCount] == [16, 4, 1] as [Int])
        #expect([config.headCount, config.latentSize, config.nopeSize, config.ropeSize, config.valueSize] == [4, 64, 32, 16, 32] as [Int])
        #expect(config.queryRank == 96)
        #expect([config.vocabularySize, config.contextLimit] == [1792, 262_144] as [Int])
        #expect(config.normEpsilon == 1e-5 && config.ropeBase == 50000 && config.routedScale == 2.827)
        #expect([config.groupCount, config.topGroupCount] == [1, 1] as [Int])
        #expect(config.normalizeTopK && !config.tiedEmbeddings && config.vision != nil)
        #expect(config.quantization == .int4)
        let yarn = try #require(config.yarn)
        #expect([yarn.factor, yarn.betaFast, yarn.betaSlow, yarn.mscale, yarn.mscaleAllDim] == [64, 32, 1, 1, 1] as [Double])
        #expect(yarn.originalContext == 4096)
        // generation_config.json says 1538; config.json's own eos is 1537.
        #expect(config.endTokens == [1538])
        #expect(config.bosToken == 1536 && config.eosToken == 1537 && config.padToken == 1791)
        #expect((0..<4).map { config.isDense(layer: $0) } == [true, false, false, false])
        #expect(checkpoint.namePrefix == "language_model." && checkpoint.hasVisionTensors)
    }

    /// Every tensor's type, shape, place and bytes, against Foundation's reading of the same headers.
    @Test func fixtureTensorsAgreeWithAnotherReader() throws {
        let checkpoint = try Checkpoint(folder: Fixtures.path("tiny-kimi"))
        var seen = 0
        for shard in 0..<Int32(checkpoint.shardCount) {
            let file = try Fixtures.bytes("tiny-kimi/" + checkpoint.shardName(shard))
            #expect(checkpoint.shardSize(shard) == file.count)
            let (reference, dataStart) = try ReferenceTensor.read(file)
            for (name, expected) in reference {
                let tensor = try #require(checkpoint.tensor(name))
                #expect(tensor.dtype.spelling == expected.dtype)
                #expect(tensor.shape == Shape(expected.shape))
                #expect(tensor.shard == shard && tensor.offset == dataStart + expected.begin)
                #expect(tensor.byteCount == expected.end - expected.begin)
                let bytes = file[tensor.offset..<tensor.offset + tensor.byteCount]
                #expect(try checkpoint.bytes(of: tensor).elementsEqual(bytes))
                var copy = [UInt8](repeating: 0, count: tensor.byteCount)
                try copy.withUnsafeMutableBytes { try checkpoint.read(tensor, into: $0) }
                #expect(copy.elementsEqual(bytes))
            }
            seen += reference.count
        }
        #expect(seen == checkpoint.tensorCount)
        #expect(checkpoint.tensor("model.embed_tokens.weight") == nil)

        var order: [(Int32, Int)] = []
        checkpoint.forEachTensor { name, tensor in
            #expect(checkpoint.tensor(name) == tensor)
            order.append((tensor.shard, tensor.offset))
        }
        #expect(order.count == seen && zip(order, order.dropFirst()).allSatisfy { $0 < $1 })
        try checkpoint.checkIntact()
    }

    struct Layout: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let change: @Sendable (inout TinyCheckpoint) -> Void
        init(_ name: String, _ change: @escaping @Sendable (inout TinyCheckpoint) -> Void) {
            testDescription = name
            self.change = change
        }
    }

    static let layouts = [
        Layout("as published") { _ in },
        Layout("Kimi K2: text only, no prefix") { $0.modelType = "kimi_k2" },
        Layout("Moonlight: one query matrix, no YaRN, two shared experts") {
            $0.modelType = "deepseek_v3"; $0.queryRank = nil; $0.yarn = false; $0.sharedExperts = 2; $0.packed = false
        },
        Layout("rope_parameters") { $0.ropeParameters = true },
        Layout("rope_parameters without YaRN") { $0.ropeParameters = true; $0.yarn = false },
        Layout("groups") { $0.experts = 8; $0.groups = 4; $0.topGroups = 2 },
        Layout("several dense layers, next-token layers") { $0.layers = 4; $0.denseLayers = 3; $0.extraLayers = 2 },
        Layout("only dense layers") { $0.denseLayers = 3 },
        Layout("no shared expert") { $0.sharedExperts = 0 },
        Layout("f16") { $0.plainType = "F16" },
        Layout("f32, unpacked experts, odd sizes") {
            $0.plainType = "F32"; $0.packed = false; $0.hidden = 50; $0.vocabulary = 37; $0.moeIntermediate = 21; $0.heads = 3
        },
        Layout("tied embeddings") { $0.tied = true },
    ]

    /// Other members of the family: every number comes back, every weight is found by the look-ups.
    @Test(arguments: layouts, [1, 3])
    func layout(_ layout: Layout, shards: Int) throws {
        var tiny = TinyCheckpoint()
        layout.change(&tiny)
        let folder = try TemporaryFolder()
        try tiny.write(to: folder, shards: shards)
        let checkpoint = try Checkpoint(folder: folder.path)
        let config = checkpoint.config
        #expect(checkpoint.namePrefix == tiny.prefix && checkpoint.shardCount == shards)
        #expect(checkpoint.tensorCount == tiny.tensors().count)
        #expect(config.queryRank == tiny.queryRank && (config.yarn != nil) == tiny.yarn && config.ropeBase == 50000)
        #expect(config.yarn?.factor ?? 4 == 4 && config.yarn?.originalContext ?? 64 == 64)
        #expect([config.groupCount, config.topGroupCount, config.sharedExpertCount] == [tiny.groups, tiny.topGroups, tiny.sharedExperts] as [Int])
        #expect([config.layerCount, config.denseLayerCount] == [tiny.layers, tiny.denseLayers] as [Int])
        #expect(config.tiedEmbeddings == tiny.tied && config.modelType == tiny.modelType && config.vision == nil)
        #expect(config.endTokens == [1] && config.quantization == (tiny.packed ? .int4 : .none))

        let model = checkpoint.namePrefix + "model."
        _ = try checkpoint.matrix(model + "embed_tokens.weight", rows: tiny.vocabulary, columns: tiny.hidden)
        _ = try checkpoint.vector(model + "norm.weight", count: tiny.hidden)
        for layer in 0..<config.layerCount where !config.isDense(layer: layer) {
            for expert in 0..<config.expertCount {
                let name = "\(model)layers.\(layer).mlp.experts.\(expert).down_proj"
                switch try checkpoint.linear(name, rows: tiny.hidden, columns: tiny.moeIntermediate) {
                case .plain(let tensor):
                    #expect(!tiny.packed && tensor.dtype.spelling == tiny.plainType)
                case .int4(let packed, let scales):
                    #expect(tiny.packed && packed.dtype == .int32 && scales.dtype == .bf16)
                    #expect(packed.byteCount == tiny.hidden * tiny.moeIntermediate / 2)
                }
            }
        }
        for tensor in tiny.tensors() {
            let found = try #require(checkpoint.tensor(tensor.name))
            #expect(try checkpoint.bytes(of: found).elementsEqual(tensor.bytes))
        }
    }

    @Test func shardsWithoutIndexAreFoundByTheirNames() throws {
        let folder = try TemporaryFolder.fixture()
        let reference = try Checkpoint(folder: folder.path)
        try folder.remove("model.safetensors.index.json")
        let found = try Checkpoint(folder: folder.path + "/")
        #expect(found.tensorCount == reference.tensorCount && found.digest == reference.digest)
        // Kimi K2 spells them without zeros.
        for shard in 1...2 {
            try FileManager.default.moveItem(
                at: folder.url.appending(path: "model-0000\(shard)-of-000002.safetensors"),
                to: folder.url.appending(path: "model-\(shard)-of-2.safetensors"))
        }
        #expect(try Checkpoint(folder: folder.path).digest == reference.digest)
    }

    @Test func linksToFilesElsewhereAreFollowed() throws {
        let store = try TemporaryFolder.fixture()
        let folder = try TemporaryFolder()
        for name in try FileManager.default.contentsOfDirectory(atPath: store.path) {
            try FileManager.default.createSymbolicLink(
                at: folder.url.appending(path: name), withDestinationURL: store.url.appending(path: name))
        }
        #expect(try Checkpoint(folder: folder.path).tensorCount == 536)
    }

    @Test func tensorsBeyondTheIndexAreAcceptedAndTold() throws {
        let folder = try TemporaryFolder.fixture()
        try folder.edit(
            "model.safetensors.index.json",
            "  \"language_model.lm_head.weight\": \"model-00001-of-000002.safetensors\",\n", "")
        let messages = Messages()
        let checkpoint = try Checkpoint(folder: folder.path, log: Log { _, text in messages.add(text) })
        #expect(checkpoint.tensor("language_model.lm_head.weight") != nil)
        #expect(messages.all.contains { $0.contains("1 tensors") })
    }

    @Test func generationConfigurationIsOptionalAndMayListSeveralEnds() throws {
        let folder = try TemporaryFolder.fixture()
        try folder.write("generation_config.json", "{\"eos_token_id\": [1538, 1537, 1538]}")
        #expect(try Checkpoint(folder: folder.path).config.endTokens == [1538, 1537])
        try folder.write("generation_config.json", "{\"max_length\": 5}")
        #expect(try Checkpoint(folder: folder.path).config.endTokens == [1537])
        try folder.remove("generation_config.json")
        #expect(try Checkpoint(folder: folder.path).config.endTokens == [1537])
    }

    @Test func progressRisesToOneAndCanStop() throws {
        nonisolated(unsafe) var seen: [Double] = []
        _ = try Checkpoint(folder: Fixtures.path("tiny-kimi"), progress: { seen.append($0) })
        #expect(seen.first == 0 && seen.last == 1 && seen == seen.sorted())
        Expected(.cancelled, "enough").check {
            _ = try Checkpoint(
                folder: Fixtures.path("tiny-kimi"),
                progress: { (fraction) throws(KimiError) in
                    if fraction > 0.3 { throw KimiError(.cancelled, "enough") }
                })
        }
    }

    /// The format does not promise alignment: such tensors are copied, and right.
    @Test func misalignedTensorsAreReadAsCopies() throws {
        let folder = try TemporaryFolder()
        let tiny = TinyCheckpoint()
        try tiny.write(to: folder)
        for padding in ["", " ", "  ", "   "] {
            var writer = SafetensorsWriter(tiny.tensors())
            writer.headerAlignment = 4
            let data = writer.tensors.flatMap(\.bytes)
            try folder.write("model.safetensors", SafetensorsWriter.file(header: writer.header() + padding, data: data))
            let checkpoint = try Checkpoint(folder: folder.path)
            var misaligned = 0
            for tensor in writer.tensors {
                let info = try #require(checkpoint.tensor(tensor.name))
                let bytes = try checkpoint.bytes(of: info)
                #expect(bytes.elementsEqual(tensor.bytes))
                #expect(Int(bitPattern: bytes.baseAddress) % info.dtype.alignment == 0)
                #expect(try checkpoint.bytes(of: info).baseAddress == bytes.baseAddress)
                if !info.isAligned { misaligned += 1 }
            }
            #expect((misaligned > 0) == (padding.utf8.count % 2 == 1 || padding.utf8.count == 2), "\(padding.utf8.count)")
        }
    }
}

/// What a log was told.
final class Messages: @unchecked Sendable {
    // Safe because the lock guards the array.
    private let lock = NSLock()
    private var messages: [String] = []
    func add(_ message: String) { lock.withLock { messages.append(message) } }
    var all: [String] { lock.withLock { messages } }
}
