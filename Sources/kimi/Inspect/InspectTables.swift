import KimiCheckpoint
import KimiCore
import KimiModel

/// A checkpoint's figures as tables.
struct InspectTables {
    let checkpoint: Checkpoint
    let report: CostReport

    private var config: ModelConfig { checkpoint.config }

    func print() {
        heading(checkpoint.folder)
        architecture().print()
        heading("One layer (MLP: dense or shared experts; experts: the routed ones; rest: router and norms)")
        layers().print()
        heading(
            report.dense == .stored
                ? "All weights, and what one decoded token reads of them"
                : "All weights, what is made of them in memory while opening, and what one decoded token reads")
        weights().print()
        heading("Cache of past tokens: latent and rotated key of each layer; each new token reads all of it")
        cache().print()
    }

    private func heading(_ text: String) {
        let gap = text == checkpoint.folder ? "" : "\n"
        Terminal.output.write(gap + text + "\n")
    }

    private func architecture() -> Table {
        var table = Table(["", ""])
        let type = config.modelType
        table.row("architecture", config.architecture.isEmpty ? type : "\(config.architecture) (\(type))")
        table.row("weights", "\(Units.short(report.parameters)), \(quantization)")
        table.row("layers", layerWords)
        table.row("hidden size", Units.count(config.hiddenSize))
        let query = config.queryRank.map { "query rank \(Units.count($0))" } ?? "one query projection"
        table.row(
            "attention",
            "\(config.headCount) heads, \(query), latent \(config.latentSize), "
                + "key \(config.nopeSize) + \(config.ropeSize) rotated, value \(config.valueSize)")
        if report.layers.contains(where: { !$0.isDense }) {
            let groups = config.groupCount > 1 ? ", \(config.topGroupCount) of \(config.groupCount) groups" : ""
            table.row(
                "experts",
                "\(config.expertsPerToken) of \(config.expertCount) chosen\(groups), \(config.sharedExpertCount) shared, "
                    + "width \(Units.count(config.moeIntermediateSize))")
        }
        if report.layers.contains(where: \.isDense) { table.row("dense width", Units.count(config.intermediateSize)) }
        table.row("vocabulary", Units.count(config.vocabularySize))
        table.row("context limit", Units.count(config.contextLimit) + " tokens")
        table.row("end tokens", config.endTokens.map(String.init).joined(separator: ", "))
        table.row("vision tower", visionWords)
        let files = checkpoint.shardCount == 1 ? "one file" : "\(checkpoint.shardCount) shards"
        table.row("files", "\(Units.count(checkpoint.tensorCount)) tensors in \(files)")
        table.row("digest", checkpoint.digest)
        return table
    }

    private var visionWords: String {
        guard let vision = config.vision else { return checkpoint.hasVisionTensors ? "tensors, but no vision_config" : "no" }
        guard checkpoint.hasVisionTensors else { return "configured, but no tensors" }
        return "\(vision.layerCount) layers of \(Units.count(vision.hiddenSize)), \(vision.headCount) heads, "
            + "width \(Units.count(vision.intermediateSize)), \(vision.mergeRows) x \(vision.mergeColumns) patches of "
            + "\(vision.patchSize) x \(vision.patchSize) pixels a token"
    }

    private var quantization: String {
        config.quantization == .int4 ? "routed experts in INT4, groups of 32" : "not quantised"
    }

    private var layerWords: String {
        let dense = report.layers.count { $0.isDense }
        return dense == 0 || dense == report.layers.count
            ? "\(config.layerCount), all \(dense == 0 ? "with experts" : "dense")"
            : "\(config.layerCount): \(dense) dense, \(config.layerCount - dense) with experts"
    }

    /// One row for each run of layers that are alike; the figures are those of one layer.
    private func layers() -> Table {
        var table = Table(
            ["layers", "attention", "MLP", "experts", "rest", "stored", "token reads"], right: [1, 2, 3, 4, 5, 6])
        var begin = 0
        while begin < report.layers.count {
            let first = report.layers[begin]
            var end = begin + 1
            while end < report.layers.count, report.layers[end] == first { end += 1 }
            func cell(_ kinds: WeightKind...) -> String {
                let bytes = kinds.reduce(0) { $0 + first[$1].stored }
                return bytes > 0 ? Units.bytes(bytes) : "-"
            }
            table.row(
                (end - begin > 1 ? "\(begin)-\(end - 1)" : "\(begin)") + (first.isDense ? " dense" : " experts"),
                cell(.attention), cell(.denseMLP, .sharedExperts), cell(.routedExperts), cell(.router, .norms, .other),
                Units.bytes(first.total.stored), Units.bytes(first.total.read))
            begin = end
        }
        return table
    }

    private func weights() -> Table {
        let converts = report.dense != .stored
        var table = converts
            ? Table(["kind", "stored", "share", "made", "token reads", "share"], right: [1, 2, 3, 4, 5])
            : Table(["kind", "stored", "share", "token reads", "share"], right: [1, 2, 3, 4])
        func made(_ cost: CostReport.Cost) -> [String] {
            converts ? [cost.made > 0 ? Units.bytes(cost.made) : "-"] : []
        }
        func share(_ part: Int, _ whole: Int) -> String {
            whole > 0 ? Units.decimal(Double(part) / Double(whole) * 100, 1) + "%" : "-"
        }
        for (kind, cost) in report.kinds {
            table.row(
                [kind.words, Units.bytes(cost.stored), share(cost.stored, report.total.stored)] + made(cost)
                    + [Units.bytes(cost.read), share(cost.read, report.total.read)])
        }
        table.total(["all", Units.bytes(report.total.stored), ""] + made(report.total) + [Units.bytes(report.total.read), ""])
        return table
    }

    private func cache() -> Table {
        var table = Table(["", "a token", "\(Units.count(config.contextLimit)) tokens"], right: [1, 2])
        for type in CacheType.allCases {
            let bytes = type.bytesPerToken(config)
            table.row(type.name, Units.bytes(bytes), Units.bytes(bytes * config.contextLimit))
        }
        return table
    }
}

extension WeightKind {
    /// The kind as a person reads it.
    var words: String {
        switch self {
        case .embedding: "embeddings"
        case .denseMLP: "dense MLP"
        case .sharedExperts: "shared experts"
        case .routedExperts: "routed experts"
        case .head: "lm_head"
        default: rawValue
        }
    }
}
