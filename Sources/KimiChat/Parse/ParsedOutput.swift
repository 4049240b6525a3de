import KimiCore

/// A whole output, put together from its events.
package struct ParsedOutput: Equatable, Sendable {
    package private(set) var reasoning: String?
    package private(set) var content = ""
    package private(set) var calls: [ChatMessage.ToolCall] = []
    package private(set) var rejected: [String] = []

    /// - Parameter hasThought: whether the output begins in a thought; one that stays empty is "" then, and no thought is nil.
    package init(_ events: [OutputEvent], hasThought: Bool) {
        if hasThought { reasoning = "" }
        for event in events {
            switch event {
            case .reasoning(let text): reasoning = (reasoning ?? "") + text
            case .content(let text): content += text
            case .callBegin, .argumentDelta: break
            case .callEnd(_, let id, let name, let arguments):
                calls.append(ChatMessage.ToolCall(id: id, name: name, arguments: arguments))
            case .callRejected(_, _, _, let preview): rejected.append(preview)
            }
        }
    }

    /// As one JSON object: reasoning_content, content, tool_calls (id, name, arguments), rejected_calls where there are any.
    package var json: String {
        var json = JSONWriter()
        json.object { json in
            if let reasoning { json.member("reasoning_content", reasoning) } else { json.null("reasoning_content") }
            json.member("content", content)
            json.array("tool_calls") { json in
                for call in calls {
                    json.object { json in
                        json.member("id", call.id ?? "")
                        json.member("name", call.name)
                        json.member("arguments", call.arguments)
                    }
                }
            }
            if !rejected.isEmpty { json.array("rejected_calls") { json in for preview in rejected { json.element(preview) } } }
        }
        return json.text
    }
}
