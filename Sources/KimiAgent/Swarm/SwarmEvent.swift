import KimiCore

/// What happens in a swarm.
package struct SwarmEvent: Sendable {
    package enum Kind: Sendable {
        /// What an agent's own request reports. FINISH is that of its request; the swarm's is below.
        case chat(ChatEvent)
        /// This sub-agent is there now.
        case created(systemPrompt: String)
        /// It begins a task.
        case taskBegan(prompt: String)
        /// Its task is over, with what returns to the main agent.
        case taskEnded(SwarmOutcome, result: String, isCut: Bool)
        /// A budget is used up; the words say which and how much it was.
        case budget(SwarmBudget, String)
        /// It waits until another's task ends, because memory is short.
        case memory
        /// All is over: the last event.
        case finish(SwarmAccount)
    }

    package let kind: Kind
    /// 0: the main agent; sub-agents count from 1 in the order of their creation.
    package let agent: Int
    /// The agent that created this one; nil: none did.
    package let parent: Int?
    package let name: String
    /// The number of the agent's task, from 1; 0 for the main agent, and before the first.
    package let task: Int
}

/// How a task ended.
package enum SwarmOutcome: Int32, Sendable, CaseIterable {
    case finished = 0
    /// An error, in the words of the result.
    case failed = 1
    case cancelled = 2
    case steps = 3
    /// Tokens of the task, and of all agents.
    case tokens = 4
    case allTokens = 5
    /// Time of the task, and of the whole run.
    case time = 6
    case allTime = 7
    /// A step's answer was cut at its greatest length.
    case length = 8
    case context = 9
    case memory = 10

    package var name: String {
        switch self {
        case .finished: "finished"
        case .failed: "failed"
        case .cancelled: "cancelled"
        case .steps: "steps"
        case .tokens: "tokens"
        case .allTokens: "all_tokens"
        case .time: "time"
        case .allTime: "all_time"
        case .length: "length"
        case .context: "context"
        case .memory: "memory"
        }
    }

    /// The budget that ended the task; nil: none did.
    var budget: SwarmBudget? {
        switch self {
        case .steps: .taskSteps
        case .tokens: .taskTokens
        case .allTokens: .allTokens
        case .time: .taskTime
        case .allTime: .allTime
        default: nil
        }
    }
}

/// What a swarm may use up.
package enum SwarmBudget: Int32, Sendable, CaseIterable {
    case mainSteps = 1
    case taskSteps = 2
    case taskTokens = 3
    case allTokens = 4
    case taskTime = 5
    case allTime = 6
    case agents = 7
}
