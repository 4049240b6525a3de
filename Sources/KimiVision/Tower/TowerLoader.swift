import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiModel

/// Finds the tensors of a tower by name, checks their shapes, and gives each an address: in the mapped files, or in memory of the
/// tower's own that `fill` reads them into.
struct TowerLoader {
    private let text: TextModel
    private var checkpoint: Checkpoint { text.checkpoint }
    private let isMapped: Bool
    /// Matrices, where they are copied; nil where they are mapped.
    let matrices: ChargedMemory?
    /// Norms and biases in f32.
    let vectors: ChargedMemory
    private var matrixBytes = 0
    private var vectorBytes = 0
    private var fillings: [Filling] = []

    private static let alignment = 64

    /// - Throws: `outOfMemory` with what the memory is for.
    init(_ text: TextModel) throws(KimiError) {
        self.text = text
        isMapped = text.loadPolicy == .map
        let bytes = Self.bytes(of: text.checkpoint)
        vectors = try ChargedMemory(
            byteCount: bytes.vectors, on: text.budget, for: .tables, what: "norms and biases of the vision tower")
        matrices = isMapped
            ? nil
            : try ChargedMemory(
                byteCount: bytes.matrices, on: text.budget, for: .weights, what: "a copy of the vision tower", pages: .transparent)
        if let matrices { text.share(matrices.memory) }
    }

    /// What is taken at most: for matrices, if they are copied, and for norms and biases.
    static func bytes(of checkpoint: Checkpoint) -> (matrices: Int, vectors: Int) {
        var bytes = (matrices: 0, vectors: 0)
        checkpoint.forEachTensor { (name, tensor) throws(Never) in
            guard name.hasPrefix("vision_tower.") || name.hasPrefix("mm_projector.") else { return }
            // Safe from overflow because the files hold all tensors whole.
            bytes.matrices += tensor.byteCount + alignment
            if tensor.shape.count == 1 { bytes.vectors += 2 * tensor.byteCount + alignment }
        }
        return bytes
    }

    /// The same of a tower in BF16 that there is no file of; nil beyond any memory.
    static func bytes(of config: VisionConfig) -> (matrices: Int, vectors: Int)? {
        let (hidden, merged, text) = (config.hiddenSize, config.mergedSize, config.textHiddenSize)
        // Products of two sizes each, which cannot overflow.
        let outside = [
            hidden * config.patchElements, config.positionRows * config.positionColumns * hidden, merged * merged, text * merged,
        ]
        let block = [3 * hidden * hidden, hidden * hidden, config.intermediateSize * hidden, hidden * config.intermediateSize]
        let blockVectors = [3 * hidden, hidden, config.intermediateSize, hidden, hidden, hidden, hidden, hidden]
        let outsideVectors = [hidden, hidden, hidden, hidden, hidden, merged, text]
        func sum(_ sizes: [Int], width: Int) -> Int? {
            var total = 0
            for size in sizes {
                guard let bytes = Checked.product(size, width), let next = Checked.sum(total, bytes, alignment), next < 1 << 60 else {
                    return nil
                }
                total = next
            }
            return total
        }
        func all(_ outside: [Int], _ block: [Int], width: Int) -> Int? {
            guard let once = sum(outside, width: width), let each = sum(block, width: width),
                let blocks = Checked.product(each, config.layerCount), let total = Checked.sum(once, blocks), total < 1 << 60
            else { return nil }
            return total
        }
        // Vectors are read and widened: they lie in both.
        guard let matrices = all(outside + outsideVectors, block + blockVectors, width: 2),
            let vectors = all(outsideVectors, blockVectors, width: 4)
        else { return nil }
        return (matrices, vectors)
    }

    // MARK: Kinds of tensors

    /// `name`.weight as [rows, columns], whatever its stored shape, and `name`.bias.
    mutating func linear(_ name: String, rows: Int, columns: Int, shape: [Int]? = nil) throws(KimiError) -> TowerLinear {
        TowerLinear(
            matrix: try matrix(name + ".weight", rows: rows, columns: columns, shape: shape ?? [rows, columns]),
            bias: try vector(name + ".bias", count: rows))
    }

    mutating func norm(_ name: String, count: Int) throws(KimiError) -> TowerNorm {
        TowerNorm(weight: try vector(name + ".weight", count: count), bias: try vector(name + ".bias", count: count))
    }

