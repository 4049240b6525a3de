import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTokenizer
import KimiTopology
import KimiVision
import Synchronization

/// An opened checkpoint: what `kimi_model` stands for. Immutable; shared by sessions on any thread.
package final class Model: Sendable {
    package let checkpoint: Checkpoint
    package let tokenizer: Tokenizer
    package let text: TextModel
    /// What sessions want computed at the same time is computed together.
    package let loop: StepLoop
    /// Where sessions wait for memory.
    let line = MemoryLine()
    /// The most tokens a session may hold.
    package let contextLimit: Int
    package let options: Options
    /// The machine that it was opened for.
    package let topology: Topology
    /// What reads pictures and clips; nil: this checkpoint has no eyes.
    package let eyes: (any MediaReader)?
    /// Features of pictures that it has seen lately.
    package let features: FeatureCache
    /// Beginnings of sequences that others may go on from; nil: none are kept.
    package let prefixes: PrefixTree?
    /// What a room above makes once for a model and keeps with it.
    package let companion = Mutex<(any Sendable)?>(nil)

    package struct Options: Sendable {
        /// nil: one for each core of the process's cpuset.
        package var threads: Int?
        /// CK_ISA_..., or nil for the best there is.
        package var isa: Int32?
        package var cacheType = CacheType.f32
        /// nil: mapped if that has room, or copied where there are several nodes, else streamed.
        package var loadPolicy: LoadPolicy?
        package var dense = DenseFormat.stored
        /// Whether only the exact path may be used.
        package var exact = false
        /// Of generated tokens and short prompts; with `exact` nothing but the default.
        package var decodeBits = DecodeBits.exact
        /// What the vision tower may round; with `exact` nothing but the default.
        package var vision = VisionArithmetic.full
        /// nil: the checkpoint's own limit.
        package var contextLimit: Int?
        /// The most prompt tokens in one step.
        package var chunkSize = 512
        package var memory = MemoryOptions()
        /// The most bytes of features to keep for pictures that come again.
        package var featureBytes = 512 << 20
        /// The most bytes of cache to keep for prompts that begin alike; nil: a sixteenth of the limit that there is, or 1 GiB.
        package var prefixBytes: Int?
        /// Takes the place of the checkpoint's own; for tests.
        package var eyes: (any MediaReader)?
        package var log = Log.silent

        package init() {}
    }

    /// The ranges of `Options`, as kimi.h states them.
    package static let threadRange = 1...4096
    package static let chunkRange = 1...4096

    /// Opens the checkpoint in `folder`.
    ///
    /// - Parameter progress: bytes done and in all; throwing stops the opening.
    package init(
        folder: String, options: Options = Options(),
        progress: ((Int, Int) throws(KimiError) -> Void)? = nil
    ) throws(KimiError) {
        try Self.validate(options)
        let topology = try Topology.current()
        self.topology = topology
        let checkpoint = try Checkpoint(folder: folder, log: options.log)
        let config = checkpoint.config
        if let limit = options.contextLimit, !(1...config.contextLimit).contains(limit) {
            throw KimiError(
                .invalidArgument,
                "context_limit is \(limit); this checkpoint allows 1 to \(config.contextLimit)", subject: "context_limit")
        }
        tokenizer = try Tokenizer(folder: folder, vocabularySize: config.vocabularySize)
        var textOptions = TextModel.Options()
        textOptions.isa = options.isa ?? ck_isa_best()
        textOptions.threads = options.threads ?? topology.cores.count
        textOptions.cacheType = options.cacheType
        textOptions.dense = options.dense
        textOptions.exact = options.exact
        textOptions.decodeBits = options.decodeBits
        textOptions.maxRows = options.chunkSize
        textOptions.memory = options.memory
        if options.memory.processLimit == nil, options.memory.available == nil {
            // What the machine and the groups of processes allow, and what they have left while the model runs.
            let limits = MemoryLimits.current()
            textOptions.memory.processLimit = limits.tightest.map { .init(bytes: $0.bytes, source: $0.isGroup ? .cgroup : .machine) }
            let available = AvailableMemory(limits)
            textOptions.memory.available = { available.bytes }
        }
        let limit = textOptions.memory.budget().limit
        let placing = try Self.placing(checkpoint, topology, options, limit: limit)
        textOptions.loadPolicy = placing.load
        textOptions.placement = placing.placement
        textOptions.heat = placing.heat
        let isSeeing = VisionTower.exists(in: checkpoint) && options.eyes == nil
        if isSeeing { textOptions.eyes = VisionTower.memoryBytes(of: checkpoint, isMapped: placing.load == .map) }
        let report = progress ?? { _, _ in }
        // A tower that is read, too, comes last.
        let reads = placing.load != .map && isSeeing
        let towerBytes = reads ? CostReport(checkpoint).kinds.first { $0.kind == .vision }?.cost.stored ?? 0 : 0
        var textBytes = 0
        text = try TextModel(checkpoint: checkpoint, topology: topology, options: textOptions) { (done, total) throws(KimiError) in
            textBytes = total
            try report(done, total + towerBytes)
        }
        loop = StepLoop(text)
        self.checkpoint = checkpoint
        if let own = options.eyes {
            eyes = own
        } else {
            eyes = try Self.eyes(text, options.vision, folder: folder) { (done, total) throws(KimiError) in
                guard reads, done < total else { return }
                try report(textBytes + Int(Double(towerBytes) * Double(done) / Double(total)), textBytes + towerBytes)
            }
        }
        if reads { try report(textBytes + towerBytes, textBytes + towerBytes) }
        features = FeatureCache(capacity: options.featureBytes, budget: text.budget)
        let prefixBytes = options.prefixBytes ?? text.budget.limit.map { $0.bytes / 16 } ?? 1 << 30
        prefixes = prefixBytes > 0 ? PrefixTree(pool: text.cache, limit: prefixBytes) : nil
        self.options = options
        contextLimit = options.contextLimit ?? config.contextLimit
        for words in text.placementReport.shortfalls { options.log(.warning, words) }
        options.log(.info, "opened \(folder): \(config.architecture), \(text.isaName), \(text.pool.threads) threads")
    }

    private static func validate(_ options: Options) throws(KimiError) {
        if let threads = options.threads, !threadRange.contains(threads) {
            throw KimiError(.invalidArgument, "threads is \(threads); it must be 1 to 4096, or 0 for all cores", subject: "threads")
        }
        if !chunkRange.contains(options.chunkSize) {
            throw KimiError(.invalidArgument, "chunk_size is \(options.chunkSize); it must be 1 to 4096, or 0 for 512", subject: "chunk_size")
        }
        if options.decodeBits != .exact {
            let bits = "decode_bits is \(options.decodeBits.rawValue)"
            if options.exact {
                throw KimiError(.invalidArgument, "\(bits), which rounds what exact forbids to round", subject: "decode_bits")
            }
            if options.dense == .int8, options.decodeBits == .sixteen {
                throw KimiError(
                    .invalidArgument, "\(bits); with dense int8, whose weights are rounded more than that, it must be 8, or 24 for exact ones",
                    subject: "decode_bits")
            }
        }
        if options.exact, options.vision != .full {
            throw KimiError(
                .invalidArgument, "vision_arithmetic is \(options.vision.rawValue), which rounds what exact forbids to round",
                subject: "vision_arithmetic")
        }
        try validate(options.memory)
        if let isa = options.isa, ck_kernels_for(isa) == nil {
            let best = ck_kernels_for(ck_isa_best()).map { String(cString: $0.pointee.name) } ?? "scalar"
            throw KimiError(
                .unsupported, "isa is \(name(ofISA: isa)); this processor runs \(best) at most", subject: "isa")
        }
    }

    private static func validate(_ memory: MemoryOptions) throws(KimiError) {
        func check(_ value: Int?, _ name: String, _ range: ClosedRange<Int>, _ right: String) throws(KimiError) {
            guard let value, !range.contains(value) else { return }
            throw KimiError(.invalidArgument, "\(name) is \(value); it must be \(right)", subject: name)
        }
        let bytes = "bytes, 0 or more"
        try check(memory.limit, "memory_limit", 0...Int.max, bytes)
        try check(memory.nodes, "nodes", 1...Placement.mostNodes, "1 to \(Placement.mostNodes), or 0 for all")
        try check(memory.replicateBytes, "replicate_bytes", 0...Int.max, bytes)
        try check(memory.residentBytes, "resident_bytes", 0...Int.max, bytes)
        guard memory.heat?.isEmpty != true else { throw KimiError(.invalidArgument, "heat is an empty path", subject: "heat") }
    }

    /// "scalar", "avx2", "avx512", "avx512vnni", "amx" or "neon"; also for levels this processor lacks.
    package static func name(ofISA isa: Int32) -> String {
        switch Int(isa) {
        case Int(CK_ISA_SCALAR): "scalar"
        case Int(CK_ISA_AVX2): "avx2"
        case Int(CK_ISA_AVX512): "avx512"
        case Int(CK_ISA_AVX512_VNNI): "avx512vnni"
        case Int(CK_ISA_AMX): "amx"
        case Int(CK_ISA_NEON): "neon"
        default: "level \(isa)"
        }
    }

    /// Tokens after which a generation ends, unless it is told to go on.
    package var endTokens: [Int32] { checkpoint.config.endTokens }
    package var vocabularySize: Int { checkpoint.config.vocabularySize }
}
