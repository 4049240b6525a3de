import Glibc
import KimiCore
import KimiModel
import KimiRuntime

/// How long an answer took and what it cost.
struct RunStatistics {
    private let model: Model
    private let counts: Session.Statistics
    private let cacheBytes: Int
    private let experts: ExpertStore.Report?
    private let seconds: Double

    /// - Parameters:
    ///   - experts: how those have fared in this answer that are read as they are chosen; nil if none are.
    ///   - seconds: the time of the whole answer, as somebody waiting for it has it.
    init(
        _ model: Model, _ snapshot: (counts: Session.Statistics, position: Int, cacheBytes: Int), experts: ExpertStore.Report?,
        seconds: Double
    ) {
        self.model = model
        counts = snapshot.counts
        cacheBytes = snapshot.cacheBytes
        self.experts = experts
        self.seconds = seconds
    }

    private var promptSeconds: Double { Double(counts.promptNanoseconds) * 1e-9 }
    private var generationSeconds: Double { Double(counts.generationNanoseconds) * 1e-9 }

    /// The most memory that this program has had, mapped weights that were touched included.
    private static var peakMemory: Int {
        var usage = rusage()
        return getrusage(RUSAGE_SELF.rawValue, &usage) == 0 ? usage.ru_maxrss * 1024 : 0
    }

    func table(finish: String) -> Table {
        var table = Table(["", "tokens", "time", "tokens/s"], right: [1, 2, 3])
        func row(_ name: String, _ tokens: Int, _ time: Double) {
            let speed = tokens > 0 && time > 0 ? Double(tokens) / time : nil
            table.row(
                name, Units.count(tokens), Units.elapsed(time), speed.map { Units.decimal($0, $0 < 100 ? 2 : 0) } ?? "-")
        }
        row("prompt", counts.promptTokens, promptSeconds)
        if counts.reusedTokens > 0 { table.row("beside it at hand", Units.count(counts.reusedTokens), "", "") }
        if counts.mediaTokens > 0 {
            table.row("of it to see", Units.count(counts.mediaTokens), "", "")
            table.row("looked at", Units.count(counts.mediaEncoded), "", counts.mediaReused > 0 ? "\(counts.mediaReused) at hand" : "")
        }
        row("answer", counts.generatedTokens, generationSeconds)
        table.total("bytes read", "", Units.bytes(counts.bytesRead), readRate.map(Units.rate) ?? "-")
        if let experts { table.experts(experts.statistics, seconds: seconds) }
        table.row("rows, exact and fast", "\(Units.count(counts.exactRows)) + \(Units.count(counts.fastRows))", "", "")
        table.row("cache", "", Units.bytes(cacheBytes), "")
        table.row("memory, at most", "", Units.bytes(Self.peakMemory), "")
        table.row("threads", "", "\(model.text.pool.threads)", model.text.isaName)
        table.row("ended by", "", finish, "")
        return table
    }

    private var readRate: Double? {
        let time = promptSeconds + generationSeconds
        return time > 0 ? Double(counts.bytesRead) / time : nil
    }

    func add(to json: inout JSONWriter) {
        json.member("prompt_tokens", counts.promptTokens)
        json.member("reused_tokens", counts.reusedTokens)
        json.member("generated_tokens", counts.generatedTokens)
        json.member("prompt_seconds", promptSeconds)
        json.member("generation_seconds", generationSeconds)
        json.member("seconds", seconds)
        json.member("bytes_read", counts.bytesRead)
        json.member("rows_exact", counts.exactRows)
        json.member("rows_fast", counts.fastRows)
        json.member("media_tokens", counts.mediaTokens)
        json.member("media_encoded", counts.mediaEncoded)
        json.member("media_reused", counts.mediaReused)
        json.member("cache_bytes", cacheBytes)
        json.member("peak_memory_bytes", Self.peakMemory)
        json.member("threads", model.text.pool.threads)
        json.member("isa", model.text.isaName)
        if let experts { json.object("expert_store") { json in experts.describe(in: &json) } }
    }
}
