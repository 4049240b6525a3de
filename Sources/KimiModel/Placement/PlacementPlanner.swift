import KimiCheckpoint
import KimiCore
import KimiTopology

/// Plans where a model's weights are to lie on a machine, which need not be this one. Touches no weights.
package struct PlacementPlanner {
    let inventory: ModelInventory
    let topology: Topology
    let options: PlanOptions
    let nodes: PlanNodes
    let context: Int
    /// Bytes of each sequence's cache, and of scratch memory and logits in all.
    let cacheBytes: Int
    let bufferBytes: Int
    /// How probable it is that a token chooses an expert, `layer * experts + expert`.
    let probabilities: [Double]

    /// The best plan for the options.
    ///
    /// - Throws: `invalidArgument` for an option out of its range; `outOfMemory` with the changes that would help.
    package static func plan(
        _ inventory: ModelInventory, _ topology: Topology, _ options: PlanOptions
    ) throws(KimiError) -> PlacementPlan {
        let planner = try PlacementPlanner(inventory, topology, options)
        let candidates: [PlacementPolicy] = options.policy.map { [$0] } ?? planner.candidates
        var best: PlacementPlan?
        var firstFailure: KimiError?
        for policy in candidates {
            do throws(KimiError) {
                let plan = try planner.plan(policy)
                if best.map({ plan.prediction.isFaster(than: $0.prediction) }) ?? true { best = plan }
            } catch {
                firstFailure = firstFailure ?? error
            }
        }
        guard var best else { throw firstFailure ?? KimiError(.internal, "no policy to plan with") }
        best.isChosen = options.policy == nil
        return best
    }

    /// Policies that differ on this machine; the simplest first, which wins where they are predicted to be equal.
    private var candidates: [PlacementPolicy] {
        nodes.computing.count < 2 || inventory.expertBytes == 0 ? [.slice] : PlacementPolicy.allCases
    }

    /// - Parameter packages: only so many of the machine's packages are to compute; nil: all.
    init(
        _ inventory: ModelInventory, _ topology: Topology, _ options: PlanOptions, packages: Int? = nil
    ) throws(KimiError) {
        let config = inventory.config
        try options.validate(config)
        self.inventory = inventory
        self.topology = topology
        self.options = options
        nodes = try PlanNodes(topology, options, packages: packages)
        context = options.context(of: config)
        let threads = nodes.computing.reduce(0) { $0 + $1.workers }
        bufferBytes = try Self.buffers(
            config, options, threads: threads, nodes: nodes.computing.count,
            outputsApart: nodes.computing.count > 1)
        let blocks = (context + BlockPool.blockTokens - 1) / BlockPool.blockTokens
        let block = Checked.product(BlockPool.blockTokens, options.cacheType.bytesPerToken(config))
            .flatMap { Checked.roundUp($0, to: 4096) }
        guard let block, let cache = Checked.product(blocks, block, options.sequences), cache < 1 << 60 else {
            throw KimiError(
                .outOfMemory, "the cache of \(options.sequences) sequences of \(context) tokens is beyond any memory", subject: "sequences")
        }
        cacheBytes = cache
        let heat = options.heat ?? .uniform(layers: config.layerCount, experts: config.expertCount)
        var probabilities: [Double] = []
        probabilities.reserveCapacity(config.layerCount * config.expertCount)
        for layer in 0..<config.layerCount {
            probabilities += config.isDense(layer: layer)
                ? [Double](repeating: 0, count: config.expertCount)
                : heat.probabilities(layer: layer, perToken: config.expertsPerToken)
        }
        self.probabilities = probabilities
    }

    /// What a step takes beside weights and caches, by the layout that a model is opened with; and logits of each sequence.
    private static func buffers(
        _ config: ModelConfig, _ options: PlanOptions, threads: Int, nodes: Int, outputsApart: Bool
    ) throws(KimiError) -> Int {
        let shape = AttentionShape(
            heads: config.headCount, nope: config.nopeSize, rope: config.ropeSize, value: config.valueSize,
            latent: config.latentSize, scoreScale: 1)
        // Address space only: nothing is written to but a table of rows.
        let attention = try AttentionPlan(
            shape: shape, cacheType: options.cacheType, rows: options.chunkSize, threads: threads, thirds: options.thirds)
        let workspace = try Workspace(
            config: config, rows: options.chunkSize, workers: threads, nodes: nodes, outputsApart: outputsApart,
            thirds: options.thirds)
        let logits = Checked.product(options.sequences, config.vocabularySize, 4)
        guard let logits, let sum = Checked.sum(attention.byteCount, workspace.byteCount, logits), sum < 1 << 60 else {
            throw KimiError(.outOfMemory, "the work space is beyond any memory", subject: "chunk_size")
        }
        return sum
    }

    // MARK: One policy

    /// The plan with a policy; of policies that need whole experts in memory, `slice` takes the place where some have none.
    func plan(_ policy: PlacementPolicy) throws(KimiError) -> PlacementPlan {
        let room = try room()
        let isWhole = policy != .slice && room.residentBytes == nil && nodes.computing.count > 1
        var notes = nodes.notes + room.notes
        if policy != .slice, !isWhole, inventory.expertBytes > 0 {
            notes.append(
                room.residentBytes != nil
                    ? "experts that come and go are split over the nodes: slice in place of \(policy.rawValue)"
                    : "on one node slice and \(policy.rawValue) are the same")
        }
        let far = farExperts(room.distantBytes)
        func placed(_ shares: [Int]) -> Placement {
            Placement(
                policy: isWhole ? policy : .slice,
                nodes: nodes.computing.indices.map {
                    .init(node: nodes.computing[$0].index, workers: nodes.computing[$0].workers, share: shares[$0])
                }, residentExpertBytes: room.residentBytes)
        }
        var shares = self.shares(withExperts: !isWhole, residentBytes: room.residentBytes, distant: room.distantBytes)
        var split = SplitBytes(inventory, placed(shares))
        // Whole rows take a node beyond its part by up to a hundredth; where that is beyond its room, others get some of it.
        var excess = self.excess(split, shares, withExperts: !isWhole, room: room, far: far)
        for _ in 0..<64 {
            guard let worst = excess.indices.max(by: { excess[$0] < excess[$1] }), excess[worst] > 0,
                let roomiest = excess.indices.min(by: { excess[$0] < excess[$1] }), excess[roomiest] < 0
            else { break }
            if shares.allSatisfy({ $0 == 1 }) { shares = shares.map { $0 * 100_000 / nodes.computing.count } }
            let total = Double(max(1, split.matrixBytes.reduce(0, +) + (isWhole ? 0 : inventory.expertBytes - room.distantBytes)))
            let moved = min(excess[worst], max(1, -excess[roomiest] / 2))
            let step = min(shares[worst], max(1, Int((Double(moved) / total * Double(shares.reduce(0, +))).rounded(.up))))
            shares[worst] -= step
            shares[roomiest] += step
            split = SplitBytes(inventory, placed(shares))
            excess = self.excess(split, shares, withExperts: !isWhole, room: room, far: far)
        }
        let placed = placed(shares)
        var dealt = ExpertDeal(homes: [], notes: [])
        if isWhole {
            dealt = deal(
                placed, replicating: policy == .replicate, distant: far,
                room: nodes.computing.indices.map { roomForWeights($0) - split.matrixBytes[$0] })
            notes += dealt.notes
        }
        let placement = Placement(
            policy: placed.policy, nodes: placed.nodes, homes: dealt.homes, distant: farTable(far),
            residentExpertBytes: room.residentBytes)
        let plan = account(placement, split, distant: far, room: room, notes: notes)
        // What whole rows and whole experts cannot be dealt so that it fits does not fit.
        if let beyond = plan.nodes.map({ $0.used - $0.capacity }).max(), beyond > 0 {
            let resident = room.residentBytes ?? inventory.expertBytes
            throw refusal(missing: beyond * nodes.computing.count, streaming: resident - beyond * nodes.computing.count)
        }
        return plan
    }

    /// What node k has for weights.
    func roomForWeights(_ k: Int) -> Int { nodes.computing[k].capacity - fixed(k) }

    /// What node k holds whatever is planned: copies of norms, its blocks of the caches, its parts of the work space and of the vision tower.
    func fixed(_ k: Int) -> Int { inventory.vectorBytes + cache(k) + buffers(k) + vision(k) }

    func cache(_ k: Int) -> Int { Self.part(cacheBytes, k, of: nodes.computing.count) }
    func buffers(_ k: Int) -> Int { Self.part(bufferBytes, k, of: nodes.computing.count) }
    func vision(_ k: Int) -> Int { Self.part(options.eyes, k, of: nodes.computing.count) }
    private static func part(_ bytes: Int, _ k: Int, of count: Int) -> Int { bytes / count + (k < bytes % count ? 1 : 0) }

    // MARK: Shares

    /// By how much what is split goes beyond each node's room; negative where it does not.
    private func excess(
        _ split: SplitBytes, _ shares: [Int], withExperts: Bool, room: ExpertRoom, far: [Int: Int]
    ) -> [Int] {
        let count = nodes.computing.count
        var used = split.matrixBytes
        if let resident = room.residentBytes {
            let sum = max(1, shares.reduce(0, +))
            for k in 0..<count { used[k] += Int(Double(resident) * (Double(shares[k]) / Double(sum))) }
        } else if withExperts {
            for (index, expert) in inventory.experts.enumerated() where far[index] == nil {
                guard let expert else { continue }
                let (layer, number) = index.quotientAndRemainder(dividingBy: max(1, inventory.config.expertCount))
                for k in 0..<count { used[k] += split.bytes(expert, layer: layer, number: number, of: k) }
            }
        }
        return (0..<count).map { used[$0] - roomForWeights($0) }
    }

    /// Each node's part of what is split: equal while that fits, else as much as a node can have.
    private func shares(withExperts: Bool, residentBytes: Int?, distant: Int) -> [Int] {
        let rooms = nodes.computing.indices.map { max(0, roomForWeights($0)) }
        let experts = withExperts ? (residentBytes ?? inventory.expertBytes) - distant : 0
        let total = inventory.matrixBytes + max(0, experts)
        let count = rooms.count
        // Whole rows make parts differ a little.
        let equal = total / count
        if count == 1 || rooms.allSatisfy({ $0 - $0 / 512 >= equal }) { return [Int](repeating: 1, count: count) }
        var shares = [Double](repeating: 0, count: count)
        var free = Array(rooms.indices)
        var left = Double(total)
        while !free.isEmpty {
            let level = left / Double(free.count)
            let full = free.filter { Double(rooms[$0]) * Self.usable < level }
            guard !full.isEmpty else {
                for k in free { shares[k] = level }
                break
            }
            for k in full { shares[k] = Double(rooms[k]) * Self.usable }
            left -= full.reduce(0) { $0 + shares[$1] }
            free.removeAll { full.contains($0) }
        }
        return shares.map { Int(($0 / Double(max(1, total)) * 100_000).rounded()) }
    }

    /// The part of a node's room that a share may fill, so that whole rows do not go beyond it.
    static let usable = 0.998
}
