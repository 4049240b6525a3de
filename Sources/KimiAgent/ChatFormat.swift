import KimiChat
import KimiCore
import KimiRuntime
import KimiTokenizer
import Synchronization

/// What conversations on one model share: its markers, its prompt layout, and what is made once for constraints. Any thread.
package final class ChatFormat: Sendable {
    package let tokens: ChatTokens
    package let renderer: PromptRenderer
    let tokenizer: Tokenizer
    let endTokens: [Int32]
    private let grammars = Mutex(GrammarCache())
    private let tree = Mutex<VocabularyTree?>(nil)

    /// - Throws: `unsupported` if the checkpoint has no tokens for conversations.
    fileprivate init(_ model: Model) throws(KimiError) {
        tokenizer = model.tokenizer
        renderer = PromptRenderer(model.tokenizer, modelType: model.checkpoint.config.modelType)
        tokens = renderer.tokens
        // A turn ends at its end marker also where the generation's settings forget it.
        endTokens = Array(Set(model.endTokens + [try tokens.require(.imEnd)])).sorted()
    }

    /// The vocabulary's tree, made when a constraint first needs it.
    var vocabulary: VocabularyTree {
        tree.withLock { tree in
            if let tree { return tree }
            let made = VocabularyTree(tokenizer)
            tree = made
            return made
        }
    }

    /// The grammar of a tool's arguments: an object that its schema allows; an empty one if it has none.
    func arguments(of tool: ToolDeclaration) -> Grammar {
        var schema = JSONObject()
        if let parameters = tool.parameters?.objectValue { schema = parameters }
        // A schema that does not say so is still one of arguments, and those are an object.
        _ = schema.add("type", .string("object"))
        if tool.parameters == nil { _ = schema.add("additionalProperties", .bool(false)) }
        return grammars.withLock { $0.grammar(of: .object(schema)) }
    }

    /// The grammar of an answer.
    func answer(of schema: JSON) -> Grammar { grammars.withLock { $0.grammar(of: schema) } }

    /// The prompt of a conversation.
    func prompt(
        _ messages: [ChatMessage], tools: [ToolDeclaration], thinks: Bool,
        rooms: (MediaPart) throws(KimiError) -> [MediaRoom]
    ) throws(KimiError) -> RenderedPrompt {
        var request = ChatRequest(messages: messages)
        request.tools = tools
        request.thinking = thinks
        return try renderer.ids(of: request, rooms: rooms)
    }

    /// The prompt of a request as text.
    ///
    /// - Parameter mode: the host's choice, which holds against what the request says; nil: none.
    package func text(of request: ChatRequest, mode: ChatMode?) throws(KimiError) -> String {
        try renderer.text(of: Self.effective(request, mode))
    }

    /// The prompt of a request as ids, with as many for its media as they take.
    package func prompt(of request: ChatRequest, mode: ChatMode?, eyes: ChatEyes) throws(KimiError) -> RenderedPrompt {
        try eyes.admit(request.messages)
        return try renderer.ids(of: Self.effective(request, mode)) { (part) throws(KimiError) in try eyes.rooms(part) }
    }

    private static func effective(_ request: ChatRequest, _ mode: ChatMode?) -> ChatRequest {
        var request = request
        if let mode { request.thinking = mode.thinks }
        return request
    }

    /// What an output says, as JSON.
    ///
    /// - Throws: `invalidArgument` for an id that the tokenizer does not know.
    package func parsed(_ ids: [Int32], thinking: Bool) throws(KimiError) -> String {
        for (index, id) in ids.enumerated() where id < 0 || Int(id) >= tokenizer.vocabularySize {
            throw KimiError(
                .invalidArgument, "token \(index) has id \(id); ids are 0 to \(tokenizer.vocabularySize - 1)", subject: "ids")
        }
        let parser = OutputParser(tokens: tokens, tokenizer: tokenizer, endTokens: endTokens, startsInReasoning: thinking)
        return ParsedOutput(ids, parser, hasThought: thinking).json
    }

    /// The mode of a request: what the host chose, else what the request says, else thinking.
    static func mode(of request: ChatRequest, chosen: ChatMode?) -> ChatMode {
        chosen ?? request.mode ?? (request.thinking == false ? .instant : .thinking)
    }
}

extension Model {
    /// The format of this model's conversations, made once.
    package func chatFormat() throws(KimiError) -> ChatFormat {
        if let made = companion.withLock({ $0 }) as? ChatFormat { return made }
        let made = try ChatFormat(self)
        return companion.withLock { companion in
            // Another thread may have been faster; all use the first.
            if let first = companion as? ChatFormat { return first }
            companion = made
            return made
        }
    }
}
