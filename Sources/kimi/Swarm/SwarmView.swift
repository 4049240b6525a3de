import KimiAgent
import KimiCore

/// How a swarm at work is shown. All but `show` is called once; on the host's thread.
protocol SwarmView: AnyObject {
    func begin(_ run: SwarmRun)
    func show(_ event: SwarmEvent)
    /// No more events come: what was drawn for the moment goes away.
    func end()
}

/// A line of the error stream for each thing that happens: for pipes and files.
final class SwarmLog: SwarmView {
    private let start = monotonicSeconds()
    /// What agents have done so far.
    private var counts: (() -> [SwarmAccount.Agent])?

    func begin(_ run: SwarmRun) { counts = { run.counts } }

    func show(_ event: SwarmEvent) {
        guard let words = words(event) else { return }
        let task = event.task > 1 ? " (task \(event.task))" : ""
        let time = Units.decimal(monotonicSeconds() - start, 2)
        Terminal.error.write("kimi: \(time) s  \(VisibleText.line(event.name))\(task): \(words)\n")
    }

    func end() {}

    private func words(_ event: SwarmEvent) -> String? {
        switch event.kind {
        case .created(let prompt): return "created: \(Self.short(prompt))"
        case .taskBegan(let prompt): return "begins: \(Self.short(prompt))"
        case .taskEnded(let outcome, let result, let isCut):
            let counts = counts?()[event.agent]
            let figures = "\(counts?.steps ?? 0) steps, \(Units.count(counts?.generatedTokens ?? 0)) tokens so far"
            let what = outcome == .finished ? "done" : "ended by \(outcome.name)"
            return "\(what), \(figures)\(isCut ? ", result cut" : ""): \(Self.short(result))"
        case .budget(let budget, let words): return "budget \(budget.word): \(words)"
        case .memory: return "waits for memory"
        case .finish: return nil
        // The end of a task says it of sub-agents.
        case .chat(let part) where part.kind == .finish && event.agent > 0: return nil
        case .chat(let part): return Self.words(part)
        }
    }

    private static func words(_ event: ChatEvent) -> String? {
        switch event.kind {
        case .start: "step \(event.step + 1), prompt of \(Units.count(event.total)) tokens, \(Units.count(event.done)) of them at hand"
        case .callEnd: "calls \(event.name) \(short(event.text))"
        case .callRejected: "a call of \"\(short(event.name))\" could not be read and was left out"
        // What the swarm's own tools did was said when it was done.
        case .result where ["create_subagent", "assign_task"].contains(event.name) && event.code == ToolAnswer.Outcome.ok.rawValue: nil
        case .result: "\(event.name) \((ToolAnswer.Outcome(rawValue: event.code) ?? .ok).word): \(short(event.text))"
        case .notice: "note: \(short(event.text))"
        case .finish: "ends: \(event.finish?.word ?? "")"
        case .prompt, .media, .reasoning, .content, .callBegin, .callArguments, .resultNeeded: nil
        }
    }

    /// The beginning of a text on one line.
    static func short(_ text: String) -> String { Terminal.fitted(VisibleText.line(String(text.prefix(400))), columns: 100) }
}

extension SwarmBudget {
    var word: String {
        switch self {
        case .mainSteps: "main_steps"
        case .taskSteps: "steps"
        case .taskTokens: "tokens"
        case .allTokens: "all_tokens"
        case .taskTime: "time"
        case .allTime: "all_time"
        case .agents: "agents"
        }
    }
}

/// Each event as a JSON object on a line of the standard output, with the agent and the task that it is of.
final class SwarmJSON: SwarmView {
    func begin(_ run: SwarmRun) {}
    func end() {}

    func show(_ event: SwarmEvent) {
        func line(_ name: String, _ body: (inout JSONWriter) -> Void) {
            var json = JSONWriter()
            json.object { json in
                json.member("event", name)
                json.member("agent", event.agent)
                if let parent = event.parent { json.member("parent", parent) }
                json.member("name", event.name)
                json.member("task", event.task)
                body(&json)
            }
            Terminal.output.write(json.text + "\n")
        }
        switch event.kind {
        case .chat(let part):
            if part.kind == .finish {
                line("agent_finish") { json in
                    json.member("step", part.step)
                    json.member("finish_reason", part.finish?.word ?? "")
                }
            } else {
                line(part.eventName) { part.write(to: &$0) }
            }
        case .created(let prompt): line("created") { $0.member("system_prompt", prompt) }
        case .taskBegan(let prompt): line("task_began") { $0.member("prompt", prompt) }
        case .taskEnded(let outcome, let result, let isCut):
            line("task_ended") { json in
                json.member("outcome", outcome.name)
                json.member("result", result)
                json.member("cut", isCut)
            }
        case .budget(let budget, let words):
            line("budget") { json in
                json.member("budget", budget.word)
                json.member("text", words)
            }
        case .memory: line("memory") { _ in }
        case .finish: break
        }
    }
}
