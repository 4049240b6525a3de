import ArgumentParser
import Glibc
import KimiCore

/// `kimi synth`: a checkpoint of random weights.
struct Synth: Command {
    static let configuration = CommandConfiguration(
        abstract: "Write a checkpoint of random weights in the published layout.",
        discussion: """
            For trying, testing and measuring without a download. The folder has everything a published one has: \
            config.json, generation_config.json, a tokenizer that encodes any text, and INT4 and bf16 weights in \
            safetensors shards under the published names. With --vision, and with the geometry of that name, there is a \
            vision tower and preprocessor_config.json, too; else the checkpoint is text-only. \
            The weights are random but well-sized, so a model made of them stays numerically sane; what it says is noise.

            Geometries:
              tiny       4 layers of 192, 16 experts, vocabulary 1792: 4 MiB
              mini       8 layers of 1024, 64 experts, vocabulary 4096: 0.5 GiB
              stream     12 layers of 2048, 64 experts of 1024, vocabulary 4096: 2.7 GiB
              vision     Kimi K2.5's vision tower, with a text model of its width that does little: 1 GiB
              k25-slice  2 layers of Kimi K2.5's own sizes, 64 experts: 2.8 GiB
              k25        Kimi K2.5's text model, 61 layers, 384 experts: 553 GiB

            The tower of --vision is Kimi K2.5's own (0.9 GiB) with k25-slice and k25, a small one with the others.

            With --heat uniform the router's weights and biases are random: tokens choose all experts about as often as each \
            other. With --heat skewed its biases are such that the expert of rank r, another one in each layer, is chosen with a \
            probability near c / r, at most 0.9, by each token (Zipf's law), as by a router that was trained without \
            balance: of 64 experts with 8 chosen the hottest 16 have two thirds of all choices.

            Examples:
              kimi synth --geometry mini /tmp/mini
              kimi synth --geometry stream --heat skewed /data/stream
              kimi synth --geometry k25-slice --layers 4 --experts 128 /data/slice
              kimi synth --geometry k25 --headers-only /tmp/headers
              kimi inspect /tmp/headers

            The same options and seed give the same bytes on every machine. The files are written to OUT.partial, which \
            becomes OUT at the end and is removed if something fails.
            """)

    enum GeometryName: String, ExpressibleByArgument, CaseIterable {
        case tiny, mini, stream, vision
        case k25Slice = "k25-slice"
        case k25

        var geometry: Geometry {
            switch self {
            case .tiny: .tiny
            case .mini: .mini
            case .stream: .stream
            case .vision: .vision
            case .k25Slice: .k25Slice
            case .k25: .k25
            }
        }
    }

    @Option(help: "The sizes to start from.")
    var geometry: GeometryName

    @Option(help: ArgumentHelp("Layers, the first of them dense.", valueName: "n"))
    var layers: Int?

    @Option(help: ArgumentHelp("Routed experts in each layer but the dense one.", valueName: "n"))
    var experts: Int?

    @Option(help: ArgumentHelp("Numbers that a token is between layers, a multiple of 64.", valueName: "n"))
    var hidden: Int?

    @Option(help: ArgumentHelp("Rows of a routed expert's gate, a multiple of 32; of the shared expert's too.", valueName: "n"))
    var expertWidth: Int?

    @Option(help: "How evenly experts are chosen.")
    var heat = Geometry.Heat.uniform

    @Option(help: ArgumentHelp("Token ids in all, 256 special ones among them.", valueName: "n"))
    var vocab: Int?

    @Option(help: ArgumentHelp(
        "Files to spread the weights over; 1 makes a single model.safetensors without an index.", valueName: "n"))
    var shards: Int?

    @Option(help: ArgumentHelp("What the random weights begin from.", valueName: "number"))
    var seed: UInt64 = 1

    @Flag(help: "Add a vision tower.")
    var vision = false

