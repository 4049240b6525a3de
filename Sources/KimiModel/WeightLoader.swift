import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiTopology

/// Where weights live while the model is open.
package enum LoadPolicy: Sendable, CaseIterable {
    /// In the mapped files; opening reads next to nothing.
    case map
    /// In memory of our own, read in while opening; the files are not needed afterwards.
    case copy
    /// As `copy`, but routed experts are read from the files when they are chosen, and kept as far as a budget goes.
    case stream

    package var name: String {
        switch self {
        case .map: "map"
        case .copy: "copy"
        case .stream: "stream"
        }
    }
}

/// How many bytes of weights are where; tables of norms and biases apart.
package struct WeightPlacement: Sendable, Equatable {
    /// In the mapped files, read where they are.
    package internal(set) var mapped = 0
    /// Copied into memory.
    package internal(set) var copied = 0
    /// Made in memory in another format.
    package internal(set) var converted = 0
}

/// Finds the weights of a checkpoint by name, checks their shapes, and gives each an address.
///
/// With `.copy`, and where weights are converted, an address is assigned first and filled by `fill`, so that progress knows the
/// total.
struct WeightLoader {
    private let checkpoint: Checkpoint
    private let policy: LoadPolicy
    private let dense: DenseFormat
    /// The copied tensors; empty with `.map`.
    private(set) var copies: MappedMemory
    /// Norms, biases and the experts' matrix tables, in f32 or as structs.
    private(set) var tables: MappedMemory
    /// What was made of matrices in another format.
    private(set) var conversions: [MappedMemory] = []
    /// Where weights are: in the files, in `copies`, in `conversions`. In bytes.
    private(set) var placement = WeightPlacement()
    /// Bytes of `tables` that are in use.
    private(set) var tableBytes = 0
    private var pending: [(tensor: TensorInfo, filling: Filling)] = []

    /// What is to become of a tensor's bytes.
    private enum Filling {
        case copy(UnsafeMutableRawPointer)
        case int8(ck_matrix)
    }

    /// Cache-line alignment for everything that is ours to place.
    private static let alignment = 64

    init(_ checkpoint: Checkpoint, policy: LoadPolicy, dense: DenseFormat) throws(KimiError) {
        self.checkpoint = checkpoint
        self.policy = policy
        self.dense = dense
        var total = 0
        var vectors = 0
        checkpoint.forEachTensor { (name, tensor) throws(Never) in
            guard !name.hasPrefix("vision_tower.") && !name.hasPrefix("mm_projector.") else { return }
            // Sizes were checked against the files when the checkpoint was opened, so these sums cannot overflow.
            total += tensor.byteCount + Self.alignment
            if tensor.shape.count == 1 { vectors += tensor.byteCount * 2 + Self.alignment }
        }
        copies = try MappedMemory(byteCount: policy == .copy ? total : 0, what: "weights", isFilled: policy == .copy)
        let matrices = 3 * (checkpoint.config.expertCount + 2) * checkpoint.config.layerCount * MemoryLayout<ck_matrix>.stride
        tables = try MappedMemory(byteCount: vectors + matrices, what: "weight tables")
    }

    // MARK: Matrices

    /// The matrix `<name>.weight`, or its INT4 form `<name>.weight_packed` where that is allowed.
    ///
    /// - Parameter convertible: whether it is one that `DenseFormat` is about.
    mutating func matrix(
        _ name: String, rows: Int, columns: Int, int4: Bool = false, convertible: Bool = false
    ) throws(KimiError) -> ck_matrix {
        let linear = try checkpoint.linear(name, rows: rows, columns: columns)
        switch linear {
        case .plain(let tensor):
            let type = try Self.type(of: tensor, name: name)
            if convertible, let made = try convert(tensor, name, rows: rows, columns: columns) { return made }
            return ck_matrix(
                data: UnsafeRawPointer(try address(tensor)), scales: nil, rows: rows, columns: columns,
                type: type, reserved: 0)
        case .int4(let packed, let scales):
            guard int4 else {
                throw KimiError(
                    .unsupported, "stored as INT4; only expert and MLP projections may be", file: nil, subject: name)
            }
            return ck_matrix(
                data: UnsafeRawPointer(try address(packed)),
                scales: UnsafeRawPointer(try address(scales)).assumingMemoryBound(to: UInt16.self),
                rows: rows, columns: columns, type: Int32(CK_INT4), reserved: 0)
        }
    }

    /// Whether matrices [rows, columns] are converted where that is allowed.
    func converts(rows: Int, columns: Int) -> Bool { dense.byteCount(rows: rows, columns: columns) != nil }

