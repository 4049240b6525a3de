import Foundation
import KimiAgent
import KimiChat
import KimiCore
import KimiRuntime
import Synchronization
import Testing

/// A main agent and its sub-agents: who runs when, and what the host sees.
struct SwarmRunTests {
    private static let two = Plan(
        main: [
            Plan.calls(Plan.create("a", "You are a."), Plan.create("b", "You are b.")),
            Plan.calls(Plan.assign("a", "One"), Plan.assign("b", "Two")), ScriptedAnswer("three", reasoning: "I add."),
        ],
        [("a", 1, [ScriptedAnswer("uno", reasoning: "One is uno.")]), ("b", 1, Plan.steps(3, say: "due"))])

    @Test("sub-agents are created, work, and only their results return")
    func simple() throws {
        let swarm = try Swarm(Self.two)
        let all = try swarm.events()
        #expect(swarm.results.suffix(2) == ["uno", "due"])
        #expect(swarm.chat.past.last?.text == "three")
        #expect(all.outcomes == [.finished, .finished] && all.account?.finish == .stop)
        // Each event says whose it is.
        #expect(all.of(0).allSatisfy { $0.parent == nil && $0.name == "main" && $0.task == 0 })
        for (agent, name) in [(1, "a"), (2, "b")] {
            let own = all.of(agent)
            #expect(own.allSatisfy { $0.parent == 0 && $0.name == name })
            #expect(own.map(\.task).first == 0 && own.dropFirst().allSatisfy { $0.task == 1 })
            #expect(own.first?.words == "\(agent) created \(name) You are \(name).")
            #expect(own.compactMap(\.chat).last?.kind == .finish)
            #expect(own.last?.words.hasPrefix("\(agent) 1 finished") == true)
        }
        // The main agent's conversation knows nothing of what its sub-agents thought.
        #expect(!(try swarm.chat.messagesJSON()).contains("One is uno"))
        // A notice that there are no sub-agents would not be true.
        #expect(!all.compactMap(\.chat).contains { $0.kind == .notice && $0.code == ChatEvent.Notice.mode.rawValue })
    }

    @Test("the session's conversation goes on after a swarm, and another swarm goes on with it")
    func again() throws {
        let chat = try Tiny.chat()
        _ = try Swarm(Self.two, chat: chat).events()
        let more = Plan(main: [Plan.calls(Plan.create("a"), Plan.assign("a")), ScriptedAnswer("four")])
        let all = try Swarm(more, chat: chat) { $0.chat.append = true }.events()
        #expect(all.outcomes == [.finished])
        #expect(chat.past.filter { $0.role == .user }.count == 2 && chat.past.last?.text == "four")
        #expect(try events(chat, Swarm.go) { ($0.mode, $0.maxTokens) = (.instant, 3) }.finish != nil)
    }

    @Test("tasks of one step run at the same time, all of them", arguments: [2, 8, 32])
    func together(_ count: Int) throws {
        let inside = Atomic<Int>(0)
        let meet = try plainTool("meet") { _ in
            inside.add(1, ordering: .relaxed)
            return ToolAnswer(.ok, eventually { inside.load(ordering: .relaxed) >= count } ? "met" : "alone")
        }
        let names = (0..<count).map { "agent \($0)" }
        let plan = Plan(each: names, steps: Plan.steps(2, tool: "meet"))
        let all = try Swarm(plan, tools: [meet]).events()
        let met = all.compactMap(\.chat).filter { $0.kind == .result && $0.name == "meet" }.map(\.text)
        #expect(met == [String](repeating: "met", count: count))
        #expect(all.outcomes == [SwarmOutcome](repeating: .finished, count: count))
    }

    @Test("no more agents work at the same time than may", arguments: [1, 3])
    func parallelAgents(_ limit: Int) throws {
        let inside = Mutex(0), most = Mutex(0)
        let look = try plainTool("look") { _ in
            let now = inside.withLock { $0 += 1; return $0 }
            most.withLock { $0 = max($0, now) }
            _ = eventually(0.05) { false }
            inside.withLock { $0 -= 1 }
            return ToolAnswer(.ok, "")
        }
        let names = (0..<6).map { "agent \($0)" }
        let plan = Plan(each: names, steps: Plan.steps(2, tool: "look"))
        let all = try Swarm(plan, tools: [look]) { $0.parallelAgents = limit }.events()
        #expect(all.outcomes.count == 6 && most.withLock { $0 } <= limit)
        // In the order of assignment where they take turns.
        if limit == 1 {
            let begun = all.filter { if case .taskBegan = $0.kind { true } else { false } }
            #expect(begun.map(\.agent) == [1, 2, 3, 4, 5, 6])
        }
    }

