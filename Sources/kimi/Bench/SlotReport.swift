import KimiBench
import KimiCore

/// What share of uses would find its expert in memory, for each trace, policy and number of slots.
struct SlotReport: BenchReport {
    struct Row {
        let policy: SlotPolicy
        /// For each of `shares`.
        let rates: [Double]
    }

    struct Result {
        let trace: ExpertTrace
        let likeness: ExpertTrace.Likeness
        let rows: [Row]
    }

    let seed: UInt64
    let results: [Result]

    /// The shares of all experts that there are slots for.
    static let shares: [(name: String, value: Double)] = [
        ("1/16", 1.0 / 16), ("1/8", 1.0 / 8), ("1/4", 1.0 / 4), ("1/3", 1.0 / 3), ("1/2", 1.0 / 2), ("3/4", 3.0 / 4),
    ]

    /// Slots of a share; as many as a token takes in a layer at least, without which the store does not open.
    static func slots(_ share: Double, _ trace: ExpertTrace) -> Int { max(trace.perToken, Int(share * Double(trace.keyCount))) }

    /// - Parameter advance: called after each replay.
    init(seed: UInt64, traces: [ExpertTrace], advance: () throws -> Void) throws {
        self.seed = seed
        results = try traces.map { trace in
            Result(trace: trace, likeness: trace.likeness, rows: try SlotPolicy.all.map { policy in
                Row(policy: policy, rates: try Self.shares.map { share in
                    try advance()
                    return try trace.hitRate(policy, slots: Self.slots(share.value, trace))
                })
            })
        }
    }

    /// Replays of so many traces.
    static func steps(traces: Int) -> Int { traces * SlotPolicy.all.count * shares.count }

    private static func percent(_ share: Double) -> String { Units.decimal(share * 100, 0) + " %" }

    func print() {
        for result in results {
            let trace = result.trace
            var table = Table(["\(trace.name): slots"] + Self.shares.map(\.name), right: Set(1...Self.shares.count))
            for row in result.rows {
                table.row([row.policy.name] + row.rates.map { Units.decimal($0 * 100, 1) + " %" })
            }
            table.print()
            Terminal.output.write(
                "\(trace.layers) layers of \(trace.experts) experts, "
                    + "\(Units.count(trace.steps.count - trace.counted)) steps counted; "
                    + "used by the step before too: \(Self.percent(result.likeness.next)), "
                    + "by one of the last eight: \(Self.percent(result.likeness.withinEight)); "
                    + "the hottest eighth has \(Self.percent(result.likeness.hottestEighth))\n\n")
        }
    }

    var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("seed", Int(clamping: seed))
            json.array("traces") { json in
                for result in results {
                    json.object { json in
                        json.member("trace", result.trace.name)
                        json.member("layers", result.trace.layers)
                        json.member("experts", result.trace.experts)
                        json.member("steps", result.trace.steps.count)
                        json.member("steps_counted", result.trace.steps.count - result.trace.counted)
                        json.member("used_by_step_before", result.likeness.next)
                        json.member("used_within_eight", result.likeness.withinEight)
                        json.member("hottest_eighth", result.likeness.hottestEighth)
                        json.array("policies") { json in
                            for row in result.rows {
                                for (share, rate) in zip(Self.shares, row.rates) {
                                    json.object { json in
                                        json.member("policy", row.policy.name)
                                        json.member("share", share.value)
                                        json.member("slots", Self.slots(share.value, result.trace))
                                        json.member("hit_rate", rate)
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        return json.text
    }
}
