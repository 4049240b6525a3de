import KimiCore

/// The templates of the family. K2 Thinking's is K2.5's with other tools and a system prompt of its own; K2 Instruct's has no
/// thoughts.
extension PromptRenderer {
    /// - Parameter calls: of the request's messages.
    func pieces(
        of request: ChatRequest, _ calls: ResolvedCalls, thinks: Bool
    ) -> (pieces: PromptPieces, declaresToolsAsJSON: Bool) {
        var pieces = PromptPieces()
        var declaresToolsAsJSON = false
        if !request.tools.isEmpty { declaresToolsAsJSON = declare(request.tools, &pieces) }
        if let prompt = layout.defaultSystemPrompt, request.messages.first?.role != .system {
            write(ChatMessage(.system, text: prompt), keepsReasoning: false, calls: [], result: nil, &pieces)
        }
        // Up to the last answer without calls the thoughts are forgotten; those of the turn that goes on are kept.
        let lastAnswer = request.messages.lastIndex { $0.role == .assistant && $0.toolCalls.isEmpty } ?? -1
        for (place, message) in request.messages.enumerated() {
            write(
                message, keepsReasoning: place > lastAnswer && thinks, calls: calls.calls[place],
                result: calls.results[place], &pieces)
        }
        if request.addsGenerationPrompt { writeGenerationPrompt(thinks: thinks, &pieces) }
        return (pieces, declaresToolsAsJSON)
    }

    /// - Returns: whether TypeScript was wanted and could not be had.
    private func declare(_ tools: [ToolDeclaration], _ pieces: inout PromptPieces) -> Bool {
        let list = tools.map(\.json)
        let typeScript = layout.declaresTypeScript ? TypeScriptDeclaration.render(list) : nil
        pieces.add(.imSystem)
        pieces.add("tool_declare")
        pieces.add(.imMiddle)
        pieces.add(typeScript ?? PythonText.dump(.array(list), .compactSorted))
        pieces.add(.imEnd)
        return layout.declaresTypeScript && typeScript == nil
    }

    func writeGenerationPrompt(thinks: Bool, _ pieces: inout PromptPieces) {
        pieces.add(.imAssistant)
        pieces.add("assistant")
        pieces.add(.imMiddle)
        switch (layout, thinks) {
        case (.k25, true): pieces.add(.think)
        // K2 Thinking's template has no switch; an empty thought is what the model sees of its own past.
        case (.k25, false), (.k2Thinking, false):
            pieces.add(.think)
            pieces.add(.endThink)
        case (.k2Thinking, true), (.k2Instruct, _): break
        }
    }

    // MARK: Messages

    /// - Parameters:
    ///   - keepsReasoning: whether an assistant's thoughts are shown.
    ///   - calls: the canonical ids of the message's calls.
    ///   - result: the canonical id of the call whose result the message is.
    func write(
        _ message: ChatMessage, keepsReasoning: Bool, calls: [String], result: String?, _ pieces: inout PromptPieces
    ) {
        if message.role == .tool, let result {
            writeResult(ToolResult(id: result, content: message.content), name: message.name, &pieces)
            return
        }
        writeHead(message.role, message.name, &pieces)
        if message.role == .assistant && layout.thinks {
            pieces.add(.think)
            if keepsReasoning { pieces.add(reasoning(message.reasoning)) }
            pieces.add(.endThink)
        }
        write(message.content, &pieces)
        if !calls.isEmpty {
            pieces.add(.toolCallsBegin)
            for (call, id) in zip(message.toolCalls, calls) {
                pieces.add(.toolCallBegin)
                pieces.add(id)
                pieces.add(.toolCallArgumentBegin)
                pieces.add(call.arguments)
                pieces.add(.toolCallEnd)
            }
            pieces.add(.toolCallsEnd)
        }
        pieces.add(.imEnd)
    }

    private func reasoning(_ reasoning: ChatMessage.Reasoning) -> String {
        switch reasoning {
        case .absent: ""
        case .null: "None"
        case .text(let text): text
        }
    }

    private func writeHead(_ role: ChatMessage.Role, _ name: String?, _ pieces: inout PromptPieces) {
        switch role {
        case .user: pieces.add(.imUser)
        case .assistant: pieces.add(.imAssistant)
        case .system, .developer, .tool, .toolDeclare: pieces.add(.imSystem)
        }
        pieces.add(name.flatMap { $0.isEmpty ? nil : $0 } ?? role.rawValue)
        pieces.add(.imMiddle)
    }

    func writeResult(_ result: ToolResult, name: String? = nil, _ pieces: inout PromptPieces) {
        writeHead(.tool, name, &pieces)
        pieces.add("## Return of \(result.id)\n")
        write(result.content, &pieces)
        pieces.add(.imEnd)
    }

    private func write(_ content: ChatMessage.Content, _ pieces: inout PromptPieces) {
        switch content {
        case .none: break
        case .text(let text): pieces.add(text)
        case .parts(let parts):
            for part in parts {
                switch part {
                case .text(let text): pieces.add(text)
                case .media(let part):
                    pieces.add(part)
                    // The template's own line break behind a medium.
                    pieces.add("\n")
                }
            }
        }
    }
}
