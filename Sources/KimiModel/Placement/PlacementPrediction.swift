import KimiCheckpoint
import KimiCore

/// How many tokens a second a plan may give: a prediction, not a measurement.
///
/// The time of a step is the sum over its jobs of the longest that any node takes, and of a barrier after each job:
///
///     job     = max over nodes (own bytes / the node's bandwidth)
///     cache   = own blocks / the node's bandwidth + blocks of other packages / its part of the link
///     cross   = rows x 8 activations of the hidden size, the part that other packages compute / link
///     disk    = bytes of experts that are expected not to be in memory / the disk's bandwidth
///     barrier = 9 a layer (10 with whole experts) x their cost
///
/// An expert is touched by a batch of B tokens with probability 1 - (1 - p)^B. Where experts are whole, what the busiest node is to
/// read is the mean of simulated steps (the same random numbers each time): a token's experts fall on the nodes unevenly, which
/// splitting them avoids. Arithmetic is not counted.
package struct PlacementPrediction: Sendable, Equatable {
    /// Tokens a second of all sequences together.
    package struct Range: Sendable, Equatable {
        package internal(set) var low = 0.0
        package internal(set) var high = 0.0
        /// One number for comparing.
        package var middle: Double { (low * high).squareRoot() }
    }
    /// One sequence alone, and all of them.
    package internal(set) var single = Range()
    package internal(set) var batch = Range()

    init() {}

    /// Whether this is faster by more than what simulation leaves uncertain.
    func isFaster(than other: PlacementPrediction) -> Bool { batch.middle * single.middle > other.batch.middle * other.single.middle * 1.01 }

    init(
        _ planner: PlacementPlanner, _ placement: Placement, _ split: SplitBytes, _ places: [PlacementPlan.ExpertPlace]
    ) {
        let model = StepModel(planner, placement, split, places)
        func range(_ rows: Int) -> Range {
            let loads = model.loads(rows: rows)
            return Range(
                low: Double(rows) / model.seconds(rows: rows, loads, .low), high: Double(rows) / model.seconds(rows: rows, loads, .high))
        }
        single = range(1)
        batch = planner.options.sequences == 1 ? single : range(planner.options.sequences)
    }
}

/// The time of a step on a machine of which a few rates are known.
struct StepModel {
    let planner: PlacementPlanner
    let placement: Placement
    let split: SplitBytes
    let places: [PlacementPlan.ExpertPlace]

    /// Jobs of a layer that end in a barrier: six of attention, three of the feed-forward block.
    private static let barriers = 9
    /// Activations of the hidden size that cross in a layer for each row.
    private static let crossings = 8
    /// Draws of a token's expert that a simulation makes in all.
    private static let draws = 200_000

    init(
        _ planner: PlacementPlanner, _ placement: Placement, _ split: SplitBytes, _ places: [PlacementPlan.ExpertPlace]
    ) {
        self.planner = planner
        self.placement = placement
        self.split = split
        self.places = places
    }

    /// What routed experts make a step read: by node, the sum over layers of what the busiest takes, in units of that node's bandwidth
    /// where all nodes are alike.
    struct Loads {
        /// Bytes of the busiest node, all layers together.
        var busiest = 0.0
        var far = 0.0
        var missed = 0.0
    }

    func loads(rows: Int) -> Loads {
        let inventory = planner.inventory
        let count = placement.nodes.count
        let experts = inventory.config.expertCount
        var loads = Loads()
        var random = StepRandom()
        let drawn = min(rows * inventory.config.expertsPerToken, experts)
        let perLayer = max(1, Self.draws / max(1, inventory.expertLayers.count * drawn))
        let trials = min(64, perLayer)
        for layer in inventory.expertLayers {
            var means = [Double](repeating: 0, count: count)
            for number in 0..<experts {
                let index = layer * experts + number
                guard let expert = inventory.experts[index] else { continue }
                let touched = 1 - power(1 - planner.probabilities[index], rows)
                switch places[index] {
                case .none: break
                case .streamed: loads.missed += touched * Double(inventory.bytes(of: expert)); fallthrough
                case .split:
                    for k in 0..<count { means[k] += touched * Double(split.bytes(expert, layer: layer, number: number, of: k)) }
                case .distant: loads.far += touched * Double(inventory.bytes(of: expert))
                case .home, .everywhere: break
                }
            }
            loads.busiest += means.max() ?? 0
            if !placement.homes.isEmpty {
                loads.busiest += simulated(layer: layer, rows: rows, trials: trials, &random)
            }
        }
        return loads
    }

