import KimiAgent
import KimiCore
import KimiModel
import KimiRuntime

/// What a turn took: its tokens and times.
struct TurnMeter {
    private let session: Session
    private let before: Session.Statistics?
    private let expertsBefore: ExpertStore.Report?
    private let begin = monotonicSeconds()
    private var promptEnd = 0
    private var thoughtBegin: Double?
    private(set) var thoughtTokens = 0
    private(set) var thoughtSeconds = 0.0

    init(_ session: Session) {
        self.session = session
        before = try? session.snapshot().counts
        expertsBefore = session.model.text.storeReport
    }

    mutating func note(_ event: ChatEvent) {
        switch event.kind {
        case .start:
            promptEnd = event.total
            (thoughtBegin, thoughtTokens, thoughtSeconds) = (nil, 0, 0)
        case .reasoning:
            let now = monotonicSeconds()
            // Counted from the first token on: what came before is the prompt's time.
            thoughtBegin = thoughtBegin ?? now
            thoughtTokens = max(1, session.position - promptEnd)
            thoughtSeconds = now - (thoughtBegin ?? now)
        default: break
        }
    }

    /// The turn's figures after its last event.
    func report(_ usage: ChatUsage) -> TurnReport {
        let now = try? session.snapshot().counts
        func difference(_ value: (Session.Statistics) -> Int64) -> Double {
            guard let now, let before else { return 0 }
            return Double(value(now) - value(before)) * 1e-9
        }
        return TurnReport(
            usage: usage, seconds: monotonicSeconds() - begin, promptSeconds: difference(\.promptNanoseconds),
            generationSeconds: difference(\.generationNanoseconds), held: session.position, limit: session.contextLimit,
            experts: expertsBefore.flatMap { session.model.text.storeReport?.since($0) })
    }
}

/// A finished turn in figures.
struct TurnReport {
    let usage: ChatUsage
    let seconds: Double
    let promptSeconds: Double
    let generationSeconds: Double
    /// Tokens that the session holds, and may hold.
    let held: Int
    let limit: Int
    /// How experts have fared that are read as they are chosen; nil if none are.
    let experts: ExpertStore.Report?

    private static func speed(_ tokens: Int, _ seconds: Double) -> String {
        guard tokens > 0, seconds > 0 else { return "-" }
        let speed = Double(tokens) / seconds
        return Units.decimal(speed, speed < 100 ? 1 : 0)
    }

    private var evaluated: Int { max(0, usage.prompt - usage.cached) }

    /// 312 tokens at 45.2/s; prompt 1,024, 980 of them in the cache; context 3% of 262,144
    var line: String {
        "\(Units.count(usage.generated)) tokens at \(Self.speed(usage.generated, generationSeconds))/s; "
            + "prompt \(Units.count(usage.prompt)), \(Units.count(usage.cached)) of them in the cache; "
            + "context \(held * 100 / max(1, limit))% of \(Units.count(limit))"
    }

    var table: Table {
        var table = Table(["", "tokens", "time", "tokens/s"], right: [1, 2, 3])
        table.row("prompt, new", Units.count(evaluated), Units.elapsed(promptSeconds), Self.speed(evaluated, promptSeconds))
        table.row("prompt, in the cache", Units.count(usage.cached), "", "")
        table.row(
            "answer", Units.count(usage.generated), Units.elapsed(generationSeconds), Self.speed(usage.generated, generationSeconds))
        table.row("of it reasoning", Units.count(usage.reasoning), "", "")
        table.total("whole turn", "", Units.elapsed(seconds), "")
        if let experts { table.experts(experts.statistics, seconds: seconds) }
        table.row("context used", Units.count(held), "", "\(held * 100 / max(1, limit))%")
        table.row("context limit", Units.count(limit), "", "")
        return table
    }

    func add(to json: inout JSONWriter) {
        json.member("prompt_tokens", usage.prompt)
        json.member("cached_tokens", usage.cached)
        json.member("generated_tokens", usage.generated)
        json.member("reasoning_tokens", usage.reasoning)
        json.member("prompt_seconds", promptSeconds)
        json.member("generation_seconds", generationSeconds)
        json.member("seconds", seconds)
        json.member("context_used", held)
        json.member("context_limit", limit)
        if let experts { json.object("expert_store") { json in experts.describe(in: &json) } }
    }
}
