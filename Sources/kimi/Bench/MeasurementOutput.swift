import KimiBench
import KimiCore
import KimiTopology

// A measurement in JSON and as the cells of a table; the same members and columns for every kind of work.

extension JSONWriter {
    mutating func member(_ name: String, _ spread: Spread) {
        object(name) { json in
            json.member("median", spread.median)
            json.member("min", spread.min)
            json.member("max", spread.max)
        }
    }

    /// - Parameter unit: what the speed counts, such as "tokens".
    mutating func measurement(_ measurement: Measurement, unit: String) {
        member("\(unit)_per_second", measurement.tokensPerSecond)
        member("seconds", measurement.seconds)
        member("repeats", measurement.samples.count)
        member("bytes", Int(measurement.bytes.median))
        member("bytes_per_second", measurement.bytesPerSecond)
        member("plain_read", measurement.plainRead)
        if let first = measurement.samples.first, let last = measurement.samples.last {
            member("plain_read_before", first.before.read)
            member("plain_read_after", last.after.read)
        }
        member("share_of_plain_read", measurement.readShare)
        member("multiply_adds", Int(measurement.multiplyAdds.median))
        member("multiply_adds_per_second", measurement.multiplyAddsPerSecond)
        let peaks: [(String, (Limits) -> Double?)] = [
            ("peak_f32", { $0.f32 }), ("peak_bf16", { $0.bf16 }), ("peak_int8", { $0.int8 }),
            ("peak_tiles", { $0.tiles }),
        ]
        for (name, kind) in peaks {
            if let peak = measurement.peak(kind) { member(name, peak) } else { null(name) }
        }
        member("share_of_peak", measurement.arithmeticShare)
        member("share_of_limit", measurement.limitShare)
        if let hits = measurement.expertHitShare, let read = measurement.fileBytesPerSecond, let stall = measurement.stallShare {
            object("expert_store") { json in
                json.member("hit_share", hits)
                json.member("bytes_read_per_second", read)
                json.member("stall_share", stall)
            }
        }
    }

    mutating func notes(_ notes: [String]) {
        array("notes") { json in for note in notes { json.element(note) } }
    }

    mutating func member(_ name: String, _ facts: MachineFacts, threads: Int) {
        object(name) { json in
            json.member("processor", facts.processor)
            json.member("cores", facts.cores)
            json.member("threads", threads)
            json.member("last_level_cache_bytes", facts.lastLevelCacheBytes)
            json.member("memory_bytes", facts.memoryBytes)
            json.member("date", facts.date)
        }
    }
}

/// The columns that every table of measurements ends with.
enum MeasurementColumns {
    static let titles = ["slowest", "fastest", "read", "plain read", "share", "GMAC/s", "peak", "share"]

    /// Both shares are there; the one of the limit that binds is the one to look at.
    static func cells(_ measurement: Measurement) -> [String] {
        let speed = measurement.tokensPerSecond
        let peak = measurement.peak { $0.arithmetic }?.median ?? 0
        return [
            figure(speed.min), figure(speed.max), Units.bandwidth(measurement.bytesPerSecond.median),
            Units.bandwidth(measurement.plainRead.median), percent(measurement.readShare.median),
            figure(measurement.multiplyAddsPerSecond.median * 1e-9), figure(peak * 1e-9),
            percent(measurement.arithmeticShare.median),
        ]
    }

    /// Where experts are read as they are chosen these columns follow.
    static let expertTitles = ["in memory", "from files", "waited"]

    static func expertCells(_ measurement: Measurement) -> [String] {
        guard let hits = measurement.expertHitShare, let read = measurement.fileBytesPerSecond, let stall = measurement.stallShare
        else { return [] }
        return [percent(hits.median), Units.bandwidth(read.median), percent(stall.median)]
    }

    static let expertLegend =
        "in memory: part of the chosen experts that were there already; from files: bytes read for the others;\n"
        + "waited: part of the time in which nothing was computed because of reads\n"

    static func figure(_ value: Double) -> String { Units.decimal(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0) }
    static func percent(_ share: Double) -> String { Units.decimal(share * 100, share < 0.0995 ? 1 : 0) + " %" }
}

extension MachineFacts {
    /// What makes a figure something else than it seems, where all `bytes` of `what` are read again and again.
    func notes(_ what: String, bytes: Int) -> [String] {
        guard lastLevelCacheBytes > 0, bytes <= lastLevelCacheBytes else { return [] }
        return [
            "\(what) (\(Units.bytes(bytes))) fit the cache (\(Units.bytes(lastLevelCacheBytes))): "
                + "bytes read are not a memory figure"
        ]
    }
}

extension BenchReport {
    /// Lines that stand below every table.
    func printLegend(_ facts: MachineFacts, threads: Int, isa: String?, notes: [String] = []) {
        let processor = facts.processor.isEmpty ? nil : facts.processor
        let words = [processor, "\(threads) thread\(threads == 1 ? "" : "s")", isa, facts.date]
        Terminal.output.write(
            words.compactMap { $0 }.joined(separator: ", ") + "\n"
                + "read: bytes of weights and cache by count; plain read: what the machine read at that moment;\n"
                + "GMAC/s: multiply-adds by count; peak: of \(Limits.hasBF16 ? "bfloat16 pairs" : "floats") in registers; "
                + "shares of each repeat's own moment\n")
        for note in notes { Terminal.output.write("note: \(note)\n") }
    }
}
