import KimiAgent
import KimiChat
import KimiCore
import KimiRuntime

/// What the person has chosen for the answers to come; nil: what the mode has.
struct ChatSettings {
    var mode = ChatMode.thinking
    var maxTokens: Int?
    var budget: Int?
    var seed: UInt64?
    var temperature: Float?
    var topP: Float?

    /// - Throws: `invalidArgument` naming the value.
    func validate(_ model: Model) throws(KimiError) {
        var options = GenerationOptions()
        options.maxTokens = maxTokens
        options.temperature = temperature ?? 1
        options.topP = topP ?? 1
        try options.validate(vocabulary: model.vocabularySize)
        if let budget, budget < 0 {
            throw KimiError(.invalidArgument, "the reasoning budget is \(budget); it must be 0 or more tokens", subject: "budget")
        }
    }

    /// - Parameter hasTools: whether the model may call tools: it then gets the steps for it in every mode.
    func options(hasTools: Bool) -> ChatOptions {
        var options = ChatOptions()
        options.mode = mode
        options.maxTokens = maxTokens
        options.reasoningBudget = budget
        options.seed = seed
        options.temperature = temperature
        options.topP = topP
        if hasTools { options.stepLimit = ChatMode.agent.stepLimit }
        return options
    }
}
