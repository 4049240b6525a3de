import Foundation
import KimiAgent
import KimiChat
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Synchronization
import Testing

/// Names, limits and budgets: what is too much is an error that the model or the host can read, and the rest goes on.
struct SwarmLimitTests {
    // MARK: Names

    @Test("a name that cannot be is an error for the model, and the others are made", arguments: [
        ("", "1 to 64"), (String(repeating: "x", count: 65), "1 to 64"), ("a\u{7}b", "control"), ("a\nb", "control"),
        ("a\u{2028}b", "control"),
        ("main", "your own"), ("twin", "already"), 
    ])
    func badName(_ name: String, _ words: String) throws {
        let plan = Plan(main: [
            Plan.calls(Plan.create("twin"), Plan.create(name), Plan.create("ok")), Plan.calls(Plan.assign("ok")), Plan.end,
        ])
        let swarm = try Swarm(plan)
        let all = try swarm.events()
        #expect(swarm.results[1].hasPrefix("Error: ") && swarm.results[1].contains(words), "\(swarm.results[1])")
        #expect(all.outcomes == [.finished] && all.account?.agents.map(\.name) == ["main", "twin", "ok"])
    }

    @Test("a name of 10 MB is refused in a short sentence, as one character or as many")
    func longName() throws {
        for name in [String(repeating: "long ", count: 2 << 20), "a" + String(repeating: "\u{301}", count: 5 << 20)] {
            let fault = try #require(SwarmRun.fault(inName: name))
            #expect(fault.contains("1 to 64 characters") && fault.utf8.count < 200)
        }
    }

