import KimiCheckpoint
import KimiCore
import KimiModel
import KimiRuntime

/// A plan as tables.
struct PlanTables {
    let answer: PlanRequest.Answer
    let folder: String

    private var plan: PlacementPlan { answer.plan }

    func print() {
        let out = Terminal.output
        out.write(folder + "\n")
        summary().print()
        out.write("\nBytes on each node\n")
        nodes().print()
        out.write("\nPrediction, not a measurement: tokens per second\n")
        prediction().print()
        for line in answer.rates.assumptions { out.write("  - \(line)\n") }
        if let comparison = answer.comparison { print(comparison) }
        guard !plan.notes.isEmpty else { return }
        out.write("\nNotes\n")
        for note in plan.notes { out.write("  - \(note)\n") }
    }

    private func amount(_ bytes: Int) -> String { PlacementPlanner.amount(bytes) }

    private func summary() -> Table {
        var table = Table(["", ""])
        table.row("machine", "\(answer.topology.words) (\(answer.topology.source.words))")
        if plan.inventory.isFromConfigAlone {
            table.row("sizes", "from config.json alone: no weights are there, so those of the published layout")
        }
        let weights = plan.inventory.matrixBytes + plan.inventory.expertBytes
        table.row("weights", "\(amount(weights)), of which routed experts \(amount(plan.inventory.expertBytes)) (dense \(plan.inventory.dense.rawValue))")
        table.row(
            "caches", "\(amount(plan.total(.cache))): \(plan.sequences) x \(Units.count(plan.context)) tokens in \(plan.cacheType.name)")
        table.row("policy", plan.placement.policy.rawValue + (plan.isChosen ? " (chosen by prediction)" : ""))
        table.row("fits", fits)
        table.row(
            "imbalance",
            "\(percent(plan.imbalance)) of bytes read per token between nodes; worst layer's experts \(percent(plan.worstLayerImbalance))")
        return table
    }

    private var fits: String {
        guard let resident = plan.placement.residentExpertBytes else {
            return "all in memory: \(amount(plan.used)) of \(amount(plan.capacity)) usable"
        }
        return "\(amount(resident)) of experts in memory, \(amount(plan.streamedBytes)) streamed from disk: "
            + "\(percent(plan.hitRate)) of choices found, \(amount(Int(plan.missBytesPerToken))) read a token"
    }

    private func percent(_ share: Double) -> String { Units.decimal(share * 100, 1) + "%" }

    private func nodes() -> Table {
        let names = plan.nodes.map { "node \($0.index)" }
        var table = Table([""] + names + ["all"], right: Set(1...plan.nodes.count + 1))
        for kind in PlacementPlan.Kind.allCases where plan.total(kind) > 0 {
            table.row([kind.words] + plan.nodes.map { cell($0.bytes[kind] ?? 0) } + [amount(plan.total(kind))])
        }
        table.total(["used"] + plan.nodes.map { amount($0.used) } + [amount(plan.used)])
        table.row(["free"] + plan.nodes.map { amount($0.free) } + [amount(plan.nodes.reduce(0) { $0 + $1.free })])
        table.row(["threads"] + plan.nodes.map { "\($0.workers)" } + ["\(plan.nodes.reduce(0) { $0 + $1.workers })"])
        let reads = plan.nodes.map { Int($0.readPerToken) }
        table.row(["a token reads"] + reads.map(cell) + [amount(reads.reduce(0, +))])
        return table
    }

    private func cell(_ bytes: Int) -> String { bytes > 0 ? amount(bytes) : "-" }

    private func prediction() -> Table {
        var table = Table(["", "low", "high"], right: [1, 2])
        table.row("one sequence", speed(plan.prediction.single.low), speed(plan.prediction.single.high))
        if plan.sequences > 1 {
            table.row("all \(plan.sequences) together", speed(plan.prediction.batch.low), speed(plan.prediction.batch.high))
        }
        return table
    }

    private func speed(_ value: Double) -> String { Units.decimal(value, value < 9.995 ? 2 : 1) }

    private func print(_ comparison: PlacementComparison) {
        Terminal.output.write("\nOther ways to use the machine: predictions\n")
        var table = Table(
            ["packages", "nodes", "policy", "imbalance", "streamed", "one sequence", "all \(plan.sequences)"], right: [0, 1, 3, 4, 5, 6])
        for row in comparison.rows {
            let head = ["\(row.packages)", "\(row.nodes)", row.policy.rawValue]
            if row.failure != nil {
                table.row(head + ["-", "-", "does not fit", "-"])
                continue
            }
            let (single, batch) = (row.prediction.single, row.prediction.batch)
            table.row(
                head + [percent(row.imbalance), cell(row.streamedBytes), "\(speed(single.low)) - \(speed(single.high))",
                    "\(speed(batch.low)) - \(speed(batch.high))"])
        }
        table.print()
        let out = Terminal.output
        if comparison.rows.contains(where: { $0.packages > 1 }) {
            out.write("  - " + (comparison.linkCrossover.map { "one package with memory enough is faster below a link of \(Units.bandwidth($0))" }
                ?? "no link speed makes one package and all equally fast") + "\n")
            out.write("  - " + (comparison.barrierCrossover.map { "one package with memory enough is faster if threads take more than \(Units.elapsed($0)) to meet" }
                ?? "no barrier cost makes one package and all equally fast") + "\n")
        }
        out.write("  - " + (comparison.expertCrossover.map { "whole experts are predicted faster than split ones from \($0) sequences on" }
            ?? "split experts are predicted as fast as whole ones, or faster, up to 1024 sequences") + "\n")
    }
}

extension PlacementPlan.Kind {
    /// The kind as a person reads it.
    var words: String {
        switch self {
        case .embedding: "embeddings"
        case .denseMLP: "dense MLP"
        case .sharedExperts: "shared experts"
        case .routedExperts: "routed experts"
        case .head: "lm_head"
        case .cache: "latent caches"
        case .buffers: "work buffers"
        case .vision: "vision tower"
        default: rawValue
        }
    }
}
