import KimiTopology

/// How weights are dealt over memory nodes.
package enum PlacementPolicy: String, Sendable, CaseIterable {
    /// Each matrix's rows are split over the nodes, those of every expert too: each node reads the same for any token.
    case slice
    /// Routed experts lie whole on one node each, dealt by heat; all other weights are split.
    case expert
    /// As `expert`, and the hottest experts lie on every node as well, as far as a budget goes.
    case replicate
}

/// Which node has which weights, as the forward pass needs to know it: the outcome of planning.
package struct Placement: Sendable, Equatable {
    /// A node that computes.
    package struct Node: Sendable, Equatable {
        /// Its index in `Topology.nodes`.
        package let node: Int
        /// Threads that are bound to its cores, at least 1.
        package let workers: Int
        /// Its part of what is split, of the sum of all nodes' shares.
        package let share: Int

        package init(node: Int, workers: Int, share: Int) {
            self.node = node
            self.workers = workers
            self.share = share
        }
    }

    package let policy: PlacementPolicy
    /// In the order of the topology, 1 to `mostNodes`.
    package let nodes: [Node]
    /// For each layer and expert, `layer * experts + expert`, the set of nodes (bit k for `nodes[k]`) that hold it whole; 0 for one that is
    /// split. Empty where all are split.
    package let homes: [UInt64]
    /// For each of `nodes` and each layer and expert the index in `Topology.nodes` of the memory that its part lies in, where that is
    /// another node's (one of memory alone). Empty where all lie on their own nodes.
    package let distant: [[UInt8]]
    /// Bytes for routed experts in memory, those of all nodes together, if not all have room: the others are read from the files when
    /// the router chooses them. nil: all are in memory.
    package let residentExpertBytes: Int?

    /// The most nodes that compute.
    package static let mostNodes = 64
    /// Rows are split in multiples of this: groups of integer activations never straddle two nodes.
    package static let rowUnit = 32

    package init(
        policy: PlacementPolicy, nodes: [Node], homes: [UInt64] = [], distant: [[UInt8]] = [], residentExpertBytes: Int? = nil
    ) {
        self.policy = policy
        self.nodes = nodes
        self.homes = homes
        self.distant = distant
        self.residentExpertBytes = residentExpertBytes
        totalShare = max(1, nodes.reduce(0) { $0 + $1.share })
        // A node's share begins where those before it end.
        begins = nodes.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.share) }
    }

    /// All on one node, wherever that is.
    package static func single(workers: Int) -> Placement {
        Placement(policy: .slice, nodes: [Node(node: 0, workers: workers, share: 1)])
    }

    private let totalShare: Int
    private let begins: [Int]

    /// The rows of a matrix that are the part of node k, in whole units.
    ///
    /// - Parameter phase: rounds another way for each value, so that where units do not divide evenly, what one matrix takes from a node
    ///   another gives: the expert's number for gate and up, the layer's for all else.
    package func rows(_ count: Int, of k: Int, phase: Int, unit: Int = rowUnit) -> Range<Int> {
        let units = (count + unit - 1) / unit
        func bound(_ k: Int) -> Int {
            if k == 0 { return 0 }
            if k == nodes.count { return count }
            return min(count, (units * begins[k] + phase % nodes.count * totalShare / nodes.count) / totalShare * unit)
        }
        return bound(k)..<bound(k + 1)
    }
}