    /// A matrix to be made of the tensor; nil if it stays as it is.
    private mutating func convert(
        _ tensor: TensorInfo, _ name: String, rows: Int, columns: Int
    ) throws(KimiError) -> ck_matrix? {
        guard let size = dense.byteCount(rows: rows, columns: columns) else { return nil }
        let memory = try MappedMemory(byteCount: size, what: name, isFilled: true)
        var made = ck_matrix(
            data: memory.base, scales: nil, rows: rows, columns: columns, type: Int32(CK_INT8), reserved: 0)
        // Scales follow the rows; the size has room for both.
        made.scales = UnsafePointer(memory.pointer(to: UInt16.self, at: rows * ck_row_bytes(&made)))
        conversions.append(memory)
        placement.converted += size
        pending.append((tensor, .int8(made)))
        return made
    }

    static func type(of tensor: TensorInfo, name: String) throws(KimiError) -> Int32 {
        switch tensor.dtype {
        case .bf16: Int32(CK_BF16)
        case .f16: Int32(CK_F16)
        case .f32: Int32(CK_F32)
        default:
            throw KimiError(
                .unsupported, "stored as \(tensor.dtype); supported are BF16, F16 and F32", subject: name)
        }
    }

    /// Where the tensor's bytes are, or will be once `fill` has run.
    private mutating func address(_ tensor: TensorInfo) throws(KimiError) -> UnsafeRawPointer {
        if policy == .map {
            guard let base = try checkpoint.bytes(of: tensor).baseAddress else {
                throw KimiError(.format, "a weight of zero bytes", file: checkpoint.folder)
            }
            placement.mapped += tensor.byteCount
            return base
        }
        let target = copies.base + placement.copied
        placement.copied += (tensor.byteCount + Self.alignment - 1) / Self.alignment * Self.alignment
        guard placement.copied <= copies.byteCount else {
            throw KimiError(.internal, "weights need more memory than their headers say", file: checkpoint.folder)
        }
        pending.append((tensor, .copy(target)))
        return UnsafeRawPointer(target)
    }

    /// Reads and makes what was promised, in the order of the files; there is nothing to do if all is mapped and stays as stored.
    /// Progress is told, and may stop it, after each tensor, and several times in a large one that is converted.
    mutating func fill(
        pool: WorkerPool, kernels: UnsafePointer<ck_kernels>, progress: (Int, Int) throws(KimiError) -> Void
    ) throws(KimiError) {
        let total = pending.reduce(0) { $0 + $1.tensor.byteCount }
        var done = 0
        pending.sort { ($0.tensor.shard, $0.tensor.offset) < ($1.tensor.shard, $1.tensor.offset) }
        let conversion = conversions.isEmpty ? nil : Int8Conversion(checkpoint, pool: pool, kernels: kernels)
        for (tensor, filling) in pending {
            switch filling {
            case .copy(let target):
                try checkpoint.read(tensor, into: UnsafeMutableRawBufferPointer(start: target, count: tensor.byteCount))
                done += tensor.byteCount
                try progress(done, total)
            case .int8(let matrix):
                try conversion?.run(tensor, into: matrix) { (bytes) throws(KimiError) in
                    done += bytes
                    try progress(done, total)
                }
            }
        }
        pending = []
    }

    // MARK: Vectors and tables

    /// The vector `name` in f32.
    mutating func vector(_ name: String, count: Int, kernels: ck_kernels) throws(KimiError) -> UnsafePointer<Float> {
        let tensor = try checkpoint.vector(name, count: count)
        let result = try table(of: Float.self, count: count, name: name)
        // Read, not mapped: a vector may lie at an odd address.
        let raw = try MappedMemory(byteCount: tensor.byteCount, what: "weights")
        try checkpoint.read(tensor, into: UnsafeMutableRawBufferPointer(start: raw.base, count: tensor.byteCount))
        var matrix = ck_matrix(
            data: raw.base, scales: nil, rows: 1, columns: count,
            type: try Self.type(of: tensor, name: name), reserved: 0)
        kernels.widen_row(result, &matrix, 0)
        return UnsafePointer(result)
    }

    /// Room for `count` elements that lives as long as the weights.
    mutating func table<T>(of type: T.Type, count: Int, name: String) throws(KimiError) -> UnsafeMutablePointer<T> {
        let offset = tableBytes
        let size = count * MemoryLayout<T>.stride
        tableBytes += (size + Self.alignment - 1) / Self.alignment * Self.alignment
        guard tableBytes <= tables.byteCount else {
            throw KimiError(.internal, "weight tables are larger than planned", subject: name)
        }
        return tables.pointer(to: type, at: offset)
    }
}
