import Foundation
import KimiAgent
import KimiChat
import KimiCore
import Testing

/// Accounts, traces and rewards.
struct SwarmAccountTests {
    /// Two stages: (2 + 3 steps of a, 4 of b), then (1 of c); 3 steps of the main agent; agent d is never used.
    static func account() -> SwarmAccount {
        var account = SwarmAccount(agents: ["main", "a", "b", "c", "d"].map { SwarmAccount.Agent($0) }, agentLimit: 5)
        func task(_ agent: Int, _ number: Int, _ stage: Int, _ steps: Int, _ outcome: SwarmOutcome) {
            var task = SwarmAccount.Task(agent: agent, number: number, stage: stage)
            (task.steps, task.outcome) = (steps, outcome)
            account.tasks.append(task)
            account.agents[agent].steps += steps
        }
        account.agents[0].steps = 3
        task(1, 1, 0, 2, .finished)
        task(1, 2, 0, 3, .failed)
        task(2, 1, 0, 4, .finished)
        task(3, 1, 1, 1, .time)
        return account
    }

    @Test("steps of an account made by hand")
    func steps() {
        let account = Self.account()
        #expect(account.criticalSteps == (1 + 5) + (1 + 1) + 1)
        #expect(account.totalSteps == 3 + 10)
        #expect(account.widths == [2, 1])
        #expect(account.finishedTasks == 2)
    }

    @Test("rewards of an account made by hand")
    func rewards() throws {
        var options = SwarmRewards.Options()
        (options.lambda1, options.lambda2, options.progress) = (0.4, 0.2, 0.25)
        let rewards = try SwarmRewards(Self.account(), quality: 0.5, options: options)
        // Widths 2 and 1 of 5: (1/4 + 0) / 2.
        #expect(abs(rewards.parallel - 0.125) < 1e-12)
        #expect(abs(rewards.finish - 0.5) < 1e-12)
        #expect(abs(rewards.efficiency - (1 - 9.0 / 13)) < 1e-12)
        // Linear: three quarters of the weights are left.
        #expect(abs(rewards.training - (0.3 * 0.125 + 0.15 * 0.5 + 0.5)) < 1e-12)
        #expect(abs(rewards.final - (0.8 * 0.5 + 0.2 * 4 / 13)) < 1e-12)
        options.width = 2
        #expect(abs(try SwarmRewards(Self.account(), quality: 1, options: options).parallel - 0.5) < 1e-12)
    }

    @Test("the weights anneal to nothing", arguments: [
        (SwarmRewards.Annealing.linear, [1, 0.75, 0.5, 0.25, 0]),
        // (1 + cos 45 degrees) / 2 and so on.
        (.cosine, [1, 0.8535533905932737, 0.5, 0.14644660940672627, 0]),
    ])
    func annealing(_ annealing: SwarmRewards.Annealing, _ expected: [Double]) throws {
        for (index, share) in expected.enumerated() {
            var options = SwarmRewards.Options()
            (options.annealing, options.progress, options.lambda1, options.lambda2) = (annealing, Double(index) / 4, 2, 10)
            let rewards = try SwarmRewards(Self.account(), quality: 0, options: options)
            #expect(abs(rewards.lambda1 - 2 * share) < 1e-12)
            #expect(abs(rewards.lambda2 - 10 * share) < 1e-12)
        }
    }

    @Test("an account without tasks earns the quality alone")
    func alone() throws {
        var account = SwarmAccount(agents: [SwarmAccount.Agent("main")], agentLimit: 1)
        let empty = try SwarmRewards(account, quality: 0.75)
        #expect((empty.parallel, empty.finish, empty.efficiency, empty.training) == (0, 0, 0, 0.75))
        account.agents[0].steps = 4
        let serial = try SwarmRewards(account, quality: 1)
        #expect(serial.efficiency == 0)
        #expect(abs(serial.final - 0.8) < 1e-12)
    }

    @Test("what is no number or out of range is refused by name", arguments: [Double.nan, .infinity, -.infinity, -0.001, 1.001])
    func badNumbers(_ value: Double) throws {
        func refused(_ subject: String, quality: Double = 0.5, _ change: (inout SwarmRewards.Options) -> Void = { _ in }) {
            var options = SwarmRewards.Options()
            change(&options)
            let error = #expect(throws: KimiError.self) { try SwarmRewards(Self.account(), quality: quality, options: options) }
            #expect(error?.status == .invalidArgument && error?.subject == subject)
        }
        refused("quality", quality: value)
        refused("progress") { $0.progress = value }
        if value != 1.001 {
            refused("lambda1") { $0.lambda1 = value }
            refused("lambda2") { $0.lambda2 = value }
        }
        refused("width") { $0.width = 1 }
    }

