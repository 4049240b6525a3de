import KimiChat
import KimiCore
import KimiModel
import KimiRuntime

/// The main agent's thread, and how runs end.
extension SwarmCore {
    /// What the main agent's request gets from the swarm.
    ///
    /// - Parameter hostTools: those of its session.
    func mainMember(_ hostTools: [HostTool], _ task: SwarmTask) throws(KimiError) -> SwarmMember {
        // Run by `runStage`; here they only say that somebody does.
        let own = try SwarmTools.declarations().map { declaration in
            HostTool(declaration: declaration, timeoutMilliseconds: nil, anyThread: false) { _ in ToolAnswer(.failed, "") }
        }
        return SwarmMember(
            tools: tools(hostTools, for: main) + own,
            runTools: { [self] (calls, parallel, cancellation) throws(KimiError) in
                try runStage(calls, parallel: parallel, cancellation)
            },
            meter: task.meter, findsMemory: { [self] in findsMemory(main) })
    }

    /// The main agent's request from beginning to end.
    func work(_ run: ChatRun, _ task: SwarmTask) {
        var failure: KimiError?
        var finish: ChatEvent.Finish?
        monitor.locked { main.timeline.turn(to: .prompt, microseconds()) }
        do throws(KimiError) { finish = try drive(run, main, task) } catch { failure = error }
        let stop = monitor.locked {
            main.timeline.endStep(microseconds())
            main.counts.generatedTokens = task.meter.count
            (self.finish, endedAt) = (finish, microseconds())
            return task.stop
        }
        if finish == .steps || finish == .toolCalls && options.mainSteps == 1 {
            say(.budget(.mainSteps, "the \(options.mainSteps) steps of the main agent are used up"), main)
        } else if finish == .length && task.meter.refused == .total {
            say(.budget(.allTokens, "the \(options.allTokens ?? 0) tokens of the whole swarm are used up"), main)
        } else if finish == .cancelled && stop == .allTime {
            say(.budget(.allTime, "the \(options.allMilliseconds ?? 0) milliseconds of the whole swarm are over"), main)
        }
        let last = finish.map { _ in SwarmEvent(kind: .finish(account), agent: 0, parent: nil, name: main.name, task: 0) }
        close(last, failure)
        threadEnds()
    }

    /// The calls of one step of the main agent: a stage. Sub-agents begin their tasks at once, in the order of the calls; the main
    /// agent's other tools run meanwhile.
    private func runStage(
        _ calls: [ToolThreads.Call], parallel: Int, _ cancellation: Cancellation
    ) throws(KimiError) -> [ToolAnswer] {
        var answers = [ToolAnswer?](repeating: nil, count: calls.count)
        var assigned: [(index: Int, task: SwarmTask)] = []
        var others: [Int] = []
        for (index, call) in calls.enumerated() {
            switch call.request.name {
            case SwarmTools.create: answers[index] = create(call.request.arguments)
            case SwarmTools.assign:
                let (task, refusal) = assign(call.request.arguments, stage: call.request.step)
                if let task { assigned.append((index, task)) } else { answers[index] = refusal }
            default: others.append(index)
            }
        }
        do throws(KimiError) {
            if !others.isEmpty {
                let found = try during(.tool, main) { () throws(KimiError) in
                    try ToolThreads.run(others.map { calls[$0] }, parallel: parallel, cancellation: cancellation)
                }
                for (index, answer) in zip(others, found) { answers[index] = answer }
            }
            if !assigned.isEmpty {
                during(.wait, main) { wait(for: assigned.map(\.task), cancellation) }
                try cancellation.check()
            }
        } catch {
            // What was assigned ends first, so that the account has it.
            stopTasks(monitor.locked { main.task?.stop } ?? .cancelled)
            during(.wait, main) { wait(for: assigned.map(\.task), nil) }
            throw error
        }
        for (index, task) in assigned { answers[index] = monitor.locked { task.answer } }
        return answers.map { $0 ?? ToolAnswer(.failed, "the tool has no callback") }
    }

