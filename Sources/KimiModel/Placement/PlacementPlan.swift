import KimiCheckpoint
import KimiCore

/// Where everything of a model is to lie, and what that costs: made before anything is loaded.
package struct PlacementPlan: Sendable {
    /// What memory is used for, in the order of the model. The raw values are keys of JSON output.
    package enum Kind: String, Sendable, CaseIterable {
        case embedding
        case attention
        case denseMLP = "dense_mlp"
        case router
        case sharedExperts = "shared_experts"
        case routedExperts = "routed_experts"
        /// Further copies of experts that have a home elsewhere.
        case replicas
        /// Norms and biases: a copy on every node.
        case norms
        case head
        case cache
        /// Scratch memory of a step, and logits of each sequence.
        case buffers
        /// The vision tower's weights.
        case vision

        init(_ kind: WeightKind) {
            self = switch kind {
            case .embedding: .embedding
            case .attention: .attention
            case .denseMLP: .denseMLP
            case .router: .router
            case .sharedExperts: .sharedExperts
            case .head: .head
            case .norms, .vision, .other: .norms
            case .routedExperts: .routedExperts
            }
        }
    }

    package struct Node: Sendable {
        /// In `Topology.nodes`, and the operating system's number.
        package let index: Int
        package let number: UInt32
        package let package: Int
        /// Threads; 0 for a node of memory alone.
        package let workers: Int
        /// All its memory, 0 if that is not known, and what of it may be used.
        package let memoryBytes: Int
        package let capacity: Int
        package internal(set) var bytes: [Kind: Int] = [:]
        /// Bytes of weights that its threads read for a token at batch 1, as is to be expected.
        package internal(set) var readPerToken = 0.0

        package var used: Int { bytes.values.reduce(0, +) }
        package var free: Int { capacity - used }
    }

    /// Where a routed expert is.
    package enum ExpertPlace: Sendable, Equatable {
        /// In a dense layer.
        case none
        /// Its rows are shared by all nodes.
        case split
        /// Whole on one of the nodes that compute.
        case home(Int)
        /// On every node that computes.
        case everywhere
        /// In memory without cores; an index in `Topology.nodes`.
        case distant(Int)
        /// Read from the files when it is chosen, unless it happens to be in memory.
        case streamed
    }

    /// What the engine follows.
    package let placement: Placement
    /// Whether the policy was chosen by prediction.
    package internal(set) var isChosen = false
    package let inventory: ModelInventory
    /// Nodes that compute, in the order of `placement.nodes`; then those of memory alone.
    package internal(set) var nodes: [Node]
    /// `layer * experts + expert`.
    package let experts: [ExpertPlace]
    package let context: Int
    package let sequences: Int
    package let cacheType: CacheType
    /// Largest over mean of what nodes read for a token, less one: of all layers together, and of the worst layer.
    package internal(set) var imbalance = 0.0
    package internal(set) var worstLayerImbalance = 0.0
    /// Bytes of routed experts that are not in memory, and the share of choices that find theirs there.
    package let streamedBytes: Int
    package let hitRate: Double
    /// Bytes to be read from the files for a token at batch 1, as is to be expected.
    package let missBytesPerToken: Double
    package internal(set) var notes: [String]
    package internal(set) var prediction: PlacementPrediction

    /// Adds what else is to be said.
    package mutating func note(_ words: String) { notes.append(words) }

    var computing: Int { placement.nodes.count }
    package var isComputing: [Bool] { nodes.indices.map { $0 < computing } }
    package func total(_ kind: Kind) -> Int { nodes.reduce(0) { $0 + ($1.bytes[kind] ?? 0) } }
    package var used: Int { nodes.reduce(0) { $0 + $1.used } }
    package var capacity: Int { nodes.reduce(0) { $0 + $1.capacity } }
}
