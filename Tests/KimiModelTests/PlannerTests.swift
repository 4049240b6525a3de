import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

/// Plans of the full model, from its configuration alone, for machines that are only described.
@Suite struct PlannerTests {
    private static let machines: [(name: String, text: String)] = [
        ("1x8", "pack:1 [numa(memory=1TB)] core:8 pu:2"),
        ("2x48", "pack:2 [numa(memory=512GB)] core:48 pu:1"),
        ("2x4 sub-NUMA", "pack:2 numa:4(memory=128GB) core:12 pu:1"),
        ("8 nodes", "pack:8 [numa(memory=128GB)] core:16 pu:1"),
        ("6 nodes", "pack:6 [numa(memory=128GB)] core:8 pu:1"),
    ]
    private static let gigabyte = 1_000_000_000

    /// Machines that a synthetic string cannot describe.
    private static func described(_ nodes: [(memory: Int, cores: Int, package: Int)]) -> Topology {
        var cores: [Topology.Core] = []
        for (index, node) in nodes.enumerated() {
            for _ in 0..<node.cores { cores.append(.init(processor: UInt32(cores.count), node: index)) }
        }
        return Topology(
            cores: cores,
            nodes: nodes.enumerated().map {
                .init(number: UInt32($0), memoryBytes: $1.memory * gigabyte, package: $1.package, coreCount: $1.cores)
            }, packageCount: Set(nodes.map(\.package)).count, source: .synthetic("described"))
    }

    private static func inventory(_ dense: DenseFormat = .stored) throws -> ModelInventory {
        try ModelInventory(try ModelConfig(folder: Fixtures.path("k25-config")), dense: dense)
    }

    /// Like Zipf's law in each layer, its experts in another order each time; the same for the same exponent.
    private static func zipf(_ config: ModelConfig, _ exponent: Double) -> ExpertHeat {
        var random = SplitMix(7)
        var counts: [Double] = []
        for layer in 0..<config.layerCount {
            var row = (1...config.expertCount).map { 1000 / pow(Double($0), exponent) }
            row.shuffle(using: &random)
            counts += config.isDense(layer: layer) ? row.map { _ in 0 } : row
        }
        return ExpertHeat(layers: config.layerCount, experts: config.expertCount, counts: counts)
    }

    private static func number(after name: String, _ message: String) -> Int? {
        guard let range = message.range(of: name) else { return nil }
        return Int(message[range.upperBound...].prefix { $0.isNumber })
    }

    /// What holds for every plan: all is somewhere, once, and no node has more than it may.
    private func check(_ plan: PlacementPlan, _ inventory: ModelInventory) {
        for node in plan.nodes {
            #expect(node.used <= node.capacity, "node \(node.index)")
            #expect(node.memoryBytes == 0 || node.used < node.memoryBytes)
        }
        let kinds: [PlacementPlan.Kind] = [.embedding, .attention, .denseMLP, .router, .sharedExperts, .head]
        #expect(kinds.reduce(0) { $0 + plan.total($1) } == inventory.matrixBytes)
        #expect(plan.total(.norms) == inventory.vectorBytes * plan.placement.nodes.count)
        if let resident = plan.placement.residentExpertBytes {
            #expect(abs(plan.total(.routedExperts) - resident) <= plan.nodes.count)
            #expect(resident + plan.streamedBytes == inventory.expertBytes)
        } else {
            #expect(plan.total(.routedExperts) == inventory.expertBytes)
            #expect(plan.streamedBytes == 0)
        }
        let placement = plan.placement
        var replicas = 0
        for (index, home) in placement.homes.enumerated() {
            guard let expert = inventory.experts[index] else {
                #expect(home == 0)
                continue
            }
            #expect(home != 0 && home >> UInt64(placement.nodes.count) == 0)
            replicas += (home.nonzeroBitCount - 1) * inventory.bytes(of: expert)
        }
        #expect(plan.total(.replicas) == replicas)
    }

    /// Machines whose memory is about what the model takes, dealt unevenly.
    private static func tight(_ random: inout SplitMix) -> Topology {
        let count = Int.random(in: 2...6, using: &random)
        let total = Int.random(in: 590...640, using: &random)
        let weights = (0..<count).map { _ in Double.random(in: 0.5...2, using: &random) }
        let sum = weights.reduce(0, +)
        return described(weights.map { (max(1, Int(Double(total) * $0 / sum)), 8, 0) })
    }

