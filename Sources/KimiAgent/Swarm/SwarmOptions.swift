import KimiChat
import KimiCore
import KimiRuntime

/// How a swarm works, beside its request. Budgets that are nil do not hold.
package struct SwarmOptions: Sendable {
    /// Sub-agents that may be alive; those that were created stay so until the end, for more tasks.
    package var agentLimit = 100
    /// Steps of the main agent.
    package var mainSteps = ChatMode.swarm.stepLimit
    /// Steps of a sub-agent's task.
    package var taskSteps = 100
    /// Generated tokens of one task, and of all agents together.
    package var taskTokens: Int?
    package var allTokens: Int?
    /// Milliseconds of one task from its beginning, and of the whole run.
    package var taskMilliseconds: Int?
    package var allMilliseconds: Int?
    /// The most bytes of a task's result that return to the main agent; what is longer is cut, with a note.
    package var resultBytes = 32 << 10
    /// Sub-agents that have a task in hand at the same time; nil: all. Other tasks wait for their turn.
    package var parallelAgents: Int?
    /// Calls at the same time of tools that run on any thread, of all agents together; nil: no limit.
    package var parallelTools: Int?
    /// The priority of sub-agents' sessions.
    package var priority = 0
    /// The context limit of sub-agents' sessions; nil: the model's.
    package var contextLimit: Int?
    package var mainMode = ChatMode.swarm
    package var agentMode = ChatMode.agent
    /// Events that may wait for the host before agents do.
    package var queueLimit = 1024
    /// What main agent and sub-agents share. `mode`, `stepLimit` and `script` are the swarm's own; `append` is the main agent's.
    /// The seed is the main agent's, and those of the tasks come from it.
    package var chat = ChatOptions()
    /// What the requests of sub-agents have beside their messages; nil: nothing.
    package var agentRequest: ChatRequest?
    /// What an agent has to answer, by its name, the number of its task from 1 (0: the main agent's request) and of the task's step
    /// from 0.
    package var script: (@Sendable (_ agent: String, _ task: Int, _ step: Int) -> ScriptedAnswer?)?

    package init() {}

    package static let agentRange = 1...1000
    package static let resultRange = 1...(16 << 20)
    package static let queueRange = 1...1_000_000
    package static let timeRange = 1...(7 * 86_400_000)

    /// - Throws: `invalidArgument` naming the option.
    func validate() throws(KimiError) {
        func check(_ value: Int?, _ range: ClosedRange<Int>, _ name: String) throws(KimiError) {
            guard let value, !range.contains(value) else { return }
            let end = range.upperBound == .max ? "1 or more" : "\(range.lowerBound) to \(range.upperBound)"
            throw KimiError(.invalidArgument, "\(name) is \(value); it must be \(end)", subject: name)
        }
        try check(agentLimit, Self.agentRange, "agent_limit")
        try check(mainSteps, ChatOptions.stepRange, "main_steps")
        try check(taskSteps, ChatOptions.stepRange, "task_steps")
        try check(taskTokens, 1...Int.max, "task_tokens")
        try check(allTokens, 1...Int.max, "all_tokens")
        try check(taskMilliseconds, Self.timeRange, "task_milliseconds")
        try check(allMilliseconds, Self.timeRange, "all_milliseconds")
        try check(resultBytes, Self.resultRange, "result_bytes")
        try check(parallelAgents, Self.agentRange, "parallel_agents")
        try check(parallelTools, ToolSlots.range, "parallel_tools")
        try check(priority, Session.priorityRange, "priority")
        try check(queueLimit, Self.queueRange, "queue_limit")
    }

    /// The options of a sub-agent's request.
    ///
    /// - Parameters:
    ///   - agent: its number, from 1.
    ///   - task: that of its task, from 1.
    func request(agent: Int, name: String, task: Int, seed: UInt64?) -> ChatOptions {
        var options = chat
        (options.mode, options.stepLimit, options.append) = (agentMode, taskSteps, true)
        options.seed = seed.map { Self.seed($0, agent: agent, task: task) }
        if let script { options.script = { step in script(name, task, step) } }
        return options
    }

    /// The request of a sub-agent's task.
    func taskRequest(_ messages: [ChatMessage]) -> ChatRequest {
        var request = agentRequest ?? ChatRequest(messages: [])
        request.messages = messages
        return request
    }

    func mainRequest() -> ChatOptions {
        var options = chat
        (options.mode, options.stepLimit) = (mainMode, mainSteps)
        if let script { options.script = { step in script(SwarmTools.mainName, 0, step) } }
        return options
    }

    /// The seed of a task: the same for the same numbers, whatever else runs (SplitMix64 over all three).
    static func seed(_ seed: UInt64, agent: Int, task: Int) -> UInt64 {
        var state = seed
        for part in [agent, task] {
            state = state &+ 0x9E37_79B9_7F4A_7C15 &* (UInt64(truncatingIfNeeded: part) &+ 1)
            state = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
            state = (state ^ (state >> 27)) &* 0x94D0_49BB_1331_11EB
            state ^= state >> 31
        }
        return state
    }
}