    /// The mean of what the busiest node reads of a layer's whole experts.
    private func simulated(layer: Int, rows: Int, trials: Int, _ random: inout StepRandom) -> Double {
        let inventory = planner.inventory
        let (experts, perToken) = (inventory.config.expertCount, inventory.config.expertsPerToken)
        let first = layer * experts
        var sums = [Double](repeating: 0, count: experts + 1)
        for number in 0..<experts { sums[number + 1] = sums[number] + planner.probabilities[first + number] }
        guard sums[experts] > 0 else { return 0 }
        var total = 0.0
        var touched = [Int](repeating: -1, count: experts)
        var chosenBy = touched
        // Of many tokens nearly all of a layer's experts are chosen by some: whether one is hardly depends on the others then, and to
        // draw once for each expert takes less than once for each choice.
        let isMany = rows > experts / max(1, perToken)
        let touchedByAny = isMany ? (0..<experts).map { 1 - power(1 - planner.probabilities[first + $0], rows) } : []
        for trial in 0..<trials {
            var counts = [Double](repeating: 0, count: placement.nodes.count)
            var movable: [Double] = []
            func touch(_ number: Int) {
                guard touched[number] != trial, let expert = inventory.experts[first + number] else { return }
                touched[number] = trial
                let bytes = Double(inventory.bytes(of: expert))
                switch places[first + number] {
                case .home(let k): counts[k] += bytes
                case .everywhere: movable.append(bytes)
                default: break
                }
            }
            if isMany {
                for number in 0..<experts where random.next() < touchedByAny[number] { touch(number) }
            } else {
                for row in 0..<rows {
                    var found = 0
                    var tries = 0
                    // Drawn again if it was drawn for the token already; a bound on that for heat that leaves no choice.
                    while found < perToken && tries < 64 * perToken {
                        tries += 1
                        let number = search(sums, random.next() * sums[experts])
                        guard chosenBy[number] != trial * rows + row else { continue }
                        chosenBy[number] = trial * rows + row
                        found += 1
                        touch(number)
                    }
                }
            }
            // Those that lie everywhere go where there is the least to do.
            for bytes in movable {
                if let least = counts.indices.min(by: { counts[$0] < counts[$1] }) { counts[least] += bytes }
            }
            total += counts.max() ?? 0
        }
        return total / Double(trials)
    }

    /// The last index whose sum is not above the value.
    private func search(_ sums: [Double], _ value: Double) -> Int {
        var (low, high) = (0, sums.count - 1)
        while high - low > 1 {
            let middle = (low + high) / 2
            if sums[middle] <= value { low = middle } else { high = middle }
        }
        return low
    }

    private func power(_ base: Double, _ exponent: Int) -> Double {
        var (result, square, left) = (1.0, base, exponent)
        while left > 0 {
            if left & 1 == 1 { result *= square }
            square *= square
            left >>= 1
        }
        return result
    }

    /// Bytes a second of node k's own memory.
    func bandwidth(_ k: Int, _ bound: MachineRates.Bound) -> Double {
        let rates = planner.options.rates
        if let given = rates.nodeBandwidth { return given }
        let node = planner.nodes.computing[k]
        let inPackage = planner.topology.nodes.count { $0.package == node.package && $0.coreCount > 0 }
        return min(rates.packageBandwidth(bound) / Double(max(1, inPackage)), rates.coreBandwidth(bound) * Double(node.workers))
    }

    func seconds(rows: Int, _ loads: Loads, _ bound: MachineRates.Bound) -> Double {
        let (config, rates) = (planner.inventory.config, planner.options.rates)
        let nodes = planner.nodes
        let bandwidths = nodes.computing.indices.map { bandwidth($0, bound) }
        var seconds = 0.0
        for job in split.jobs {
            var longest = 0.0
            for k in job.indices { longest = max(longest, Double(job[k]) / bandwidths[k]) }
            seconds += longest
        }
        seconds += loads.busiest / (bandwidths.min() ?? 1) + loads.far / rates.farBandwidth(bound) + loads.missed / rates.disk(bound)
        // All heads read all of a sequence's cache; what lies in other packages comes over the link, which a package's nodes share.
        let packages = nodes.packages
        let cached = Double(planner.options.cacheType.bytesPerToken(config)) * Double(planner.context) * Double(rows)
        let abroad = Double(packages - 1) / Double(max(1, packages))
        let perPackage = Double(max(1, nodes.computing.count / max(1, packages)))
        let link = rates.link(bound)
        seconds += cached * (1 - abroad) / (bandwidths.min() ?? 1) + cached * abroad / (link / perPackage)
        let activations = Double(rows * config.hiddenSize * 4 * Self.crossings * config.layerCount)
        seconds += activations * abroad / link
        let barriers = config.layerCount * (Self.barriers + (placement.homes.isEmpty ? 0 : 1)) + 2
        return seconds + Double(barriers) * rates.barrier(bound, packages: packages)
    }
}

/// Random numbers of a simulation, the same each time.
private struct StepRandom {
    private var state: UInt64 = 0x4B69_6D69

    /// From 0 to 1, exclusive.
    mutating func next() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return Double((z ^ (z >> 31)) >> 11) * 0x1p-53
    }
}