    @Test("whatever the nodes have, a plan fits or is refused", arguments: [PlacementPolicy.slice, .expert, .replicate])
    func tightMachines(_ policy: PlacementPolicy) throws {
        let inventory = try Self.inventory()
        var random = SplitMix(11)
        var planned = 0
        for _ in 0..<40 {
            let topology = Self.tight(&random)
            var options = PlanOptions()
            options.policy = policy
            options.mayStream = false
            do throws(KimiError) {
                let plan = try PlacementPlanner.plan(inventory, topology, options)
                check(plan, inventory)
                planned += 1
            } catch {
                #expect(error.status == .outOfMemory)
                #expect(error.message.contains("it needs "))
            }
        }
        #expect((2...38).contains(planned), "machines on both sides of what is needed")
    }

    @Test("plans for many sequences, up to the most there may be", arguments: [256, 65_536])
    func manySequences(_ sequences: Int) throws {
        let inventory = try Self.inventory()
        var options = PlanOptions()
        options.policy = .expert
        options.context = 1
        options.sequences = sequences
        let nodes = [(memory: 16_000, cores: 48, package: 0), (memory: 16_000, cores: 48, package: 1)]
        let plan = try PlacementPlanner.plan(inventory, Self.described(nodes), options)
        // Weights are read once for all of them.
        check(plan, inventory)
        #expect(plan.prediction.batch.low > plan.prediction.single.low)
    }

    @Test("the inventory has the bytes that the published checkpoint has")
    func sizes() throws {
        let inventory = try Self.inventory()
        // By hand: 60 layers x 384 experts x 3 matrices of 2048 x 7168 in 4 bits and 16 for 32 of them.
        #expect(inventory.expertBytes == 60 * 384 * 3 * (2048 * 7168 / 2 + 2048 * 7168 / 32 * 2))
        let attention = 1536 * 7168 + 64 * 192 * 1536 + 576 * 7168 + 64 * 256 * 512 + 7168 * 64 * 128
        let rest = 61 * attention + 3 * 18432 * 7168 + 60 * (384 * 7168 + 3 * 2048 * 7168) + 2 * 163_840 * 7168
        #expect(inventory.matrixBytes == 2 * rest)
    }

    @Test("headers and the configuration alone say the same", arguments: ["tiny-kimi", "shapes/moonlight", "shapes/dense-tied", "shapes/mixed"])
    func headers(_ fixture: String) throws {
        let checkpoint = try Checkpoint(folder: Fixtures.path(fixture))
        for dense in DenseFormat.allCases {
            let inventory = try ModelInventory(checkpoint, dense: dense)
            let report = CostReport(checkpoint, dense: dense)
            let stored = inventory.matrices.reduce(0) { $0 + $1.storedBytes } + inventory.expertBytes
            // Norms and biases, and whatever is not the text model's, are no matrices; nor are the shapes of packed ones.
            var expected = 0
            checkpoint.forEachTensor { (name, tensor) throws(Never) in
                let (kind, layer) = WeightKind.parse(name, prefix: checkpoint.namePrefix)
                let isOurs = kind != .vision && kind != .other && (layer ?? 0) < checkpoint.config.layerCount
                if isOurs, tensor.shape.count == 2, !name.hasSuffix("_shape") { expected += tensor.byteCount }
            }
            #expect(stored == expected)
            if dense == .int8 {
                let made = inventory.matrices.reduce(0) { $0 + ($1.byteCount == $1.storedBytes ? 0 : $1.byteCount) }
                #expect(made == report.total.made)
            }
        }
    }

    @Test("split weights are read alike on every node, and nothing is lost", arguments: machines.map(\.text), DenseFormat.allCases)
    func slice(_ machine: String, dense: DenseFormat) throws {
        let inventory = try Self.inventory(dense)
        var options = PlanOptions()
        options.policy = .slice
        let plan = try PlacementPlanner.plan(inventory, try Topology.synthetic(machine), options)
        check(plan, inventory)
        #expect(plan.placement.residentExpertBytes == nil)
        #expect(plan.imbalance <= 0.02)
    }

