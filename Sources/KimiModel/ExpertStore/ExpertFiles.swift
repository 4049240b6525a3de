import CKimiKernels
import KimiCheckpoint
import KimiCore

/// Where the routed experts' weights lie in the files.
struct ExpertFiles {
    /// The three matrices of an expert, in this order wherever they are counted.
    enum Part: Int, CaseIterable { case gate, up, down }

    /// Experts of a layer.
    let count: Int
    let width: Int
    let hidden: Int
    /// Three for each expert of each layer that has experts; the layers before the first of those are left out.
    private var weights: [LinearWeights] = []
    /// For each layer the place of its first expert's first matrix, -1 if it is dense.
    private var begins: [Int]

    init(_ config: ModelConfig) {
        count = config.expertCount
        width = config.moeIntermediateSize
        hidden = config.hiddenSize
        begins = [Int](repeating: -1, count: config.layerCount)
    }

    /// Notes the matrices of a layer's next expert, in the order of `Part`.
    mutating func add(layer: Int, _ linear: LinearWeights) {
        if begins[layer] < 0 { begins[layer] = weights.count }
        weights.append(linear)
    }

    var isEmpty: Bool { weights.isEmpty }
    /// Experts of all layers.
    var expertCount: Int { weights.count / Part.allCases.count }

    func linear(layer: Int, expert: Int, _ part: Part) -> LinearWeights {
        // Safe because only layers that were added are asked for: those that have an ExpertTable.
        weights[begins[layer] + 3 * expert + part.rawValue]
    }

    func rows(_ part: Part) -> Int { part == .down ? hidden : width }

    /// Calls `body` for all matrices.
    func forEach(_ body: (Part, LinearWeights) -> Void) {
        for (index, linear) in weights.enumerated() {
            body(index % 3 == 0 ? .gate : index % 3 == 1 ? .up : .down, linear)
        }
    }
}

extension LinearWeights {
    /// The tensors that are read while the model runs: weights, and scales if they are packed.
    var data: TensorInfo {
        switch self {
        case .plain(let tensor): tensor
        case .int4(let packed, _): packed
        }
    }
    var scales: TensorInfo? {
        if case .int4(_, let scales) = self { scales } else { nil }
    }
}
