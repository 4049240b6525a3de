import KimiCore

/// What a checkpoint stores, and what one decoded token reads of it, by kind of weight and by layer. From headers alone.
///
/// Read for a token are: one row of the embedding, all weights of attention, dense layers, shared experts, router, norms and
/// head, and of the routed experts as many as a token chooses. The cache comes on top.
package struct CostReport: Sendable {
    /// The bytes of something.
    package struct Cost: Equatable, Sendable {
        /// In the files.
        package internal(set) var stored = 0
        /// For one decoded token.
        package internal(set) var read = 0
        /// In memory, made while opening; see `DenseFormat`.
        package internal(set) var made = 0

        static func += (sum: inout Cost, other: Cost) {
            sum.stored += other.stored
            // What is made of a tensor can be longer than what is stored.
            sum.read = Checked.sum(sum.read, other.read) ?? .max
            sum.made = Checked.sum(sum.made, other.made) ?? .max
        }
    }

    package struct Layer: Equatable, Sendable {
        package let isDense: Bool
        fileprivate(set) var kinds: [WeightKind: Cost] = [:]

        package var total: Cost { kinds.values.reduce(into: Cost()) { $0 += $1 } }
        package subscript(kind: WeightKind) -> Cost { kinds[kind] ?? Cost() }
    }

    /// Kinds in the order of the model; only those that occur.
    package let kinds: [(kind: WeightKind, cost: Cost)]
    package let layers: [Layer]
    package let total: Cost
    /// Weights, packed ones counted one by one; scales and shapes are none.
    package let parameters: Int

    /// How the checkpoint is assumed to be opened.
    package let dense: DenseFormat

    /// Sums of stored bytes are safe from overflow because the checkpoint's tensors lie in real files, whose sizes add up below
    /// 2^63.
    package init(_ checkpoint: Checkpoint, dense: DenseFormat = .stored) {
        let config = checkpoint.config
        var sums: [WeightKind: Cost] = [:]
        var layers = (0..<config.layerCount).map { Layer(isDense: config.isDense(layer: $0)) }
        var parameters = 0
        checkpoint.forEachTensor { (name, tensor) throws(Never) in
            var (kind, layer) = WeightKind.parse(name, prefix: checkpoint.namePrefix)
            // Layers behind the last one are for guessing tokens ahead, which this library does not do.
            if let number = layer, !layers.indices.contains(number) { (kind, layer) = (.other, nil) }
            let isShape = name.hasSuffix(".weight_shape")
            var cost = Cost(stored: tensor.byteCount, read: isShape ? 0 : Self.read(tensor, kind, config))
            if let made = Self.made(tensor, name, kind, dense, config) {
                cost.made = made
                cost.read += made - tensor.byteCount
            }
            sums[kind, default: Cost()] += cost
            if let layer { layers[layer].kinds[kind, default: Cost()] += cost }
            if name.hasSuffix(".weight_packed") {
                parameters += tensor.byteCount * 2
            } else if !isShape && !name.hasSuffix(".weight_scale") {
                parameters += tensor.shape.elementCount ?? 0
            }
        }
        // The routed experts are read in part: whole ones, so the share is taken of the sum.
        for index in layers.indices {
            guard let stored = layers[index].kinds[.routedExperts]?.stored, config.expertCount > 0 else { continue }
            let read = stored / config.expertCount * min(config.expertsPerToken, config.expertCount)
            layers[index].kinds[.routedExperts]?.read = read
            sums[.routedExperts]?.read += read
        }
        kinds = WeightKind.allCases.compactMap { kind in sums[kind].map { (kind, $0) } }
        total = sums.values.reduce(into: Cost()) { $0 += $1 }
        self.layers = layers
        self.parameters = parameters
        self.dense = dense
    }

    /// The bytes that opening makes of a tensor, to be read in its place; nil if it is read as stored.
    private static func made(
        _ tensor: TensorInfo, _ name: String, _ kind: WeightKind, _ dense: DenseFormat, _ config: ModelConfig
    ) -> Int? {
        // With tied embeddings the table is the head as well, and is converted as such.
        let isHead = kind == .embedding && config.tiedEmbeddings
        guard tensor.shape.count == 2, Checkpoint.plainTypes.contains(tensor.dtype), isHead || DenseFormat.concerns(name, kind)
        else { return nil }
        return dense.byteCount(rows: tensor.shape[0], columns: tensor.shape[1])
    }

    private static func read(_ tensor: TensorInfo, _ kind: WeightKind, _ config: ModelConfig) -> Int {
        switch kind {
        case .embedding:
            // With tied embeddings the table is the head as well.
            let row = tensor.shape.count == 2 && tensor.shape[0] > 0 ? tensor.byteCount / tensor.shape[0] : 0
            return config.tiedEmbeddings ? tensor.byteCount + row : row
        case .routedExperts, .vision, .other: return 0
        default: return tensor.byteCount
        }
    }
}
