import KimiCheckpoint
import KimiCore

/// What a plan is to be made for.
package struct PlanOptions: Sendable {
    /// nil: the one that is predicted to be fastest.
    package var policy: PlacementPolicy?
    /// The most memory nodes to compute on; nil: all.
    package var nodes: Int?
    /// Threads in all; nil: one for each core.
    package var threads: Int?
    /// The most bytes to use in all; nil: what the nodes have, but for a part that is left to the system.
    package var memoryLimit: Int?
    /// Tokens of each sequence; nil: 8192, or the checkpoint's limit if that is less.
    package var context: Int?
    /// Sequences at the same time.
    package var sequences = 1
    package var cacheType = CacheType.f32
    /// The most rows of one step.
    package var chunkSize = 512
    /// How often experts are chosen; nil: all alike.
    package var heat: ExpertHeat?
    /// Bytes on each node for copies of the hottest experts; nil: what is free.
    package var replicateBytes: Int?
    /// Bytes for routed experts in memory; nil: all of them, or as many as fit.
    package var residentBytes: Int?
    /// Whether experts that have no room may be read from the files when they are chosen.
    package var mayStream = true
    /// Bytes of a vision tower's weights; 0 without one.
    package var eyes = 0
    package var rates = MachineRates()
    /// Whether work space has room for thirds of activations; here by default.
    package var thirds = TextModel.usesThirds(isa: nil, exact: false)

    package static let defaultContext = 8192
    package static let sequenceRange = 1...65_536
    package static let threadRange = 1...4096
    package static let chunkRange = 1...4096

    package init() {}

    func context(of config: ModelConfig) -> Int { context ?? min(Self.defaultContext, config.contextLimit) }

    /// - Throws: `invalidArgument` with the option and its range.
    func validate(_ config: ModelConfig) throws(KimiError) {
        func check(_ value: Int?, _ name: String, _ range: ClosedRange<Int>) throws(KimiError) {
            guard let value, !range.contains(value) else { return }
            let right = range.upperBound == .max ? "\(range.lowerBound) bytes or more" : "\(range.lowerBound) to \(range.upperBound)"
            throw KimiError(.invalidArgument, "\(name) is \(value); it must be \(right)", subject: name)
        }
        try check(nodes, "nodes", 1...Placement.mostNodes)
        try check(threads, "threads", Self.threadRange)
        try check(context, "context", 1...config.contextLimit)
        try check(sequences, "sequences", Self.sequenceRange)
        try check(chunkSize, "chunk_size", Self.chunkRange)
        try check(memoryLimit, "memory_limit", 1...Int.max)
        try check(replicateBytes, "replicate_bytes", 0...Int.max)
        try check(residentBytes, "resident_bytes", 0...Int.max)
        try rates.validate()
        if let heat, heat.layers != config.layerCount || heat.experts != config.expertCount {
            throw KimiError(
                .invalidArgument,
                "heat is for \(heat.layers) layers of \(heat.experts) experts; this model has \(config.layerCount) of \(config.expertCount)",
                subject: "heat")
        }
    }
}

/// How fast a machine is taken to be, for predictions. What is not given is a range from assumptions, which `assumptions` states.
package struct MachineRates: Sendable, Equatable {
    /// Bytes a second that a node's cores read from its own memory.
    package var nodeBandwidth: Double?
    /// Bytes a second that a package reads from all others together.
    package var linkBandwidth: Double?
    /// Seconds in which all threads meet.
    package var barrier: Double?
    /// Bytes a second that the disk gives.
    package var diskBandwidth: Double?

    package init() {}

    /// One end of the range.
    package enum Bound: Sendable, CaseIterable { case low, high }

    /// A package's memory: 60 % of eight channels of DDR4-3200, 80 % of twelve of DDR5-6400.
    func packageBandwidth(_ bound: Bound) -> Double { bound == .low ? 123e9 : 491e9 }
    /// What one core alone can ask for.
    func coreBandwidth(_ bound: Bound) -> Double { bound == .low ? 6e9 : 12e9 }
    func link(_ bound: Bound) -> Double { linkBandwidth ?? (bound == .low ? 40e9 : 120e9) }
    func barrier(_ bound: Bound, packages: Int) -> Double {
        barrier ?? (packages > 1 ? (bound == .low ? 12e-6 : 4e-6) : (bound == .low ? 6e-6 : 2e-6))
    }
    func disk(_ bound: Bound) -> Double { diskBandwidth ?? (bound == .low ? 2e9 : 7e9) }
    /// A node of memory alone.
    func farBandwidth(_ bound: Bound) -> Double { bound == .low ? 20e9 : 50e9 }

    /// In sentences, what a prediction rests on.
    package var assumptions: [String] {
        [
            nodeBandwidth.map { "each node reads \(Self.words($0)) from its own memory (given)" }
                ?? "a package reads 123 GB/s (60 % of 8 channels of DDR4-3200) to 491 GB/s (80 % of 12 channels of DDR5-6400) from its memory, a core 6 to 12 GB/s at most",
            linkBandwidth.map { "a package reads \(Self.words($0)) from the others (given)" }
                ?? "a package reads 40 to 120 GB/s from the others",
            barrier.map { "all threads meet in \(Self.rounded($0 * 1e6)) us (given)" }
                ?? "all threads meet in 2 to 6 us within a package, in 4 to 12 us across packages",
            diskBandwidth.map { "the disk reads \(Self.words($0)) (given)" } ?? "the disk reads 2 to 7 GB/s, memory without cores 20 to 50 GB/s",
            "arithmetic is not counted: with many sequences at a time it limits what memory would allow",
        ]
    }

    private static func words(_ bytes: Double) -> String { "\(rounded(bytes * 1e-9)) GB/s" }
    private static func rounded(_ value: Double) -> String {
        let tenths = (value * 10).rounded()
        guard abs(tenths) < 1e15 else { return "\(value)" }
        let whole = Int(tenths)
        return whole % 10 == 0 ? "\(whole / 10)" : "\(whole / 10).\(whole % 10)"
    }

    func validate() throws(KimiError) {
        func check(_ value: Double?, _ name: String, _ range: ClosedRange<Double>, _ unit: String, _ scale: Double) throws(KimiError) {
            guard let value, !(value.isFinite && range.contains(value * scale)) else { return }
            throw KimiError(
                .invalidArgument, "\(name) is \(value * scale) \(unit); it must be \(range.lowerBound) to \(range.upperBound) \(unit)",
                subject: name)
        }
        try check(nodeBandwidth, "bandwidth", 0.1...100_000, "GB/s", 1e-9)
        try check(linkBandwidth, "link", 0.1...100_000, "GB/s", 1e-9)
        try check(diskBandwidth, "disk", 0.001...100_000, "GB/s", 1e-9)
        try check(barrier, "barrier", 0...1_000_000, "us", 1e6)
    }
}
