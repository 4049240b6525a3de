import KimiCore

/// A whole output, put together from its events.
package struct ParsedOutput: Equatable, Sendable {
    package private(set) var reasoning: String?
    package private(set) var content = ""
    package private(set) var calls: [ChatMessage.ToolCall] = []
    package private(set) var rejected: [String] = []
    /// "tool_calls", "stop", or "length" for an output that is cut within its thought or a call.
    package private(set) var finishReason = "stop"

    /// Reads a whole output.
    ///
    /// - Parameters:
    ///   - parser: a new one.
    ///   - hasThought: whether the output begins in a thought; one that stays empty is "" then, and no thought is nil.
    package init(_ ids: [Int32], _ parser: OutputParser, hasThought: Bool) {
        var parser = parser
        let events = parser.feed(ids)
        self.init(events, &parser, hasThought)
    }

    /// The same for an output on record as text.
    package init(text: String, hasThought: Bool) {
        var parser = OutputParser(startsInReasoning: hasThought)
        let events = parser.feed(text: text)
        self.init(events, &parser, hasThought)
    }

    private init(_ events: [OutputEvent], _ parser: inout OutputParser, _ hasThought: Bool) {
        if hasThought { reasoning = "" }
        let isCut = parser.isReasoning || parser.isInCall
        for event in events + parser.finish() {
            switch event {
            case .reasoning(let text): reasoning = (reasoning ?? "") + text
            case .content(let text): content += text
            case .callBegin, .argumentDelta: break
            case .callEnd(_, let id, let name, let arguments):
                calls.append(ChatMessage.ToolCall(id: id, name: name, arguments: arguments))
            case .callRejected(_, _, _, let preview): rejected.append(preview)
            }
        }
        finishReason = isCut ? "length" : calls.isEmpty ? "stop" : "tool_calls"
    }

    /// As one JSON object: reasoning_content, content, tool_calls (id, name, arguments), finish_reason, and rejected_calls where there
    /// are any.
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
            json.member("finish_reason", finishReason)
            if !rejected.isEmpty { json.array("rejected_calls") { json in for preview in rejected { json.element(preview) } } }
        }
        return json.text
    }
}