    @Test("names of 64 characters of any language are good")
    func goodNames() throws {
        let names = [String(repeating: "x", count: 64), "研究员", "Ünal \"the 1st\"", "👩‍🔬", "Main"]
        for name in names { #expect(SwarmRun.fault(inName: name) == nil) }
        let plan = Plan(each: names, steps: Plan.steps(1))
        #expect(try Swarm(plan).events().outcomes.count == names.count)
    }

    @Test("a task for nobody, for oneself, or without a text is an error for the model", arguments: [
        (Plan.assign("b"), "there is no sub-agent \"b\"; there are \"a\""), (Plan.assign("main"), "you are \"main\""),
        (Plan.assign("a", ""), "needs agent and prompt"), (.init("assign_task", #"{"agent":"a"}"#), "needs agent and prompt"),
        (.init("assign_task", #"{"agent":1,"prompt":"x"}"#), "needs agent and prompt"),
        (.init("create_subagent", "{}"), "needs name and system_prompt"),
    ])
    func badTask(_ call: ScriptedAnswer.Call, _ words: String) throws {
        let swarm = try Swarm(Plan(main: [Plan.calls(Plan.create("a")), Plan.calls(call, Plan.assign("a")), ScriptedAnswer("end")]))
        let all = try swarm.events()
        #expect(swarm.results[1].hasPrefix("Error: ") && swarm.results[1].contains(words), "\(swarm.results[1])")
        #expect(swarm.results[2] == "done" && all.outcomes == [.finished])
    }

    @Test("a sub-agent has the host's tools and none of the swarm's")
    func noGrandchildren() throws {
        let plan = Plan(
            main: [Plan.calls(Plan.create("a"), Plan.assign("a")), ScriptedAnswer("end")],
            [("a", 1, [Plan.calls(Plan.create("b"), Plan.assign("a"), .init("note", "{}")), ScriptedAnswer("after")])])
        let all = try Swarm(plan).events()
        let chat = all.of(1).compactMap(\.chat)
        #expect(chat.filter { $0.kind == .callRejected }.map(\.name) == ["create_subagent", "assign_task"])
        #expect(chat.filter { $0.kind == .result }.map(\.name) == ["note"])
        #expect(all.account?.agents.count == 2)
    }

    @Test("the 101st sub-agent is refused, and the 100 others work")
    func hundredAndOne() throws {
        let names = (1...101).map { "\($0)" }
        let plan = Plan(each: names, steps: Plan.steps(1), prompt: "")
        let swarm = try Swarm(plan)
        let all = try swarm.events()
        #expect(all.outcomes == [SwarmOutcome](repeating: .finished, count: 100))
        #expect(all.compactMap(\.budget) == [.agents])
        #expect(swarm.results[100].contains("100 sub-agents are alive"))
        #expect(swarm.results.last?.contains("there is no sub-agent \"101\"") == true)
        #expect(all.account?.criticalSteps == 4 && all.account?.totalSteps == 103)
    }

    // MARK: Options

    @Test("an option out of its range is refused by name", arguments: [
        ("agent_limit", 0), ("agent_limit", 1001), ("main_steps", 0), ("task_steps", 0), ("task_tokens", 0), ("all_tokens", 0),
        ("all_tokens", -1), ("task_milliseconds", 0), ("all_milliseconds", .max), ("result_bytes", 0), ("parallel_agents", 0),
        ("parallel_tools", 0), ("priority", 101), ("queue_limit", 0), ("context_limit", 0),
    ])
    func badOption(_ name: String, _ value: Int) throws {
        let chat = try Tiny.chat()
        let error = #expect(throws: KimiError.self) {
            try Swarm(Plan(main: []), chat: chat) { options in
                switch name {
                case "agent_limit": options.agentLimit = value
                case "main_steps": options.mainSteps = value
                case "task_steps": options.taskSteps = value
                case "task_tokens": options.taskTokens = value
                case "all_tokens": options.allTokens = value
                case "task_milliseconds": options.taskMilliseconds = value
                case "all_milliseconds": options.allMilliseconds = value
                case "result_bytes": options.resultBytes = value
                case "parallel_agents": options.parallelAgents = value
                case "parallel_tools": options.parallelTools = value
                case "priority": options.priority = value
                case "queue_limit": options.queueLimit = value
                default: options.contextLimit = value
                }
            }
        }
        #expect(error?.status == .invalidArgument && error?.subject == name)
        #expect(try events(chat, Swarm.go) { ($0.mode, $0.maxTokens) = (.instant, 1) }.finish != nil)
    }

    @Test("a host's tool may not be called as one of the swarm's", arguments: ["create_subagent", "assign_task"])
    func takenName(_ name: String) throws {
        let error = #expect(throws: KimiError.self) { try Swarm(Plan(main: []), tools: [plainTool(name)]) }
        #expect(error?.status == .invalidArgument && error?.message.contains(name) == true)
    }

    // MARK: Budgets

    /// One agent that would go on for long, and one that is done soon.
    private static func pair(_ steps: [ScriptedAnswer]) -> Plan {
        Plan(a: steps, b: [ScriptedAnswer("fine")])
    }

    /// What is so of any run of `pair` in which a budget ended the first task.
    private func check(_ swarm: Swarm, _ all: [SwarmEvent], _ outcome: SwarmOutcome, _ budget: SwarmBudget, _ words: String) {
        #expect(all.of(1).compactMap(\.outcome) == [outcome] && all.of(2).compactMap(\.outcome) == [.finished])
        #expect(all.of(1).compactMap(\.budget) == [budget])
        let result = swarm.results.dropLast().last ?? ""
        #expect(result.hasPrefix("Error: ") && result.contains(words), "\(result)")
        #expect(swarm.results.last == "fine" && swarm.chat.past.last?.text == "end")
    }

    @Test("a task's steps", arguments: [1, 2, 5])
    func taskSteps(_ limit: Int) throws {
        let swarm = try Swarm(Self.pair(Plan.steps(9))) { $0.taskSteps = limit }
        let all = try swarm.events()
        check(swarm, all, .steps, .taskSteps, "its \(limit) steps")
        #expect(all.account?.tasks.first?.steps == limit)
    }

    @Test("a task's tokens, to the token", arguments: [4, 11, 40])
    func taskTokens(_ limit: Int) throws {
        let long = ScriptedAnswer(String(repeating: "many words ", count: 40))
        let swarm = try Swarm(Self.pair([long])) { $0.taskTokens = limit }
        let all = try swarm.events()
        #expect(all.of(1).compactMap(\.outcome) == [.tokens] && all.of(1).compactMap(\.budget) == [.taskTokens])
        #expect(all.account?.tasks.first?.generatedTokens == limit)
        // What it said until then returns with the failure.
        if limit == 40 { #expect(swarm.results.dropLast().last?.contains("Its last words: many words") == true) }
    }

    @Test("the tokens of all, to the token, wherever they end")
    func allTokens() throws {
        let plan = Self.pair(Plan.steps(3))
        let whole = try #require(try Swarm(plan).events().account?.generatedTokens)
        for limit in [1, 2, 10, whole / 2, whole - 20, whole - 3, whole - 1] {
            let all = try Swarm(plan) { $0.allTokens = limit }.events()
            #expect(all.account?.generatedTokens == limit)
            #expect(all.compactMap(\.budget).contains(.allTokens))
            #expect(all.account?.finish == .length)
        }
        let enough = try Swarm(plan) { $0.allTokens = whole }.events()
        #expect(enough.account?.finish == .stop && enough.compactMap(\.budget).isEmpty)
    }

    @Test("a task's time: its tool is left to itself, and the other agent's task is not touched")
    func taskTime() throws {
        let isOver = Released()
        defer { isOver.release() }
        let tool = try plainTool("endless") { _ in isOver.wait(); return ToolAnswer(.ok, "") }
        let swarm = try Swarm(Self.pair(Plan.steps(2, tool: "endless")), tools: [tool]) { $0.taskMilliseconds = 2_000 }
        check(swarm, try swarm.events(), .time, .taskTime, "2000 milliseconds")
    }

    @Test("the time of all ends the run, which says so in its finish", arguments: [true, false])
    func allTime(polled: Bool) throws {
        let isOver = Released()
        defer { isOver.release() }
        let tool = try plainTool("endless") { _ in isOver.wait(); return ToolAnswer(.ok, "") }
        let plan = Self.pair(Plan.steps(2, tool: "endless"))
        let swarm = try Swarm(plan, tools: [tool], polled: polled) { $0.allMilliseconds = 2_500 }
        let all = try swarm.events()
        #expect(all.of(1).compactMap(\.outcome) == [.allTime])
        // On a slow machine its time, too, is over.
        #expect([[.finished], [.allTime]].contains(all.of(2).compactMap(\.outcome)))
        #expect(all.account?.finish == .cancelled && all.of(0).compactMap(\.budget) == [.allTime])
    }

    @Test("the main agent's steps", arguments: [1, 2])
    func mainSteps(_ limit: Int) throws {
        let all = try Swarm(Plan(main: Plan.steps(9))) { $0.mainSteps = limit }.events()
        #expect(all.account?.stages == limit && all.compactMap(\.budget) == [.mainSteps])
    }

    @Test("a full context of a sub-agent, at its prompt and after it")
    func context() throws {
        let long = String(repeating: "word ", count: 300)
        let plan = Plan(
            main: [
                Plan.calls(Plan.create("a"), Plan.create("b")), Plan.calls(Plan.assign("a", long), Plan.assign("b")), Plan.end,
            ],
            [("b", 1, [ScriptedAnswer(long)])])
        let swarm = try Swarm(plan) { $0.contextLimit = 256 }
        let all = try swarm.events()
        #expect(all.of(1).compactMap(\.outcome) == [.context] && all.of(2).compactMap(\.outcome) == [.context])
        #expect(swarm.results.suffix(2).allSatisfy { $0.hasPrefix("Error: ") } && all.account?.finish == .stop)
    }

    // MARK: Results

    @Test("a result is cut at a character, and says how much is missing", arguments: [
        ("abcdefgh", 8, "abcdefgh"), ("abcdefgh", 7, "abcdefg\n[cut: 1 more bytes were left out]"),
        ("ääää", 5, "ää\n[cut: 4 more bytes were left out]"), ("ä", 1, "\n[cut: 2 more bytes were left out]"),
        ("👩‍🔬!", 4, "👩\n[cut: 8 more bytes were left out]"),
    ])
    func cut(_ text: String, _ bytes: Int, _ expected: String) throws {
        let swarm = try Swarm(
            Plan(main: [Plan.calls(Plan.create("a"), Plan.assign("a")), ScriptedAnswer("end")], [("a", 1, [ScriptedAnswer(text)])])
        ) { $0.resultBytes = bytes }
        let all = try swarm.events()
        #expect(swarm.results.last == expected)
        #expect(all.account?.tasks.first?.isCut == (expected != text))
    }

    // MARK: Memory

    /// The fixture with room for so many blocks of 64 tokens beside what it takes itself: 4 layers of 80 floats a token.
    private static func model(blocks: Int) throws -> Model {
        var options = Model.Options()
        // Agents' prompts begin alike: what they share would leave room for more of them.
        (options.threads, options.loadPolicy, options.prefixBytes) = (2, .map, 0)
        let used = try Model(folder: Fixtures.path("tiny-kimi"), options: options).text.budget.used
        options.memory.limit = used + blocks * (64 * 4 * 80 * 4) + sessionBytes
        return try Model(folder: Fixtures.path("tiny-kimi"), options: options)
    }

    /// For logits and samplers of all sessions, and the work space that the first step takes.
    private static let sessionBytes = 512 << 10

    /// Six agents, whose prompts take most of three blocks each.
    private static let six = Plan(
        each: (0..<6).map { "agent \($0)" }, steps: Plan.steps(1), prompt: String(repeating: "You count. ", count: 12), stages: 2)

    @Test("more sessions than memory: tasks wait for each other, idle agents give up their caches, and all are done")
    func waitsForMemory() throws {
        // The main agent's conversation takes some 30 blocks, and two sub-agents fit beside it.
        let swarm = try Swarm(Self.six, chat: ChatSession(Session(model: Self.model(blocks: 38))))
        let all = try swarm.events()
        #expect(all.outcomes == [SwarmOutcome](repeating: .finished, count: 12))
        #expect(all.contains { if case .memory = $0.kind { true } else { false } })
        #expect(all.account?.finish == .stop)
    }

    @Test("memory that is not enough for a task alone fails it, and the run goes on")
    func noMemory() throws {
        let tool = try plainTool("big") { _ in ToolAnswer(.ok, String(repeating: "So it goes. ", count: 1000)) }
        let plan = Plan(
            main: [
                Plan.calls(Plan.create("a"), Plan.create("b")), Plan.calls(Plan.assign("a"), Plan.assign("b")),
                Plan.calls(Plan.assign("b")), Plan.end,
            ],
            [("a", 1, Plan.steps(2, tool: "big"))])
        // What the tool says has over 4000 tokens, more than 60 blocks.
        let swarm = try Swarm(plan, tools: [tool], chat: ChatSession(Session(model: Self.model(blocks: 50))))
        let all = try swarm.events()
        #expect(all.of(1).compactMap(\.outcome) == [.memory] && all.of(2).compactMap(\.outcome) == [.finished, .finished])
        #expect(swarm.results.contains { $0.hasPrefix("Error: ") && $0.contains("not enough memory") })
        #expect(all.account?.finish == .stop)
    }

    @Test("a main agent that has no room is an error of the run, as of a request")
    func mainHasNoMemory() throws {
        let swarm = try Swarm(Self.six, chat: ChatSession(Session(model: Self.model(blocks: 2))))
        #expect(#expect(throws: KimiError.self) { try swarm.events() }?.status == .outOfMemory)
    }
}

/// Lets threads go on that wait for it.
final class Released: Sendable {
    private let isReleased = Atomic<Bool>(false)
    func release() { isReleased.store(true, ordering: .relaxed) }
    func wait() { while !isReleased.load(ordering: .relaxed) { usleep(1_000) } }
}
