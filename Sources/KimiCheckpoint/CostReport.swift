/// What a checkpoint stores, and what one decoded token reads of it, by kind of weight and by layer. From headers alone.
///
/// Read for a token are: one row of the embedding, all weights of attention, dense layers, shared experts, router, norms and
/// head, and of the routed experts as many as a token chooses. The cache comes on top; see `cacheBytesPerToken`.
package struct CostReport: Sendable {
    /// Stored and read bytes of something.
    package struct Cost: Equatable, Sendable {
        package internal(set) var stored = 0
        package internal(set) var read = 0

        static func += (sum: inout Cost, other: Cost) {
            sum.stored += other.stored
            sum.read += other.read
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
    /// What the cache keeps for each token in f32: the latent and the rotated key of every layer.
    package let cacheBytesPerToken: Int

    /// Sums are safe from overflow because the checkpoint's tensors lie in real files, whose sizes add up below 2^63.
    package init(_ checkpoint: Checkpoint) {
        let config = checkpoint.config
        var sums: [WeightKind: Cost] = [:]
        var layers = (0..<config.layerCount).map { Layer(isDense: config.isDense(layer: $0)) }
        var parameters = 0
        checkpoint.forEachTensor { (name, tensor) throws(Never) in
            var (kind, layer) = WeightKind.parse(name, prefix: checkpoint.namePrefix)
            // Layers behind the last one are for guessing tokens ahead, which this library does not do.
            if let number = layer, !layers.indices.contains(number) { (kind, layer) = (.other, nil) }
            let isShape = name.hasSuffix(".weight_shape")
            let cost = Cost(stored: tensor.byteCount, read: isShape ? 0 : Self.read(tensor, kind, config))
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
        cacheBytesPerToken = config.layerCount * (config.latentSize + config.ropeSize) * 4
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
