import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

/// Finding the weights of a checkpoint, and what is said where they are not as the configuration has them.
struct LoadingTests {
    private func open(
        _ tensors: [SafetensorsWriter.Tensor], _ tiny: TinyCheckpoint, _ change: (inout TextModel.Options) -> Void = { _ in }
    ) throws -> TextModel {
        let folder = try TemporaryFolder()
        try tiny.write(to: folder)
        try folder.write("model.safetensors", SafetensorsWriter(tensors).file())
        var options = TextModel.Options()
        change(&options)
        return try TextModel(checkpoint: try Checkpoint(folder: folder.path), topology: try Topology.current(), options: options)
    }

    private func failure(_ body: () throws -> Void) -> KimiError? {
        do { try body() } catch { return error as? KimiError }
        return nil
    }

    private static var shapes: [TinyCheckpoint] {
        var plain = TinyCheckpoint()
        (plain.queryRank, plain.packed, plain.sharedExperts, plain.layers, plain.modelType) = (nil, false, 2, 2, "deepseek_v3")
        var packed = TinyCheckpoint()
        packed.layers = 2
        return [packed, plain]
    }

    @Test("every tensor is needed: without it the error names it", arguments: [0, 1], [LoadPolicy.map, .copy])
    func missing(_ shape: Int, policy: LoadPolicy) throws {
        let tiny = Self.shapes[shape]
        let tensors = tiny.tensors()
        _ = try open(tensors, tiny) { $0.loadPolicy = policy }
        for (index, tensor) in tensors.enumerated() {
            var fewer = tensors
            fewer.remove(at: index)
            let error = failure { _ = try open(fewer, tiny) { $0.loadPolicy = policy } }
            #expect(error?.status == .format, "\(tensor.name)")
            // Where packed weights are gone, plain ones are asked for.
            let name = tensor.name.replacing("weight_packed", with: "weight")
            // And the first of all is looked for with the prefix and without.
            #expect(error?.subject.map { tensor.name.hasSuffix($0) || $0 == name } == true, "\(tensor.name): \(String(describing: error))")
            #expect(error?.file != nil)
        }
    }

    @Test("every tensor's shape is checked, and named", arguments: [0, 1])
    func wrongShape(_ shape: Int) throws {
        let tiny = Self.shapes[shape]
        let tensors = tiny.tensors()
        for (index, tensor) in tensors.enumerated() {
            var changed = tensors
            let row = tensor.bytes.count / tensor.shape[0]
            changed[index].shape[0] += 1
            changed[index].bytes += [UInt8](repeating: 0, count: row)
            let error = failure { _ = try open(changed, tiny) }
            #expect(error?.status == .format && error?.subject == tensor.name, "\(tensor.name): \(String(describing: error))")
        }
    }

    @Test("every tensor's type is checked, and named")
    func wrongType() throws {
        let tiny = Self.shapes[0]
        let tensors = tiny.tensors()
        for (index, tensor) in tensors.enumerated() {
            var changed = tensors
            // As wide as what is there, so that only the type is wrong.
            changed[index].dtype = tensor.dtype == "BF16" ? "I16" : "U32"
            let error = failure { _ = try open(changed, tiny) }
            #expect(error?.status == .unsupported && error?.subject == tensor.name, "\(tensor.name): \(String(describing: error))")
        }
    }

    @Test("copied weights give the bits of mapped ones, in all shapes", arguments: ShapeTests.names)
    func copies(_ name: String) throws {
        let ids: [Int32] = [5, 3, 1, 7, 60, 2, 9]
        let (mapped, copied) = (try Harness("shapes/\(name)"), try Harness("shapes/\(name)", policy: .copy))
        #expect(try mapped.evaluate(ids, all: true) == copied.evaluate(ids, all: true))
    }

    @Test("a configuration as large as any may be is refused with words, whatever is computed from it", arguments: [1, 4096])
    func limits(_ rows: Int) throws {
        typealias Limits = ModelConfig.Limits
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder) { config in
            var text = config["text_config"] as? [String: Any] ?? [:]
            text["hidden_size"] = Limits.hidden.upperBound
            text["num_hidden_layers"] = Limits.layers.upperBound
            text["intermediate_size"] = Limits.intermediate.upperBound
            text["moe_intermediate_size"] = Limits.intermediate.upperBound
            text["n_routed_experts"] = Limits.experts.upperBound
            text["num_experts_per_tok"] = Limits.experts.upperBound
            text["n_shared_experts"] = Limits.sharedExperts.upperBound
            text["num_attention_heads"] = Limits.heads.upperBound
            text["num_key_value_heads"] = Limits.heads.upperBound
            text["q_lora_rank"] = Limits.rank.upperBound
            text["kv_lora_rank"] = Limits.rank.upperBound
            for key in ["qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"] { text[key] = Limits.headSize.upperBound }
            text["vocab_size"] = Limits.vocabulary.upperBound
            text["max_position_embeddings"] = Limits.context.upperBound
            config["text_config"] = text
        }
        let checkpoint = try Checkpoint(folder: folder.path)
        var options = TextModel.Options()
        options.maxRows = rows
        let error = failure { _ = try TextModel(checkpoint: checkpoint, topology: try Topology.current(), options: options) }
        #expect(error.map { [.outOfMemory, .format, .unsupported].contains($0.status) } == true, "\(String(describing: error))")
    }

    @Test("an instruction set that is none is refused", arguments: [-1, 5, 6, Int32.max, .min])
    func instructionSet(_ isa: Int32) throws {
        let tiny = TinyCheckpoint()
        let error = failure { _ = try open(tiny.tensors(), tiny) { $0.isa = isa } }
        #expect(error?.status == .unsupported && error?.subject == "isa")
    }

    // MARK: Sequences by themselves

    @Test("a sequence prepares no more than its limit")
    func prepare() throws {
        let tiny = TinyCheckpoint()
        let model = try open(tiny.tensors(), tiny)
        let sequence = try TokenSequence(pool: model.cache, contextLimit: 100)
        try sequence.prepare(100)
        #expect(model.cache.usage.held == 2)
        for more in [101, Int.max] {
            #expect(failure { try sequence.prepare(more) }?.status == .contextFull)
        }
        [Int32](repeating: 1, count: 70).withUnsafeBufferPointer { sequence.append($0) }
        #expect(failure { try sequence.prepare(31) }?.status == .contextFull)
        try sequence.prepare(30)
        // What cannot be is ignored.
        sequence.truncate(to: -1)
        sequence.truncate(to: 71)
        [Int32](repeating: 2, count: 31).withUnsafeBufferPointer { sequence.append($0) }
        #expect(sequence.count == 70 && sequence.tokens.allSatisfy { $0 == 1 })
        sequence.truncate(to: 64)
        #expect(sequence.count == 64 && model.cache.usage.held == 1)
        #expect(sequence.savedByteCount == 64 * 3 * 40 * 4)
        var bytes = 0
        try sequence.forEachCacheRun { bytes += $0.count }
        #expect(bytes == sequence.savedByteCount)
    }
}
