import ArgumentParser
import KimiCheckpoint
import KimiCore
import KimiModel

/// `kimi inspect`: what a checkpoint holds, from its headers.
struct Inspect: Command {
    static let configuration = CommandConfiguration(
        abstract: "Show what a checkpoint holds and what one decoded token reads.",
        discussion: """
            Reads config.json and the headers of the shards, never the weights: the full Kimi K2.5 takes about a second.

            The column "token reads" is what decides the speed of a single answer: divide your machine's memory bandwidth \
            by it for the most tokens per second. Of the routed experts a token reads only those that the router chooses.

            Examples:
              kimi inspect /models/Kimi-K2.5
              kimi inspect /models/Kimi-K2.5 --dense int8
              kimi inspect /models/Kimi-K2.5 --json | jq .token_reads.all
            """)

    @Flag(help: "Print the figures as one JSON object, bytes as whole numbers.")
    var json = false

    @Option(help: "Count for a model opened with this option: weights that every token reads as stored, or as bytes.")
    var dense = MachineOptions.Dense.stored

    @Argument(help: ArgumentHelp("The folder of the checkpoint.", valueName: "dir"))
    var folder: String

    func execute() throws {
        let log = Log { level, message in
            if level == .warning || level == .error { Terminal.error.write("kimi: \(message)\n") }
        }
        let bar = ProgressBar("reading headers", unit: .share)
        defer { bar.finish() }
        let checkpoint = try Checkpoint(folder: folder, log: log) { fraction in
            bar.update(Int(fraction * 1000), of: 1000)
        }
        bar.finish()
        let report = CostReport(checkpoint, dense: dense.format)
        if json {
            Terminal.output.write(Self.json(checkpoint, report) + "\n")
        } else {
            InspectTables(checkpoint: checkpoint, report: report).print()
        }
    }

    private static func json(_ checkpoint: Checkpoint, _ report: CostReport) -> String {
        let context = checkpoint.config.contextLimit
        var json = JSONWriter()
        json.object { json in
            checkpoint.describe(report, in: &json)
            json.object("cache_bytes") { json in
                for type in CacheType.allCases {
                    json.member("token_\(type.name)", type.bytesPerToken(checkpoint.config))
                }
                for type in CacheType.allCases {
                    json.member("context_\(type.name)", type.bytesPerToken(checkpoint.config) * context)
                }
            }
        }
        return json.text
    }
}