    @Flag(help: "Write real headers and sparse files without data, to measure how headers are read.")
    var headersOnly = false

    @Flag(help: "Replace a checkpoint that is at OUT.")
    var force = false

    @Flag(help: "Print what was written as JSON.")
    var json = false

    @Argument(help: ArgumentHelp("The folder to make.", valueName: "out"))
    var out: String

    func validate() throws {
        try check("--layers", layers, 1...1024)
        try check("--experts", experts, geometry.geometry.expertsPerToken...8192)
        try check("--hidden", hidden, 64...16_384, multiplesOf: 64)
        try check("--expert-width", expertWidth, 32...16_384, multiplesOf: 32)
        try check("--vocab", vocab, 2 * Geometry.specialCount...1_048_576)
        try check("--shards", shards, 1...100_000)
        guard !out.isEmpty else { throw ValidationError("OUT is empty; it must be the name of a folder to make") }
    }

    private func check(_ option: String, _ value: Int?, _ range: ClosedRange<Int>, multiplesOf unit: Int = 1) throws {
        guard let value, !range.contains(value) || value % unit != 0 else { return }
        let right = "\(range.lowerBound) to \(range.upperBound)" + (unit > 1 ? " and a multiple of \(unit)" : "")
        throw ValidationError("\(option) is \(value); with --geometry \(geometry.rawValue) it must be \(right)")
    }

    func execute() throws {
        var geometry = geometry.geometry
        geometry.layers = layers ?? geometry.layers
        geometry.denseLayers = min(geometry.denseLayers, geometry.layers)
        geometry.experts = experts ?? geometry.experts
        geometry.hidden = hidden ?? geometry.hidden
        geometry.expertWidth = expertWidth ?? geometry.expertWidth
        geometry.heat = heat
        geometry.hasTower = geometry.hasTower || vision
        geometry.vocabulary = vocab ?? geometry.vocabulary
        let estimate = geometry.layers * (geometry.experts * 9 + 20)
        guard estimate <= Self.mostTensors else {
            let size = "\(Units.count(geometry.layers)) layers of \(Units.count(geometry.experts)) experts"
            throw Failure(
                "\(size) make \(Units.count(estimate)) tensors; at most \(Units.count(Self.mostTensors)) are written",
                next: "Ask for fewer --layers or --experts.")
        }
        let tensors = TensorPlan(geometry).tensors
        let shardCount = shards ?? geometry.shards
        guard shardCount <= tensors.count else {
            throw Failure(
                "--shards is \(shardCount), but there are only \(tensors.count) tensors", next: "Ask for fewer shards.")
        }
        let skew = heat == .uniform ? "" : " --heat \(heat.rawValue)"
        let tower = vision ? " --vision" : ""
        let note = "kimi synth --geometry \(geometry.name)\(skew)\(tower) --seed \(seed): random weights"
        let plan = ShardPlan(tensors, count: shardCount, note: note)

        let interrupt = Interrupt()
        let folder = try OutputFolder(out, force: force)
        let begin = monotonicSeconds()
        do {
            try checkSpace(plan, in: folder)
            try write(geometry, plan, to: folder, interrupt)
            guard !interrupt.isRequested else { throw Failure.interrupted }
            try folder.finish()
        } catch {
            folder.discard()
            if interrupt.isRequested {
                Failure.interrupted.report()
                throw ExitCode(Interrupt.exitCode)
            }
            throw error
        }
        report(geometry, plan, seconds: monotonicSeconds() - begin)
    }

    /// Ten times as many as the published checkpoint has: what is planned before writing stays below a gigabyte.
    private static let mostTensors = 2_000_000

