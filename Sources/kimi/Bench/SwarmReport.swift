import KimiAgent
import KimiBench
import KimiCore
import KimiRuntime

/// A plan, as measured: with all agents at the same time, and with one after the other.
struct SwarmResult {
    let plan: SwarmPlan
    let together: [SwarmWork.Sample]
    let alone: [SwarmWork.Sample]

    /// How many times longer one after the other took, repeat by repeat.
    func speedup(_ seconds: (SwarmWork.Sample) -> Double) -> Spread {
        Spread(zip(together, alone).map { seconds($1) / max(seconds($0), 1e-9) })
    }
}

/// How much sooner agents are done that work at the same time.
struct SwarmReport: BenchReport {
    let model: Model
    let facts: MachineFacts
    /// Of a task.
    let tokens: Int
    /// Seconds of the tool that takes its time.
    let wait: Double
    let results: [SwarmResult]

    private typealias Seconds = @Sendable (SwarmWork.Sample) -> Double
    private static let parts: [(name: String, seconds: Seconds, tokens: @Sendable (SwarmWork.Sample) -> Int)] = [
        ("whole run", { $0.seconds }, { $0.account.generatedTokens }), ("tasks", { $0.taskSeconds }, { $0.taskTokens }),
    ]

    private static func median(_ samples: [SwarmWork.Sample], _ value: Seconds) -> Double { Spread(samples.map(value)).median }

    func print() {
        var times = Table(
            ["plan", "", "tokens", "at once", "one by one", "speed-up", "least", "most", "tokens/s", "one by one"], right: Set(2...9))
        for result in results {
            for (index, part) in Self.parts.enumerated() {
                let speedup = result.speedup(part.seconds)
                func rate(_ samples: [SwarmWork.Sample]) -> String {
                    MeasurementColumns.figure(Self.median(samples) { Double(part.tokens($0)) / max(part.seconds($0), 1e-9) })
                }
                times.row([
                    index == 0 ? result.plan.shape.rawValue : "", part.name, Units.count(result.together.first.map(part.tokens) ?? 0),
                    Units.elapsed(Self.median(result.together, part.seconds)), Units.elapsed(Self.median(result.alone, part.seconds)),
                    Units.decimal(speedup.median, 2), Units.decimal(speedup.min, 2), Units.decimal(speedup.max, 2),
                    rate(result.together), rate(result.alone),
                ])
            }
        }
        times.print()
        var steps = Table(
            ["plan", "agents", "stages", "waits", "critical steps", "by hand", "all steps", "rows a pass", "in the model"],
            right: Set(1...8))
        for result in results {
            steps.row([
                result.plan.shape.rawValue, Units.count(result.plan.agents), Units.count(result.plan.stages), Units.count(result.plan.waits),
                Units.count(result.together.first?.account.criticalSteps ?? 0), Units.count(result.plan.criticalSteps),
                Units.count(result.plan.totalSteps),
                Units.decimal(Self.median(result.together) { Double($0.rows) / Double(max(1, $0.passes)) }, 1),
                MeasurementColumns.percent(Self.median(result.together) { $0.modelSeconds / max($0.seconds, 1e-9) }),
            ])
        }
        steps.print()
        let words = [
            facts.processor.isEmpty ? nil : facts.processor, "\(model.text.pool.threads) threads", model.text.isaName, facts.date,
        ]
        let seconds = Units.decimal(wait, wait == wait.rounded() ? 0 : 3)
        Terminal.output.write(
            """
            \(words.compactMap { $0 }.joined(separator: ", "))
            \(tokens) tokens a task; a wait of a tool takes \(seconds) s
            at once: all agents at the same time; one by one: the same run with one agent at a time, measured too;
            the main agent is given its calls, and evaluates them as it would a prompt; tasks: without what it does;
            in the model: part of the run at once that passes took

            """)
    }

    var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("digest", model.checkpoint.digest)
            json.member("machine", facts, threads: model.text.pool.threads)
            json.member("isa", model.text.isaName)
            json.member("tokens_per_task", tokens)
            json.member("wait_seconds", wait)
            json.array("results") { json in
                for result in results { json.object { json in Self.write(result, &json) } }
            }
        }
        return json.text
    }

    private static func write(_ result: SwarmResult, _ json: inout JSONWriter) {
        json.member("work", "swarm")
        json.member("plan", result.plan.shape.rawValue)
        json.member("agents", result.plan.agents)
        json.member("stages", result.plan.stages)
        json.member("waits", result.plan.waits)
        json.member("repeats", result.together.count)
        json.member("critical_steps", result.together.first?.account.criticalSteps ?? 0)
        json.member("critical_steps_by_hand", result.plan.criticalSteps)
        json.member("total_steps", result.plan.totalSteps)
        for (name, samples) in [("at_once", result.together), ("one_by_one", result.alone)] {
            json.object(name) { json in
                json.member("seconds", Spread(samples.map(\.seconds)))
                json.member("task_seconds", Spread(samples.map(\.taskSeconds)))
                json.member("model_seconds", Spread(samples.map(\.modelSeconds)))
                json.member("prompt_tokens", samples.first?.account.promptTokens ?? 0)
                json.member("cached_tokens", samples.first?.account.cachedTokens ?? 0)
                json.member("generated_tokens", samples.first?.account.generatedTokens ?? 0)
                json.member("task_tokens", samples.first?.taskTokens ?? 0)
                json.member("passes", samples.first?.passes ?? 0)
                json.member("rows", samples.first?.rows ?? 0)
            }
        }
        json.member("speedup", result.speedup { $0.seconds })
        json.member("task_speedup", result.speedup { $0.taskSeconds })
    }
}
