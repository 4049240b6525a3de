import KimiChat
import KimiCore
import KimiModel
import KimiRuntime

/// What an agent's thread does: its request, event by event.
extension SwarmCore {
    // MARK: A sub-agent's task

    /// Works on a task until it is over. On the agent's thread.
    func perform(_ task: SwarmTask) {
        let agent = task.agent
        var wasAlone = false
        while true {
            let before = monitor.locked { (counts: agent.counts, steps: tasks[task.index].steps) }
            do throws(KimiError) { return try attempt(task) } catch {
                // Without room for its beginning it gives up what it holds, waits, and begins anew; once also if nobody else works.
                guard error.status == .outOfMemory, task.meter.count == 0 else { return end(task, because: error) }
                try? monitor.locked { agent.chat }?.session.reset()
                if !findsMemory(agent) {
                    guard !wasAlone else { return end(task, because: error) }
                    wasAlone = true
                }
                monitor.locked { (agent.counts, tasks[task.index].steps) = before }
            }
        }
    }

    private func attempt(_ task: SwarmTask) throws(KimiError) {
        let agent = task.agent
        let chat = try chat(of: agent)
        let isNew = chat.past.isEmpty
        let system = isNew && !agent.systemPrompt.isEmpty ? [ChatMessage(.system, text: agent.systemPrompt)] : []
        let request = options.taskRequest(system + [ChatMessage(.user, text: task.prompt)])
        var options = options.request(agent: agent.number, name: agent.name, task: task.number, seed: seed)
        options.contextPolicy = policy(options.contextPolicy, for: agent)
        options.member = SwarmMember(
            tools: tools(agentTools, for: agent),
            runTools: { [self] (calls, parallel, cancellation) throws(KimiError) in
                try during(.tool, agent) { () throws(KimiError) in
                    try ToolThreads.run(calls, parallel: parallel, cancellation: cancellation)
                }
            },
            meter: task.meter, findsMemory: { [self] in task.meter.count > 0 && findsMemory(agent) })
        let run = try ChatRun(chat, request: request, options: options, isPolled: isPolled)
        let finish = try drive(run, agent, task)
        let said = chat.past.last { $0.role == .assistant }?.text ?? ""
        end(task, outcome(finish, task), said: finish == .cancelled ? "" : said, error: "it called a tool that nobody answers")
    }

    private func end(_ task: SwarmTask, because error: KimiError) {
        let outcome: SwarmOutcome = switch error.status {
        case .outOfMemory: .memory
        case .contextFull: .context
        case .cancelled: .cancelled
        default: .failed
        }
        end(task, monitor.locked { task.stop } ?? outcome, said: "", error: error.message)
    }

    private func outcome(_ finish: ChatEvent.Finish, _ task: SwarmTask) -> SwarmOutcome {
        switch finish {
        case .stop: .finished
        case .context: .context
        case .cancelled: monitor.locked { task.stop } ?? .cancelled
        case .steps: .steps
        // With a single step the host is asked to go on; here nobody does.
        case .toolCalls: options.taskSteps == 1 ? .steps : .failed
        case .length:
            switch task.meter.refused {
            case .none: .length
            case .own: .tokens
            case .total: .allTokens
            }
        }
    }

    /// The conversation of a sub-agent, begun with its first task.
    private func chat(of agent: SwarmAgent) throws(KimiError) -> ChatSession {
        if let chat = monitor.locked({ agent.chat }) { return chat }
        while true {
            do throws(KimiError) {
                let session = try Session(
                    model: model, contextLimit: options.contextLimit, priority: options.priority, onShortage: onShortage)
                let chat = ChatSession(session)
                monitor.locked { agent.chat = chat }
                return chat
            } catch {
                guard error.status == .outOfMemory, findsMemory(agent) else { throw error }
            }
        }
    }

    // MARK: A request

    /// Takes a request to its end and hands the host its events; the finish, if there was no error.
    func drive(_ run: ChatRun, _ agent: SwarmAgent, _ task: SwarmTask) throws(KimiError) -> ChatEvent.Finish {
        monitor.locked {
            agent.run = run
            // A wish to stop from before: the request has forgotten it.
            if task.stop != nil { agent.chat?.session.cancellation.request() }
        }
        defer { monitor.locked { agent.run = nil } }
        while true {
            if run.waitsForResults { awaitResults(of: run, agent) }
            let event = try run.next()
            note(event, agent, task)
            say(.chat(event), agent)
            if event.kind == .finish { return event.finish ?? .stop }
        }
    }

    /// Waits until the host has submitted what the agent needs, or it is to stop.
    private func awaitResults(of run: ChatRun, _ agent: SwarmAgent) {
        during(.tool, agent) {
            monitor.locked {
                while run.waitsForResults && !isStopped(agent) && !isAbandoned {
                    monitor.wait(agent.changed, until: monotonicNanoseconds() + Self.patience)
                }
            }
        }
    }

    /// Runs `body`, which is this to the timeline.
    func during<T, E: Error>(_ kind: SwarmAccount.Span.Kind, _ agent: SwarmAgent, _ body: () throws(E) -> T) throws(E) -> T {
        let before = monitor.locked {
            let before = agent.timeline.kind
            agent.timeline.turn(to: kind, microseconds())
            return before
        }
        defer { monitor.locked { agent.timeline.turn(to: before, microseconds()) } }
        return try body()
    }

    /// Counts what an event says.
    private func note(_ event: ChatEvent, _ agent: SwarmAgent, _ task: SwarmTask) {
        monitor.locked {
            switch event.kind {
            case .start:
                agent.timeline.begin(step: event.step, microseconds())
                agent.counts.steps += 1
                agent.counts.promptTokens += event.total
                agent.counts.cachedTokens += event.done
                if task.number > 0 { tasks[task.index].steps += 1 }
            case .prompt where event.done < event.total: break
            case .prompt, .reasoning, .content, .callBegin, .callArguments, .callEnd, .callRejected:
                if agent.timeline.kind == .prompt { agent.timeline.turn(to: .generate, microseconds()) }
            default: break
            }
        }
    }

    // MARK: Memory

    /// Looks for memory where an agent had too little: idle sub-agents give up their caches, which their next task evaluates anew;
    /// if they have none, it waits until a task ends.
    ///
    /// - Returns: false if there is nothing to wait for: all others that work wait, too.
    func findsMemory(_ agent: SwarmAgent) -> Bool {
        let epoch = monitor.locked { ended }
        if freeIdle() { return true }
        enum Next { case again, wait, fail }
        let next: Next = monitor.locked {
            // One that ended just now is idle.
            if ended != epoch { return .again }
            guard agent.number != 0, working - waitingForMemory > 1 else { return .fail }
            waitingForMemory += 1
            return .wait
        }
        guard next == .wait else { return next == .again }
        say(.memory, agent)
        during(.wait, agent) {
            monitor.locked {
                while ended == epoch && !isStopped(agent) && !isAbandoned {
                    monitor.wait(agent.changed, until: monotonicNanoseconds() + Self.patience)
                }
                waitingForMemory -= 1
            }
        }
        return true
    }

    /// Has agents without a task forget what is computed of their conversations; false if there was nothing.
    private func freeIdle() -> Bool {
        let idle = monitor.locked { agents.dropFirst().filter { $0.task == nil }.compactMap(\.chat?.session) }
        var hasFreed = false
        for session in idle where session.position > 0 {
            // Busy: it has taken its next task.
            if (try? session.reset()) != nil { hasFreed = true }
        }
        return hasFreed
    }
}