    private func checkSpace(_ plan: ShardPlan, in folder: OutputFolder) throws(Failure) {
        let needed = (headersOnly ? plan.shards.reduce(0) { $0 + $1.header.count } : plan.fileBytes) + (64 << 20)
        let free = try folder.freeBytes()
        guard free >= needed else {
            throw Failure(
                "this checkpoint needs \(Units.bytes(needed)), but only \(Units.bytes(free)) are free at \(out)",
                next: "Choose another place, fewer --layers or --experts, or --headers-only to measure the headers.")
        }
    }

    private func write(
        _ geometry: Geometry, _ plan: ShardPlan, to folder: OutputFolder, _ interrupt: Interrupt
    ) throws(Failure) {
        let ranks = RankComposer.tokens(count: geometry.rankCount)
        guard ranks.count == geometry.rankCount else {
            throw Failure(
                "the rules for tokens lead to \(ranks.count) of the \(geometry.rankCount) that --vocab asks for",
                next: "Ask for a smaller vocabulary.")
        }
        let texts = CheckpointTexts(geometry: geometry)
        try folder.write("config.json", texts.config)
        try folder.write("generation_config.json", texts.generationConfig)
        if let text = texts.preprocessorConfig { try folder.write("preprocessor_config.json", text) }
        try folder.write("tokenizer_config.json", texts.tokenizerConfig)
        try folder.write("tiktoken.model", CheckpointTexts.rankFile(ranks))
        if let index = plan.index { try folder.write("model.safetensors.index.json", index) }

        let bar = ProgressBar("writing", unit: .bytes)
        defer { bar.finish() }
        let writer = WeightWriter(
            plan: plan, folder: folder.partial, seed: seed, threads: Self.threads, headersOnly: headersOnly,
            interrupt: interrupt)
        try writer.write { done, total in bar.update(done, of: total) }
    }

    /// One for each processor, but no more than keep a disk busy.
    private static var threads: Int { min(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))), 8) }

    private func report(_ geometry: Geometry, _ plan: ShardPlan, seconds: Double) {
        let parameters = plan.shards.lazy.flatMap(\.tensors).reduce(0) { $0 + $1.parameterCount }
        if json {
            var json = JSONWriter()
            json.object { json in
                json.member("path", out)
                json.member("geometry", geometry.name)
                json.member("heat", heat.rawValue)
                json.member("vision", geometry.hasTower)
                json.member("seed", String(seed))
                json.member("tensors", plan.tensorCount)
                json.member("parameters", parameters)
                json.member("shards", plan.shards.count)
                json.member("weight_bytes", plan.weightBytes)
                json.member("file_bytes", plan.fileBytes)
                json.member("headers_only", headersOnly)
                json.member("seconds", seconds)
            }
            Terminal.output.write(json.text + "\n")
            return
        }
        var table = Table(["", ""])
        table.row("folder", out)
        table.row("geometry", geometry.name)
        table.row("layers", Units.count(geometry.layers))
        table.row("experts", geometry.layers > geometry.denseLayers ? Units.count(geometry.experts) : "none")
        table.row("heat", heat.rawValue)
        if geometry.hasTower {
            table.row("vision tower", "\(geometry.tower.layers) layers of \(Units.count(geometry.tower.hidden))")
        }
        table.row("vocabulary", Units.count(geometry.vocabulary))
        table.row("weights", Units.short(parameters))
        table.row("tensors", Units.count(plan.tensorCount))
        table.row("shards", Units.count(plan.shards.count))
        table.row(headersOnly ? "size (sparse, no data)" : "size", Units.bytes(plan.fileBytes))
        table.row("time", Units.elapsed(seconds))
        if !headersOnly, seconds > 0.5 { table.row("speed", Units.rate(Double(plan.fileBytes) / seconds)) }
        table.print()
    }
}

extension SynthTensor {
    /// Weights, packed ones counted one by one; scales and shapes are none.
    var parameterCount: Int {
        switch values {
        case .nibbles: byteCount * 2
        case .scales, .shape: 0
        default: byteCount / type.byteCount
        }
    }
}

extension Geometry.Heat: ExpressibleByArgument {}
