import Foundation
import KimiAgent
import KimiChat
import KimiCore
import KimiRuntime
import Synchronization
import Testing

/// What agents of a test answer: by agent and task, step after step.
struct Plan: Sendable {
    private var answers: [String: [ScriptedAnswer]] = [:]

    /// - Parameter task: 0 for the main agent.
    init(main: [ScriptedAnswer], _ tasks: [(agent: String, task: Int, steps: [ScriptedAnswer])] = []) {
        answers["main 0"] = main
        for (agent, task, steps) in tasks { answers["\(agent) \(task)"] = steps }
    }

    func answer(_ agent: String, _ task: Int, _ step: Int) -> ScriptedAnswer? {
        guard let steps = answers["\(agent) \(task)"] else { return ScriptedAnswer("done") }
        return step < steps.count ? steps[step] : nil
    }

    static func create(_ name: String, _ prompt: String = "You count.") -> ScriptedAnswer.Call {
        .init("create_subagent", #"{"name":\#(JSONWriter.quoted(name)),"system_prompt":\#(JSONWriter.quoted(prompt))}"#)
    }

    static func assign(_ agent: String, _ prompt: String = "Count.") -> ScriptedAnswer.Call {
        .init("assign_task", #"{"agent":\#(JSONWriter.quoted(agent)),"prompt":\#(JSONWriter.quoted(prompt))}"#)
    }

    static let end = ScriptedAnswer("end")

    /// The plan of agents that are all made in one step and given a task each in the next.
    init(each names: [String], steps: [ScriptedAnswer], prompt: String = "You count.", stages: Int = 1) {
        let ask = ScriptedAnswer(calls: names.map { Plan.assign($0) })
        self.init(
            main: [ScriptedAnswer(calls: names.map { Plan.create($0, prompt) })] + [ScriptedAnswer](repeating: ask, count: stages)
                + [Plan.end],
            names.map { ($0, 1, steps) })
    }

    /// The plan of two agents, "a" and "b", with a task each.
    init(a: [ScriptedAnswer], b: [ScriptedAnswer]) {
        self.init(
            main: [
                Plan.calls(Plan.create("a"), Plan.create("b")), Plan.calls(Plan.assign("a"), Plan.assign("b")), Plan.end,
            ],
            [("a", 1, a), ("b", 1, b)])
    }

    static func calls(_ calls: ScriptedAnswer.Call...) -> ScriptedAnswer { ScriptedAnswer(calls: calls) }

    /// Answers of so many steps, all but the last with a call of `tool`.
    static func steps(_ count: Int, tool: String = "note", say: String = "done") -> [ScriptedAnswer] {
        [ScriptedAnswer](repeating: ScriptedAnswer(calls: [.init(tool, "{}")]), count: count - 1) + [ScriptedAnswer(say)]
    }
}

/// A tool without arguments.
func plainTool(
    _ name: String = "note", anyThread: Bool = true, timeout: Int? = nil, slots: [ToolSlots] = [],
    run: (@Sendable (ToolCallRequest) -> ToolAnswer)? = { _ in ToolAnswer(.ok, "noted") }
) throws -> HostTool {
    HostTool(
        declaration: try ToolDeclaration(name: name, description: nil, schema: nil), timeoutMilliseconds: timeout,
        anyThread: anyThread, slots: slots, run: run)
}

/// A swarm of the fixture checkpoint that follows a plan.
struct Swarm {
    let chat: ChatSession
    let run: SwarmRun

    static let go = #"{"messages":[{"role":"user","content":"Go"}]}"#

    init(
        _ plan: Plan, tools: [HostTool] = [], polled: Bool = true, chat: ChatSession? = nil, request json: String = Swarm.go,
        _ change: (inout SwarmOptions) -> Void = { _ in }
    ) throws {
        self.chat = try chat ?? Tiny.chat()
        self.chat.tools.add(try plainTool())
        for tool in tools { self.chat.tools.add(tool) }
        var options = SwarmOptions()
        options.chat.seed = 1
        options.script = { plan.answer($0, $1, $2) }
        change(&options)
        run = try SwarmRun(self.chat, request: request(json), options: options, isPolled: polled)
    }

    /// All events up to the finish.
    func events(_ look: (SwarmEvent) throws -> Void = { _ in }) throws -> [SwarmEvent] {
        var all: [SwarmEvent] = []
        while true {
            let event = try run.next()
            all.append(event)
            try look(event)
            if case .finish = event.kind { return all }
        }
    }

    /// What the main agent read of its calls, in their order.
    var results: [String] { chat.past.filter { $0.role == .tool }.map(\.text) }
}

extension SwarmEvent {
    var chat: ChatEvent? { if case .chat(let event) = kind { event } else { nil } }
    var account: SwarmAccount? { if case .finish(let account) = kind { account } else { nil } }
    var outcome: SwarmOutcome? { if case .taskEnded(let outcome, _, _) = kind { outcome } else { nil } }
    var budget: SwarmBudget? { if case .budget(let budget, _) = kind { budget } else { nil } }

    /// What it says, without times: equal for equal runs.
    var words: String {
        switch kind {
        case .chat(let event):
            "\(agent) \(task) \(event.kind) \(event.step) \(event.callID) \(event.code) \(event.total) \(event.text)"
        case .created(let prompt): "\(agent) created \(name) \(prompt)"
        case .taskBegan(let prompt): "\(agent) \(task) began \(prompt)"
        case .taskEnded(let outcome, let result, let isCut): "\(agent) \(task) \(outcome) \(result) \(isCut)"
        case .budget(let budget, let words): "\(agent) \(task) \(budget) \(words)"
        case .memory: "\(agent) \(task) memory"
        case .finish(let account): "finish \(account.criticalSteps) \(account.totalSteps) \(account.generatedTokens)"
        }
    }
}

extension [SwarmEvent] {
    var account: SwarmAccount? { last?.account }
    var outcomes: [SwarmOutcome] { compactMap(\.outcome) }
    func of(_ agent: Int) -> [SwarmEvent] { filter { $0.agent == agent } }
}

/// Waits until something is so, but not for ever; whether it is.
func eventually(_ seconds: Double = 20, _ condition: () -> Bool) -> Bool {
    let end = ContinuousClock.now + .milliseconds(Int(seconds * 1000))
    while !condition() {
        if ContinuousClock.now > end { return false }
        usleep(500)
    }
    return true
}
