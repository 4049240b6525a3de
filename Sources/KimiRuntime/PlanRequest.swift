import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTopology
import KimiVision

/// A question about a folder and a machine: where would everything lie, and how fast would that be? Reads headers at most.
package struct PlanRequest: Sendable {
    package var folder: String
    /// A machine to plan for, in hwloc's synthetic form or as an XML file of its tools; neither: this one.
    package var synthetic: String?
    package var topologyFile: String?
    package var dense = DenseFormat.stored
    /// The path of a heat file.
    package var heat: String?
    package var options = PlanOptions()
    /// Whether other ways to use the machine are to be predicted too.
    package var compares = false
    package var log = Log.silent

    package init(folder: String) { self.folder = folder }

    package struct Answer: Sendable {
        package let plan: PlacementPlan
        package let topology: Topology
        package let rates: MachineRates
        package let comparison: PlacementComparison?

        /// The whole answer as a JSON object; see kimi_plan in kimi.h.
        package var json: String {
            var json = JSONWriter()
            json.object { json in plan.describe(topology, rates, comparison: comparison, in: &json) }
            return json.text
        }
    }

    /// - Throws: what reading the folder, the machine's description or the heat file throws; `invalidArgument` for an option out of
    ///   its range; `outOfMemory` with what would help.
    package func answer() throws(KimiError) -> Answer {
        guard synthetic == nil || topologyFile == nil else {
            throw KimiError(.invalidArgument, "synthetic and topology both describe a machine; give one of them", subject: "topology")
        }
        let topology = if let synthetic {
            try Topology.synthetic(synthetic)
        } else if let topologyFile {
            try Topology.file(topologyFile)
        } else {
            try Topology.current()
        }
        let (inventory, eyes) = try contents()
        var options = options
        options.eyes = eyes
        if let heat {
            options.heat = try ExpertHeat(file: heat, layers: inventory.config.layerCount, experts: inventory.config.expertCount)
        }
        var isGroupLimit = false
        if topology.source == .machine, let limit = MemoryLimits.current().tightest, limit.isGroup,
            limit.bytes < options.memoryLimit ?? .max
        {
            options.memoryLimit = limit.bytes
            isGroupLimit = true
        }
        var plan = try PlacementPlanner.plan(inventory, topology, options)
        if isGroupLimit { plan.note("the process's cgroup allows \(PlacementPlanner.amount(options.memoryLimit ?? 0))") }
        return Answer(
            plan: plan, topology: topology, rates: options.rates,
            comparison: compares ? try PlacementComparison(inventory, topology, options) : nil)
    }

    /// What is to be placed, and the bytes of the vision tower beside it.
    private func contents() throws(KimiError) -> (ModelInventory, eyes: Int) {
        guard try ModelConfig.hasWeights(folder: folder) else {
            let config = try ModelConfig(folder: folder)
            return (try ModelInventory(config, dense: dense), try config.vision.map(VisionTower.memoryBytes) ?? 0)
        }
        let checkpoint = try Checkpoint(folder: folder, log: log)
        return (try ModelInventory(checkpoint, dense: dense), VisionTower.memoryBytes(of: checkpoint, isMapped: false))
    }
}