    @Test("whole experts are dealt by heat so that nodes read alike", arguments: machines.dropFirst().map(\.text), [0, 0.6, 1.0])
    func experts(_ machine: String, exponent: Double) throws {
        let inventory = try Self.inventory()
        for policy in [PlacementPolicy.expert, .replicate] {
            var options = PlanOptions()
            options.policy = policy
            options.heat = Self.zipf(inventory.config, exponent)
            let plan = try PlacementPlanner.plan(inventory, try Topology.synthetic(machine), options)
            check(plan, inventory)
            #expect(plan.placement.policy == policy)
            #expect(plan.imbalance <= 0.05)
            #expect(plan.worstLayerImbalance <= 0.05)
            if policy == .expert { #expect(plan.total(.replicas) == 0) }
        }
    }

    @Test("a budget for copies goes to the hottest experts, and is kept")
    func replicas() throws {
        let inventory = try Self.inventory()
        var options = PlanOptions()
        options.policy = .replicate
        options.heat = Self.zipf(inventory.config, 1)
        options.replicateBytes = 20 * Self.gigabyte
        let plan = try PlacementPlanner.plan(inventory, try Topology.synthetic("pack:2 [numa(memory=512GB)] core:48 pu:1"), options)
        check(plan, inventory)
        for node in plan.nodes { #expect(abs((node.bytes[.replicas] ?? 0) - 20 * Self.gigabyte) < Self.gigabyte) }
        let heat = Self.zipf(inventory.config, 1)
        let copied = plan.experts.indices.filter { plan.experts[$0] == .everywhere }
        let whole = plan.experts.indices.filter { if case .home = plan.experts[$0] { true } else { false } }
        #expect(try #require(copied.map { heat.counts[$0] }.min()) >= (try #require(whole.map { heat.counts[$0] }.max())) * 0.999)
    }

    @Test("uneven memory: equal parts while they fit, else as large as it allows")
    func uneven() throws {
        let inventory = try Self.inventory()
        var options = PlanOptions()
        options.policy = .slice
        let roomy = try PlacementPlanner.plan(inventory, Self.described([(512, 24, 0), (384, 24, 1)]), options)
        check(roomy, inventory)
        #expect(roomy.imbalance <= 0.02)
        for memory in [150, 171, 200, 215, 260, 290, 297, 299] {
            check(try PlacementPlanner.plan(inventory, Self.described([(512, 24, 0), (memory, 24, 1)]), options), inventory)
            check(try PlacementPlanner.plan(inventory, Self.described([(memory, 24, 0), (512, 8, 1), (memory, 3, 2)]), options), inventory)
        }
        let tight = try PlacementPlanner.plan(inventory, Self.described([(512, 24, 0), (200, 24, 1)]), options)
        check(tight, inventory)
        #expect(tight.placement.residentExpertBytes == nil)
        #expect(tight.imbalance > 0.2)
        #expect(tight.notes.contains { $0.contains("equal shares do not fit") })
        options.policy = .expert
        options.heat = Self.zipf(inventory.config, 0.6)
        check(try PlacementPlanner.plan(inventory, Self.described([(512, 24, 0), (200, 24, 1)]), options), inventory)
    }

    @Test("memory without cores takes the coldest experts", arguments: [PlacementPolicy.slice, .expert])
    func far(_ policy: PlacementPolicy) throws {
        let inventory = try Self.inventory()
        let heat = Self.zipf(inventory.config, 1)
        var options = PlanOptions()
        options.policy = policy
        options.heat = heat
        let plan = try PlacementPlanner.plan(inventory, Self.described([(256, 48, 0), (256, 48, 1), (256, 0, 0)]), options)
        check(plan, inventory)
        #expect(plan.placement.nodes.map(\.node) == [0, 1])
        #expect(plan.nodes[2].workers == 0)
        #expect((plan.nodes[2].bytes[.routedExperts] ?? 0) > 0)
        let far = plan.experts.indices.filter { plan.experts[$0] == .distant(2) }
        let near = plan.experts.indices.filter { inventory.experts[$0] != nil && plan.experts[$0] != .distant(2) }
        #expect(try #require(far.map { heat.counts[$0] }.max()) <= (try #require(near.map { heat.counts[$0] }.min())) * 1.001)
        #expect(plan.placement.distant.count == 2)
        #expect(far.allSatisfy { plan.placement.distant[0][$0] == 2 && plan.placement.distant[1][$0] == 2 })
        #expect(near.allSatisfy { plan.placement.distant[0][$0] == 0 && plan.placement.distant[1][$0] == 1 })
        #expect(plan.notes.contains { $0.contains("memory without cores") })
    }

    @Test("too little memory: the rest of the experts is streamed, down to the smallest that works", arguments: [400, 256, 128, 64, 32])
    func streaming(_ limit: Int) throws {
        let inventory = try Self.inventory()
        var options = PlanOptions()
        options.memoryLimit = limit * Self.gigabyte
        let plan = try PlacementPlanner.plan(inventory, try Topology.synthetic("pack:2 [numa(memory=512GB)] core:48 pu:1"), options)
        check(plan, inventory)
        #expect(plan.used <= limit * Self.gigabyte)
        #expect(try #require(plan.placement.residentExpertBytes) > (limit - 32) * Self.gigabyte)
        #expect(plan.hitRate < 1 && plan.missBytesPerToken > 0)
    }

    @Test("what is refused says what would help, and that helps")
    func refusals() throws {
        let inventory = try Self.inventory()
        let machine = try Topology.synthetic("pack:1 [numa(memory=4TB)] core:48 pu:1")
        func plan(_ inventory: ModelInventory, _ change: (inout PlanOptions) -> Void) throws -> PlacementPlan {
            var options = PlanOptions()
            options.memoryLimit = 590 * Self.gigabyte
            options.mayStream = false
            change(&options)
            return try PlacementPlanner.plan(inventory, machine, options)
        }
        let error = try #require(throws: KimiError.self) { try plan(inventory, { _ in }) }
        #expect(error.status == .outOfMemory)
        let words = try #require(error.message.split(separator: "it needs ").last)
        #expect(words.contains(" GB more") && words.contains("dense=int8 (saves "))
        // Each of the changes alone, as it is named.
        _ = try plan(try Self.inventory(.int8), { _ in })
        let bytes = try #require(Self.number(after: "resident=", error.message)) * Self.gigabyte
        let streamed = try plan(inventory) { $0.residentBytes = bytes }
        #expect(streamed.placement.residentExpertBytes == bytes)
        // "needs 7.1 GB more": that much more is enough, half of it is not.
        let more = try #require(Double(words.prefix { $0 != " " }))
        _ = try plan(inventory) { $0.memoryLimit = (590 * Self.gigabyte) + Int((more + 0.05) * 1e9) }
        #expect(throws: KimiError.self) { try plan(inventory) { $0.memoryLimit = (590 * Self.gigabyte) + Int(more / 2 * 1e9) } }
        // Below the smallest that works even streaming is refused.
        let least = try #require(throws: KimiError.self) {
            try plan(inventory) { $0.mayStream = true; $0.memoryLimit = 20 * Self.gigabyte }
        }
        #expect(least.status == .outOfMemory && least.message.contains("more"))
    }

    @Test("a vision tower has its room, which is no one else's", arguments: machines.map(\.text))
    func vision(_ machine: String) throws {
        let inventory = try Self.inventory()
        let topology = try Topology.synthetic(machine)
        var options = PlanOptions()
        let blind = try PlacementPlanner.plan(inventory, topology, options)
        options.eyes = 940_000_001
        let seeing = try PlacementPlanner.plan(inventory, topology, options)
        check(seeing, inventory)
        #expect(seeing.total(.vision) == options.eyes)
        #expect(blind.total(.vision) == 0)
        // As much as all memory: refused, and named.
        options.eyes = 1 << 50
        let error = try #require(throws: KimiError.self) { try PlacementPlanner.plan(inventory, topology, options) }
        #expect(error.status == .outOfMemory && error.message.contains("vision tower"))
    }

    @Test("where caches and buffers alone are too large, what is said to help helps", arguments: [2, 16, 26])
    func cachesAlone(_ limit: Int) throws {
        let inventory = try Self.inventory()
        var options = PlanOptions()
        options.memoryLimit = limit * Self.gigabyte
        options.sequences = 40
        let machine = try Topology.synthetic("pack:2 [numa(memory=512GB)] core:48 pu:1")
        let error = try #require(throws: KimiError.self) { try PlacementPlanner.plan(inventory, machine, options) }
        #expect(error.status == .outOfMemory)
        let words = try #require(error.message.split(separator: "it needs ").last)
        let more = try #require(Double(words.prefix { $0 != " " }))
        options.memoryLimit = limit * Self.gigabyte + Int(more * 1e9)
        check(try PlacementPlanner.plan(inventory, machine, options), inventory)
    }

    @Test("room on one node is no help to another whose part of the caches does not fit", arguments: [1, 4, 16])
    func smallNode(_ memory: Int) throws {
        let inventory = try Self.inventory()
        var options = PlanOptions()
        options.sequences = 40
        for sizes in [(700, memory), (memory, 700)] {
            let error = try #require(throws: KimiError.self) {
                try PlacementPlanner.plan(inventory, Self.described([(sizes.0, 24, 0), (sizes.1, 24, 1)]), options)
            }
            #expect(error.status == .outOfMemory)
        }
    }

