import KimiCheckpoint
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

/// Weights dealt over several nodes give the bits of weights on one: what a node is does not matter to the arithmetic, so machines
/// that are only described will do.
@Suite(.serialized) struct PlacementTests {
    /// Nodes of two cores each, which this machine need not have.
    private func topology(nodes: Int) -> Topology {
        Topology(
            cores: (0..<2 * nodes).map { .init(processor: UInt32($0), node: $0 / 2) },
            nodes: (0..<nodes).map { .init(number: UInt32($0), memoryBytes: 1 << 30, package: $0, coreCount: 2) },
            source: .synthetic("test"))
    }

    private func model(
        _ fixture: String, _ placement: Placement, load: LoadPolicy = .copy, dense: DenseFormat = .stored, rows: Int = 512
    ) throws -> Harness {
        var options = TextModel.Options()
        options.placement = placement
        options.loadPolicy = load
        options.dense = dense
        options.maxRows = rows
        return try Harness(TextModel(
            checkpoint: try Checkpoint(folder: Fixtures.path(fixture)), topology: topology(nodes: placement.nodes.count),
            options: options))
    }

    private func nodes(_ workers: [Int], shares: [Int]? = nil) -> [Placement.Node] {
        workers.enumerated().map { .init(node: $0, workers: $1, share: shares?[$0] ?? 1) }
    }

    @Test("rows split over nodes give the same bits", arguments: [[1], [1, 1], [2, 1], [1, 1, 1], [1, 1, 1, 1, 1, 1, 1]], [LoadPolicy.copy, .map])
    func split(_ workers: [Int], load: LoadPolicy) throws {
        let harness = try model("tiny-kimi", Placement(policy: .slice, nodes: nodes(workers)), load: load)
        #expect(identical(try harness.evaluate(InvarianceTests.ids, chunk: 97, all: true), InvarianceTests.expected))
        #expect(identical(try Harness(sharing: harness).evaluate(InvarianceTests.ids, chunk: 1, all: true), InvarianceTests.expected))
    }

    @Test("uneven shares give the same bits, a node without any included", arguments: [[3, 1], [1, 7], [5, 0, 2], [0, 0, 1]])
    func shares(_ shares: [Int]) throws {
        let harness = try model(
            "tiny-kimi", Placement(policy: .slice, nodes: nodes(shares.map { _ in 1 }, shares: shares)))
        #expect(identical(try harness.evaluate(InvarianceTests.ids, chunk: 40, all: true), InvarianceTests.expected))
    }

    @Test("whole experts, replicas and split ones together give the same bits", arguments: [1, 2, 3, 5], [1, 33, 300])
    func whole(_ count: Int, chunk: Int) throws {
        let config = try Checkpoint(folder: Fixtures.path("tiny-kimi")).config
        var random = SplitMix(UInt64(count))
        for kind in 0..<3 {
            let homes = (0..<config.layerCount * config.expertCount).map { _ -> UInt64 in
                switch kind {
                case 0: 1 << UInt64(Int.random(in: 0..<count, using: &random))
                case 1: Int.random(in: 0..<4, using: &random) == 0 ? (1 << UInt64(count)) - 1 : 1 << UInt64(Int.random(in: 0..<count, using: &random))
                default: Int.random(in: 0..<3, using: &random) == 0 ? 0 : UInt64(Int.random(in: 0..<1 << count, using: &random))
                }
            }
            let placement = Placement(
                policy: kind == 1 ? .replicate : .expert, nodes: nodes([Int](repeating: 1, count: count)), homes: homes)
            let harness = try model("tiny-kimi", placement)
            #expect(identical(try harness.evaluate(InvarianceTests.ids, chunk: chunk, all: true), InvarianceTests.expected))
        }
    }

    @Test("the fast path, and bytes in place of bf16, give the same bits on several nodes", arguments: DenseFormat.allCases, [PlacementPolicy.slice, .expert])
    func fast(_ dense: DenseFormat, policy: PlacementPolicy) throws {
        let config = try Checkpoint(folder: Fixtures.path("tiny-kimi")).config
        let one = try model("tiny-kimi", .single(workers: 1), dense: dense)
        let homes = policy == .slice ? [] : (0..<config.layerCount * config.expertCount).map { UInt64(1) << UInt64($0 % 3) }
        let three = try model("tiny-kimi", Placement(policy: policy, nodes: nodes([1, 2, 1]), homes: homes), dense: dense)
        for precision in [Precision.exact, .fast] {
            let expected = try Harness(sharing: one).evaluate(InvarianceTests.ids, all: true, precision: precision)
            #expect(identical(try Harness(sharing: three).evaluate(InvarianceTests.ids, all: true, precision: precision), expected))
        }
    }

    @Test("all shapes of models", arguments: ShapeTests.names)
    func shapes(_ name: String) throws {
        let ids = (0..<40).map { Int32($0 * 7 % 50 + 1) }
        let config = try Checkpoint(folder: Fixtures.path("shapes/\(name)")).config
        let expected = try model("shapes/\(name)", .single(workers: 1)).evaluate(ids, all: true)
        let homes = (0..<config.layerCount * config.expertCount).map { UInt64(1 + $0 % 3) }
        for placement in [Placement(policy: .slice, nodes: nodes([1, 1])), Placement(policy: .replicate, nodes: nodes([1, 1]), homes: homes)] {
            #expect(identical(try model("shapes/\(name)", placement).evaluate(ids, all: true), expected))
        }
    }

    @Test("every row belongs to one node, whatever the shares", arguments: [1, 2, 3, 5, 8, 64])
    func rows(_ count: Int) {
        var random = SplitMix(UInt64(count))
        for _ in 0..<300 {
            let shares = (0..<count).map { _ in Int.random(in: 0..<5, using: &random) }
            let placement = Placement(policy: .slice, nodes: nodes(shares.map { _ in 1 }, shares: shares.reduce(0, +) == 0 ? nil : shares))
            let rows = 1 + Int.random(in: 0..<5000, using: &random)
            let unit = [32, 64, 256][Int.random(in: 0..<3, using: &random)]
            let phase = Int.random(in: 0..<1000, using: &random)
            var next = 0
            for node in 0..<count {
                let own = placement.rows(rows, of: node, phase: phase, unit: unit)
                #expect(own.lowerBound == next && (own.upperBound % unit == 0 || own.upperBound == rows))
                next = own.upperBound
            }
            #expect(next == rows)
        }
    }

    @Test("rounding evens out over phases", arguments: [2, 3, 6, 8])
    func phases(_ count: Int) {
        let placement = Placement(policy: .slice, nodes: nodes([Int](repeating: 1, count: count)))
        for rows in [2048, 7168, 1536] {
            let sums = (0..<count).map { node in
                (0..<count * 10).reduce(0) { $0 + placement.rows(rows, of: node, phase: $1).count }
            }
            #expect(Set(sums).count == 1, "\(rows) rows: \(sums)")
        }
    }
}
