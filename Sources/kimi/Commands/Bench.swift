import ArgumentParser
import KimiBench
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiRuntime
import KimiTopology

/// `kimi bench`: how fast a checkpoint runs here, against what this machine allows.
struct Bench: Command {
    static let configuration = CommandConfiguration(
        abstract: "Measure how fast a checkpoint runs on this machine, and how near that is to what the machine can do.",
        discussion: """
            Times the evaluation of a prompt and of single tokens, with an empty cache and behind other tokens, of one sequence \
            and of many at once. Before and after each repeat it measures what the machine can do at that moment: plain reading \
            of memory, and multiplications in registers; both move with the neighbours. Each figure is the median of its \
            repeats, with the slowest and the fastest beside it. Ids are random, so that the experts are, too.

            Examples:
              kimi bench /models/Kimi-K2.5
              kimi bench DIR --depth 0 --depth 4096 --batch 1 --batch 8 --batch 64 --json
              kimi bench DIR --experts
              kimi bench DIR --accuracy --cache bf16
              kimi bench --kernel
              kimi bench --constraint
            """)

    /// What is measured in place of prompts and single tokens.
    enum Part: String, EnumerableFlag {
        case kernel, experts, accuracy, constraint

        static func help(for value: Part) -> ArgumentHelp? {
            switch value {
            case .kernel: "Each kernel alone, at every level of instructions; needs no folder."
            case .experts: "The layers with experts alone, for 1 to 512 rows."
            case .accuracy: "How far the logits are from those of the exact model, with the options given."
            case .constraint: "The masks of constrained decoding, over 163,840 tokens; needs no folder."
            }
        }
    }

    @Argument(help: ArgumentHelp("The folder of the checkpoint.", valueName: "dir"))
    var folder: String?

    @Flag(exclusivity: .exclusive)
    var part: Part?

    @Option(help: ArgumentHelp("Tokens of the prompt.", valueName: "n"))
    var prompt = 512

    @Option(help: ArgumentHelp("Single tokens of a sequence in a repeat.", valueName: "n"))
    var tokens = 32

    @Option(help: ArgumentHelp("Tokens that are in the cache already; may be given several times.", valueName: "n"))
    var depth: [Int] = [0]

    @Option(help: ArgumentHelp("Sequences that get single tokens at once, 1 to 256; may be given several times.", valueName: "n"))
    var batch: [Int] = [1]

    @Option(help: ArgumentHelp("How often each is measured, 1 to 100.", valueName: "n"))
    var repeats = 5

    @Option(help: ArgumentHelp("With --accuracy: the text to evaluate; random ids if not given.", valueName: "text"))
    var text: String?

    @Option(help: ArgumentHelp("With --accuracy: the ids to evaluate, set apart by spaces or commas.", valueName: "ids"))
    var ids: String?

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup(title: "Machine")
    var machine: MachineOptions

    /// The most sequences in one step.
    static let batchRange = 1...256

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
        for batch in batch { try check("batch", batch, Self.batchRange) }
        if let threads = machine.threads { try check("threads", threads, Model.threadRange) }
        if folder == nil && part != .kernel && part != .constraint { throw ValidationError("the folder of a checkpoint is missing") }
        if (text != nil || ids != nil) && part != .accuracy { throw ValidationError("--text and --ids belong to --accuracy") }
        if text != nil && ids != nil { throw ValidationError("give --text or --ids, not both") }
    }

    func execute() throws {
        let interrupt = Interrupt()
        let cancellation = Cancellation()
        interrupt.onRequest { cancellation.end() }
        do {
            let report = try measure(BenchRun(command: self, interrupt: interrupt, cancellation: cancellation))
            if json {
                Terminal.output.write(report.json + "\n")
            } else {
                report.print()
            }
        } catch {
            guard interrupt.isRequested else { throw error }
            throw ExitCode(Interrupt.exitCode)
        }
    }

    private func measure(_ run: BenchRun) throws -> any BenchReport {
        switch part {
        case .kernel: try run.kernels()
        case .experts: try run.experts()
        case .accuracy: try run.accuracy()
        case .constraint: ConstraintReport(repeats: 1)
        case nil: try run.tokens()
        }
    }
}

/// What a run of the benchmark tells.
protocol BenchReport {
    /// One object.
    var json: String { get }
    /// Tables for people.
    func print()
}