    // MARK: A run's own

    private func run() throws -> SwarmAccount {
        let swarm = try Swarm(Plan(
            main: [
                Plan.calls(Plan.create("a\"b"), Plan.create("ü")),
                Plan.calls(Plan.assign("a\"b"), Plan.assign("ü"), Plan.assign("ü")),
                Plan.calls(.init("note", "{}")), ScriptedAnswer("end"),
            ],
            [("a\"b", 1, Plan.steps(3)), ("ü", 1, Plan.steps(2)), ("ü", 2, Plan.steps(1))]))
        return try #require(swarm.events().account)
    }

    @Test("the account's JSON has the sums and the parts")
    func json() throws {
        let account = try run()
        let object = try #require(try JSONSerialization.jsonObject(with: Data(account.json.utf8)) as? [String: Any])
        // Three steps of "ü" in one stage, as many of the other.
        #expect(object["critical_steps"] as? Int == 4 + 3 && object["total_steps"] as? Int == 4 + 3 + 3)
        let agents = try #require(object["agents"] as? [[String: Any]])
        #expect(agents.map { $0["name"] as? String } == ["main", "a\"b", "ü"])
        #expect(agents.map { $0["parent"] as? Int } == [nil, 0, 0])
        #expect(agents.map { $0["steps"] as? Int } == [4, 3, 3])
        let tasks = try #require(object["tasks"] as? [[String: Any]])
        #expect(tasks.map { $0["outcome"] as? String } == ["finished", "finished", "finished"])
        #expect(tasks.map { $0["stage"] as? Int } == [1, 1, 1])
        let generated = try #require((object["tokens"] as? [String: Any])?["generated"] as? Int)
        #expect(generated == agents.reduce(0) { $0 + ($1["generated_tokens"] as? Int ?? 0) })
        #expect(generated > 0)
    }

    @Test("tokens are those that the sessions count")
    func tokens() throws {
        let chat = try Tiny.chat()
        let swarm = try Swarm(Plan(main: Plan.steps(3)), chat: chat)
        let all = try swarm.events()
        let usage = try #require(all.compactMap(\.chat).last { $0.kind == .finish }?.usage)
        let account = try #require(all.account)
        #expect(account.promptTokens == usage.prompt && account.cachedTokens == usage.cached)
        #expect(account.generatedTokens == usage.generated)
        #expect(account.generatedTokens == (try chat.session.snapshot().counts.generatedTokens))
    }

    @Test("the trace parses, has a row for each agent, and what lies in a row nests")
    func trace() throws {
        struct Trace: Decodable {
            struct Event: Decodable {
                let ph: String, name: String, pid: Int, tid: Int
                let ts: Int?, dur: Int?, cat: String?
            }
            let traceEvents: [Event]
        }
        let account = try run()
        let trace = try JSONDecoder().decode(Trace.self, from: Data(account.chromeTrace.utf8))
        #expect(trace.traceEvents.filter { $0.name == "thread_name" }.map(\.tid) == [0, 1, 2])
        let complete = trace.traceEvents.filter { $0.ph == "X" }
        #expect(Set(complete.map(\.tid)) == [0, 1, 2])
        #expect(complete.filter { $0.cat == "step" }.count == account.totalSteps)
        #expect(complete.filter { $0.cat == "task" }.count == 3)
        for kind in ["prompt", "generate", "tool", "wait"] { #expect(complete.contains { $0.cat == kind }, "\(kind)") }
        for row in 0..<3 {
            // Whichever two of a row: one within the other, or apart.
            let spans = complete.filter { $0.tid == row }.map { ($0.ts ?? -1, ($0.ts ?? -1) + ($0.dur ?? -1)) }
            for (index, one) in spans.enumerated() {
                #expect(one.0 >= 0 && one.1 >= one.0 && one.1 <= account.microseconds)
                for other in spans[..<index] {
                    let isApart = one.1 <= other.0 || other.1 <= one.0
                    let isWithin = one.0 >= other.0 && one.1 <= other.1 || other.0 >= one.0 && other.1 <= one.1
                    #expect(isApart || isWithin, "\(row): \(one) and \(other)")
                }
            }
        }
        // What the agents do by turns is no more than their whole time.
        #expect(account.busyMicroseconds(0) <= account.microseconds)
        #expect(account.serialMicroseconds == (0..<3).reduce(0) { $0 + account.busyMicroseconds($1) })
    }
}
