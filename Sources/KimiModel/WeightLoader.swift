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
    /// As with `copy`, but for the routed experts: they are read when the router chooses them, and as many stay as have room.
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

/// Finds the weights of a checkpoint by name, checks their shapes, and gives each an address, on the node that its placement says.
///
/// With `.copy`, and where weights are converted, an address is assigned first and filled by `fill`, so that progress knows the
/// total.
package struct WeightLoader {
    let checkpoint: Checkpoint
    let placement: Placement
    private let policy: LoadPolicy
    private let dense: DenseFormat
    /// Copied tensors, and what was made of matrices in another format.
    let memory: WeightMemory
    /// Norms, biases and tables of matrices, in f32 or as structs.
    private(set) var tables: MappedMemory
    /// Where weights are. In bytes.
    private(set) var bytes = WeightPlacement()
    /// Bytes of `tables` that are in use.
    private(set) var tableBytes = 0
    private var pending: [Filling] = []
    /// Vectors in f32 that other nodes get a copy of.
    private var vectorCopies: [(from: UnsafePointer<Float>, to: UnsafeMutablePointer<Float>, count: Int)] = []
    /// Bytes of the files that `fill` reads.
    var pendingBytes: Int { pending.reduce(0) { $0 + $1.count } }
    /// Splits that were made, by what they depend on.
    private var splits: [Split: UnsafePointer<Int>] = [:]
    private var expertSplits: ExpertSplits?
    /// With `.stream` where the routed experts are.
    private(set) var expertFiles: ExpertFiles
    /// The layer whose weights are being found; how rows are rounded to whole units depends on it.
    var layer = 0

    private struct Split: Hashable { let rows, phase, unit: Int }

    var nodeCount: Int { placement.nodes.count }

    init(
        _ checkpoint: Checkpoint, placement: Placement, policy: LoadPolicy, dense: DenseFormat, nodes nodeMemory: NodeMemory
    ) throws(KimiError) {
        self.checkpoint = checkpoint
        self.placement = placement
        self.policy = policy
        self.dense = dense
        let nodes = placement.nodes.count
        expertFiles = ExpertFiles(checkpoint.config)
        var total = 0
        var vectors = 0
        checkpoint.forEachTensor { (name, tensor) throws(Never) in
            guard !name.hasPrefix("vision_tower.") && !name.hasPrefix("mm_projector.") else { return }
            // Sizes were checked against the files when the checkpoint was opened, so these sums cannot overflow.
            if policy == .stream, name.contains(".mlp.experts.") { return }
            total += tensor.byteCount + WeightMemory.alignment
            if tensor.shape.count == 1 { vectors += tensor.byteCount * 2 + (nodes + 2) * WeightMemory.alignment }
        }
        memory = WeightMemory(nodeMemory, expected: policy == .map ? 0 : total / nodes)
        // Untouched pages take no memory, so the sum may be generous: up to 16 matrices a layer and its experts' tables, each with a
        // part and a bound for every node, and a few splits.
        let config = checkpoint.config
        let part = MemoryLayout<ck_matrix>.stride + MemoryLayout<Int>.stride
        let matrices = (16 + 3 * config.expertCount) * (config.layerCount + 1) * (nodes + 1) * part
        let alignment = 40 * (config.layerCount + 1) * WeightMemory.alignment
        let splits = (nodes + 1) * (nodes + 1) * 64 * MemoryLayout<Int>.stride
        tables = try MappedMemory(byteCount: vectors + matrices + alignment + splits, what: "weight tables")
    }

    // MARK: Matrices

    /// The matrix `<name>.weight`, or its INT4 form `<name>.weight_packed` where that is allowed.
    ///
    /// - Parameters:
    ///   - convertible: whether it is one that `DenseFormat` is about.
    ///   - unit: rows that must not be split.
    mutating func matrix(
        _ name: String, rows: Int, columns: Int, int4: Bool = false, convertible: Bool = false, unit: Int = Placement.rowUnit
    ) throws(KimiError) -> Matrix {
        let linear = try checkpoint.linear(name, rows: rows, columns: columns)
        let bounds = try self.bounds(rows, phase: layer, unit: unit)
        let parts = try table(of: ck_matrix.self, count: nodeCount, name: name)
        var type = Int32(CK_INT4)
        if case .int4 = linear, !int4 {
            throw KimiError(.unsupported, "stored as INT4; only expert and MLP projections may be", file: nil, subject: name)
        }
        if case .plain(let tensor) = linear {
            type = try Self.type(of: tensor, name: name)
            if convertible, converts(rows: rows, columns: columns) { type = Int32(CK_INT8) }
        }
        for node in 0..<nodeCount {
            let own = bounds[node]..<bounds[node + 1]
            if type == Int32(CK_INT8), case .plain(let tensor) = linear {
                parts[node] = try converted(tensor, rows: rows, columns: columns, part: own, on: node)
            } else {
                parts[node] = try stored(linear, rows: rows, columns: columns, type: type, part: own, on: node, by: node)
            }
        }
        return Matrix(rows: rows, columns: columns, type: type, parts: parts, bounds: bounds)
    }

    /// A part of a matrix as it is stored, addressed by the rows of the whole, in the memory of a node, filled by a group's workers.
    private mutating func stored(
        _ linear: LinearWeights, rows: Int, columns: Int, type: Int32, part: Range<Int>, on node: Int, by group: Int
    ) throws(KimiError) -> ck_matrix {
        switch linear {
        case .plain(let tensor):
            return ck_matrix(
                data: try address(tensor, rows: rows, part: part, on: node, by: group), scales: nil, rows: rows, columns: columns,
                type: type, reserved: 0)
        case .int4(let packed, let scales):
            return ck_matrix(
                data: try address(packed, rows: rows, part: part, on: node, by: group),
                scales: try address(scales, rows: rows, part: part, on: node, by: group).assumingMemoryBound(to: UInt16.self),
                rows: rows, columns: columns, type: type, reserved: 0)
        }
    }

    /// Whether matrices [rows, columns] are converted where that is allowed.
    func converts(rows: Int, columns: Int) -> Bool { dense.byteCount(rows: rows, columns: columns) != nil }

    /// A part of a matrix that is to be made of the tensor.
    private mutating func converted(
        _ tensor: TensorInfo, rows: Int, columns: Int, part: Range<Int>, on node: Int
    ) throws(KimiError) -> ck_matrix {
        var made = ck_matrix(data: nil, scales: nil, rows: rows, columns: columns, type: Int32(CK_INT8), reserved: 0)
        let size = dense.byteCount(rows: part.count, columns: columns) ?? 0
        let place = try memory.take(size, on: node)
        // Scales follow the rows; the size has room for both. Neither address is read but for the part's rows.
        made.data = UnsafeRawPointer(place) - part.lowerBound * ck_row_bytes(&made)
        let scales = place + part.count * ck_row_bytes(&made) - part.lowerBound * columns / 32 * 2
        made.scales = UnsafePointer(scales.assumingMemoryBound(to: UInt16.self))
        bytes.converted += size
        let rowBytes = tensor.byteCount / max(rows, 1)
        pending.append(Filling(
            tensor: tensor, begin: part.lowerBound * rowBytes, count: part.count * rowBytes, group: node,
            target: .int8(made, first: part.lowerBound, type: try Self.type(of: tensor, name: "a weight"))))
        return made
    }

    /// The CK_ type of a stored tensor's elements.
    package static func type(of tensor: TensorInfo, name: String) throws(KimiError) -> Int32 {
        switch tensor.dtype {
        case .bf16: Int32(CK_BF16)
        case .f16: Int32(CK_F16)
        case .f32: Int32(CK_F32)
        default:
            throw KimiError(
                .unsupported, "stored as \(tensor.dtype); supported are BF16, F16 and F32", subject: name)
        }
    }

    /// Where row 0 of the tensor would be if the part's rows are where they are, or will be once `fill` has run.
    private mutating func address(
        _ tensor: TensorInfo, rows: Int, part: Range<Int>, on node: Int, by group: Int
    ) throws(KimiError) -> UnsafeRawPointer {
        let rowBytes = tensor.byteCount / max(rows, 1)
        if policy == .map {
            guard let base = try checkpoint.bytes(of: tensor).baseAddress else {
                throw KimiError(.format, "a weight of zero bytes", file: checkpoint.folder)
            }
            bytes.mapped += part.count * rowBytes
            return base
        }
        let target = try memory.take(part.count * rowBytes, on: node)
        bytes.copied += part.count * rowBytes
        pending.append(Filling(
            tensor: tensor, begin: part.lowerBound * rowBytes, count: part.count * rowBytes, group: group, target: .copy(to: target)))
        return UnsafeRawPointer(target) - part.lowerBound * rowBytes
    }

    /// Where the nodes' parts of so many rows begin, and where the last one's end.
    private mutating func bounds(_ rows: Int, phase: Int, unit: Int) throws(KimiError) -> UnsafePointer<Int> {
        let split = Split(rows: rows, phase: phase % nodeCount, unit: unit)
        if let made = splits[split] { return made }
        let bounds = try table(of: Int.self, count: nodeCount + 1, name: "splits")
        fill(bounds, split)
        splits[split] = UnsafePointer(bounds)
        return UnsafePointer(bounds)
    }

    private func fill(_ bounds: UnsafeMutablePointer<Int>, _ split: Split) {
        for node in 0..<nodeCount {
            bounds[node] = placement.rows(split.rows, of: node, phase: split.phase, unit: split.unit).lowerBound
        }
        bounds[nodeCount] = split.rows
    }

    // MARK: Routed experts

    /// The routed experts of the layer, `<name>E.gate_proj` and so on, each on its nodes.
    mutating func experts(_ name: String, _ config: ModelConfig) throws(KimiError) -> ExpertTable {
        let (count, width, hidden) = (config.expertCount, config.moeIntermediateSize, config.hiddenSize)
        let splits = try expertSplits(width)
        let first = layer * count
        // Experts that come and go are always split.
        let homes = policy != .stream && placement.homes.count >= first + count
            ? try table(of: UInt64.self, count: count, name: name) : nil
        for expert in 0..<count { homes?[expert] = placement.homes[first + expert] }
        let table = ExpertTable(
            layer: layer, count: count, gate: try self.table(of: ck_matrix.self, count: nodeCount * count, name: name),
            up: try self.table(of: ck_matrix.self, count: nodeCount * count, name: name),
            down: try self.table(of: ck_matrix.self, count: nodeCount * count, name: name), splits: splits,
            downBounds: try bounds(hidden, phase: layer, unit: Placement.rowUnit), homes: UnsafePointer(homes))
        for expert in 0..<count {
            let base = "\(name)\(expert)."
            try place(base + "gate_proj", rows: width, columns: hidden, of: expert, in: table, table.gate, table.splits.rows)
            try place(base + "up_proj", rows: width, columns: hidden, of: expert, in: table, table.up, table.splits.rows)
            try place(base + "down_proj", rows: hidden, columns: width, of: expert, in: table, table.down) {
                table.downBounds[$1]..<table.downBounds[$1 + 1]
            }
        }
        return table
    }

    /// One matrix of an expert, whole on each of its homes or split over all nodes.
    private mutating func place(
        _ name: String, rows: Int, columns: Int, of expert: Int, in table: ExpertTable,
        _ matrices: UnsafeMutablePointer<ck_matrix>, _ split: (Int, Int) -> Range<Int>
    ) throws(KimiError) {
        let linear = try checkpoint.linear(name, rows: rows, columns: columns)
        var type = Int32(CK_INT4)
        if case .plain(let tensor) = linear { type = try Self.type(of: tensor, name: name) }
        if policy == .stream {
            expertFiles.add(layer: layer, linear)
            for node in 0..<nodeCount {
                matrices[node * table.count + expert] = ck_matrix(
                    data: nil, scales: nil, rows: rows, columns: columns, type: type, reserved: 0)
            }
            return
        }
        let homes = table.homes(expert)
        for node in 0..<nodeCount where homes == 0 || homes >> UInt64(node) & 1 == 1 {
            matrices[node * table.count + expert] = try stored(
                linear, rows: rows, columns: columns, type: type, part: homes == 0 ? split(expert, node) : 0..<rows,
                on: memory.nodes.store(of: node, expert: layer * table.count + expert), by: node)
        }
        guard homes != 0 else { return }
        // Other nodes would read it from afar.
        let home = homes.trailingZeroBitCount
        for node in 0..<nodeCount where homes >> UInt64(node) & 1 == 0 {
            matrices[node * table.count + expert] = matrices[home * table.count + expert]
        }
    }

    /// The splits of experts' gates and ups, one for each rounding.
    private mutating func expertSplits(_ width: Int) throws(KimiError) -> ExpertSplits {
        if let expertSplits { return expertSplits }
        let bounds = try table(of: Int.self, count: nodeCount * (nodeCount + 1), name: "splits")
        let mostBlocks = try table(of: Int.self, count: nodeCount, name: "splits")
        for phase in 0..<nodeCount {
            let own = bounds + phase * (nodeCount + 1)
            fill(own, Split(rows: width, phase: phase, unit: Placement.rowUnit))
            for node in 0..<nodeCount {
                mostBlocks[node] = max(mostBlocks[node], ExpertBlocks.count(own[node + 1] - own[node]))
            }
        }
        let made = ExpertSplits(nodes: nodeCount, bounds: UnsafePointer(bounds), mostBlocks: UnsafePointer(mostBlocks))
        expertSplits = made
        return made
    }

    // MARK: Filling

    /// Reads and makes what was promised, after which weights may be used.
    ///
    /// - Parameters:
    ///   - lent: bytes that are charged and not touched meanwhile.
    ///   - progress: as that of `CopyRun`.
    mutating func fill(
        pool: WorkerPool, kernels: UnsafePointer<ck_kernels>, budget: MemoryBudget, lent: Int,
        progress: (Int, Int) throws(KimiError) -> Void
    ) throws(KimiError) {
        let total = pendingBytes
        try memory.nodes.populate(memory.parts, pool: pool) { () throws(KimiError) in try progress(0, max(total, 1)) }
        for copy in vectorCopies { copy.to.update(from: copy.from, count: copy.count) }
        vectorCopies = []
        guard total > 0 else { return }
        let run = try CopyRun(
            checkpoint, pool: pool, kernels: kernels, room: BufferRoom(budget, lent: lent), fillings: pending)
        pending = []
        try run.run(progress)
    }

    // MARK: Vectors and tables

    /// The vector `name` in f32.
    mutating func vector(_ name: String, count: Int, kernels: ck_kernels) throws(KimiError) -> Vector {
        let tensor = try checkpoint.vector(name, count: count)
        let result = try table(of: Float.self, count: count, name: name)
        // Read, not mapped: a vector may lie at an odd address.
        let raw = try MappedMemory(byteCount: tensor.byteCount, what: "weights")
        try checkpoint.read(tensor, into: UnsafeMutableRawBufferPointer(start: raw.base, count: tensor.byteCount))
        var matrix = ck_matrix(
            data: raw.base, scales: nil, rows: 1, columns: count,
            type: try Self.type(of: tensor, name: name), reserved: 0)
        kernels.widen_row(result, &matrix, 0)
        let copies = try table(of: UnsafePointer<Float>.self, count: nodeCount, name: name)
        copies[0] = UnsafePointer(result)
        for node in 1..<max(nodeCount, 1) {
            let copy = try memory.take(count * MemoryLayout<Float>.stride, on: node).bindMemory(to: Float.self, capacity: count)
            vectorCopies.append((UnsafePointer(result), copy, count))
            copies[node] = UnsafePointer(copy)
        }
        return Vector(copies: UnsafePointer(copies))
    }

    /// Room for `count` elements that lives as long as the weights.
    mutating func table<T>(of type: T.Type, count: Int, name: String) throws(KimiError) -> UnsafeMutablePointer<T> {
        let offset = tableBytes
        let size = count * MemoryLayout<T>.stride
        tableBytes += (size + WeightMemory.alignment - 1) / WeightMemory.alignment * WeightMemory.alignment
        guard tableBytes <= tables.byteCount else {
            throw KimiError(.internal, "weight tables are larger than planned", subject: name)
        }
        return tables.pointer(to: type, at: offset)
    }
}
