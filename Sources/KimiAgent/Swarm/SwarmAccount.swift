import KimiCore

/// What a swarm did: steps, tokens, times. Times are microseconds since the run began.
package struct SwarmAccount: Sendable, Equatable {
    package struct Agent: Sendable, Equatable {
        package var name: String
        /// Steps that began.
        package var steps = 0
        package var promptTokens = 0
        /// Of the prompts, what the cache held.
        package var cachedTokens = 0
        package var generatedTokens = 0

        package init(_ name: String) { self.name = name }
    }

    package struct Task: Sendable, Equatable {
        /// The agent, and which of its tasks this is, from 1.
        package var agent: Int
        package var number: Int
        /// The main agent's step that assigned it.
        package var stage: Int
        package var steps = 0
        package var generatedTokens = 0
        /// nil: it is not over.
        package var outcome: SwarmOutcome?
        /// Bytes of what returned, and whether more was cut off.
        package var resultBytes = 0
        package var isCut = false
        package var start = 0
        package var end = 0

        package init(agent: Int, number: Int, stage: Int) { (self.agent, self.number, self.stage) = (agent, number, stage) }
    }

    /// A stretch of an agent's time.
    package struct Span: Sendable, Equatable {
        package enum Kind: String, Sendable {
            case prompt, generate, tool
            /// For sub-agents, for memory, or for the host to take events.
            case wait
            /// A whole step, in which the others lie.
            case step
        }

        package var agent: Int
        package var kind: Kind
        /// The step of the request, from 0; nil: before the first.
        package var step: Int?
        package var start: Int
        package var end: Int

        package init(agent: Int, kind: Kind, step: Int?, start: Int, end: Int) {
            (self.agent, self.kind, self.step, self.start, self.end) = (agent, kind, step, start, end)
        }
    }

    /// The main agent first, then sub-agents in the order of their creation.
    package var agents: [Agent]
    /// In the order in which they were assigned.
    package var tasks: [Task] = []
    package var spans: [Span] = []
    /// Sub-agents that might have been alive.
    package var agentLimit: Int
    /// From the beginning to the end, or to now.
    package var microseconds = 0
    /// How the main agent's request ended; nil: not yet, or with an error.
    package var finish: ChatEvent.Finish?

    package init(agents: [Agent], agentLimit: Int) { (self.agents, self.agentLimit) = (agents, agentLimit) }

    // MARK: Steps

    /// Steps of the main agent: one a stage.
    package var stages: Int { agents.first?.steps ?? 0 }
    package var totalSteps: Int { agents.reduce(0) { $0 + $1.steps } }

    /// The longest chain of steps that had to wait for each other: for each stage the main agent's own, and those of the sub-agent
    /// that made most, whose tasks of one stage come one after another.
    package var criticalSteps: Int {
        stages + steps(byStage: { $0.values.max() ?? 0 })
    }

    /// The most agents that had tasks in a stage, for those stages that began any.
    package var widths: [Int] {
        Dictionary(grouping: tasks, by: \.stage).sorted { $0.key < $1.key }.map { Set($0.value.map(\.agent)).count }
    }

    private func steps(byStage longest: ([Int: Int]) -> Int) -> Int {
        Dictionary(grouping: tasks, by: \.stage).values.reduce(0) { sum, tasks in
            sum + longest(tasks.reduce(into: [:]) { $0[$1.agent, default: 0] += $1.steps })
        }
    }

    // MARK: Sums

    package var promptTokens: Int { agents.reduce(0) { $0 + $1.promptTokens } }
    package var cachedTokens: Int { agents.reduce(0) { $0 + $1.cachedTokens } }
    package var generatedTokens: Int { agents.reduce(0) { $0 + $1.generatedTokens } }
    /// Tasks that were finished, of all that ended or run.
    package var finishedTasks: Int { tasks.count { $0.outcome == .finished } }

    /// The time in which an agent worked and did not wait.
    package func busyMicroseconds(_ agent: Int) -> Int {
        spans.reduce(0) { $1.agent == agent && $1.kind != .wait && $1.kind != .step ? $0 + $1.end - $1.start : $0 }
    }

    /// What all agents worked, one after another.
    package var serialMicroseconds: Int {
        spans.reduce(0) { $1.kind != .wait && $1.kind != .step ? $0 + $1.end - $1.start : $0 }
    }

    /// How many times longer the work of all was than the run; 0 for a run that took no time.
    package var speedup: Double { microseconds > 0 ? Double(serialMicroseconds) / Double(microseconds) : 0 }
}
