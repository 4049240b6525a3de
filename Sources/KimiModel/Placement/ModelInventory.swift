import KimiCheckpoint
import KimiCore

/// All weights of a model that are kept in memory, as far as a plan needs to know them: which rows of which size, and how they may be
/// split. From headers, or from a configuration alone.
package struct ModelInventory: Sendable {
    /// A matrix that every node has some rows of; see `Placement.rows`.
    package struct Matrix: Sendable {
        package let kind: WeightKind
        /// What rounding to whole units depends on: the layer, 0 for embedding and head.
        package let phase: Int
        package let rows: Int
        /// Rows that must not be split.
        package let unit: Int
        /// As kept in memory.
        package let rowBytes: Int
        /// As in the files.
        package let storedBytes: Int
        /// As `DenseFormat.int8` would keep it.
        let int8Bytes: Int
        /// Whether a token reads all of it; of an embedding it reads one row.
        package let isRead: Bool

        package var byteCount: Int { rows * rowBytes }
    }

    /// A routed expert, as it is stored.
    package struct Expert: Sendable, Equatable {
        /// Bytes of a row of gate and up together, and of down.
        package let gateUpRowBytes: Int
        package let downRowBytes: Int
    }

    package let config: ModelConfig
    package let dense: DenseFormat
    /// Whether there were no headers: sizes are those of the published layout.
    package let isFromConfigAlone: Bool
    package let matrices: [Matrix]
    /// Norms and biases, of which each node has a copy.
    package let vectorBytes: Int
    /// Routed experts, `layer * expertCount + expert`; nil in dense layers.
    package let experts: [Expert?]

    /// Rows of an expert's gate and up, and of its down.
    package var expertWidth: Int { config.moeIntermediateSize }
    package var hiddenSize: Int { config.hiddenSize }

    package func bytes(of expert: Expert) -> Int { expertWidth * expert.gateUpRowBytes + hiddenSize * expert.downRowBytes }

    /// Bytes of all routed experts, and of all that is split and is none.
    package let expertBytes: Int
    package let matrixBytes: Int
    /// Layers with experts.
    package let expertLayers: [Int]
    /// The largest expert.
    package let largestExpert: Int

    private init(_ reader: InventoryReader, dense: DenseFormat) throws(KimiError) {
        config = reader.config
        self.dense = dense
        isFromConfigAlone = reader.checkpoint == nil
        matrices = reader.matrices
        vectorBytes = reader.vectorBytes
        experts = reader.experts
        let (width, hidden, count) = (reader.config.moeIntermediateSize, reader.config.hiddenSize, reader.config.expertCount)
        let sizes = reader.experts.map { expert in
            expert.map { width * $0.gateUpRowBytes + hidden * $0.downRowBytes } ?? 0
        }
        largestExpert = sizes.max() ?? 0
        guard let expertBytes = Self.sum(sizes), let matrixBytes = Self.sum(reader.matrices.map(\.byteCount)) else {
            throw KimiError(.unsupported, "the weights that this configuration describes are beyond any memory", subject: "config.json")
        }
        (self.expertBytes, self.matrixBytes) = (expertBytes, matrixBytes)
        expertLayers = count == 0 ? [] : (0..<reader.config.layerCount).filter { reader.experts[$0 * count] != nil }
    }

    /// What an opened checkpoint holds.
    ///
    /// - Throws: what opening a model throws for a tensor that is missing or has another shape.
    package init(_ checkpoint: Checkpoint, dense: DenseFormat) throws(KimiError) {
        var reader = InventoryReader(checkpoint.config, checkpoint: checkpoint, dense: dense)
        try reader.read()
        try self.init(reader, dense: dense)
    }

    /// What the published layout would hold: routed experts in INT4 if the configuration says so, all else in BF16.
    package init(_ config: ModelConfig, dense: DenseFormat) throws(KimiError) {
        var reader = InventoryReader(config, checkpoint: nil, dense: dense)
        try reader.read()
        try self.init(reader, dense: dense)
    }

    private static func sum(_ terms: [Int]) -> Int? {
        var result = 0
        for term in terms {
            guard let next = Checked.sum(result, term), next < 1 << 60 else { return nil }
            result = next
        }
        return result
    }
}

/// Goes through the model as `Weights` does, and notes sizes in place of addresses.
struct InventoryReader {
    let config: ModelConfig
    let checkpoint: Checkpoint?
    let dense: DenseFormat
    private(set) var matrices: [ModelInventory.Matrix] = []
    private(set) var vectorBytes = 0
    private(set) var experts: [ModelInventory.Expert?] = []
    private var phase = 0

    init(_ config: ModelConfig, checkpoint: Checkpoint?, dense: DenseFormat) {
        self.config = config
        self.checkpoint = checkpoint
        self.dense = dense
    }

