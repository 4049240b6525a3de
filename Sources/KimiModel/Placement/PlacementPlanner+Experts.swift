import KimiCheckpoint
import KimiCore

/// Which nodes hold each expert whole.
struct ExpertDeal {
    /// As `Placement.homes`.
    var homes: [UInt64]
    var notes: [String]
}

extension PlacementPlanner {
    private var experts: Int { inventory.config.expertCount }
    /// All nodes that compute.
    private var everyNode: UInt64 {
        nodes.computing.count == 64 ? .max : (1 << UInt64(nodes.computing.count)) - 1
    }

    /// Experts of all layers from the hottest on, equal ones in their order.
    private func byHeat() -> [Int] {
        inventory.experts.indices.filter { inventory.experts[$0] != nil }
            .sorted { probabilities[$0] != probabilities[$1] ? probabilities[$0] > probabilities[$1] : $0 < $1 }
    }

    // MARK: Memory without cores

    /// For each expert that lies in memory without cores, the node's index in the topology.
    func farExperts(_ bytes: Int) -> [Int: Int] {
        guard bytes > 0 else { return [:] }
        var result: [Int: Int] = [:]
        var left = bytes
        var rooms = nodes.far.map(\.capacity)
        for index in byHeat().reversed() {
            guard left > 0, let expert = inventory.experts[index] else { break }
            let size = inventory.bytes(of: expert)
            guard let node = rooms.indices.max(by: { rooms[$0] < rooms[$1] }), rooms[node] >= size else { break }
            result[index] = nodes.far[node].index
            rooms[node] -= size
            left -= size
        }
        return result
    }

    /// As `Placement.distant`.
    func farTable(_ far: [Int: Int]) -> [[UInt8]] {
        guard !far.isEmpty else { return [] }
        return nodes.computing.map { node in
            inventory.experts.indices.map { UInt8(truncatingIfNeeded: far[$0] ?? node.index) }
        }
    }

    // MARK: Whole experts

    /// Deals experts over the nodes, layer by layer from the hottest on, each to the node that reads the least so far.
    ///
    /// - Parameter room: bytes for experts on each node.
    func deal(_ placement: Placement, replicating: Bool, distant: [Int: Int], room: [Int]) -> ExpertDeal {
        let count = nodes.computing.count
        var deal = ExpertDeal(homes: [UInt64](repeating: 0, count: inventory.experts.count), notes: [])
        var left = room.map { max(0, $0) }
        if replicating {
            let copied = replicas(room: left)
            if copied.isEmpty { deal.notes.append("no memory is free for further copies of experts") }
            for index in copied {
                deal.homes[index] = everyNode
                guard let expert = inventory.experts[index] else { continue }
                for k in 0..<count { left[k] -= inventory.bytes(of: expert) }
            }
        }
        var totals = [Double](repeating: 0, count: count)
        for (done, layer) in inventory.expertLayers.enumerated() {
            let layersLeft = inventory.expertLayers.count - done
            let members = (layer * experts..<(layer + 1) * experts).filter { deal.homes[$0] == 0 }
                .sorted { probabilities[$0] != probabilities[$1] ? probabilities[$0] > probabilities[$1] : $0 < $1 }
            var loads = [Double](repeating: 0, count: count)
            var taken = [Int](repeating: 0, count: count)
            // What a node may take of this layer, so that there is something left for the next; all in all no less than is needed.
            var most = left.map { max(0, $0) / layersLeft }
            let needed = members.reduce(0) { $0 + (distant[$1] == nil ? size($1) : 0) } + inventory.largestExpert * count
            let short = needed - most.reduce(0, +)
            if short > 0 { for k in 0..<count { most[k] += (short + count - 1) / count } }
            for index in members {
                let bytes = distant[index] == nil ? size(index) : 0
                let fitting = (0..<count).filter { taken[$0] + bytes <= most[$0] }
                let choice = (fitting.isEmpty ? Array(0..<count) : fitting).min { a, b in
                    if abs(loads[a] - loads[b]) > 1e-9 * max(loads[a], loads[b]) { return loads[a] < loads[b] }
                    if abs(totals[a] - totals[b]) > 1e-9 * max(totals[a], totals[b]) { return totals[a] < totals[b] }
                    return left[a] - taken[a] > left[b] - taken[b]
                } ?? 0
                deal.homes[index] = 1 << UInt64(choice)
                let load = probabilities[index] * Double(size(index))
                loads[choice] += load
                totals[choice] += load
                taken[choice] += bytes
            }
            for k in 0..<count { left[k] -= taken[k] }
        }
        return deal
    }

    private func size(_ index: Int) -> Int { inventory.experts[index].map { inventory.bytes(of: $0) } ?? 0 }

    /// The hottest experts, as many as every node can hold beside its own.
    private func replicas(room: [Int]) -> [Int] {
        let count = nodes.computing.count
        let free = room.reduce(0, +) - inventory.expertBytes
        // The node with the least room decides.
        let least = (room.min() ?? 0) - inventory.expertBytes / count
        let budget = min(options.replicateBytes ?? .max, min(free / count, least))
        var used = 0
        var chosen: [Int] = []
        for index in byHeat() {
            // On the average node one copy in `count` is the expert's first.
            let bytes = size(index) / count * (count - 1)
            guard used + bytes <= budget else { break }
            used += bytes
            chosen.append(index)
        }
        return chosen
    }
}
