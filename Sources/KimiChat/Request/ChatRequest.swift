import KimiCore

/// A request in the form of OpenAI's chat completions, checked.
///
/// What is nil was not asked for: the mode's and the model's defaults hold. Ranges of sampling values are checked where they are
/// used.
package struct ChatRequest: Sendable {
    package enum ToolChoice: Sendable, Equatable {
        case none, auto, required
        case named(String)
    }

    package enum ResponseFormat: Sendable, Equatable {
        case text
        case jsonObject
        /// - Parameter schema: an object, or true for any value.
        case jsonSchema(name: String?, schema: JSON, strict: Bool)
    }

    /// Never empty, except when made by hand.
    package var messages: [ChatMessage]
    package var tools: [ToolDeclaration] = []
    package var toolChoice = ToolChoice.auto
    package var parallelToolCalls = true
    package var responseFormat = ResponseFormat.text

    package var mode: ChatMode?
    /// Whether the answer begins with reasoning, as the request's own switch says.
    package var thinking: Bool?
    /// In tokens; 0 ends the thought at once.
    package var reasoningBudget: Int?
    /// Whether the prompt ends in the head of the assistant's next message.
    package var addsGenerationPrompt = true

    package var maxTokens: Int?
    package var temperature: Double?
    package var topP: Double?
    package var topK: Int?
    package var minP: Double?
    package var presencePenalty: Double?
    package var frequencyPenalty: Double?
    package var repetitionPenalty: Double?
    package var seed: UInt64?
    package var stop: [String] = []
    package var logitBias: [(id: Int32, bias: Double)] = []
    package var topLogprobs: Int?

    /// The paths of members without meaning here, such as misspelt ones: at most `IgnoredFields.limit`.
    package var ignoredFields: [String] = []

    package init(messages: [ChatMessage]) { self.messages = messages }

    /// Whether the prompt opens a thought: the request's own switch, else its mode, else the given one.
    package func thinks(otherwise mode: ChatMode) -> Bool { thinking ?? (self.mode ?? mode).thinks }

    /// How deep a request may nest; a level of a JSON Schema takes two. What nests this deep fits a stack of 128 KB, the
    /// smallest that hosts are known to give their threads.
    package static let maxDepth = 96

    /// Reads a request's JSON text.
    ///
    /// - Throws: `invalidArgument` for text that is not JSON (with the byte) and for values of a wrong kind, `unsupported` for
    ///   what is right and not served. The path in the request is the error's subject.
    package init(json bytes: UnsafeRawBufferPointer) throws(KimiError) {
        try self.init(try RequestField.value(bytes, "the request is", subject: "request"))
    }

    package init(json bytes: [UInt8]) throws(KimiError) {
        // Typed throws do not pass through withUnsafeBytes' rethrow; a Result does.
        self = try bytes.withUnsafeBytes { bytes in
            Result { () throws(KimiError) in try ChatRequest(json: bytes) }
        }.get()
    }
}
