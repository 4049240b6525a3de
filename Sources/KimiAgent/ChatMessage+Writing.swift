import KimiChat
import KimiCore

extension ChatMessage {
    /// What an assistant said.
    ///
    /// - Parameter reasoning: nil if there was no thought.
    init(assistant content: String, reasoning: String?, calls: [ToolCall]) {
        self.init(.assistant, content.isEmpty && !calls.isEmpty ? .none : .text(content))
        if let reasoning { self.reasoning = .text(reasoning) }
        toolCalls = calls
    }

    /// All text of the message, its parts one after another.
    package var text: String {
        switch content {
        case .none: ""
        case .text(let text): text
        case .parts(let parts): parts.reduce(into: "") { if case .text(let text) = $1 { $0 += text } }
        }
    }

    /// The message as OpenAI's JSON.
    func write(to json: inout JSONWriter) {
        json.object { json in
            json.member("role", role.rawValue)
            if let name { json.member("name", name) }
            switch content {
            case .none: json.null("content")
            case .text(let text): json.member("content", text)
            case .parts(let parts):
                json.array("content") { json in
                    for part in parts {
                        switch part {
                        case .text(let text): json.object { $0.member("type", "text"); $0.member("text", text) }
                        case .media(let part): json.element(part.json)
                        }
                    }
                }
            }
            switch reasoning {
            case .absent: break
            case .null: json.null("reasoning_content")
            case .text(let text): json.member("reasoning_content", text)
            }
            if !toolCalls.isEmpty {
                json.array("tool_calls") { json in for call in toolCalls { call.write(to: &json) } }
            }
            if let toolCallID { json.member("tool_call_id", toolCallID) }
        }
    }
}

extension ChatMessage.ToolCall {
    fileprivate func write(to json: inout JSONWriter) {
        json.object { json in
            if let id { json.member("id", id) }
            json.member("type", "function")
            json.object("function") { json in
                json.member("name", name)
                json.member("arguments", arguments)
            }
        }
    }
}
