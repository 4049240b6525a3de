import ArgumentParser
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiRuntime

/// `kimi plan`: where everything would lie and how fast that would be, before anything is loaded.
struct Plan: Command {
    static let configuration = CommandConfiguration(
        abstract: "Show where a model's weights would lie on a machine, what fits, and a predicted speed.",
        discussion: """
            Reads config.json and the headers of the shards, never the weights; a folder with config.json alone will do. The machine \
            may be another one: --synthetic takes hwloc's description, --topology a file that lstopo --of xml has written.

            If the routed experts do not all fit, the plan says how many are read from the disk when they are chosen; if even that \
            cannot work, it says the smallest change that would help.

            Tokens per second are a prediction from bandwidths, not a measurement. Give your machine's own to narrow it.

            Examples:
              kimi plan /models/Kimi-K2.5
              kimi plan /models/Kimi-K2.5 --synthetic "pack:2 [numa(memory=512GB)] core:48 pu:1" --compare
              kimi plan /models/Kimi-K2.5 --memory 256GB --context 65536 --svg plan.svg
            """)

    enum Load: String, ExpressibleByArgument, CaseIterable { case auto, copy }

    @Option(help: ArgumentHelp("A machine to plan for, in hwloc's synthetic form.", valueName: "text"))
    var synthetic: String?

    @Option(help: ArgumentHelp("A machine to plan for, from an XML file of hwloc's.", valueName: "file"))
    var topology: String?

    @Option(
        help: ArgumentHelp("The most memory to use, such as 512GB; what the machine has if not given.", valueName: "size"),
        transform: ByteCount.parse)
    var memory: Int?

    @Option(help: ArgumentHelp("Tokens of each sequence; 8192 if not given.", valueName: "n"))
    var context: Int?

    @Option(help: ArgumentHelp("Sequences at the same time.", valueName: "n"))
    var sequences = 1

    @Option(help: "Weights that every token reads as stored, or as bytes.")
    var dense = MachineOptions.Dense.stored

    @Option(help: "How the cache of past tokens is kept.")
    var cache = MachineOptions.Cache.f32

    @Option(help: "auto: experts that do not fit are read from the disk; copy: all must fit.")
    var load = Load.auto

    @Option(help: "How weights are dealt over memory nodes: all split, experts whole by heat, or the hottest on every node.")
    var policy = MemoryArguments.Policy.auto

    @Option(help: ArgumentHelp("The most memory nodes to compute on; all if not given.", valueName: "n"))
    var nodes: Int?

    @Option(help: ArgumentHelp("Threads to compute with; one for each core if not given.", valueName: "n"))
    var threads: Int?

    @Option(help: ArgumentHelp("The most prompt tokens in one step.", valueName: "n"))
    var chunk = 512

    @Option(help: ArgumentHelp("A file that says how often each expert is chosen.", valueName: "file"))
    var heat: String?

    @Option(
        help: ArgumentHelp("Memory on each node for copies of the hottest experts.", valueName: "size"), transform: ByteCount.parse)
    var replicate: Int?

    @Option(help: ArgumentHelp("Memory for routed experts; the others are streamed.", valueName: "size"), transform: ByteCount.parse)
    var resident: Int?

    @Option(help: ArgumentHelp("What a node reads from its own memory.", valueName: "GB/s"))
    var bandwidth: Double?

    @Option(help: ArgumentHelp("What a package reads from the others.", valueName: "GB/s"))
    var link: Double?

    @Option(help: ArgumentHelp("The time in which all threads meet.", valueName: "us"))
    var barrier: Double?

    @Option(help: ArgumentHelp("What the disk reads.", valueName: "GB/s"))
    var disk: Double?

    @Flag(help: "Print the plan as one JSON object, bytes as whole numbers.")
    var json = false

    @Flag(help: "Predict other policies and one package too, and where one becomes faster than another.")
    var compare = false

    @Option(help: ArgumentHelp("Write a picture of nodes and experts.", valueName: "file"))
    var svg: String?

    @Argument(help: ArgumentHelp("The folder of the checkpoint; one with config.json alone will do.", valueName: "dir"))
    var folder: String

    func execute() throws {
        let answer = try request.answer()
        if let svg {
            let picture = PlanPicture(plan: answer.plan, topology: answer.topology, rates: answer.rates, folder: folder)
            try TextFile.write(picture.svg, to: svg)
        }
        if json {
            Terminal.output.write(answer.json + "\n")
        } else {
            PlanTables(answer: answer, folder: folder).print()
        }
    }

    private var request: PlanRequest {
        var request = PlanRequest(folder: folder)
        request.synthetic = synthetic
        request.topologyFile = topology
        request.dense = dense.format
        request.heat = heat
        request.compares = compare
        request.log = Log { level, message in
            if level == .warning || level == .error { Terminal.error.write("kimi: \(message)\n") }
        }
        request.options.policy = policy.policy
        request.options.nodes = nodes
        request.options.threads = threads
        request.options.memoryLimit = memory
        request.options.context = context
        request.options.sequences = sequences
        request.options.cacheType = cache.type
        request.options.chunkSize = chunk
        request.options.replicateBytes = replicate
        request.options.residentBytes = resident
        request.options.mayStream = load == .auto
        request.options.rates.nodeBandwidth = bandwidth.map { $0 * 1e9 }
        request.options.rates.linkBandwidth = link.map { $0 * 1e9 }
        request.options.rates.barrier = barrier.map { $0 * 1e-6 }
        request.options.rates.diskBandwidth = disk.map { $0 * 1e9 }
        return request
    }
}
