import KimiCheckpoint
import KimiCore

extension PlacementPlanner {
    /// Adds up what a placement puts where, and predicts.
    func account(
        _ placement: Placement, _ split: SplitBytes, distant: [Int: Int], room: ExpertRoom, notes: [String]
    ) -> PlacementPlan {
        let config = inventory.config
        let count = nodes.computing.count
        var accounts = emptyAccounts()
        for k in 0..<count {
            for (kind, bytes) in split.kinds[k] { accounts[k].bytes[.init(kind), default: 0] += bytes }
            accounts[k].bytes[.norms, default: 0] += inventory.vectorBytes
            accounts[k].bytes[.cache] = cache(k)
            accounts[k].bytes[.buffers] = buffers(k)
            accounts[k].bytes[.vision] = vision(k)
            accounts[k].readPerToken = Double(split.matrixReads[k])
        }
        let places = places(placement, distant: distant, room: room)
        let far = Dictionary(uniqueKeysWithValues: nodes.far.indices.map { (nodes.far[$0].index, count + $0) })
        var layerReads = [[Double]](repeating: [Double](repeating: 0, count: count), count: config.layerCount)
        for (index, expert) in inventory.experts.enumerated() {
            guard let expert else { continue }
            let (layer, number) = index.quotientAndRemainder(dividingBy: max(1, config.expertCount))
            let home = placement.homes.isEmpty ? 0 : placement.homes[index]
            let whole = inventory.bytes(of: expert)
            let homes = home.nonzeroBitCount
            for k in 0..<count {
                let isHere = home >> UInt64(k) & 1 == 1
                let bytes = home == 0 ? split.bytes(expert, layer: layer, number: number, of: k) : isHere ? whole : 0
                // Of several copies each is read as often as the others.
                layerReads[layer][k] += probabilities[index] * Double(bytes) / Double(max(1, homes))
                guard room.residentBytes == nil else { continue }
                if let node = distant[index].flatMap({ far[$0] }) {
                    accounts[node].bytes[.routedExperts, default: 0] += bytes
                } else if homes > 1, index % count != k {
                    // Of copies everywhere one is the expert's first, on each node in turn.
                    if isHere { accounts[k].bytes[.replicas, default: 0] += bytes }
                } else {
                    accounts[k].bytes[.routedExperts, default: 0] += bytes
                }
            }
        }
        if let resident = room.residentBytes {
            let shares = placement.nodes.map(\.share)
            let sum = max(1, shares.reduce(0, +))
            for k in 0..<count { accounts[k].bytes[.routedExperts] = Int(Double(resident) * (Double(shares[k]) / Double(sum))) }
        }
        for k in 0..<count { accounts[k].readPerToken += layerReads.reduce(0) { $0 + $1[k] } }

        let missing = missing(places)
        var plan = PlacementPlan(
            placement: placement, inventory: inventory, nodes: accounts, experts: places, context: context,
            sequences: options.sequences, cacheType: options.cacheType,
            streamedBytes: room.residentBytes.map { inventory.expertBytes - $0 } ?? 0,
            hitRate: missing.hitRate, missBytesPerToken: missing.bytes, notes: notes,
            prediction: PlacementPrediction())
        plan.imbalance = Self.imbalance(accounts[..<count].map(\.readPerToken))
        plan.worstLayerImbalance = layerReads.map(Self.imbalance).max() ?? 0
        plan.prediction = PlacementPrediction(self, placement, split, places)
        let shares = placement.nodes.map(\.share)
        if let least = shares.min(), let most = shares.max(), least < most {
            plan.notes.append(
                "equal shares do not fit the nodes' memory: parts are as large as it allows, and the busiest node reads \(Self.percent(plan.imbalance)) more than the mean")
        }
        return plan
    }

    private func emptyAccounts() -> [PlacementPlan.Node] {
        func node(_ index: Int, workers: Int, capacity: Int) -> PlacementPlan.Node {
            let node = topology.nodes[index]
            return .init(
                index: index, number: node.number, package: node.package, workers: workers, memoryBytes: node.memoryBytes,
                capacity: capacity)
        }
        return nodes.computing.map { node($0.index, workers: $0.workers, capacity: $0.capacity) }
            + nodes.far.map { node($0.index, workers: 0, capacity: $0.capacity) }
    }

    private func places(_ placement: Placement, distant: [Int: Int], room: ExpertRoom) -> [PlacementPlan.ExpertPlace] {
        var places = inventory.experts.indices.map { index -> PlacementPlan.ExpertPlace in
            guard inventory.experts[index] != nil else { return .none }
            if let node = distant[index] { return .distant(node) }
            guard !placement.homes.isEmpty else { return .split }
            let home = placement.homes[index]
            return home.nonzeroBitCount > 1 ? .everywhere : home == 0 ? .split : .home(home.trailingZeroBitCount)
        }
        guard let resident = room.residentBytes else { return places }
        // The hottest stay; the store comes close to that by itself.
        var left = resident
        for index in byHeat() {
            guard let expert = inventory.experts[index] else { continue }
            left -= inventory.bytes(of: expert)
            if left < 0 { places[index] = .streamed }
        }
        return places
    }

    /// The share of choices that find their expert in memory, and the bytes that the others read for a token.
    private func missing(_ places: [PlacementPlan.ExpertPlace]) -> (hitRate: Double, bytes: Double) {
        var (chosen, missed, bytes) = (0.0, 0.0, 0.0)
        for (index, expert) in inventory.experts.enumerated() {
            guard let expert else { continue }
            chosen += probabilities[index]
            guard places[index] == .streamed else { continue }
            missed += probabilities[index]
            bytes += probabilities[index] * Double(inventory.bytes(of: expert))
        }
        return (chosen > 0 ? 1 - missed / chosen : 1, bytes)
    }

    static func imbalance(_ parts: [Double]) -> Double {
        let mean = parts.reduce(0, +) / Double(max(1, parts.count))
        return mean > 0 ? (parts.max() ?? 0) / mean - 1 : 0
    }

    static func percent(_ share: Double) -> String {
        let tenths = (share * 1000).rounded()
        guard (0...1e9).contains(tenths) else { return "-" }
        return "\(Int(tenths) / 10).\(Int(tenths) % 10) %"
    }
}
