import KimiChat
import KimiCore
import KimiModel
import KimiRuntime

/// Creating sub-agents, giving them tasks, and their threads.
extension SwarmCore {
    /// Creates a sub-agent. On the main agent's thread.
    func create(_ arguments: String) -> ToolAnswer {
        guard let (name, prompt) = SwarmTools.texts(arguments, "name", "system_prompt") else {
            return ToolAnswer(.failed, "\(SwarmTools.create) needs name and system_prompt, two texts")
        }
        if let fault = SwarmTools.fault(inName: name) { return ToolAnswer(.failed, fault) }
        enum Outcome { case made(SwarmAgent), exists, full(isFirst: Bool) }
        let outcome: Outcome = monitor.locked {
            if agents.contains(where: { $0.name == name }) { return .exists }
            guard agents.count <= options.agentLimit else {
                defer { saidAgentLimit = true }
                return .full(isFirst: !saidAgentLimit)
            }
            let agent = SwarmAgent(number: agents.count, name: name, systemPrompt: prompt)
            agents.append(agent)
            return .made(agent)
        }
        switch outcome {
        case .exists:
            return ToolAnswer(
                .failed, "there is a sub-agent \(SwarmTools.quoted(name)) already; assign tasks to it, or choose another name")
        case .full(let isFirst):
            let words = "\(options.agentLimit) sub-agents are alive, the most that may be"
            if isFirst { say(.budget(.agents, words), main) }
            return ToolAnswer(.failed, words + "; assign tasks to those")
        case .made(let agent):
            say(.created(systemPrompt: prompt), agent, by: main)
            return ToolAnswer(.ok, "The sub-agent \(SwarmTools.quoted(name)) is ready for tasks.")
        }
    }

    /// Puts a task in line; the answer instead if that cannot be. On the main agent's thread.
    func assign(_ arguments: String, stage: Int) -> (task: SwarmTask?, refusal: ToolAnswer) {
        guard let (name, prompt) = SwarmTools.texts(arguments, "agent", "prompt"), !prompt.isEmpty else {
            return (nil, ToolAnswer(.failed, "\(SwarmTools.assign) needs agent and prompt, two texts; a prompt is not empty"))
        }
        guard name != SwarmTools.mainName else {
            return (nil, ToolAnswer(.failed, "you are \"\(SwarmTools.mainName)\": what you do yourself needs no task"))
        }
        let task: SwarmTask? = monitor.locked {
            guard let agent = agents.first(where: { $0.name == name }) else { return nil }
            agent.tasksAssigned += 1
            let task = SwarmTask(
                agent: agent, number: agent.tasksAssigned, prompt: prompt,
                meter: TokenMeter(limit: options.taskTokens, total: total), index: tasks.count)
            tasks.append(SwarmAccount.Task(agent: agent.number, number: task.number, stage: stage))
            agent.tasks.append(task)
            if !agent.isActive {
                agent.isActive = true
                line.append(agent)
            }
            return task
        }
        guard let task else {
            let names = monitor.locked { agents.dropFirst().prefix(20).map { SwarmTools.quoted($0.name) } }
            let known = names.isEmpty ? "none was created" : "there are \(names.joined(separator: ", "))"
            return (nil, ToolAnswer(.failed, "there is no sub-agent \(SwarmTools.quoted(name)); \(known)"))
        }
        startThreads()
        return (task, ToolAnswer(.ok, ""))
    }

    /// Gives agents in line their threads, as many as may work at the same time.
    private func startThreads() {
        while true {
            let agent: SwarmAgent? = monitor.locked {
                guard !line.isEmpty, active < options.parallelAgents ?? options.agentLimit else { return nil }
                active += 1
                threads += 1
                return line.removeFirst()
            }
            guard let agent else { return }
            if !OwnThread.start("kimi-agent-\(agent.number)", { self.work(agent) }) { work(agent, refused: true) }
        }
    }