    mutating func read() throws(KimiError) {
        let prefix = (checkpoint?.namePrefix ?? "") + "model."
        let (hidden, vocabulary) = (config.hiddenSize, config.vocabularySize)
        let headIsMade = dense.byteCount(rows: vocabulary, columns: hidden) != nil
        // A table that is the head as well is read whole for every token, unless a head is made of it.
        try matrix(
            .embedding, prefix + "embed_tokens", rows: vocabulary, columns: hidden, isRead: config.tiedEmbeddings && !headIsMade)
        vector(hidden)
        if !config.tiedEmbeddings || headIsMade {
            let name = config.tiedEmbeddings ? prefix + "embed_tokens" : (checkpoint?.namePrefix ?? "") + "lm_head"
            try matrix(.head, name, rows: vocabulary, columns: hidden, convertible: true, isStored: !config.tiedEmbeddings)
        }
        experts.reserveCapacity(config.layerCount * config.expertCount)
        for layer in 0..<config.layerCount {
            phase = layer
            let name = "\(prefix)layers.\(layer)."
            vector(2 * hidden)
            try attention(name + "self_attn.")
            if config.isDense(layer: layer) {
                try mlp(.denseMLP, name + "mlp.", width: config.intermediateSize)
                experts += [ModelInventory.Expert?](repeating: nil, count: config.expertCount)
                continue
            }
            try matrix(.router, name + "mlp.gate", rows: config.expertCount, columns: hidden)
            vector(config.expertCount)
            if config.sharedExpertCount > 0 {
                try mlp(
                    .sharedExperts, name + "mlp.shared_experts.", width: config.sharedExpertCount * config.moeIntermediateSize)
            }
            for expert in 0..<config.expertCount { try routed("\(name)mlp.experts.\(expert).") }
        }
    }

    private mutating func attention(_ name: String) throws(KimiError) {
        let queryRows = config.headCount * (config.nopeSize + config.ropeSize)
        let hidden = config.hiddenSize
        if let rank = config.queryRank {
            try matrix(.attention, name + "q_a_proj", rows: rank, columns: hidden, convertible: true)
            vector(rank)
            try matrix(.attention, name + "q_b_proj", rows: queryRows, columns: rank, convertible: true)
        } else {
            try matrix(.attention, name + "q_proj", rows: queryRows, columns: hidden, convertible: true)
        }
        try matrix(
            .attention, name + "kv_a_proj_with_mqa", rows: config.latentSize + config.ropeSize, columns: hidden, convertible: true)
        vector(config.latentSize)
        let head = config.nopeSize + config.valueSize
        try matrix(.attention, name + "kv_b_proj", rows: config.headCount * head, columns: config.latentSize, unit: head)
        try matrix(
            .attention, name + "o_proj", rows: hidden, columns: config.headCount * config.valueSize, convertible: true)
    }

    private mutating func mlp(_ kind: WeightKind, _ name: String, width: Int) throws(KimiError) {
        try matrix(kind, name + "gate_proj", rows: width, columns: config.hiddenSize, convertible: true)
        try matrix(kind, name + "up_proj", rows: width, columns: config.hiddenSize, convertible: true)
        try matrix(kind, name + "down_proj", rows: config.hiddenSize, columns: width, convertible: true)
    }

    private mutating func matrix(
        _ kind: WeightKind, _ name: String, rows: Int, columns: Int, convertible: Bool = false, unit: Int = Placement.rowUnit,
        isRead: Bool = true, isStored: Bool = true
    ) throws(KimiError) {
        let linear = try linear(name, rows: rows, columns: columns)
        let stored = rowBytes(linear, columns: columns, int4: false)
        var kept = stored
        var isPlain = true
        if case .int4 = linear { isPlain = false }
        if convertible, isPlain, let made = dense.byteCount(rows: rows, columns: columns) { kept = made / rows }
        matrices.append(.init(
            kind: kind, phase: phase, rows: rows, unit: unit, rowBytes: kept, storedBytes: isStored ? rows * stored : 0,
            int8Bytes: convertible && isPlain ? DenseFormat.int8.byteCount(rows: rows, columns: columns) ?? rows * kept : rows * kept,
            isRead: isRead))
    }

    private mutating func routed(_ name: String) throws(KimiError) {
        let (width, hidden) = (config.moeIntermediateSize, config.hiddenSize)
        let int4 = config.quantization == .int4
        let gate = rowBytes(try linear(name + "gate_proj", rows: width, columns: hidden), columns: hidden, int4: int4)
        let up = rowBytes(try linear(name + "up_proj", rows: width, columns: hidden), columns: hidden, int4: int4)
        let down = rowBytes(try linear(name + "down_proj", rows: hidden, columns: width), columns: width, int4: int4)
        experts.append(.init(gateUpRowBytes: gate + up, downRowBytes: down))
    }

    private func linear(_ name: String, rows: Int, columns: Int) throws(KimiError) -> LinearWeights? {
        guard let checkpoint else { return nil }
        return try checkpoint.linear(name, rows: rows, columns: columns)
    }

    /// Bytes of a stored row, scales included.
    ///
    /// - Parameter int4: how the published layout stores it, where there are no headers.
    private func rowBytes(_ linear: LinearWeights?, columns: Int, int4: Bool) -> Int {
        switch linear {
        case .plain(let tensor)?: tensor.byteCount / max(1, tensor.shape[0])
        case .int4(let packed, let scales)?: (packed.byteCount + scales.byteCount) / max(1, packed.shape[0])
        // Eight numbers in four bytes, and two bytes of scale for 32.
        case nil where int4: (columns + 7) / 8 * 4 + (columns + 31) / 32 * 2
        case nil: columns * 2
        }
    }

    /// In f32, whatever they are stored as.
    private mutating func vector(_ count: Int) { vectorBytes += count * 4 }
}
