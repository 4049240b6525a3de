import KimiCore
import KimiTokenizer

/// A prompt ready for the model.
package struct RenderedPrompt: Sendable {
    package var ids: [Int32]
    /// Pictures and chunks of clips in it, in rising order.
    package var media: [PlacedMedia]
    /// The parser's first state.
    package var start: OutputStart
    /// The ids of the calls so far, and the counter for those to come.
    package var toolCallIDs: ToolCallIDs
    /// The host's ids of the calls that have no result; see `ResolvedCalls.unanswered`.
    package var unansweredCalls: [String]
    /// Whether tools are declared as JSON although the model was trained on TypeScript, because that cannot say one of the
    /// schemas. It costs accuracy.
    package var declaresToolsAsJSON: Bool

    package var startsInReasoning: Bool { start == .reasoning }
}

/// Writes conversations as the model was trained to read them. Immutable, so any number of threads may use it at once.
///
/// It does what the published templates do, natively; the layouts differ in `PromptRenderer+Layout.swift`. All text that comes
/// from a request, names and ids included, is encoded without special tokens.
package struct PromptRenderer: Sendable {
    package let layout: PromptLayout
    package let tokens: ChatTokens
    private let tokenizer: Tokenizer

    package init(_ tokenizer: Tokenizer, layout: PromptLayout) {
        self.tokenizer = tokenizer
        self.layout = layout
        tokens = ChatTokens(tokenizer)
    }

    /// - Parameter modelType: the outer `model_type` of `config.json`.
    package init(_ tokenizer: Tokenizer, modelType: String) {
        self.init(tokenizer, layout: PromptLayout(modelType: modelType, tokens: ChatTokens(tokenizer)))
    }

    /// The prompt as text, for people and for comparison with the reference. Do not encode it: see `ids(of:)`.
    ///
    /// - Parameter mode: what holds where the request says nothing about thinking.
    /// - Throws: `invalidArgument` for tool results that fit no call.
    package func text(of request: ChatRequest, mode: ChatMode = .thinking) throws(KimiError) -> String {
        let calls = try ResolvedCalls(request.messages)
        return pieces(of: request, calls, thinks: request.thinks(otherwise: mode)).pieces.text
    }

    /// The prompt as ids. A marker is one id, and the text between two markers is encoded as a whole.
    ///
    /// - Parameter rooms: what each picture and clip takes.
    /// - Throws: as `text(of:)`; `unsupported` for markers that the checkpoint does not have; what `rooms` throws.
    package func ids(
        of request: ChatRequest, mode: ChatMode = .thinking,
        rooms: (MediaPart) throws(KimiError) -> [MediaRoom] = PromptRenderer.textOnly
    ) throws(KimiError) -> RenderedPrompt {
        let calls = try ResolvedCalls(request.messages)
        let thinks = request.thinks(otherwise: mode)
        let rendered = pieces(of: request, calls, thinks: thinks)
        let found = try rendered.pieces.ids(tokenizer, tokens, rooms: rooms)
        return RenderedPrompt(
            ids: found.ids, media: found.media, start: start(thinks: thinks), toolCallIDs: calls.ids,
            unansweredCalls: calls.unanswered, declaresToolsAsJSON: rendered.declaresToolsAsJSON)
    }

    /// What follows an assistant's turn that called tools: the results, further messages, and the head of the next turn.
    ///
    /// The prompt of an agent's next step is the ids of this step's prompt, the ids that the model made, and these: nothing is
    /// encoded again, so all that was evaluated stays in the cache. Rendering the longer conversation anew gives the same text,
    /// but other ids wherever the model spelt a word otherwise than the tokenizer would.
    ///
    /// - Parameters:
    ///   - results: in the order of the calls, under their canonical ids.
    ///   - messages: what the host adds after them; no assistant's or tool's.
    ///   - closesTurn: whether `<|im_end|>` must still be written: true if the model's output ended before it or it was taken
    ///     off.
    ///   - rooms: as for `ids(of:)`.
    /// - Throws: `unsupported` as `ids(of:)`, `invalidArgument` for messages of a wrong role; what `rooms` throws.
    package func continuation(
        results: [ToolResult], messages: [ChatMessage] = [], thinks: Bool, closesTurn: Bool,
        rooms: (MediaPart) throws(KimiError) -> [MediaRoom] = PromptRenderer.textOnly
    ) throws(KimiError) -> RenderedContinuation {
        var pieces = PromptPieces()
        if closesTurn { pieces.add(.imEnd) }
        for result in results { writeResult(result, &pieces) }
        for (place, message) in messages.enumerated() {
            guard message.role != .assistant && message.role != .tool else {
                throw KimiError(
                    .invalidArgument, "messages[\(place)] has the role \"\(message.role.rawValue)\"; after results come others",
                    subject: "messages[\(place)].role")
            }
            write(message, keepsReasoning: true, calls: [], result: nil, &pieces)
        }
        writeGenerationPrompt(thinks: thinks, &pieces)
        let found = try pieces.ids(tokenizer, tokens, rooms: rooms)
        return RenderedContinuation(ids: found.ids, media: found.media, start: start(thinks: thinks))
    }

    /// The rooms of media where there are no eyes for them: an error that names the part.
    package static func textOnly(_ part: MediaPart) throws(KimiError) -> [MediaRoom] {
        throw KimiError(.unsupported, "\(part.path) is \(part.kind.words); here the model reads text only", subject: part.path)
    }

    private func start(thinks: Bool) -> OutputStart { layout == .k25 && thinks ? .reasoning : .content }
}

/// The result of a call, for the prompt.
package struct ToolResult: Sendable {
    /// `functions.NAME:INDEX`.
    package var id: String
    package var content: ChatMessage.Content

    package init(id: String, content: ChatMessage.Content) {
        self.id = id
        self.content = content
    }

    package init(id: String, text: String) { self.init(id: id, content: .text(text)) }
}

/// What is appended to a prompt and the model's output.
package struct RenderedContinuation: Sendable {
    package var ids: [Int32]
    package var media: [PlacedMedia]
    package var start: OutputStart

    package var startsInReasoning: Bool { start == .reasoning }
}
