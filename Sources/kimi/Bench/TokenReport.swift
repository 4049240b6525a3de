import KimiBench
import KimiCore
import KimiModel
import KimiRuntime

/// A prompt, or single tokens, as measured.
struct TokenResult {
    enum Kind: String { case prefill, decode }

    let kind: Kind
    /// Tokens in each sequence's cache before the work begins.
    let depth: Int
    /// Sequences.
    let batch: Int
    let measurement: Measurement
}

/// How fast prompts and single tokens are, and what opening took.
struct TokenReport: BenchReport {
    let model: Model
    let facts: MachineFacts
    /// Seconds.
    let opening: Double
    let results: [TokenResult]
    /// The most bytes of cache there were.
    let cacheBytes: Int
    let resident: (now: Int, most: Int)

    private var placement: WeightPlacement { model.text.weightBytes }
    /// Of the text model, where they are read.
    private var weightBytes: Int { placement.mapped + placement.copied + placement.converted }

    private var notes: [String] { facts.notes("the weights", bytes: weightBytes) }

    func print() {
        let experts = model.text.storeReport
        let titles = ["work", "depth", "sequences", "tokens/s"] + MeasurementColumns.titles
            + (experts == nil ? [] : MeasurementColumns.expertTitles)
        var table = Table(titles, right: Set(1..<titles.count))
        for result in results {
            let tokens = result.measurement.tokens
            table.row([
                result.kind == .prefill ? "prompt of \(tokens)" : "single tokens", Units.count(result.depth),
                Units.count(result.batch), MeasurementColumns.figure(result.measurement.tokensPerSecond.median),
            ] + MeasurementColumns.cells(result.measurement) + MeasurementColumns.expertCells(result.measurement))
        }
        table.print()
        var memory = Table(["", ""], right: [1])
        memory.row("opening", Units.elapsed(opening))
        memory.row("weights, mapped", Units.bytes(placement.mapped))
        if placement.copied > 0 { memory.row("weights, copied", Units.bytes(placement.copied)) }
        if placement.converted > 0 { memory.row("weights, made while opening", Units.bytes(placement.converted)) }
        if let experts {
            memory.row("room for experts", "\(Units.count(experts.slots)) of \(Units.count(experts.experts))")
        }
        memory.row("cache, at most", Units.bytes(cacheBytes))
        memory.row("work space, at most", Units.bytes(model.text.workspaceBytes))
        memory.row("in memory now", Units.bytes(resident.now))
        memory.row("in memory, at most", Units.bytes(resident.most))
        memory.print()
        printLegend(facts, threads: model.text.pool.threads, isa: model.text.isaName, notes: notes)
        if experts != nil { Terminal.output.write(MeasurementColumns.expertLegend) }
    }

    var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("digest", model.checkpoint.digest)
            json.member("machine", facts, threads: model.text.pool.threads)
            json.member("threads", model.text.pool.threads)
            json.member("isa", model.text.isaName)
            json.member("cache_type", model.options.cacheType.name)
            json.member("dense", model.options.dense.rawValue)
            json.member("exact", model.options.exact)
            json.member("decode_bits", model.options.decodeBits.rawValue)
            json.member("opening_seconds", opening)
            json.object("memory") { json in
                json.member("mapped", placement.mapped)
                json.member("copied", placement.copied)
                json.member("converted", placement.converted)
                json.member("cache", cacheBytes)
                json.member("workspace", model.text.workspaceBytes)
                json.member("resident", resident.now)
                json.member("most_resident", resident.most)
            }
            if let experts = model.text.storeReport {
                json.object("expert_store") { json in experts.describe(in: &json) }
            }
            json.notes(notes)
            json.array("results") { json in
                for result in results {
                    json.object { json in
                        json.member("work", result.kind.rawValue)
                        json.member("depth", result.depth)
                        json.member("batch", result.batch)
                        json.member("tokens", result.measurement.tokens)
                        json.member("fast_rows", result.measurement.samples.last?.count.fastRows ?? 0)
                        json.measurement(result.measurement, unit: "tokens")
                    }
                }
            }
        }
        return json.text
    }
}