    @Test("a second task continues the agent's conversation, in the next step or in the same", arguments: [false, true])
    func twice(sameStep: Bool) throws {
        let assigned = [Plan.assign("a", "First"), Plan.assign("a", "Second")]
        let stages = sameStep ? [ScriptedAnswer(calls: assigned)] : assigned.map { ScriptedAnswer(calls: [$0]) }
        let plan = Plan(
            main: [Plan.calls(Plan.create("a"))] + stages + [ScriptedAnswer("end")],
            [("a", 1, [ScriptedAnswer("one")]), ("a", 2, [ScriptedAnswer("two")])])
        let swarm = try Swarm(plan)
        let all = try swarm.events()
        #expect(swarm.results.suffix(2) == ["one", "two"])
        let starts = all.of(1).compactMap(\.chat).filter { $0.kind == .start }
        #expect(starts.count == 2)
        // The second prompt holds the first and its answer, which are in the cache.
        if starts.count == 2 { #expect(starts[1].done >= starts[0].total && starts[1].total > starts[0].total) }
        let ends = all.of(1).firstIndex { $0.outcome != nil }
        let begins = all.of(1).lastIndex { if case .taskBegan = $0.kind { true } else { false } }
        #expect(try #require(ends) < #require(begins))
    }

    // MARK: The same for any timing

    /// What the model answers by itself, with its own seeds.
    private static let free = Plan(
        main: [
            Plan.calls(Plan.create("a"), Plan.create("b"), Plan.create("c")),
            Plan.calls(Plan.assign("a", "x"), Plan.assign("b", "x"), Plan.assign("c", "y"), Plan.assign("a", "z")), Plan.end,
        ],
        [("a", 1, []), ("b", 1, []), ("c", 1, []), ("a", 2, [])])

    /// What each agent's events and each agent's tasks say, and what the main agent read.
    private func free(
        _ change: (inout SwarmOptions) -> Void = { _ in }
    ) throws -> (agents: [[String]], said: [String], results: [String]) {
        let swarm = try Swarm(Self.free) { options in
            (options.taskTokens, options.chat.reasoningBudget) = (24, 8)
            change(&options)
        }
        let all = try swarm.events()
        let said = [(1, 1), (2, 1)].map { agent, task in
            all.filter { $0.agent == agent && $0.task == task }.compactMap(\.chat)
                .filter { $0.kind == .reasoning || $0.kind == .content }.map(\.text).joined()
        }
        return ((0...3).map { all.of($0).map(\.words) }, said, swarm.results)
    }

    @Test("a run repeats whatever the timing: one agent at a time, all at once, with a queue of one event")
    func repeats() throws {
        let first = try free()
        #expect(try free().agents == first.agents)
        #expect(try free { $0.parallelAgents = 1 }.agents == first.agents)
        #expect(try free { $0.queueLimit = 1 }.results == first.results)
        // Agents with the same instructions and task have seeds of their own, and another seed gives others.
        #expect(!first.said[0].isEmpty && first.said[0] != first.said[1])
        #expect(try free { $0.chat.seed = 2 }.said != first.said)
    }

    @Test("a slow host with room for one event loses none")
    func slowHost() throws {
        let fast = try Swarm(Self.two).events()
        let slow = try Swarm(Self.two) { $0.queueLimit = 1 }.events { _ in usleep(2_000) }
        for agent in 0...2 { #expect(slow.of(agent).map(\.words) == fast.of(agent).map(\.words)) }
        #expect(slow.count == fast.count)
    }

    // MARK: Ends before the end

    @Test("abandoned at any event, nothing computes any more, and the session is free", arguments: [0, 1, 2, 5, 10, 20, 30, 40, 60])
    func abandon(after count: Int) throws {
        let chat = try Tiny.chat()
        let working = Atomic<Int>(0)
        let tool = try plainTool("work") { _ in
            working.add(1, ordering: .relaxed)
            return ToolAnswer(.ok, "")
        }
        let plan = Plan(
            main: [Plan.calls(Plan.create("a"), Plan.create("b")), Plan.calls(Plan.assign("a"), Plan.assign("b"))],
            [("a", 1, Plan.steps(500, tool: "work")), ("b", 1, Plan.steps(500, tool: "work"))])
        let swarm = try Swarm(plan, tools: [tool], chat: chat) { $0.taskSteps = 500 }
        for _ in 0..<count { _ = try swarm.run.next() }
        swarm.run.abandon()
        let account = swarm.run.account
        let before = working.load(ordering: .relaxed)
        #expect(throws: KimiError.self) { try swarm.run.next() }
        #expect(chat.past.isEmpty)
        #expect(try events(chat, Swarm.go) { ($0.mode, $0.maxTokens) = (.instant, 3) }.finish != nil)
        #expect(swarm.run.account.totalSteps == account.totalSteps)
        // A call that was under way may have ended meanwhile.
        #expect(working.load(ordering: .relaxed) <= before + 2)
        swarm.run.abandon()
    }

    @Test("a run that is let go ends by itself")
    func letGo() throws {
        let chat = try Tiny.chat()
        do {
            let swarm = try Swarm(Self.two, chat: chat) { $0.queueLimit = 1 }
            _ = try swarm.run.next()
        }
        #expect(try events(chat, Swarm.go) { ($0.mode, $0.maxTokens) = (.instant, 3) }.finish != nil)
    }

    @Test("one agent is cancelled, and the others finish")
    func cancelOne() throws {
        let plan = Plan(
            main: [
                Plan.calls(Plan.create("a"), Plan.create("b")), Plan.calls(Plan.assign("a"), Plan.assign("a"), Plan.assign("b")),
                Plan.end,
            ],
            [("a", 1, Plan.steps(90)), ("a", 2, Plan.steps(2)), ("b", 1, Plan.steps(5, say: "b is done"))])
        let swarm = try Swarm(plan)
        let all = try swarm.events { event in
            if event.agent == 1, event.chat?.kind == .start, event.chat?.step == 2 { try swarm.run.cancel(1) }
        }
        let ends = Dictionary(grouping: all.filter { $0.outcome != nil }, by: \.agent).mapValues { $0.map(\.outcome) }
        #expect(ends == [1: [.cancelled, .cancelled], 2: [.finished]])
        #expect(swarm.results.suffix(3).map { $0.contains("cancelled") } == [true, true, false])
        #expect(swarm.results.last == "b is done" && all.account?.finish == .stop)
        let unknown = #expect(throws: KimiError.self) { try swarm.run.cancel(3) }
        #expect(unknown?.status == .invalidArgument && unknown?.message.contains("3 agents") == true)
    }

    @Test("a cancelled agent takes the next task of a later stage")
    func cancelledGoesOn() throws {
        let plan = Plan(
            main: [Plan.calls(Plan.create("a"), Plan.assign("a")), Plan.calls(Plan.assign("a")), ScriptedAnswer("end")],
            [("a", 1, Plan.steps(90)), ("a", 2, Plan.steps(2, say: "again"))])
        let swarm = try Swarm(plan)
        let all = try swarm.events { event in
            if event.agent == 1, event.task == 1, event.chat?.kind == .start, event.chat?.step == 1 { try swarm.run.cancel(1) }
        }
        #expect(all.outcomes == [.cancelled, .finished] && swarm.results.last == "again")
    }

    @Test("the main agent cancelled, by its number or by its session, all end, and the finish says so", arguments: [false, true])
    func cancelAll(bySession: Bool) throws {
        let plan = Plan(
            main: [Plan.calls(Plan.create("a"), Plan.assign("a")), ScriptedAnswer("end")], [("a", 1, Plan.steps(90))])
        let swarm = try Swarm(plan, polled: false)
        let all = try swarm.events { event in
            guard event.agent == 1, event.chat?.kind == .start, event.chat?.step == 1 else { return }
            if bySession { swarm.chat.session.cancellation.request() } else { try swarm.run.cancel(0) }
        }
        #expect(all.outcomes == [.cancelled] && all.account?.finish == .cancelled)
        #expect(swarm.chat.past.isEmpty)
        guard case .finish = try swarm.run.next().kind else { return #expect(Bool(false), "the finish is given again") }
    }

    @Test("an error of the main agent is thrown when its events were taken")
    func mainFails() throws {
        let swarm = try Swarm(
            Plan(main: [ScriptedAnswer("never")]), chat: Tiny.chat(contextLimit: 64),
            request: #"{"messages":[{"role":"user","content":"\#(String(repeating: "word ", count: 200))"}]}"#)
        let error = #expect(throws: KimiError.self) { try swarm.events() }
        #expect(error?.status == .contextFull)
        #expect(#expect(throws: KimiError.self) { try swarm.run.next() }?.status == .contextFull)
        #expect(swarm.run.account.finish == nil)
    }
}
