import ArgumentParser
import KimiCheckpoint
import KimiCore

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
              kimi inspect /models/Kimi-K2.5 --json | jq .token_reads.all
            """)

    @Flag(help: "Print the figures as one JSON object, bytes as whole numbers.")
    var json = false

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
        let report = CostReport(checkpoint)
        if json {
            Terminal.output.write(Self.json(checkpoint, report) + "\n")
        } else {
            InspectTables(checkpoint: checkpoint, report: report).print()
        }
    }

    private static func json(_ checkpoint: Checkpoint, _ report: CostReport) -> String {
        let config = checkpoint.config
        var json = JSONWriter()
        json.object { json in
            json.member("path", checkpoint.folder)
            json.member("architecture", config.architecture)
            json.member("model_type", config.modelType)
            json.member("digest", checkpoint.digest)
            json.object("sizes") { json in
                json.member("hidden", config.hiddenSize)
                json.member("layers", config.layerCount)
                json.member("dense_layers", report.layers.count { $0.isDense })
                json.member("dense_width", config.intermediateSize)
                json.member("heads", config.headCount)
                if let rank = config.queryRank { json.member("query_rank", rank) } else { json.null("query_rank") }
                json.member("latent", config.latentSize)
                json.member("nope", config.nopeSize)
                json.member("rope", config.ropeSize)
                json.member("value", config.valueSize)
                json.member("experts", config.expertCount)
                json.member("experts_per_token", config.expertsPerToken)
                json.member("expert_width", config.moeIntermediateSize)
                json.member("shared_experts", config.sharedExpertCount)
                json.member("expert_groups", config.groupCount)
            }
            json.member("quantization", config.quantization == .int4 ? "int4 group 32" : "none")
            json.member("vocabulary", config.vocabularySize)
            json.member("context_length", config.contextLimit)
            json.array("end_tokens") { json in for id in config.endTokens { json.element(Int(id)) } }
            json.member("vision", checkpoint.hasVisionTensors)
            json.member("tensors", checkpoint.tensorCount)
            json.member("shards", checkpoint.shardCount)
            json.member("parameters", report.parameters)
            kinds("bytes", \.stored, report, &json)
            kinds("token_reads", \.read, report, &json)
            json.object("cache_bytes") { json in
                json.member("token_f32", report.cacheBytesPerToken)
                json.member("token_bf16", report.cacheBytesPerToken / 2)
                json.member("context_f32", report.cacheBytesPerToken * config.contextLimit)
                json.member("context_bf16", report.cacheBytesPerToken / 2 * config.contextLimit)
            }
        }
        return json.text
    }

    private static func kinds(
        _ name: String, _ figure: KeyPath<CostReport.Cost, Int>, _ report: CostReport, _ json: inout JSONWriter
    ) {
        json.object(name) { json in
            for (kind, cost) in report.kinds { json.member(kind.rawValue, cost[keyPath: figure]) }
            json.member("all", report.total[keyPath: figure])
        }
    }
}
