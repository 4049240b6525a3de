import KimiChat
import KimiCore
import KimiModel
import KimiRuntime

/// A request that a swarm works on: a main agent, which may create sub-agents and give them tasks. Pull-driven, as `ChatRun` is:
/// the host takes events, and what only its own thread may run is run while it asks for the next.
///
/// Agents compute on threads of the swarm's own. They wait when the host takes no events, so nothing is lost and nothing piles up.
/// When the run is let go, or abandoned, all of them end. `next` lets one thread in at a time; all else is for any thread, tools'
/// callbacks included.
package final class SwarmRun: Sendable {
    private let core: SwarmCore
    private let occupied = Occupied()

    /// Reads the request and begins. The main agent's conversation is the session's own, with its tools.
    ///
    /// - Parameters:
    ///   - agentTools: the tools of sub-agents; nil: those of the session.
    ///   - isPolled: whether the host answers calls of tools without callback, by `submit`.
    /// - Throws: `invalidArgument` for an option out of its range or a tool that has the name of one of the swarm's; what `ChatRun`
    ///   throws.
    package init(
        _ chat: ChatSession, request: ChatRequest, agentTools: ToolTable? = nil, options: SwarmOptions = SwarmOptions(),
        isPolled: Bool
    ) throws(KimiError) {
        try options.validate()
        let (mainTools, agentTools) = (chat.tools.ofMain, agentTools?.all ?? chat.tools.ofAgents)
        let declared = request.tools + (options.agentRequest?.tools ?? [])
        for name in (mainTools + agentTools).map(\.declaration.name) + declared.map(\.name)
        where name == SwarmTools.create || name == SwarmTools.assign {
            throw KimiError(.invalidArgument, "a tool is called \"\(name)\", as one of the swarm's own is", subject: "tools")
        }
        // The context that tasks will have is refused now, not once the first is assigned.
        if let limit = options.contextLimit, !(1...chat.session.model.contextLimit).contains(limit) {
            throw KimiError(
                .invalidArgument, "context_limit is \(limit); this model allows 1 to \(chat.session.model.contextLimit)",
                subject: "context_limit")
        }
        core = SwarmCore(
            model: chat.session.model, main: chat, agentTools: agentTools, seed: options.chat.seed ?? request.seed,
            options: options, isPolled: isPolled)
        var mainOptions = options.mainRequest()
        mainOptions.contextPolicy = core.policy(mainOptions.contextPolicy, for: core.main)
        guard let task = core.main.task else { throw KimiError(.internal, "a main agent without its request") }
        mainOptions.member = try core.mainMember(mainTools, task)
        let run = try ChatRun(chat, request: request, options: mainOptions, isPolled: isPolled)
        try Self.checkTasks(options, agentTools, run.format, chat.session.model)
        try begin(run, task)
    }

    /// What is wrong with the requests of sub-agents is said now as well.
    private static func checkTasks(_ options: SwarmOptions, _ tools: [HostTool], _ format: ChatFormat, _ model: Model) throws(KimiError) {
        do throws(KimiError) {
            _ = try TurnPlan(
                request: options.taskRequest([]), options: options.request(agent: 1, name: "", task: 1, seed: nil),
                hostTools: tools, format: format, model: model)
        } catch {
            guard let subject = error.subject, options.agentRequest != nil else { throw error }
            throw KimiError(error.status, "of sub-agents: \(error.message)", file: error.file, subject: "agent_request.\(subject)")
        }
    }

    private func begin(_ run: ChatRun, _ task: SwarmTask) throws(KimiError) {
        let core = core
        let watches = core.options.taskMilliseconds != nil || core.options.allMilliseconds != nil
        core.monitor.locked { core.threads = watches ? 2 : 1 }
        let refusal = KimiError(.outOfMemory, "the system gave no thread for the swarm")
        if watches, !OwnThread.start("kimi-clock", { core.watchTime() }) {
            core.monitor.locked { core.threads = 0 }
            throw refusal
        }
        guard OwnThread.start("kimi-main", { core.work(run, task) }) else {
            core.threadEnds()
            throw refusal
        }
    }

    deinit { core.abandon() }

    /// The next event; the finish again and again once it was reached, and likewise the main agent's error. Runs the callbacks of
    /// tools that belong to this thread.
    ///
    /// - Throws: `busy` to a second thread, and to a callback of the thread's own; `invalidHandle` after `abandon`.
    package func next() throws(KimiError) -> SwarmEvent {
        while true { if let event = try next(until: nil) { return event } }
    }

    /// The same with an end to waiting.
    ///
    /// - Parameter milliseconds: 0: takes what is there.
    /// - Returns: nil if nothing came in time.
    package func next(within milliseconds: Int32) throws(KimiError) -> SwarmEvent? {
        try next(until: monotonicNanoseconds() + Int(max(milliseconds, 0)) * 1_000_000)
    }

    private func next(until: Int?) throws(KimiError) -> SwarmEvent? {
        guard occupied.enter() else { throw KimiError(.busy, "another thread is waiting for this swarm's next event") }
        defer { occupied.leave() }
        taking: while true {
            switch core.take(until: until) {
            case .entry(.event(let event)): return event
            case .entry(.errand(let errand)): core.run(errand)
            case .nothing: return nil
            case .over: break taking
            }
        }
        let (last, failure) = core.monitor.locked { (core.isAbandoned ? nil : core.last, core.isAbandoned ? nil : core.failure) }
        if let last { return last }
        throw failure ?? KimiError(.invalidHandle, "the swarm was abandoned")
    }

    /// The host gives the run up; when this returns, no agent computes any more, and the session is free. Callbacks that run
    /// are not waited for.
    package func abandon() { core.abandon() }

    /// Stops an agent's tasks, which end as cancelled while the others go on; 0 stops all, and the run finishes as cancelled.
    ///
    /// - Throws: `invalidArgument` for an agent that there is not.
    package func cancel(_ agent: Int) throws(KimiError) { try core.cancel(agent) }

    /// The answer to a call that an agent reported as needing one.
    ///
    /// - Throws: `invalidArgument` for an agent that there is not or that has nothing in hand, else what `ChatRun.submit` throws.
    package func submit(_ agent: Int, _ callID: String, _ answer: ToolAnswer) throws(KimiError) {
        let (isKnown, run) = core.monitor.locked {
            core.agents.indices.contains(agent) ? (true, core.agents[agent].run) : (false, nil)
        }
        guard isKnown else { throw core.unknown(agent) }
        guard let run else {
            throw KimiError(.invalidArgument, "agent \(agent) has no task in hand, so no call waits for a result", subject: "agent")
        }
        try run.submit(callID, answer)
        core.monitor.locked { core.agents[agent].changed.broadcast() }
    }

    /// Why a sub-agent cannot be called this, in words for the model; nil: it can.
    package static func fault(inName name: String) -> String? { SwarmTools.fault(inName: name) }

    /// Steps and tokens of each agent so far, by its number: without the timeline, and cheap enough to ask ten times a second.
    package var counts: [SwarmAccount.Agent] { core.counts }

    /// What was done so far.
    package var account: SwarmAccount { core.account }
}
