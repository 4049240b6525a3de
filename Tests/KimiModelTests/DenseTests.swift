import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

/// `dense=int8`: which weights are converted, that all ways to them give the same bits, and how far results are from those of the
/// stored weights.
struct DenseTests {
    private func open(
        _ folder: TemporaryFolder, threads: Int = 2, policy: LoadPolicy = .map,
        progress: (Int, Int) throws(KimiError) -> Void = { _, _ in }
    ) throws -> TextModel {
        var options = TextModel.Options()
        (options.threads, options.loadPolicy, options.dense) = (threads, policy, .int8)
        return try TextModel(
            checkpoint: try Checkpoint(folder: folder.path), topology: try Topology.current(), options: options,
            progress: progress)
    }

    private func failure(_ body: () throws -> Void) -> KimiError? {
        do { try body() } catch { return error as? KimiError }
        return nil
    }

    static let ids: [Int32] = [5, 3, 1, 7, 60, 2, 9]

    // MARK: What is converted

    @Test("the bytes made and read are those of the plan", arguments: ["tiny-kimi"] + ShapeTests.names.map { "shapes/\($0)" })
    func plan(_ fixture: String) throws {
        let checkpoint = try Checkpoint(folder: Fixtures.path(fixture))
        let plan = CostReport(checkpoint, dense: .int8)
        let stored = CostReport(checkpoint)
        let harness = try Harness(fixture, dense: .int8)
        #expect(harness.model.weightBytes.converted == plan.total.made)
        #expect(plan.total.stored == stored.total.stored)
        for (kind, cost) in plan.kinds {
            let isConcerned = [.attention, .denseMLP, .sharedExperts, .head].contains(kind)
                || (kind == .embedding && checkpoint.config.tiedEmbeddings)
            #expect(isConcerned || cost.made == 0, "\(kind)")
        }
        // Statistics of a step of one token: all that the plan has, but norms, which are in tables, and with the cache.
        _ = try harness.evaluate([1])
        let norms = plan.kinds.first { $0.kind == .norms }?.cost.read ?? 0
        // Nor the choice's biases, and the shapes beside packed weights, of which the plan counts the share of the chosen experts.
        let config = checkpoint.config
        var (biases, shapes) = (0, 0)
        checkpoint.forEachTensor { (name, tensor) throws(Never) in
            guard let layer = WeightKind.parse(name, prefix: checkpoint.namePrefix).layer, layer < config.layerCount else { return }
            if name.hasSuffix("e_score_correction_bias") { biases += tensor.byteCount }
            if name.hasSuffix(".weight_shape") { shapes += tensor.byteCount }
        }
        let others = biases + shapes / max(config.expertCount, 1) * config.expertsPerToken
        let cached = CacheType.f32.bytesPerToken(harness.model.config)
        #expect(harness.model.statistics.bytesOfStep == plan.total.read - norms - others + cached)
    }

    @Test("rows that are no whole groups of 32 stay as stored")
    func oddWidths() throws {
        var tiny = TinyCheckpoint()
        // Columns: hidden 80 for most, 40 for q_b, 24 for o_proj; 96 for the dense layer's down and 32 for the shared expert's.
        (tiny.hidden, tiny.queryRank, tiny.value, tiny.heads, tiny.packed) = (80, 40, 12, 2, false)
        let folder = try TemporaryFolder()
        try tiny.write(to: folder)
        let model = try open(folder)
        let rows = 80
        let dense = rows * (512 + 96 / 16)
        let shared = rows * (512 + 32 / 16)
        #expect(model.weightBytes.converted == dense + 2 * shared)
        #expect(model.weightBytes.copied == 0 && model.weightBytes.mapped > 0)
    }

    @Test("what is copied is not what is converted", arguments: [DenseFormat.stored, .int8])
    func placement(dense: DenseFormat) throws {
        let mapped = try Harness("tiny-kimi", dense: dense).model.weightBytes
        let copied = try Harness("tiny-kimi", policy: .copy, dense: dense).model.weightBytes
        #expect(mapped.copied == 0 && copied.mapped == 0 && copied.converted == mapped.converted)
        // Copies are whole cache lines.
        #expect(copied.copied >= mapped.mapped && copied.copied < mapped.mapped + 64 * 600)
        #expect((mapped.converted > 0) == (dense == .int8))
    }

    // MARK: Same bits

