import KimiCheckpoint
import KimiCore
import KimiTestSupport
import Testing

/// Look-ups by name, type and shape, and what they say where these do not fit.
@Suite struct LookupTests {
    typealias Tensor = SafetensorsWriter.Tensor

    static let expert = "language_model.model.layers.1.mlp.experts.2.up_proj"

    /// The tiny checkpoint with its tensors changed.
    private func open(
        packed: Bool = true, _ change: (inout [Tensor]) -> Void
    ) throws -> (checkpoint: Checkpoint, folder: TemporaryFolder) {
        var tiny = TinyCheckpoint()
        tiny.packed = packed
        let folder = try TemporaryFolder()
        try tiny.write(to: folder)
        var tensors = tiny.tensors()
        change(&tensors)
        try SafetensorsWriter.write(tensors, to: folder)
        return (try Checkpoint(folder: folder.path), folder)
    }

    @Test func vectorsAndMatrices() throws {
        let (checkpoint, _) = try open { _ in }
        let norm = "language_model.model.norm.weight"
        #expect(try checkpoint.vector(norm, count: 64).dtype == .bf16)
        Expected(.format, file: "model.safetensors", subject: norm, "wrong shape", "[64]", "[65]").check {
            _ = try checkpoint.vector(norm, count: 65)
        }
        Expected(.format, file: "model.safetensors", subject: norm, "[64]", "[8, 8]").check {
            _ = try checkpoint.matrix(norm, rows: 8, columns: 8)
        }
        Expected(.format, subject: "model.norm.weight", "tensor missing").check {
            _ = try checkpoint.vector("model.norm.weight", count: 64)
        }
        let head = "language_model.lm_head.weight"
        #expect(try checkpoint.matrix(head, rows: 64, columns: 64).byteCount == 8192)
        #expect(try checkpoint.array(head, shape: [64, 64]).byteCount == 8192)
        let shape = Self.expert + ".weight_shape"
        Expected(.unsupported, subject: shape, "is I32", "BF16, F16, F32").check {
            _ = try checkpoint.vector(shape, count: 2)
        }
    }

    @Test func packedAndPlainLinearMaps() throws {
        let (checkpoint, _) = try open { _ in }
        let gate = "language_model.model.layers.0.mlp.gate_proj"
        guard case .plain(let tensor) = try checkpoint.linear(gate, rows: 96, columns: 64) else {
            Issue.record("a dense layer is not packed")
            return
        }
        #expect(tensor == checkpoint.tensor(gate + ".weight"))
        guard case .int4(let packed, let scales) = try checkpoint.linear(Self.expert, rows: 32, columns: 64) else {
            Issue.record("an expert is packed")
            return
        }
        #expect(packed == checkpoint.tensor(Self.expert + ".weight_packed"))
        #expect(scales == checkpoint.tensor(Self.expert + ".weight_scale"))
        Expected(.format, subject: Self.expert + ".weight_packed", "wrong shape", "[32, 8]", "[64, 8]").check {
            _ = try checkpoint.linear(Self.expert, rows: 64, columns: 64)
        }
        Expected(.unsupported, subject: Self.expert + ".weight_packed", "rows of 72", "32").check {
            _ = try checkpoint.linear(Self.expert, rows: 32, columns: 72)
        }
        Expected(.format, subject: gate + "x.weight", "neither").check {
            _ = try checkpoint.linear(gate + "x", rows: 96, columns: 64)
        }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let change: @Sendable (inout [Tensor]) -> Void
        let expected: Expected
        init(_ name: String, _ expected: Expected, _ change: @escaping @Sendable (inout [Tensor]) -> Void) {
            testDescription = name
            self.change = change
            self.expected = expected
        }
    }

    private static func fault(
        _ name: String, _ status: Status = .format, part: String, _ words: String..., change: @escaping @Sendable (inout [Tensor]) -> Void
    ) -> Case {
        var expected = Expected(status, subject: expert + part)
        expected.words = words
        return Case(name, expected, change)
    }

    /// Applies a change to one part of the expert.
    private static func edit(
        _ part: String, _ body: @escaping @Sendable (inout Tensor) -> Void
    ) -> @Sendable (inout [Tensor]) -> Void {
        { tensors in
            for index in tensors.indices where tensors[index].name == expert + part { body(&tensors[index]) }
        }
    }

