import Foundation
import KimiAgent
import KimiChat
import KimiCore
import KimiRuntime
import Synchronization
import Testing

/// Tools of a swarm's agents: whose thread they run on, how many at a time, and what they may do wrong.
struct SwarmToolTests {
    private static func pair(_ tool: String, steps: Int = 2, other: [ScriptedAnswer] = [ScriptedAnswer("fine")]) -> Plan {
        Plan(a: Plan.steps(steps, tool: tool), b: other)
    }

    @Test("a tool that belongs to the host's thread runs on it, alone, between two events", arguments: [1, 64])
    func callersThread(queue: Int) throws {
        let threads = Mutex<[UInt]>([])
        let inside = Atomic<Int>(0)
        let tool = try plainTool("mine", anyThread: false) { _ in
            let isAlone = inside.add(1, ordering: .relaxed).oldValue == 0
            threads.withLock { $0.append(pthread_self()) }
            usleep(500)
            inside.subtract(1, ordering: .relaxed)
            return ToolAnswer(.ok, isAlone ? "alone" : "beside others")
        }
        let plan = Plan(
            main: [
                Plan.calls(Plan.create("a"), Plan.create("b"), .init("mine", "{}")),
                Plan.calls(Plan.assign("a"), Plan.assign("b"), .init("mine", "{}")), Plan.end,
            ],
            [("a", 1, Plan.steps(4, tool: "mine")), ("b", 1, Plan.steps(4, tool: "mine"))])
        let all = try Swarm(plan, tools: [tool]) { $0.queueLimit = queue }.events()
        #expect(threads.withLock { $0 } == [UInt](repeating: pthread_self(), count: 8))
        #expect(all.compactMap(\.chat).filter { $0.kind == .result && $0.name == "mine" }.allSatisfy { $0.text == "alone" })
        #expect(all.outcomes == [.finished, .finished])
    }

    @Test("a tool that may run anywhere does not run on the host's thread")
    func anyThread() throws {
        let threads = Mutex<[UInt]>([])
        let tool = try plainTool("theirs") { _ in threads.withLock { $0.append(pthread_self()) }; return ToolAnswer(.ok, "") }
        _ = try Swarm(Self.pair("theirs", steps: 3), tools: [tool]).events()
        #expect(threads.withLock { $0.count == 2 && !$0.contains(pthread_self()) })
    }

    @Test("no more calls of a tool are inside at a time than it takes, nor of all tools than the swarm takes", arguments: [
        (1, nil), (2, nil), (nil, 1), (3, 2),
    ] as [(Int?, Int?)])
    func slots(_ own: Int?, _ all: Int?) throws {
        let inside = Mutex(0), most = Mutex(0)
        let tool = try plainTool("work", slots: own.map { [ToolSlots($0)] } ?? []) { _ in
            let now = inside.withLock { $0 += 1; return $0 }
            most.withLock { $0 = max($0, now) }
            _ = eventually(0.02) { false }
            inside.withLock { $0 -= 1 }
            return ToolAnswer(.ok, "")
        }
        let names = (0..<6).map { "agent \($0)" }
        let plan = Plan(each: names, steps: Plan.steps(3, tool: "work"))
        let events = try Swarm(plan, tools: [tool]) { $0.parallelTools = all }.events()
        #expect(events.outcomes == [SwarmOutcome](repeating: .finished, count: 6))
        #expect((1...min(own ?? 6, all ?? 6)).contains(most.withLock { $0 }))
    }

