import KimiCore

extension SwarmAccount {
    /// The account as a JSON object; see SWARM.md for its members.
    package var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("critical_steps", criticalSteps)
            json.member("total_steps", totalSteps)
            json.member("stages", stages)
            json.member("agent_limit", agentLimit)
            json.object("tokens") { json in
                json.member("prompt", promptTokens)
                json.member("cached", cachedTokens)
                json.member("generated", generatedTokens)
            }
            json.member("seconds", Self.seconds(microseconds))
            json.member("serial_seconds", Self.seconds(serialMicroseconds))
            json.member("speedup", speedup)
            if let finish { json.member("finish", Self.name(finish)) } else { json.null("finish") }
            json.array("agents") { json in
                for (number, agent) in agents.enumerated() { write(agent, number, &json) }
            }
            json.array("tasks") { json in for task in tasks { write(task, &json) } }
            json.array("timeline") { json in
                for span in spans {
                    json.object { json in
                        json.member("agent", span.agent)
                        json.member("kind", span.kind.rawValue)
                        if let step = span.step { json.member("step", step) }
                        json.member("start_us", span.start)
                        json.member("end_us", span.end)
                    }
                }
            }
        }
        return json.text
    }

    private func write(_ agent: Agent, _ number: Int, _ json: inout JSONWriter) {
        json.object { json in
            json.member("agent", number)
            json.member("name", agent.name)
            if number == 0 { json.null("parent") } else { json.member("parent", 0) }
            json.member("steps", agent.steps)
            json.member("prompt_tokens", agent.promptTokens)
            json.member("cached_tokens", agent.cachedTokens)
            json.member("generated_tokens", agent.generatedTokens)
            json.member("busy_seconds", Self.seconds(busyMicroseconds(number)))
        }
    }

    private func write(_ task: Task, _ json: inout JSONWriter) {
        json.object { json in
            json.member("agent", task.agent)
            json.member("task", task.number)
            json.member("stage", task.stage)
            json.member("steps", task.steps)
            json.member("generated_tokens", task.generatedTokens)
            if let outcome = task.outcome { json.member("outcome", outcome.name) } else { json.null("outcome") }
            json.member("result_bytes", task.resultBytes)
            json.member("cut", task.isCut)
            json.member("start_us", task.start)
            json.member("end_us", task.end)
        }
    }

    private static func seconds(_ microseconds: Int) -> Double { Double(microseconds) / 1e6 }

    private static func name(_ finish: ChatEvent.Finish) -> String {
        switch finish {
        case .stop: "stop"
        case .length: "length"
        case .context: "context"
        case .cancelled: "cancelled"
        case .toolCalls: "tool_calls"
        case .steps: "steps"
        }
    }

    /// The timeline in Chrome's trace format, for chrome://tracing and Perfetto: a row for each agent, in which steps lie within
    /// tasks, and prompts, generation, tools and waits within steps.
    package var chromeTrace: String {
        var json = JSONWriter()
        json.object { json in
            json.member("displayTimeUnit", "ms")
            json.array("traceEvents") { json in
                Self.metadata("process_name", 0, &json) { $0.member("name", "swarm") }
                for (number, agent) in agents.enumerated() {
                    Self.metadata("thread_name", number, &json) { $0.member("name", agent.name) }
                    Self.metadata("thread_sort_index", number, &json) { $0.member("sort_index", number) }
                }
                for task in tasks where task.outcome != nil && task.end >= task.start {
                    Self.complete("task \(task.number)", "task", task.agent, task.start, task.end, &json) { json in
                        json.member("stage", task.stage)
                        json.member("steps", task.steps)
                        json.member("outcome", task.outcome?.name ?? "")
                    }
                }
                for span in spans {
                    let name = span.kind == .step ? "step \(span.step ?? 0)" : span.kind.rawValue
                    Self.complete(name, span.kind.rawValue, span.agent, span.start, span.end, &json) { json in
                        if let step = span.step { json.member("step", step) }
                    }
                }
            }
        }
        return json.text
    }

    private static func metadata(_ name: String, _ row: Int, _ json: inout JSONWriter, _ arguments: (inout JSONWriter) -> Void) {
        json.object { json in
            json.member("ph", "M")
            json.member("name", name)
            json.member("pid", 1)
            json.member("tid", row)
            json.object("args", arguments)
        }
    }

    private static func complete(
        _ name: String, _ category: String, _ row: Int, _ start: Int, _ end: Int, _ json: inout JSONWriter,
        _ arguments: (inout JSONWriter) -> Void
    ) {
        json.object { json in
            json.member("ph", "X")
            json.member("name", name)
            json.member("cat", category)
            json.member("pid", 1)
            json.member("tid", row)
            json.member("ts", start)
            json.member("dur", end - start)
            json.object("args", arguments)
        }
    }
}