    @Test(
        "threads, load policies and instruction sets give the same bits, in all shapes",
        arguments: ["tiny-kimi"] + ShapeTests.names.map { "shapes/\($0)" })
    func same(_ fixture: String) throws {
        let expected = try Harness(fixture, threads: 1, dense: .int8).evaluate(Self.ids, all: true)
        let exact = try Harness(fixture, threads: 1, dense: .int8, exact: true).evaluate(Self.ids, all: true)
        for policy in [LoadPolicy.map, .copy] {
            let found = try Harness(fixture, threads: 3, policy: policy, dense: .int8).evaluate(Self.ids, all: true)
            let isSame = identical(found, expected)
            #expect(isSame, "\(policy)")
        }
        for isa in levels {
            // Matrices whose rows are no whole groups stay bf16, and tiles add those up in another order unless all is to be exact.
            let found = try Harness(fixture, isa: isa, dense: .int8, exact: true).evaluate(Self.ids, all: true)
            let isSame = identical(found, exact)
            #expect(isSame, "level \(isa)")
        }
        let other = try Harness(fixture, dense: .int8)
        let isSame = identical(try Harness(fixture).evaluate(Self.ids, all: true), expected)
        #expect(isSame == (other.model.weightBytes.converted == 0))
    }

    @Test("chunks and other sequences do not change a bit")
    func chunks() throws {
        let prompt = try #require(ReferenceTests.prompts["page"]).ids
        let expected = try Harness("tiny-kimi", dense: .int8).evaluate(prompt, all: true)
        for chunk in [1, 7, 64] {
            let isSame = identical(try Harness("tiny-kimi", dense: .int8).evaluate(prompt, chunk: chunk, all: true), expected)
            #expect(isSame, "chunks of \(chunk)")
        }
    }

    // MARK: Failures

    @Test("a file that was cut is an error, and no half converted model", arguments: [1, 2])
    func cut(threads: Int) throws {
        let folder = try TemporaryFolder()
        let tiny = TinyCheckpoint()
        try tiny.write(to: folder)
        let path = folder.path + "/model.safetensors"
        let size = try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
        let checkpoint = try Checkpoint(folder: folder.path)
        #expect(truncate(path, size / 2) == 0)
        var options = TextModel.Options()
        (options.threads, options.dense) = (threads, .int8)
        let error = failure {
            _ = try TextModel(checkpoint: checkpoint, topology: try Topology.current(), options: options)
        }
        #expect(error?.status == .io && error?.file == path, "\(String(describing: error))")
    }

    @Test("progress counts the bytes read, and stops the conversion", arguments: [LoadPolicy.map, .copy])
    func progress(policy: LoadPolicy) throws {
        let folder = try TemporaryFolder()
        var tiny = TinyCheckpoint()
        // A head that is converted in several turns.
        (tiny.vocabulary, tiny.hidden) = (40_000, 512)
        try tiny.write(to: folder)
        let stored = CostReport(try Checkpoint(folder: folder.path), dense: .int8)
        var calls: [(done: Int, total: Int)] = []
        let model = try open(folder, threads: 1, policy: policy) { calls.append(($0, $1)) }
        let reading = calls.dropLast()
        let total = try #require(reading.last?.total)
        #expect(reading.last?.done == total && reading.allSatisfy { $0.total == total })
        #expect(zip(reading, reading.dropFirst()).allSatisfy { $0.done < $1.done && $1.done - $0.done <= 41_000_000 })
        let headTurns = reading.count { $0.done > total - 40_000 * 512 * 2 }
        #expect(headTurns > 1)
        #expect(model.weightBytes.converted == stored.total.made)

        var count = 0
        let error = failure {
            _ = try open(folder, threads: 2, policy: policy) { (_, _) throws(KimiError) in
                count += 1
                if count == 3 { throw KimiError(.cancelled, "enough") }
            }
        }
        #expect(error == KimiError(.cancelled, "enough") && count == 3)
    }

    @Test("a weight that is no number spoils the logits, and is told", arguments: [Float.nan, .infinity])
    func damaged(_ value: Float) throws {
        var tiny = TinyCheckpoint()
        tiny.plainType = "F32"
        var tensors = tiny.tensors()
        let index = try #require(tensors.firstIndex { $0.name.hasSuffix("0.self_attn.o_proj.weight") })
        withUnsafeBytes(of: value) { tensors[index].bytes.replaceSubrange(100..<104, with: $0) }
        let folder = try TemporaryFolder()
        try tiny.write(to: folder)
        try folder.write("model.safetensors", SafetensorsWriter(tensors).file())
        let model = try open(folder)
        #expect(failure { _ = try Harness(model).evaluate([1, 2, 3]) }?.status == .numeric)
    }
}