    @Test("many sequences: fewer of them, or a smaller cache, are offered where they would do")
    func cacheRemedies() throws {
        let inventory = try Self.inventory()
        var options = PlanOptions()
        options.memoryLimit = 700 * Self.gigabyte
        options.mayStream = false
        options.sequences = 100
        options.context = 16_384
        let machine = try Topology.synthetic("pack:1 [numa(memory=4TB)] core:48 pu:1")
        let error = try #require(throws: KimiError.self) { try PlacementPlanner.plan(inventory, machine, options) }
        #expect(error.message.contains("cache=int8 (saves ") || error.message.contains("cache=bf16 (saves "))
        options.sequences = try #require(Self.number(after: "sequences=", error.message))
        _ = try PlacementPlanner.plan(inventory, machine, options)
        options.sequences += 2
        #expect(throws: KimiError.self) { try PlacementPlanner.plan(inventory, machine, options) }
        options.sequences = 100
        let shorter = try #require(Self.number(after: "context=", error.message))
        options.context = shorter
        _ = try PlacementPlanner.plan(inventory, machine, options)
    }

    @Test("one policy is not predicted to be faster for a reason that is not stated")
    func prediction() throws {
        let inventory = try Self.inventory()
        let machine = try Topology.synthetic("pack:2 [numa(memory=1TB)] core:48 pu:1")
        var options = PlanOptions()
        options.context = 64
        options.rates.nodeBandwidth = 200e9
        options.rates.linkBandwidth = 1e12
        options.rates.barrier = 0
        options.policy = .slice
        let split = try PlacementPlanner.plan(inventory, machine, options)
        // With neither link nor barriers, a token takes what one node reads of it over its bandwidth.
        let bytes = split.nodes[0].readPerToken
        #expect(abs(split.prediction.single.low * bytes / 200e9 - 1) < 0.02)
        #expect(split.prediction.single.low == split.prediction.single.high)
        // Eight experts on two nodes: the busier one has 8 x (1/2 + C(8,4) / 2^9) = 5.09 of them on average, or a little less, as none
        // is drawn twice.
        options.policy = .expert
        let whole = try PlacementPlanner.plan(inventory, machine, options)
        let expert = Double(60 * inventory.largestExpert)
        let extra = (1 / whole.prediction.single.low - 1 / split.prediction.single.low) * 200e9 / expert
        #expect(abs(extra - 1.08) < 0.1)
    }