    @Test("a tool of sub-agents is not the main agent's, and the other way round")
    func tables() throws {
        let chat = try Tiny.chat()
        chat.tools.add(try plainTool("upper"))
        let table = ToolTable()
        table.add(try plainTool("lower"))
        let plan = Plan(
            main: [Plan.calls(Plan.create("a"), Plan.assign("a"), .init("lower", "{}"), .init("upper", "{}")), Plan.end],
            [("a", 1, [Plan.calls(.init("upper", "{}"), .init("lower", "{}")), ScriptedAnswer("ok")])])
        var options = SwarmOptions()
        options.script = { plan.answer($0, $1, $2) }
        let run = try SwarmRun(chat, request: request(Swarm.go), agentTools: table, options: options, isPolled: false)
        var all: [SwarmEvent] = []
        while all.last?.account == nil { all.append(try run.next()) }
        #expect(all.of(0).compactMap(\.chat).filter { $0.kind == .callRejected }.map(\.name) == ["lower"])
        #expect(all.of(1).compactMap(\.chat).filter { $0.kind == .callRejected }.map(\.name) == ["upper"])
    }

    // MARK: What tools do wrong

    @Test("a tool that fails is told to its agent, which goes on", arguments: [true, false])
    func fails(anyThread: Bool) throws {
        let tool = try plainTool("broken", anyThread: anyThread) { _ in ToolAnswer(.failed, "no such thing") }
        let all = try Swarm(Self.pair("broken"), tools: [tool]).events()
        let results = all.of(1).compactMap(\.chat).filter { $0.kind == .result }
        #expect(results.map(\.text) == ["no such thing"] && results.map(\.code) == [ToolAnswer.Outcome.failed.rawValue])
        #expect(all.outcomes == [.finished, .finished])
    }

