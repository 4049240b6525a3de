import KimiCore

/// The four modes of one set of weights. A mode fixes the template, the parser's first channel, and the defaults of sampling and
/// budgets; whoever asks for something else overrides the default.
package enum ChatMode: String, CaseIterable, Sendable {
    /// No reasoning: the prompt ends in an empty thought.
    case instant
    /// Reasoning up to a budget, streamed apart from the answer.
    case thinking
    /// Thinking, with the host's tools called in a loop.
    case agent
    /// An agent that may create sub-agents.
    case swarm

    /// Whether the answer begins with reasoning.
    package var thinks: Bool { self != .instant }

    package var temperature: Float { thinks ? 1.0 : 0.6 }
    package var topP: Float { 0.95 }

    /// The most reasoning tokens of a turn before `</think>` is forced; 0 where there is no reasoning.
    package var reasoningBudget: Int { thinks ? 8192 : 0 }

    /// Steps of an agent, each of which may call tools: 1 where the host drives the turns itself.
    package var stepLimit: Int {
        switch self {
        case .instant, .thinking: 1
        case .agent: 300
        case .swarm: 15
        }
    }

    /// - Throws: `invalidArgument` that lists the modes.
    package init(named name: String) throws(KimiError) {
        guard let mode = ChatMode(rawValue: name) else {
            let all = Self.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
            throw KimiError(.invalidArgument, "mode is \"\(name.prefix(80))\"; the modes are \(all)", subject: "mode")
        }
        self = mode
    }
}