    @Test("auto takes what is predicted to be fastest, and a comparison says where that changes")
    func auto() throws {
        let inventory = try Self.inventory()
        let machine = try Topology.synthetic("pack:2 [numa(memory=1TB)] core:48 pu:1")
        let plan = try PlacementPlanner.plan(inventory, machine, PlanOptions())
        #expect(plan.isChosen)
        let comparison = try PlacementComparison(inventory, machine, PlanOptions())
        #expect(comparison.rows.count == 4)
        let speeds = comparison.rows.map(\.prediction.single.middle)
        #expect(plan.prediction.single.middle >= (try #require(speeds.max())) * 0.98)
        // At the crossover both are equally fast: a little to either side they are not.
        let barrier = try #require(comparison.barrierCrossover)
        for (factor, oneIsFaster) in [(0.8, false), (1.25, true)] {
            var options = PlanOptions()
            options.policy = .slice
            options.rates.barrier = barrier * factor
            let both = try PlacementPlanner.plan(inventory, machine, options).prediction.single.middle
            let one = try PlacementComparison(inventory, machine, PlanOptions()).rows[0].prediction.single.middle
            #expect((one > both) == oneIsFaster)
        }
    }

    @Test("options out of their range are refused by name", arguments: [
        "nodes", "threads", "context", "sequences", "chunk_size", "memory_limit", "replicate_bytes", "resident_bytes", "bandwidth", "link",
        "disk", "barrier", "heat",
    ])
    func ranges(_ name: String) throws {
        let inventory = try Self.inventory()
        var options = PlanOptions()
        switch name {
        case "nodes": options.nodes = 65
        case "threads": options.threads = 0
        case "context": options.context = 1 << 40
        case "sequences": options.sequences = 0
        case "chunk_size": options.chunkSize = 4097
        case "memory_limit": options.memoryLimit = -1
        case "replicate_bytes": options.replicateBytes = -1
        case "resident_bytes": options.residentBytes = 1000
        case "bandwidth": options.rates.nodeBandwidth = .nan
        case "link": options.rates.linkBandwidth = -1
        case "disk": options.rates.diskBandwidth = .infinity
        case "barrier": options.rates.barrier = -1
        default: options.heat = .uniform(layers: 3, experts: 8)
        }
        let error = try #require(throws: KimiError.self) {
            try PlacementPlanner.plan(inventory, try Topology.synthetic("pack:2 [numa(memory=1TB)] core:4 pu:1"), options)
        }
        #expect(error.status == .invalidArgument && error.subject == name)
    }
}