    @Test("a tool that blocks holds up its own agent; with a time limit not even that, on any thread or alone", arguments: [
        (true, nil), (true, 50), (false, 50),
    ] as [(Bool, Int?)])
    func blocks(anyThread: Bool, timeout: Int?) throws {
        let release = Released()
        defer { release.release() }
        let tool = try plainTool("stuck", anyThread: anyThread, timeout: timeout) { _ in
            release.wait()
            return ToolAnswer(.ok, "")
        }
        let swarm = try Swarm(Self.pair("stuck"), tools: [tool])
        let all = try swarm.events { event in
            // The other agent has finished while this one is stuck; then it is cancelled.
            if event.agent == 2, event.outcome != nil, timeout == nil { try swarm.run.cancel(1) }
        }
        #expect(all.of(2).compactMap(\.outcome) == [.finished])
        #expect(all.of(1).compactMap(\.outcome) == [timeout == nil ? .cancelled : .finished])
        if timeout != nil { #expect(all.of(1).compactMap(\.chat).contains { $0.code == ToolAnswer.Outcome.timedOut.rawValue }) }
        #expect(all.account?.finish == .stop)
    }

    @Test("two agents at a tool for one that never returns: both are told that it timed out")
    func stuckSlot() throws {
        let release = Released()
        defer { release.release() }
        let tool = try plainTool("stuck", timeout: 100, slots: [ToolSlots(1)]) { _ in release.wait(); return ToolAnswer(.ok, "") }
        let all = try Swarm(Self.pair("stuck", other: Plan.steps(2, tool: "stuck")), tools: [tool]).events()
        let codes = all.compactMap(\.chat).filter { $0.kind == .result && $0.name == "stuck" }.map(\.code)
        #expect(codes == [ToolAnswer.Outcome.timedOut.rawValue, ToolAnswer.Outcome.timedOut.rawValue])
        #expect(all.outcomes == [.finished, .finished])
    }

    @Test("a tool that calls back in is answered: another conversation works, the next event is busy", arguments: [true, false])
    func callsBack(anyThread: Bool) throws {
        let box = Mutex<SwarmRun?>(nil)
        let seen = Mutex<[Status]>([])
        let tool = try plainTool("inner", anyThread: anyThread) { _ in
            let run = box.withLock { $0 }
            do {
                let finish = try events(Tiny.chat(), Swarm.go) { ($0.mode, $0.maxTokens) = (.instant, 3) }.finish
                _ = run?.account
                try run?.cancel(99)
                return ToolAnswer(.ok, "\(String(describing: finish))")
            } catch {
                if let error = error as? KimiError { seen.withLock { $0.append(error.status) } }
            }
            // On the host's thread, which is inside `next` already; on another it might get an event that the test then misses.
            if !anyThread {
                let error = #expect(throws: KimiError.self) { try run?.next() }
                if let error { seen.withLock { $0.append(error.status) } }
            }
            return ToolAnswer(.ok, "back")
        }
        let swarm = try Swarm(Self.pair("inner"), tools: [tool])
        box.withLock { $0 = swarm.run }
        let all = try swarm.events()
        box.withLock { $0 = nil }
        #expect(seen.withLock { $0 } == (anyThread ? [.invalidArgument] : [.invalidArgument, .busy]))
        #expect(all.outcomes == [.finished, .finished])
    }

    @Test("a tool that gives up the run, or its session, ends it and nothing hangs", arguments: [true, false], [true, false])
    func destroys(anyThread: Bool, session: Bool) throws {
        let box = Mutex<SwarmRun?>(nil)
        let chat = try Tiny.chat()
        let tool = try plainTool("destroy", anyThread: anyThread) { _ in
            // What destroying the session's handle does.
            if session { chat.session.cancellation.end() } else { box.withLock { $0 }?.abandon() }
            return ToolAnswer(.ok, "")
        }
        let swarm = try Swarm(Self.pair("destroy"), tools: [tool], chat: chat)
        box.withLock { $0 = swarm.run }
        defer { box.withLock { $0 = nil } }
        if session {
            #expect(try swarm.events().account?.finish == .cancelled)
        } else {
            let error = #expect(throws: KimiError.self) { try swarm.events() }
            #expect(error?.status == .invalidHandle)
        }
    }

    // MARK: Results from the host

    @Test("calls of tools without callback are answered by agent and id, or else fail the task", arguments: [true, false])
    func polled(_ polled: Bool) throws {
        let tool = try plainTool("ask", run: nil)
        let swarm = try Swarm(Self.pair("ask", steps: 3, other: Plan.steps(2, tool: "ask")), tools: [tool], polled: polled)
        let unknown = #expect(throws: KimiError.self) { try swarm.run.submit(7, "x", ToolAnswer(.ok, "")) }
        #expect(unknown?.subject == "agent")
        var asked: [Int] = []
        let all = try swarm.events { event in
            guard let call = event.chat, call.kind == .resultNeeded else { return }
            asked.append(event.agent)
            #expect(throws: KimiError.self) { try swarm.run.submit(event.agent, "functions.ask:77", ToolAnswer(.ok, "")) }
            try swarm.run.submit(event.agent, call.callID, ToolAnswer(.ok, "for \(event.agent)"))
        }
        guard polled else {
            #expect(all.outcomes == [.failed, .failed] && asked.isEmpty)
            return #expect(swarm.results.suffix(2).allSatisfy { $0.contains("nobody answers") })
        }
        #expect(asked.sorted() == [1, 1, 2] && all.outcomes == [.finished, .finished])
        let results = all.compactMap(\.chat).filter { $0.kind == .result && $0.name == "ask" }.map(\.text)
        #expect(results.sorted() == ["for 1", "for 1", "for 2"])
        #expect(throws: KimiError.self) { try swarm.run.submit(1, "functions.ask:0", ToolAnswer(.ok, "late")) }
    }

    @Test("an agent that waits for its host is cancelled, and the other goes on")
    func neverSubmitted() throws {
        let tool = try plainTool("ask", run: nil)
        let swarm = try Swarm(Self.pair("ask"), tools: [tool])
        let all = try swarm.events { event in if event.chat?.kind == .resultNeeded { try swarm.run.cancel(event.agent) } }
        #expect(all.of(1).compactMap(\.outcome) == [.cancelled] && all.of(2).compactMap(\.outcome) == [.finished])
    }
}
