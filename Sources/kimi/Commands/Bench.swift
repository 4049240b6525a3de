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
              kimi bench --slots
              kimi bench DIR --vision --size 1024x1024
              kimi bench DIR --swarm
              kimi bench DIR --swarm wide tools --agents 40 --tokens 128 --repeats 3
              kimi bench DIR --slots --text "$(cat book.txt)" --tokens 500

            --slots is about models with less memory than they have experts. It replays which experts were used, by the model \
            on a text or by rules that imitate trained ones, and tells which share of the uses would have been in memory: for \
            room for a part of all experts, with the library's way to choose who gives way and with others. Nothing is better than \
            the optimum, which knows the future; a routing without habits has hits in proportion to the slots. From the bytes of \
            an expert, the misses of a token and the speed of the disk follows what a token waits: with 4 % misses a token of \
            Kimi K2.5 reads 0.04 x 480 x 24 MB.

            --swarm runs a main agent with sub-agents that follow a script: what each token is is given, all else is computed as \
            ever, so that random weights will do. wide: each agent gets one task, all at once; staged: a quarter of the agents \
            after another; uneven: tasks of 1, 2, 4 and 8 steps; tools: each task calls a tool that takes --wait seconds. Each \
            plan is run with all agents at the same time and then with one after the other, nothing else changed, and both times \
            are measured. Sub-agents generate token by token, and but for 16 tokens of an answer at most what they write is \
            thought, which the main agent does not read; that one is given its calls, two for each agent, and evaluates them as \
            it would a prompt. "Tasks" leaves out what it does.
            """)

    /// What is measured in place of prompts and single tokens.
    enum Part: String, EnumerableFlag {
        case kernel, experts, accuracy, constraint, slots, vision, swarm

        static func help(for value: Part) -> ArgumentHelp? {
            switch value {
            case .kernel: "Each kernel alone, at every level of instructions; needs no folder."
            case .experts: "The layers with experts alone, for 1 to 512 rows."
            case .accuracy: "How far the logits are from those of the exact model, with the options given."
            case .constraint: "The masks of constrained decoding, over 163,840 tokens; needs no folder."
            case .vision: "The vision tower alone, on pictures of the sizes given."
            case .swarm: "Scripted agents at the same time, beside the same ones one after the other."
            case .slots: "Which share of experts is in memory when they are used, by policy and room; needs no folder."
            }
        }
    }

    @Argument(help: ArgumentHelp("The folder of the checkpoint.", valueName: "dir"))
    var folder: String?

    @Argument(help: ArgumentHelp("With --swarm: the plans, wide, staged, uneven, tools or all. (default: all)", valueName: "plan"))
    var plans: [Plan] = []

    /// The swarms that are measured.
    enum Plan: String, ExpressibleByArgument, CaseIterable {
        case wide, staged, uneven, tools, all

        var shapes: [SwarmPlan.Shape] { SwarmPlan.Shape(rawValue: rawValue).map { [$0] } ?? SwarmPlan.Shape.allCases }
    }

    @Flag(exclusivity: .exclusive)
    var part: Part?

    @Option(help: ArgumentHelp("Tokens of the prompt.", valueName: "n"))
    var prompt = 512

    @Option(
        name: .customLong("tokens"),
        help: ArgumentHelp("Single tokens of a sequence in a repeat; with --swarm of a task. (default: 32; of a task 64)", valueName: "n"))
    var givenTokens: Int?

    var tokens: Int { givenTokens ?? (part == .swarm ? 64 : 32) }

    @Option(help: ArgumentHelp("Tokens that are in the cache already; may be given several times.", valueName: "n"))
    var depth: [Int] = [0]

    @Option(help: ArgumentHelp("Sequences that get single tokens at once, 1 to 256; may be given several times.", valueName: "n"))
    var batch: [Int] = [1]

    @Option(
        name: .customLong("repeats"),
        help: ArgumentHelp("How often each is measured, 1 to 100. (default: 5; of a swarm 1)", valueName: "n"))
    var givenRepeats: Int?

    var repeats: Int { givenRepeats ?? (part == .swarm ? 1 : 5) }

    @Option(help: ArgumentHelp("With --swarm: sub-agents, 1 to 1000.", valueName: "n"))
    var agents = 100

    @Option(help: ArgumentHelp("With --swarm: seconds of the tool that takes its time, 0 to 600.", valueName: "s"))
    var wait = 1.0

    @Option(help: ArgumentHelp("With --accuracy or --slots: the text to evaluate; random ids if not given.", valueName: "text"))
    var text: String?

    @Option(help: ArgumentHelp("With --accuracy or --slots: the ids to evaluate, set apart by spaces or commas.", valueName: "ids"))
    var ids: String?

    @Option(help: ArgumentHelp("With --slots: what random draws begin from.", valueName: "number"))
    var seed: UInt64 = 1

    @Option(
        help: ArgumentHelp(
            "With --vision: a picture's size; may be given several times. (default: 256x256, 512x512, 1024x1024)", valueName: "WxH"),
        transform: { text in
            guard let size = PictureSize(text) else { throw ValidationError("\(text) is no size; 1024x768 is one, up to 100000 a side") }
            return size
        })
    var size: [PictureSize] = []

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
        let needsFolder = part != .kernel && part != .constraint && part != .slots
        if folder == nil && needsFolder { throw ValidationError("the folder of a checkpoint is missing") }
        if (text != nil || ids != nil) && part != .accuracy && (part != .slots || folder == nil) {
            throw ValidationError("--text and --ids belong to --accuracy, and to --slots with a folder")
        }
        if part == .swarm {
            try check("agents", agents, SwarmPlan.agentRange)
            try check("tokens", tokens, SwarmPlan.tokenRange)
            guard (0...600).contains(wait) else { throw ValidationError("--wait is \(wait); it must be 0 to 600 seconds") }
        } else if let plan = plans.first {
            throw ValidationError("\(plan.rawValue) is a plan of --swarm")
        }
        if !size.isEmpty && part != .vision { throw ValidationError("--size belongs to --vision") }
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
        case .slots: try run.slots()
        case .vision: try run.vision()
        case .swarm: try run.swarm()
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
