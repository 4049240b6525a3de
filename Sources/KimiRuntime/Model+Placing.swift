import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTopology
import KimiVision

extension Model {
    /// How a checkpoint is to be loaded, and on which nodes.
    struct Placing {
        let load: LoadPolicy
        /// nil: on one node, wherever the threads are.
        let placement: Placement?
        let heat: ExpertHeat?
    }

    /// Decides what the options leave open.
    ///
    /// One node: weights stay in the mapped files if they have room in memory, else the routed experts are read when they are chosen.
    /// Several: what the plan says (`PlacementPlanner`), copied to its nodes.
    ///
    /// - Throws: what planning and reading the heat file throw.
    static func placing(
        _ checkpoint: Checkpoint, _ topology: Topology, _ options: Options, limit: MemoryBudget.Limit?
    ) throws(KimiError) -> Placing {
        let (config, memory) = (checkpoint.config, options.memory)
        guard memory.residentBytes == nil || options.loadPolicy == nil || options.loadPolicy == .stream else {
            throw KimiError(
                .invalidArgument, "resident_bytes is for load_policy stream, not \(options.loadPolicy?.name ?? "")", subject: "resident_bytes")
        }
        var heat: ExpertHeat?
        if let path = memory.heat { heat = try ExpertHeat(file: path, layers: config.layerCount, experts: config.expertCount) }
        let hasSeveral = topology.nodes.count { $0.coreCount > 0 } > 1
        guard hasSeveral || memory.nodes != nil || memory.policy != nil else {
            return Placing(
                load: options.loadPolicy ?? automatic(checkpoint, options, limit: limit?.bytes), placement: nil, heat: heat)
        }
        var plan = PlanOptions()
        plan.thirds = TextModel.usesThirds(isa: options.isa, exact: options.exact)
        plan.policy = memory.policy
        plan.nodes = memory.nodes
        plan.threads = options.threads
        plan.context = options.contextLimit
        plan.cacheType = options.cacheType
        plan.chunkSize = options.chunkSize
        plan.heat = heat
        plan.replicateBytes = memory.replicateBytes
        plan.residentBytes = memory.residentBytes
        // One of the host's own is its own to count.
        if options.eyes == nil { plan.eyes = VisionTower.memoryBytes(of: checkpoint, isMapped: options.loadPolicy == .map) }
        // Mapped weights belong to the page cache, whatever there is of it.
        plan.memoryLimit = options.loadPolicy == .map ? nil : limit?.bytes
        plan.mayStream = options.loadPolicy != .copy
        let inventory = try ModelInventory(checkpoint, dense: options.dense)
        let placement: Placement
        do throws(KimiError) {
            placement = try Self.placement(inventory, topology, plan)
        } catch {
            guard error.status == .outOfMemory, let limit else { throw error }
            throw KimiError(
                .outOfMemory, "\(error.message); the limit is \(MemoryBudget.amount(limit.bytes)) (\(limit.source.words))",
                file: error.file, subject: error.subject)
        }
        return Placing(
            load: options.loadPolicy ?? (placement.residentExpertBytes == nil ? .copy : .stream), placement: placement, heat: heat)
    }

    /// What the plan says. Nobody has asked for the context that plans keep room for unless told otherwise: where that is too long, it is
    /// no reason not to open.
    private static func placement(
        _ inventory: ModelInventory, _ topology: Topology, _ options: PlanOptions
    ) throws(KimiError) -> Placement {
        do throws(KimiError) {
            return try PlacementPlanner.plan(inventory, topology, options).placement
        } catch {
            guard error.status == .outOfMemory, options.context == nil else { throw error }
            var shortest = options
            shortest.context = min(BlockPool.blockTokens, inventory.config.contextLimit)
            guard let plan = try? PlacementPlanner.plan(inventory, topology, shortest) else { throw error }
            return plan.placement
        }
    }

    private static func automatic(_ checkpoint: Checkpoint, _ options: Options, limit: Int?) -> LoadPolicy {
        guard options.memory.residentBytes == nil else { return .stream }
        let costs = CostReport(checkpoint, dense: options.dense)
        let experts = costs.kinds.first { $0.kind == .routedExperts }?.cost
        guard let limit, let experts, let needed = Checked.sum(costs.total.stored, costs.total.made), needed > limit else { return .map }
        // All but the experts must have room, with those of a token twice; else mapping is the way that takes nothing.
        let layers = max(1, costs.layers.count { !$0.isDense })
        let rest = Checked.sum(needed - experts.stored, 2 * (experts.read / layers)) ?? .max
        return rest < limit ? .stream : .map
    }
}