    mutating func matrix(_ name: String, rows: Int, columns: Int, shape: [Int]) throws(KimiError) -> ck_matrix {
        let tensor = try checkpoint.array(name, shape: shape)
        return ck_matrix(
            data: try address(tensor, name), scales: nil, rows: rows, columns: columns,
            type: try WeightLoader.type(of: tensor, name: name), reserved: 0)
    }

    private mutating func address(_ tensor: TensorInfo, _ name: String) throws(KimiError) -> UnsafeRawPointer {
        guard let matrices else {
            guard let base = try checkpoint.bytes(of: tensor).baseAddress else {
                throw KimiError(.format, "a weight of zero bytes", file: checkpoint.folder, subject: name)
            }
            return base
        }
        let place = try Self.take(tensor.byteCount, &matrixBytes, of: matrices, name)
        fillings.append(Filling(tensor: tensor, begin: 0, count: tensor.byteCount, group: 0, target: .copy(to: place)))
        return UnsafeRawPointer(place)
    }

    /// Read, not mapped: a vector may lie at an odd address.
    private mutating func vector(_ name: String, count: Int) throws(KimiError) -> UnsafePointer<Float> {
        let tensor = try checkpoint.vector(name, count: count)
        let place = try Self.take(count * MemoryLayout<Float>.stride, &vectorBytes, of: vectors, name)
        let result = place.bindMemory(to: Float.self, capacity: count)
        let raw = try MappedMemory(byteCount: tensor.byteCount, what: "weights")
        try checkpoint.readIntact(tensor, from: 0, into: UnsafeMutableRawBufferPointer(start: raw.base, count: tensor.byteCount))
        var matrix = ck_matrix(
            data: raw.base, scales: nil, rows: 1, columns: count, type: try WeightLoader.type(of: tensor, name: name), reserved: 0)
        text.kernels.pointee.widen_row(result, &matrix, 0)
        return UnsafePointer(result)
    }

    private static func take(
        _ bytes: Int, _ used: inout Int, of memory: ChargedMemory, _ name: String
    ) throws(KimiError) -> UnsafeMutableRawPointer {
        guard let size = Checked.roundUp(bytes, to: alignment), size <= memory.memory.byteCount - used else {
            throw KimiError(.internal, "the vision tower is larger than planned", subject: name)
        }
        defer { used += size }
        return memory.memory.base + used
    }

    // MARK: Filling

    /// Reads what is to be copied. The caller has the pool to itself.
    mutating func fill(_ progress: (Int, Int) throws(KimiError) -> Void) throws(KimiError) {
        guard !fillings.isEmpty else { return }
        let run = try CopyRun(
            checkpoint, pool: text.pool, kernels: text.kernels, room: BufferRoom(text.budget, lent: 0), fillings: fillings)
        fillings = []
        try run.run(progress)
    }
}

extension TowerWeights {
    /// Finds every weight, by the names of the published layout.
    init(_ loader: inout TowerLoader, _ config: VisionConfig) throws(KimiError) {
        let (hidden, inner, side) = (config.hiddenSize, config.intermediateSize, config.patchSize)
        let tower = "vision_tower."
        patch = try loader.linear(
            tower + "patch_embed.proj", rows: hidden, columns: config.patchElements,
            shape: [hidden, VisionConfig.channels, side, side])
        positions = try loader.matrix(
            tower + "patch_embed.pos_emb.weight", rows: config.positionRows * config.positionColumns, columns: hidden,
            shape: [config.positionRows, config.positionColumns, hidden])
        var blocks: [TowerBlock] = []
        for layer in 0..<config.layerCount {
            let name = tower + "encoder.blocks.\(layer)."
            blocks.append(TowerBlock(
                attentionNorm: try loader.norm(name + "norm0", count: hidden),
                queryKeyValue: try loader.linear(name + "wqkv", rows: 3 * hidden, columns: hidden),
                output: try loader.linear(name + "wo", rows: hidden, columns: hidden),
                mlpNorm: try loader.norm(name + "norm1", count: hidden),
                up: try loader.linear(name + "mlp.fc0", rows: inner, columns: hidden),
                down: try loader.linear(name + "mlp.fc1", rows: hidden, columns: inner)))
        }
        self.blocks = blocks
        finalNorm = try loader.norm(tower + "encoder.final_layernorm", count: hidden)
        mergeNorm = try loader.norm("mm_projector.pre_norm", count: hidden)
        projectorUp = try loader.linear("mm_projector.proj.0", rows: config.mergedSize, columns: config.mergedSize)
        projectorDown = try loader.linear("mm_projector.proj.2", rows: config.textHiddenSize, columns: config.mergedSize)
    }
}
