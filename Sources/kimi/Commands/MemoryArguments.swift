import ArgumentParser
import KimiModel

/// How a model may use the machine's memory: a part of `MachineOptions`.
struct MemoryArguments: ParsableArguments {
    enum Policy: String, ExpressibleByArgument, CaseIterable {
        case auto, slice, expert, replicate

        var policy: PlacementPolicy? { PlacementPolicy(rawValue: rawValue) }
    }

    enum Pages: String, ExpressibleByArgument, CaseIterable {
        case auto, small, huge

        var pages: MemoryOptions.Pages {
            switch self {
            case .auto: .transparent
            case .small: .small
            case .huge: .huge
            }
        }
    }

    @Option(
        help: ArgumentHelp(
            "The most memory to use, such as 64GB, mapped weights apart; what the machine and the cgroup allow if not given.",
            valueName: "size"),
        transform: ByteCount.parse)
    var memory: Int?

    @Option(help: "How weights are dealt over memory nodes: all split, experts whole by heat, or the hottest on every node.")
    var policy = Policy.auto

    @Option(help: ArgumentHelp("The most memory nodes to compute on; all if not given.", valueName: "n"))
    var nodes: Int?

    @Option(
        help: ArgumentHelp("With --policy replicate: memory on each node for copies of experts.", valueName: "size"),
        transform: ByteCount.parse)
    var replicate: Int?

    @Option(
        help: ArgumentHelp("Memory for routed experts; all of them, or as many as fit, if not given.", valueName: "size"),
        transform: ByteCount.parse)
    var resident: Int?

    @Option(help: "Pages of memory: huge where the system makes them so, small, or huge ones set apart for it (hugetlbfs).")
    var pages = Pages.auto

    @Option(help: ArgumentHelp("A file that says how often each expert is chosen, as --save-heat writes it.", valueName: "file"))
    var heat: String?

    /// The library's options.
    var options: MemoryOptions {
        var options = MemoryOptions()
        options.limit = memory
        options.policy = policy.policy
        options.nodes = nodes
        options.replicateBytes = replicate
        options.residentBytes = resident
        options.pages = pages.pages
        options.heat = heat
        return options
    }
}
