import KimiAgent
import KimiChat
import KimiCore
import Synchronization
import Testing

/// Plans whose critical steps are counted here by hand: the main agent's own, and for each stage the most that one sub-agent made.
struct SwarmPlanTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let plan: Plan
        let critical: Int
        let total: Int
        let outcomes: [SwarmOutcome]
        var change: @Sendable (inout SwarmOptions) -> Void = { _ in }
    }

    private static let end = ScriptedAnswer("end")
    private static let makeThree = Plan.calls(Plan.create("a"), Plan.create("b"), Plan.create("c"))
    private static let askThree = Plan.calls(Plan.assign("a"), Plan.assign("b"), Plan.assign("c"))
    private static let uneven = Plan(
        main: [makeThree, askThree, end], [("a", 1, Plan.steps(1)), ("b", 1, Plan.steps(4)), ("c", 1, Plan.steps(2))])

    static let cases: [Case] = [
        Case(testDescription: "the main agent alone", plan: Plan(main: [end]), critical: 1, total: 1, outcomes: []),
        Case(
            testDescription: "the main agent with a tool of its own",
            plan: Plan(main: Plan.steps(4)), critical: 4, total: 4, outcomes: []),
        Case(
            testDescription: "an agent that is never used",
            plan: Plan(main: [makeThree, Plan.calls(Plan.assign("b")), end], [("b", 1, Plan.steps(2))]),
            critical: 3 + 2, total: 3 + 2, outcomes: [.finished]),
        Case(
            testDescription: "three uneven tasks", plan: uneven, critical: 3 + 4, total: 3 + 1 + 4 + 2,
            outcomes: [.finished, .finished, .finished]),
        Case(
            testDescription: "the same, one agent at a time", plan: uneven, critical: 3 + 4, total: 3 + 1 + 4 + 2,
            outcomes: [.finished, .finished, .finished], change: { $0.parallelAgents = 1 }),
        Case(
            testDescription: "two stages with another longest",
            plan: Plan(
                main: [
                    makeThree, Plan.calls(Plan.assign("a"), Plan.assign("b")), Plan.calls(Plan.assign("a"), Plan.assign("b")), end,
                ],
                [("a", 1, Plan.steps(2)), ("b", 1, Plan.steps(1)), ("a", 2, Plan.steps(1)), ("b", 2, Plan.steps(5))]),
            critical: 4 + 2 + 5, total: 4 + 3 + 6, outcomes: [.finished, .finished, .finished, .finished]),
        Case(
            testDescription: "two tasks of one agent in a stage add up",
            plan: Plan(
                main: [makeThree, Plan.calls(Plan.assign("a"), Plan.assign("a"), Plan.assign("b")), end],
                [("a", 1, Plan.steps(2)), ("a", 2, Plan.steps(3)), ("b", 1, Plan.steps(4))]),
            critical: 3 + 5, total: 3 + 9, outcomes: [.finished, .finished, .finished]),
        Case(
            testDescription: "created and assigned in one step",
            plan: Plan(
                main: [Plan.calls(Plan.create("a"), Plan.assign("a"), Plan.create("b"), Plan.assign("b")), end],
                [("a", 1, Plan.steps(2)), ("b", 1, Plan.steps(2))]),
            critical: 2 + 2, total: 2 + 4, outcomes: [.finished, .finished]),
        Case(
            testDescription: "a call of an unknown agent is no task",
            plan: Plan(main: [makeThree, Plan.calls(Plan.assign("nobody"), Plan.assign("a")), end], [("a", 1, Plan.steps(2))]),
            critical: 3 + 2, total: 3 + 2, outcomes: [.finished]),
        Case(
            testDescription: "a task that reaches its steps counts those it made",
            plan: Plan(
                main: [makeThree, askThree, end], [("a", 1, Plan.steps(9)), ("b", 1, Plan.steps(2)), ("c", 1, Plan.steps(3))]),
            critical: 3 + 3, total: 3 + 3 + 2 + 3, outcomes: [.steps, .finished, .finished], change: { $0.taskSteps = 3 }),
        Case(
            testDescription: "a task that runs out of tokens counts the step that was cut",
            plan: Plan(
                main: [makeThree, askThree, end],
                [("a", 1, [ScriptedAnswer("a a a a a a a a a a a a a a a a")]), ("b", 1, Plan.steps(1)), ("c", 1, Plan.steps(1))]),
            critical: 3 + 1, total: 3 + 3, outcomes: [.tokens, .finished, .finished], change: { $0.taskTokens = 12 }),
        Case(
            testDescription: "the main agent's last calls are not made at its limit",
            plan: Plan(
                main: [Plan.calls(Plan.create("a"), Plan.assign("a")), Plan.calls(Plan.assign("a")), end],
                [("a", 1, Plan.steps(2)), ("a", 2, Plan.steps(7))]),
            critical: 2 + 2, total: 2 + 2, outcomes: [.finished], change: { $0.mainSteps = 2 }),
        Case(
            testDescription: "an agent that fails by an unknown tool's name answers nothing, in one step",
            plan: Plan(
                main: [makeThree, askThree, end],
                [("a", 1, Plan.steps(2, tool: "create_subagent")), ("b", 1, Plan.steps(2)), ("c", 1, Plan.steps(1))]),
            critical: 3 + 2, total: 3 + 1 + 2 + 1, outcomes: [.finished, .finished, .finished]),
    ]

    @Test("critical steps are those counted by hand", arguments: cases)
    func criticalSteps(_ one: Case) throws {
        let swarm = try Swarm(one.plan, one.change)
        let account = try #require(swarm.events().account)
        #expect(account.criticalSteps == one.critical)
        #expect(account.totalSteps == one.total)
        #expect(account.tasks.compactMap(\.outcome) == one.outcomes)
        #expect(account.tasks.reduce(account.stages) { $0 + $1.steps } == account.totalSteps)
    }

    @Test("tools that wait for each other across agents, and for the main agent's own, all end: they run at the same time")
    func nestedWaits() throws {
        let order = Mutex<[String]>([])
        @Sendable func has(_ name: String) -> Bool { order.withLock { $0.contains(name) } }
        // Each waits for the one after it; the last is the main agent's.
        let names = ["first", "second", "third"]
        let tools = try names.enumerated().map { index, name in
            try plainTool(name) { _ in
                let isThere = index == 2 || eventually { has(names[index + 1]) }
                order.withLock { $0.append(name) }
                return ToolAnswer(.ok, isThere ? "ok" : "alone")
            }
        }
        let swarm = try Swarm(
            Plan(
                main: [
                    Self.makeThree, Plan.calls(Plan.assign("a"), Plan.assign("b"), .init("third", "{}")), Self.end,
                ],
                [("a", 1, Plan.steps(2, tool: "first")), ("b", 1, Plan.steps(2, tool: "second"))]), tools: tools)
        let all = try swarm.events()
        #expect(order.withLock { $0 } == ["third", "second", "first"])
        #expect(all.account?.criticalSteps == 3 + 2)
        #expect(swarm.results.last == "ok")
    }

    @Test("an answer that is given says what the same one says token by token, and is evaluated as a prompt")
    func given() throws {
        func run(isGiven: Bool) throws -> (words: [String], results: [String], evaluated: Int, generated: Int) {
            var answers = [Self.makeThree, Self.askThree, Self.end]
            for index in answers.indices { answers[index].isGiven = isGiven }
            let swarm = try Swarm(Plan(main: answers, [("b", 1, Plan.steps(3))]))
            let words = try swarm.events().of(0).filter { $0.chat?.kind != .prompt && $0.account == nil }.map(\.words)
            let counts = try swarm.chat.session.snapshot().counts
            return (words, swarm.results, counts.promptTokens, counts.generatedTokens)
        }
        let (given, chosen) = try (run(isGiven: true), run(isGiven: false))
        #expect(given.words == chosen.words && given.words.count > 3)
        #expect(given.results == chosen.results)
        // The last token of each of the three answers is chosen either way.
        #expect(given.generated == 3 && chosen.generated > 30)
        #expect(given.evaluated + given.generated == chosen.evaluated + chosen.generated)
    }
}