    static let cases: [Case] = [
        fault("no scales", part: ".weight_scale", "tensor missing") { $0.removeAll { $0.name == expert + ".weight_scale" } },
        fault("no shape", part: ".weight_shape", "tensor missing") { $0.removeAll { $0.name == expert + ".weight_shape" } },
        fault("no weights", part: ".weight", "neither") { $0.removeAll { $0.name.hasPrefix(expert) } },
        fault("scales in f16", .unsupported, part: ".weight_scale", "is F16", "BF16", change: edit(".weight_scale") { $0.dtype = "F16" }),
        fault("scales per 64", part: ".weight_scale", "wrong shape", "[32, 1]", "[32, 2]", change: edit(".weight_scale") {
            $0.shape = [32, 1]
            $0.bytes.removeLast(64)
        }),
        fault("packed bytes", .unsupported, part: ".weight_packed", "is U8", "I32", change: edit(".weight_packed") {
            $0.dtype = "U8"
            $0.shape = [32, 32]
        }),
        fault("packed the other way", part: ".weight_packed", "wrong shape", "[4, 64]", change: edit(".weight_packed") { $0.shape = [4, 64] }),
        fault("shape of another size", part: ".weight_shape", "holds [32, 65]", "[32, 64]", change: edit(".weight_shape") { $0.bytes[4] = 65 }),
        fault("negative shape", part: ".weight_shape", "holds [-1, 64]", change: edit(".weight_shape") {
            $0.bytes.replaceSubrange(0..<4, with: [255, 255, 255, 255])
        }),
        fault("shape with three numbers", part: ".weight_shape", "wrong shape", "[3]", change: edit(".weight_shape") {
            $0.shape = [3]
            $0.bytes += [0, 0, 0, 0]
        }),
        fault("shape in f32", .unsupported, part: ".weight_shape", "is F32", "I32, I64", change: edit(".weight_shape") { $0.dtype = "F32" }),
        fault("zero points", .unsupported, part: ".weight_zero_point", "not supported") {
            $0.append(.init(expert + ".weight_zero_point", "I32", [1], [0, 0, 0, 0]))
        },
        fault("reordered", .unsupported, part: ".weight_g_idx", "not supported") {
            $0.append(.init(expert + ".weight_g_idx", "I32", [1], [0, 0, 0, 0]))
        },
        fault("bias", .unsupported, part: ".bias", "not supported") { $0.append(.init(expert + ".bias", "BF16", [1], [0, 0])) },
        fault("twice", part: ".weight_packed", "twice") { $0.append(.init(expert + ".weight", "BF16", [1], [0, 0])) },
    ]

    @Test(arguments: cases)
    func packedExpert(_ test: Case) throws {
        let (checkpoint, _) = try open(test.change)
        test.expected.check { _ = try checkpoint.linear(Self.expert, rows: 32, columns: 64) }
        // The others are as they were.
        _ = try checkpoint.linear(Self.expert.replacing("up_proj", with: "gate_proj"), rows: 32, columns: 64)
    }

    @Test func shapeIn64Bits() throws {
        let (checkpoint, _) = try open(
            Self.edit(".weight_shape") {
                $0.dtype = "I64"
                $0.bytes = [32, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0]
            })
        _ = try checkpoint.int4(Self.expert, rows: 32, columns: 64)
    }

    @Test func packedWeightsThatTheConfigurationDoesNotKnow() throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder) { $0["quantization_config"] = nil }
        let checkpoint = try Checkpoint(folder: folder.path)
        Expected(.format, subject: Self.expert + ".weight_packed", "quantization_config").check {
            _ = try checkpoint.linear(Self.expert, rows: 32, columns: 64)
        }
    }

    @Test(arguments: [[], [5], [2, 3], [1, 2, 3, 4, 5]] as [[Int]])
    func shapes(_ extents: [Int]) throws {
        let shape = try #require(Shape(extents))
        #expect(shape.count == extents.count && (0..<extents.count).map { shape[$0] } == extents)
        #expect(shape[extents.count] == 1 && shape[-1] == 1)
        #expect(shape.elementCount == extents.reduce(1, *))
        #expect(shape.description == "\(extents)")
        #expect(Shape(extents + [1]) != shape && Shape([1, 1, 1, 1, 1, 1]) == nil)
    }
}
