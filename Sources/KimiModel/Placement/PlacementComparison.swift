import KimiCore
import KimiTopology

/// What other ways to use a machine are predicted to give, and where one becomes better than another.
package struct PlacementComparison: Sendable {
    package struct Row: Sendable {
        package let policy: PlacementPolicy
        /// Packages and nodes that compute.
        package let packages: Int
        package let nodes: Int
        package let imbalance: Double
        package let streamedBytes: Int
        package let prediction: PlacementPrediction
        /// Why it cannot be had; the figures are then 0.
        package let failure: String?
    }
    package let rows: [Row]
    /// The link's bytes a second below which all packages are slower than one, at batch 1 and with `slice`; nil if there is no such
    /// point within 0.1 to 1000 GB/s.
    package let linkCrossover: Double?
    /// The barrier's seconds above which they are.
    package let barrierCrossover: Double?
    /// The fewest sequences, a power of two, at which whole experts are predicted to be faster than split ones; nil if none up to 1024.
    package let expertCrossover: Int?

    /// - Throws: `invalidArgument` for an option out of its range.
    package init(_ inventory: ModelInventory, _ topology: Topology, _ options: PlanOptions) throws(KimiError) {
        let all = try PlacementPlanner(inventory, topology, options)
        let most = all.nodes.packages
        var rows: [Row] = []
        for packages in most > 1 ? [1, most] : [most] {
            let planner = try PlacementPlanner(inventory, topology, options, packages: packages)
            let policies = planner.nodes.computing.count > 1 && inventory.expertBytes > 0 ? PlacementPolicy.allCases : [.slice]
            for policy in policies { rows.append(Self.row(planner, policy)) }
        }
        self.rows = rows
        let base = options
        func speed(packages: Int, _ change: (inout PlanOptions) -> Void) -> Double? {
            var changed = base
            change(&changed)
            guard let planner = try? PlacementPlanner(inventory, topology, changed, packages: packages),
                let plan = try? planner.plan(.slice)
            else { return nil }
            return plan.prediction.single.middle
        }
        /// The value at which all packages become as fast as one; bisected on a logarithmic scale.
        func crossover(_ low: Double, _ high: Double, _ set: (inout PlanOptions, Double) -> Void) -> Double? {
            guard most > 1 else { return nil }
            func gain(_ value: Double) -> Double? {
                guard let many = speed(packages: most, { set(&$0, value) }), let one = speed(packages: 1, { _ in }) else { return nil }
                return many - one
            }
            guard let first = gain(low), let last = gain(high), first * last < 0 else { return nil }
            var (a, b) = (low, high)
            for _ in 0..<24 {
                let middle = (a * b).squareRoot()
                guard let value = gain(middle) else { return nil }
                if value * first > 0 { a = middle } else { b = middle }
            }
            return (a * b).squareRoot()
        }
        linkCrossover = crossover(0.1e9, 1000e9) { $0.rates.linkBandwidth = $1 }
        barrierCrossover = crossover(0.1e-6, 0.1) { $0.rates.barrier = $1 }
        var found: Int?
        if all.nodes.computing.count > 1, inventory.expertBytes > 0 {
            for exponent in 0...10 {
                var changed = options
                changed.sequences = 1 << exponent
                // Memory for so many caches is another question.
                changed.context = 1
                guard let planner = try? PlacementPlanner(inventory, topology, changed), let split = try? planner.plan(.slice),
                    let whole = try? planner.plan(.expert), whole.placement.policy == .expert
                else { break }
                if whole.prediction.batch.middle > split.prediction.batch.middle {
                    found = changed.sequences
                    break
                }
            }
        }
        expertCrossover = found
    }

    private static func row(_ planner: PlacementPlanner, _ policy: PlacementPolicy) -> Row {
        do throws(KimiError) {
            let plan = try planner.plan(policy)
            return Row(
                policy: policy, packages: planner.nodes.packages, nodes: planner.nodes.computing.count, imbalance: plan.imbalance,
                streamedBytes: plan.streamedBytes, prediction: plan.prediction, failure: nil)
        } catch {
            return Row(
                policy: policy, packages: planner.nodes.packages, nodes: planner.nodes.computing.count, imbalance: 0, streamedBytes: 0,
                prediction: PlacementPrediction(), failure: error.message)
        }
    }
}
