import Glibc
import KimiAgent
import KimiChat
import KimiCore
import KimiRuntime
import Synchronization

/// Runs scripted swarms on a model, one at a time, and takes their times.
package final class SwarmWork: Sendable {
    private let model: Model
    private let waitMilliseconds: Int
    private let current = Mutex<SwarmRun?>(nil)

    /// - Parameter waitMilliseconds: how long a call takes of the tool that takes its time.
    package init(model: Model, waitMilliseconds: Int) {
        (self.model, self.waitMilliseconds) = (model, waitMilliseconds)
    }

    /// Ends the run that is on its way, which then throws. Any thread.
    package func stop() {
        let run = current.withLock { $0 }
        try? run?.cancel(0)
    }

    /// One run, from the request to the main agent's end.
    package struct Sample: Sendable {
        package let account: SwarmAccount
        /// Seconds of all.
        package let seconds: Double
        /// Seconds in which tasks were in hand: of all stages, from the first task's beginning to the last one's end.
        package let taskSeconds: Double
        /// Passes through the model that the run took, and their rows.
        package let passes: Int
        package let rows: Int
        /// Seconds within the model.
        package let modelSeconds: Double

        /// Tokens that sub-agents generated.
        package var taskTokens: Int { account.agents.dropFirst().reduce(0) { $0 + $1.generatedTokens } }
    }

    /// - Parameters:
    ///   - parallel: sub-agents that work at the same time; nil: all.
    ///   - advance: called for each event, with whether it ended a task; what it throws ends the run.
    /// - Throws: also if the agents did not do what the plan says.
    package func run(_ plan: SwarmPlan, parallel: Int?, advance: (_ endsTask: Bool) throws -> Void) throws -> Sample {
        let chat = ChatSession(try Session(model: model))
        let milliseconds = waitMilliseconds
        // Declarations are a part of every prompt: none that nobody calls.
        if plan.tools.contains(SwarmPlan.wait) { chat.tools.add(try Self.tool(SwarmPlan.wait) { Self.sleep(milliseconds) }) }
        if plan.tools.contains(SwarmPlan.note) { chat.tools.add(try Self.tool(SwarmPlan.note) {}) }
        var options = SwarmOptions()
        options.agentLimit = plan.agents
        options.parallelAgents = parallel
        options.chat.seed = 1
        options.script = { plan.answer($0, $1, $2) }
        let before = model.loop.report
        let begin = monotonicSeconds()
        let run = try SwarmRun(chat, request: ChatRequest(userText: "Go."), options: options, isPolled: false)
        current.withLock { $0 = run }
        defer { current.withLock { $0 = nil } }
        var account: SwarmAccount?
        do {
            while account == nil {
                let event = try run.next()
                if case .taskEnded = event.kind { try advance(true) } else { try advance(false) }
                if case .finish(let last) = event.kind { account = last }
            }
        } catch {
            run.abandon()
            throw error
        }
        let seconds = monotonicSeconds() - begin
        let after = model.loop.report
        guard let account, account.totalSteps == plan.totalSteps, account.finishedTasks == plan.agents else {
            let found = account.map { "\($0.totalSteps) steps, \($0.finishedTasks) tasks finished" } ?? "no account"
            throw KimiError(
                .internal, "the \(plan.shape.rawValue) plan has \(plan.totalSteps) steps and \(plan.agents) tasks; there were \(found)")
        }
        return Sample(
            account: account, seconds: seconds, taskSeconds: Self.taskSeconds(account), passes: after.passes - before.passes,
            rows: after.rows - before.rows, modelSeconds: Double(after.stepNanoseconds &- before.stepNanoseconds) * 1e-9)
    }

    private static func taskSeconds(_ account: SwarmAccount) -> Double {
        let stages = Dictionary(grouping: account.tasks, by: \.stage).values
        let microseconds = stages.reduce(0) { sum, tasks in
            sum + (tasks.map(\.end).max() ?? 0) - (tasks.map(\.start).min() ?? 0)
        }
        return Double(microseconds) * 1e-6
    }

    private static func tool(_ name: String, _ run: @escaping @Sendable () -> Void) throws -> HostTool {
        HostTool(
            declaration: try ToolDeclaration(name: name, description: nil, schema: nil), timeoutMilliseconds: nil, anyThread: true
        ) { _ in
            run()
            return ToolAnswer(.ok, "ok")
        }
    }

    private static func sleep(_ milliseconds: Int) {
        var time = timespec(tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000)
        var left = timespec()
        while nanosleep(&time, &left) != 0 && errno == EINTR { time = left }
    }
}