    /// Waits until tasks are over, or there is a wish to stop.
    private func wait(for tasks: [SwarmTask], _ cancellation: Cancellation?) {
        monitor.locked {
            while tasks.contains(where: { $0.answer == nil }), !(cancellation?.isRequested ?? false) {
                monitor.wait(main.changed, until: monotonicNanoseconds() + Self.patience)
            }
        }
    }

    // MARK: Stopping

    /// Has a task end for this reason. With the lock held.
    private func stop(_ task: SwarmTask, _ reason: SwarmOutcome) {
        guard task.stop == nil else { return }
        task.stop = reason
        if task.agent.run != nil { task.agent.chat?.session.cancellation.request() }
        task.agent.changed.broadcast()
    }

    /// Stops the tasks of sub-agents, those in line included.
    func stopTasks(_ reason: SwarmOutcome) {
        monitor.locked { for agent in agents.dropFirst() { stop(agent, reason) } }
    }

    /// With the lock held.
    private func stop(_ agent: SwarmAgent, _ reason: SwarmOutcome) {
        if let task = agent.task { stop(task, reason) }
        for task in agent.tasks { stop(task, reason) }
    }

    /// Stops everything.
    func stopAll(_ reason: SwarmOutcome) { monitor.locked { for agent in agents { stop(agent, reason) } } }

    /// Stops what an agent does and has to do; the main agent's request takes all others with it.
    ///
    /// - Throws: `invalidArgument` for a number that no agent has.
    func cancel(_ number: Int) throws(KimiError) {
        let isKnown = monitor.locked {
            guard agents.indices.contains(number) else { return false }
            if number == 0 { for agent in agents { stop(agent, .cancelled) } } else { stop(agents[number], .cancelled) }
            return true
        }
        guard isKnown else { throw unknown(number) }
    }

    func unknown(_ number: Int) -> KimiError {
        let count = monitor.locked { agents.count }
        return KimiError(.invalidArgument, "agent is \(number); the swarm has \(count) agents, from 0", subject: "agent")
    }

    /// Nobody wants anything any more; returns when no thread of the swarm computes. Tools that run are left to themselves.
    func abandon() {
        monitor.locked {
            for agent in agents { stop(agent, .cancelled) }
            openQueue()
            clock.broadcast()
            while threads > 0 { monitor.wait(threadEnded) }
        }
    }

    // MARK: Time

    /// The thread that watches times, if there are any to watch.
    func watchTime() {
        monitor.locked {
            while !isOver && !isAbandoned {
                let now = monotonicNanoseconds()
                if let deadline, now >= deadline {
                    for agent in agents { stop(agent, .allTime) }
                    break
                }
                var next = deadline
                for case let task? in agents.dropFirst().map(\.task) where task.stop == nil {
                    guard let own = task.deadline else { continue }
                    if now >= own { stop(task, .time) } else { next = min(next ?? own, own) }
                }
                monitor.wait(clock, until: next)
            }
        }
        threadEnds()
    }

    // MARK: The account

    /// The counts of all agents; tasks in hand count what they have. With the lock held.
    private var liveCounts: [SwarmAccount.Agent] {
        agents.map { agent in
            var counts = agent.counts
            if endedAt == nil, let task = agent.task { counts.generatedTokens += task.meter.count }
            return counts
        }
    }

    /// What agents have done so far, without when: cheap enough to ask ten times a second.
    var counts: [SwarmAccount.Agent] { monitor.locked { liveCounts } }

    /// What was done so far.
    var account: SwarmAccount {
        monitor.locked {
            var account = SwarmAccount(agents: liveCounts, agentLimit: options.agentLimit)
            account.tasks = tasks
            account.spans = agents.flatMap(\.timeline.spans)
            account.microseconds = endedAt ?? microseconds()
            account.finish = finish
            return account
        }
    }
}
