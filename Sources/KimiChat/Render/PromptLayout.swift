/// How a model of the family was trained to see a conversation.
package enum PromptLayout: String, Sendable, CaseIterable {
    /// Kimi K2.5: tools in TypeScript, thoughts that can be switched off, pictures, no system prompt of its own.
    case k25
    /// Kimi K2 Thinking: tools as JSON, thoughts that the model opens itself, a default system prompt.
    case k2Thinking
    /// Kimi K2 Instruct: tools as JSON, no thoughts, the same default system prompt.
    case k2Instruct

    /// The layout of a checkpoint.
    ///
    /// K2.5 says so in its `model_type`. The two K2 have one `model_type` and one architecture; what parts them is that K2
    /// Thinking has names for `<think>` and `</think>` among its special tokens while K2 Instruct's are reserved: a model without
    /// these tokens cannot have been trained to think with them. The text of a template is not looked at.
    ///
    /// - Parameter modelType: the outer `model_type` of `config.json`.
    package init(modelType: String, tokens: ChatTokens) {
        if modelType == "kimi_k25" {
            self = .k25
        } else {
            self = tokens[.think] != nil && tokens[.endThink] != nil ? .k2Thinking : .k2Instruct
        }
    }

    /// Whether the model can reason before it answers.
    package var thinks: Bool { self != .k2Instruct }

    /// Whether tools are declared in TypeScript where that can say them.
    var declaresTypeScript: Bool { self == .k25 }

    /// What stands in for a system prompt if the conversation does not begin with one.
    var defaultSystemPrompt: String? {
        self == .k25 ? nil : "You are Kimi, an AI assistant created by Moonshot AI."
    }
}

/// Where the model's output begins, which the output alone does not tell: the prompt may have opened a thought.
package enum OutputStart: Sendable, Equatable {
    case reasoning
    /// The answer. K2 Thinking opens its thought itself, with `<think>` as the first token of its output.
    case content
}