    /// An agent's thread: its tasks, one after another.
    ///
    /// - Parameter refused: whether the system gave no thread, so that all of them fail, on the thread that wanted one.
    private func work(_ agent: SwarmAgent, refused: Bool = false) {
        while true {
            let task: SwarmTask? = monitor.locked {
                guard !agent.tasks.isEmpty else {
                    agent.isActive = false
                    active -= 1
                    return nil
                }
                let task = agent.tasks.removeFirst()
                agent.task = task
                working += 1
                let now = monotonicNanoseconds()
                task.deadline = options.taskMilliseconds.map { now + $0 * 1_000_000 }
                tasks[task.index].start = microseconds(now)
                tasks[task.index].end = microseconds(now)
                agent.timeline.turn(to: .prompt, microseconds(now))
                clock.signal()
                return task
            }
            guard let task else { break }
            say(.taskBegan(prompt: task.prompt), agent)
            if refused {
                end(task, .failed, said: "", error: "the system gave no thread for it")
            } else {
                perform(task)
            }
        }
        startThreads()
        threadEnds()
    }

    func threadEnds() {
        monitor.locked {
            threads -= 1
            threadEnded.broadcast()
        }
    }

    /// A task is over: the main agent gets its result, and who waits for memory looks again.
    ///
    /// - Parameters:
    ///   - said: the agent's last words.
    ///   - error: what went wrong, where the outcome does not say it.
    func end(_ task: SwarmTask, _ outcome: SwarmOutcome, said: String, error: String = "") {
        let agent = task.agent
        if let budget = outcome.budget { say(.budget(budget, words(outcome, task, error)), agent) }
        let (text, isCut) = Self.cut(said, to: options.resultBytes)
        var answer = ToolAnswer(.ok, text)
        if outcome != .finished {
            let last = text.isEmpty ? "" : " Its last words: \(text)"
            let what = "the task of sub-agent \(SwarmTools.quoted(agent.name)) was not finished"
            answer = ToolAnswer(.failed, "\(what): \(words(outcome, task, error)).\(last)")
        }
        say(.taskEnded(outcome, result: answer.text, isCut: isCut), agent)
        monitor.locked {
            let now = microseconds()
            agent.timeline.endStep(now)
            tasks[task.index].outcome = outcome
            tasks[task.index].end = now
            tasks[task.index].generatedTokens = task.meter.count
            tasks[task.index].resultBytes = answer.text.utf8.count
            tasks[task.index].isCut = isCut
            agent.counts.generatedTokens += task.meter.count
            agent.task = nil
            task.answer = answer
            working -= 1
            ended += 1
            for agent in agents { agent.changed.broadcast() }
        }
    }

    private func words(_ outcome: SwarmOutcome, _ task: SwarmTask, _ error: String) -> String {
        switch outcome {
        case .finished: ""
        case .failed: error
        case .cancelled: "it was cancelled"
        case .steps: "its \(options.taskSteps) steps are used up"
        case .tokens: "its \(options.taskTokens ?? 0) tokens are used up"
        case .allTokens: "the \(options.allTokens ?? 0) tokens of the whole swarm are used up"
        case .time: "its \(options.taskMilliseconds ?? 0) milliseconds are over"
        case .allTime: "the \(options.allMilliseconds ?? 0) milliseconds of the whole swarm are over"
        case .length: "an answer was cut at its greatest length"
        case .context: error.isEmpty ? "its context is full" : error
        case .memory: "there is not enough memory: \(error)"
        }
    }

    /// The beginning of a text that has at most so many bytes, with a note if there was more.
    static func cut(_ text: String, to bytes: Int) -> (text: String, isCut: Bool) {
        guard text.utf8.count > bytes else { return (text, false) }
        var end = text.utf8.index(text.utf8.startIndex, offsetBy: bytes)
        // The first byte that is left out begins a character.
        while end > text.utf8.startIndex, text.utf8[end] & 0xC0 == 0x80 { end = text.utf8.index(before: end) }
        let kept = String(text[..<end])
        return ("\(kept)\n[cut: \(text.utf8.count - kept.utf8.count) more bytes were left out]", true)
    }
}
