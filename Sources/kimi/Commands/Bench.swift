import ArgumentParser
import Glibc
import KimiCheckpoint
import KimiCore
import KimiRuntime

/// `kimi bench`: how fast a checkpoint runs here, against what this machine's memory allows.
struct Bench: Command {
    static let configuration = CommandConfiguration(
        abstract: "Measure how fast a checkpoint runs on this machine.",
        discussion: """
            Times the evaluation of a prompt and of single tokens, with an empty cache and behind other tokens, and reads \
            plain memory before and after each, since that is the limit of decoding and moves with the neighbours. The \
            ids are random, so that the experts are, too. Figures are medians over the repeats, with the slowest and the \
            fastest beside them.

            Examples:
              kimi bench /models/Kimi-K2.5
              kimi synth --geometry k25-slice /tmp/slice
              kimi bench /tmp/slice --depth 0 --depth 4096 --repeats 5 --json
            """)

    @Argument(help: ArgumentHelp("The folder of the checkpoint.", valueName: "dir"))
    var folder: String

    @Option(help: ArgumentHelp("Tokens of the prompt.", valueName: "n"))
    var prompt = 512

    @Option(help: ArgumentHelp("Single tokens in a repeat.", valueName: "n"))
    var tokens = 32

    @Option(help: ArgumentHelp("Tokens that are in the cache already; may be given several times.", valueName: "n"))
    var depth: [Int] = [0]

    @Option(help: ArgumentHelp("How often each is measured, 1 to 100.", valueName: "n"))
    var repeats = 5

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var machine: MachineOptions

    func validate() throws {
        func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws {
            guard range.contains(value) else {
                throw ValidationError("--\(name) is \(value); it must be \(range.lowerBound) to \(range.upperBound)")
            }
        }
        let most = ModelConfig.Limits.context.upperBound
        try check("prompt", prompt, 1...most)
        try check("tokens", tokens, 1...most)
        try check("repeats", repeats, 1...100)
        for depth in depth { try check("depth", depth, 0...most) }
    }

    func execute() throws {
        let interrupt = Interrupt()
        try checkMemory()
        let begin = monotonicSeconds()
        let model = try machine.open(folder, interrupt)
        let opening = monotonicSeconds() - begin
        let session = try Session(model: model)
        interrupt.onRequest { session.cancellation.end() }
        let workloads: [Workload]
        do {
            workloads = try measure(session, interrupt)
        } catch {
            guard interrupt.isRequested else { throw error }
            throw ExitCode(Interrupt.exitCode)
        }
        if json {
            Terminal.output.write(report(model, opening, workloads) + "\n")
        } else {
            table(model, opening, workloads).print()
        }
    }

    /// Refuses what would only measure the disk.
    private func checkMemory() throws {
        let stored = CostReport(try Checkpoint(folder: folder)).total.stored
        let (memory, overflow) = sysconf(Int32(_SC_PHYS_PAGES)).multipliedReportingOverflow(by: sysconf(Int32(_SC_PAGESIZE)))
        guard !overflow, memory > 0, stored > memory else { return }
        throw Failure(
            "the weights are \(Units.bytes(stored)) and this machine has \(Units.bytes(memory)) of memory: \(Units.bytes(stored - memory)) are missing",
            next: "Measure a slice of the same sizes: `kimi synth --geometry k25-slice OUT`.")
    }

    private func measure(_ session: Session, _ interrupt: Interrupt) throws -> [Workload] {
        let limit = session.model.contextLimit
        let deepest = (depth.max() ?? 0) + max(prompt, tokens)
        guard deepest <= limit else {
            throw Failure("the deepest measurement needs \(deepest) tokens and the context limit is \(limit)",
                next: "Lower --depth, --prompt or --tokens.")
        }
        let reading = try ReadBandwidth()
        let bar = ProgressBar("measuring", unit: .share)
        defer { bar.finish() }
        let steps = depth.count * 2 * (repeats + 1)
        var done = 0
        func step() throws {
            if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
            done += 1
            bar.update(done, of: steps)
        }
        var random = SystemRandomNumberGenerator()
        let vocabulary = Int32(clamping: session.vocabularySize)
        let ids = (0..<max(deepest, 1)).map { _ in Int32.random(in: 0..<vocabulary, using: &random) }
        var workloads: [Workload] = []
        for depth in Set(depth).sorted() {
            let held = session.position
            if depth > held {
                try ids[held..<depth].withUnsafeBufferPointer { ids in
                    Result { () throws(KimiError) in try session.call { () throws(KimiError) in try session.evaluate(ids) } }
                }.get()
            }
            for (kind, count) in [(Workload.Kind.prefill, prompt), (.decode, tokens)] {
                workloads.append(try Workload.run(
                    kind, depth: depth, tokens: count, repeats: repeats, session: session, ids: ids, reading: reading,
                    step: step))
            }
        }
        return workloads
    }

    // MARK: Output

    private func table(_ model: Model, _ opening: Double, _ workloads: [Workload]) -> Table {
        var table = Table(
            ["work", "depth", "tokens/s", "slowest", "fastest", "read", "plain read", "share"], right: [1, 2, 3, 4, 5, 6, 7])
        for work in workloads {
            table.row(
                work.kind == .prefill ? "prompt of \(work.tokens)" : "single tokens", Units.count(work.depth),
                Self.speed(work.median), Self.speed(work.speeds[0]), Self.speed(work.speeds[work.speeds.count - 1]),
                Units.rate(work.readRate), Units.rate((work.bandwidth.before + work.bandwidth.after) / 2),
                work.kind == .decode ? Units.decimal(work.share * 100, 0) + " %" : "")
        }
        table.total("opening", "", Units.elapsed(opening))
        table.row("threads", "", "\(model.text.pool.threads)", model.text.isaName)
        return table
    }

    private static func speed(_ value: Double) -> String { Units.decimal(value, value < 100 ? 1 : 0) }

    private func report(_ model: Model, _ opening: Double, _ workloads: [Workload]) -> String {
        var json = JSONWriter()
        json.object { json in
            json.member("digest", model.checkpoint.digest)
            json.member("threads", model.text.pool.threads)
            json.member("isa", model.text.isaName)
            json.member("cache_type", model.options.cacheType.name)
            json.member("opening_seconds", opening)
            for kind in [Workload.Kind.prefill, .decode] {
                json.object(kind.rawValue) { json in
                    for work in workloads where work.kind == kind {
                        json.object("\(work.depth)") { json in
                            json.member("tokens", work.tokens)
                            json.member("tokens_per_second", work.median)
                            json.member("slowest", work.speeds[0])
                            json.member("fastest", work.speeds[work.speeds.count - 1])
                            json.member("bytes_per_repeat", work.bytes)
                            json.member("bytes_per_second", work.readRate)
                            json.member("plain_read_before", work.bandwidth.before)
                            json.member("plain_read_after", work.bandwidth.after)
                        }
                    }
                }
            }
        }
        return json.text
    }
}
