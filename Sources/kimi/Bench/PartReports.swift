import KimiBench
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiRuntime

/// Layers with experts at one number of rows, as measured.
struct ExpertResult {
    /// The numbers of rows that are measured.
    static let rows = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]

    let rows: Int
    /// Layers that ran in a repeat.
    let calls: Int
    /// Experts that a call read.
    let experts: Spread
    let measurement: Measurement

    /// Seconds of one call.
    var seconds: Spread { Spread(measurement.samples.map { $0.seconds / Double(calls) }) }
}

/// How fast the layers with experts are by themselves.
struct ExpertReport: BenchReport {
    let model: Model
    let facts: MachineFacts
    let results: [ExpertResult]

    private var notes: [String] {
        let stored = CostReport(model.checkpoint).layers.reduce(0) { $0 + $1[.routedExperts].stored }
        return facts.notes("the experts", bytes: stored)
    }

    func print() {
        var table = Table(["rows", "experts read", "a layer", "rows/s"] + MeasurementColumns.titles, right: Set(0...11))
        for result in results {
            table.row([
                Units.count(result.rows), Units.decimal(result.experts.median, 1), Units.elapsed(result.seconds.median),
                MeasurementColumns.figure(result.measurement.tokensPerSecond.median),
            ] + MeasurementColumns.cells(result.measurement))
        }
        table.print()
        printLegend(facts, threads: model.text.pool.threads, isa: model.text.isaName, notes: notes)
    }

    var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("digest", model.checkpoint.digest)
            json.member("machine", facts, threads: model.text.pool.threads)
            json.member("isa", model.text.isaName)
            json.notes(notes)
            json.array("results") { json in
                for result in results {
                    json.object { json in
                        json.member("work", "experts")
                        json.member("rows", result.rows)
                        json.member("calls", result.calls)
                        json.member("experts_read", result.experts)
                        json.member("layer_seconds", result.seconds)
                        json.measurement(result.measurement, unit: "rows")
                    }
                }
            }
        }
        return json.text
    }
}

/// One kernel at one level, as measured.
struct KernelResult {
    let kernel: String
    let size: String
    let isa: String
    let measurement: Measurement
}

/// How fast the kernels are by themselves.
struct KernelReport: BenchReport {
    let threads: Int
    let facts: MachineFacts
    let results: [KernelResult]

    func print() {
        var table = Table(["kernel", "size", "level", "calls/s"] + MeasurementColumns.titles, right: Set(3...11))
        for result in results {
            table.row([
                result.kernel, result.size, result.isa,
                MeasurementColumns.figure(result.measurement.tokensPerSecond.median),
            ] + MeasurementColumns.cells(result.measurement))
        }
        table.print()
        printLegend(facts, threads: threads, isa: nil)
    }

    var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("machine", facts, threads: threads)
            json.array("results") { json in
                for result in results {
                    json.object { json in
                        json.member("work", "kernel")
                        json.member("kernel", result.kernel)
                        json.member("size", result.size)
                        json.member("isa", result.isa)
                        json.member("calls", result.measurement.tokens)
                        json.measurement(result.measurement, unit: "calls")
                    }
                }
            }
        }
        return json.text
    }
}

/// How far the logits are from the exact model's.
struct AccuracyReport: BenchReport {
    let facts: MachineFacts
    let digest: String
    let options: Model.Options
    let accuracy: Accuracy

    func print() {
        var table = Table(["against the exact model", ""], right: [1])
        table.row("tokens", Units.count(accuracy.rows))
        table.row("cosine, least", Units.decimal(accuracy.leastCosine, 7))
        table.row("cosine, mean", Units.decimal(accuracy.meanCosine, 7))
        table.row("divergence in nats, mean", Units.decimal(accuracy.meanDivergence, 8))
        table.row("divergence in nats, most", Units.decimal(accuracy.mostDivergence, 8))
        table.row("same likeliest token", "\(accuracy.sameChoice) of \(accuracy.rows)")
        table.row("where it is ahead by \(Accuracy.clearMargin)", "\(accuracy.sameClearChoice) of \(accuracy.clearRows)")
        table.print()
    }

    var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("digest", digest)
            json.member("date", facts.date)
            json.member("cache_type", options.cacheType.name)
            json.member("dense", options.dense.rawValue)
            json.member("exact", options.exact)
            json.member("decode_bits", options.decodeBits.rawValue)
            json.member("tokens", accuracy.rows)
            json.object("cosine") { json in
                json.member("min", accuracy.leastCosine)
                json.member("mean", accuracy.meanCosine)
            }
            json.object("divergence") { json in
                json.member("mean", accuracy.meanDivergence)
                json.member("max", accuracy.mostDivergence)
            }
            json.member("same_choice", accuracy.sameChoice)
            json.member("clear_rows", accuracy.clearRows)
            json.member("same_clear_choice", accuracy.sameClearChoice)
        }
        return json.text
    }
}
