import KimiBench
import KimiCheckpoint
import KimiModel
import KimiRuntime

/// Which prompts and single tokens are measured.
struct TokenPlan {
    /// Rising, each once.
    let depths: [Int]
    let batches: [Int]
    let prompt: Int
    /// Single tokens of a sequence in a repeat.
    let tokens: Int

    init(_ command: Bench) {
        depths = Set(command.depth).sorted()
        batches = Set(command.batch).sorted()
        prompt = command.prompt
        tokens = command.tokens
    }

    /// The most tokens that a sequence holds.
    var longest: Int { (depths.last ?? 0) + max(prompt, tokens) }

    func check(contextLimit: Int) throws(Failure) {
        guard longest <= contextLimit else {
            throw Failure("the deepest measurement needs \(longest) tokens and the context limit is \(contextLimit)",
                next: "Lower --depth, --prompt or --tokens.")
        }
    }

    /// The most tokens in the caches of all sequences together.
    var cachedTokens: Int {
        let deepest = depths.last ?? 0
        return max(deepest + prompt, (batches.last ?? 1) * (deepest + tokens))
    }

    /// Steps of progress: repeats, and the filling of caches.
    func steps(repeats: Int, rowsPerStep: Int) -> Int {
        let filled = (batches.last ?? 1) * (depths.last ?? 0)
        return depths.count * (1 + batches.count) * (repeats + 1) + filled / rowsPerStep
    }
}

/// What a measurement needs of the machine's memory.
struct BenchMemory {
    private let weights: Int
    private let cacheBytesPerToken: Int

    init(_ checkpoint: Checkpoint, _ options: Model.Options) {
        let report = CostReport(checkpoint, dense: options.dense)
        // What something else is made of is not read any more.
        // Experts that are read as they are chosen take the room that they are given.
        let streams = options.loadPolicy == .stream || options.memory.residentBytes != nil
        let resident = options.memory.residentBytes ?? 0
        weights = report.kinds.reduce(0) { sum, kind in
            if streams && kind.kind == .routedExperts { return sum + min(kind.cost.stored, resident) }
            return sum + (kind.cost.made > 0 ? kind.cost.made : kind.cost.stored)
        }
        cacheBytesPerToken = options.cacheType.bytesPerToken(checkpoint.config)
    }

    /// Refuses what would only measure the disk.
    ///
    /// - Parameter plan: nil if no cache is filled.
    func check(_ plan: TokenPlan?) throws(Failure) {
        let memory = MachineFacts.physicalMemory
        guard memory > 0 else { return }
        if weights > memory {
            throw Failure(
                "the weights are \(Units.bytes(weights)) and this machine has \(Units.bytes(memory)) of memory: "
                    + "\(Units.bytes(weights - memory)) are missing",
                next: "Read experts as they are chosen, with --load stream, "
                    + "or measure a slice of the same sizes: `kimi synth --geometry k25-slice OUT`.")
        }
        let (cache, overflow) = cacheBytesPerToken.multipliedReportingOverflow(by: plan?.cachedTokens ?? 0)
        guard overflow || cache > memory - weights else { return }
        let missing = overflow ? "far too much" : "\(Units.bytes(weights + cache - memory))"
        throw Failure(
            "the weights are \(Units.bytes(weights)), the caches \(overflow ? "beyond counting" : Units.bytes(cache)), "
                + "and this machine has \(Units.bytes(memory)) of memory: \(missing) is missing",
            next: "Lower --depth or --batch, or keep the cache in less with --cache bf16.")
    }
}
