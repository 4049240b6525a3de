import KimiCore

// What a budget says where it refuses.

extension MemoryBudget {
    /// "cache 1.20 GiB, weights 512.0 MiB", the largest first.
    var uses: String {
        let used = Kind.allCases.map { ($0, self.used($0)) }.filter { $0.1 > 0 }.sorted { $0.1 > $1.1 }
        return used.isEmpty ? "nothing" : used.map { "\($0.words) \(Self.amount($1))" }.joined(separator: ", ")
    }

    static func verb(needs bytes: Int) -> String { "needs \(amount(bytes))" }

    /// - Parameter need: who needs how much: "logits need 640.0 KiB".
    func refusal(_ need: String, _ shortage: Shortage, detail: String = "") -> KimiError {
        switch shortage {
        case .limit(let limit, let left):
            let bytes = "\(Self.amount(limit.bytes)) (\(limit.source.words))"
            let state = left == limit.bytes ? "is \(bytes)" : "of \(bytes) has \(Self.amount(left)) left: \(uses)"
            return KimiError(
                .outOfMemory, "\(need); the limit \(state)\(detail)",
                subject: limit.source == .option ? Source.option.rawValue : "memory")
        case .system(let left):
            return KimiError(
                .outOfMemory,
                "\(need); the system has \(Self.amount(left)) to give at the moment, beyond a reserve of \(Self.amount(Self.reserve)); the model has \(uses)\(detail)",
                subject: "memory")
        }
    }

    /// 18 bytes, 1.50 MiB, 554.3 GiB: bytes for people, rounded to three figures at least.
    package static func amount(_ bytes: Int) -> String {
        guard bytes >= 1024 else { return "\(bytes) bytes" }
        var (value, unit) = (bytes, 0)
        while value >= 1 << 20 { (value, unit) = (value >> 10, unit + 1) }
        // As whole numbers: the standard library prints no rounded ones.
        let hundredths = (value * 100 + 512) / 1024
        let places = hundredths < 1000 ? 100 : 10
        let (whole, part) = ((value * places + 512) / 1024).quotientAndRemainder(dividingBy: places)
        return "\(whole).\(places == 100 && part < 10 ? "0" : "")\(part) \(names[unit])"
    }
    private static var names: [String] { ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] }
}

extension MemoryBudget.Kind {
    /// The name in `kimi_model_info`.
    package var name: String {
        switch self {
        case .weights: "weights"
        case .tables: "tables"
        case .workspace: "workspace"
        case .attention: "attention"
        case .experts: "experts"
        case .cache: "cache"
        case .sessions: "sessions"
        case .features: "features"
        }
    }

    package var words: String {
        switch self {
        case .workspace: "work space"
        case .cache: "latent caches"
        default: name
        }
    }
}

extension MemoryBudget.Source {
    package var words: String {
        switch self {
        case .option: "memory_limit"
        case .cgroup: "of the cgroup"
        case .machine: "of the machine"
        }
    }
}
