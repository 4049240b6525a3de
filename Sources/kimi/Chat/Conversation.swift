import KimiCore

/// What was said, message by message, in OpenAI's terms.
struct Conversation {
    struct Call: Equatable {
        let id: String
        let name: String
        let arguments: String
    }

    struct Message: Equatable {
        var role: String
        var content: String
        /// The whole content, if there is more in it than text: parts in OpenAI's terms.
        var parts: [JSON]?
        var reasoning: String?
        var calls: [Call] = []
        /// Of a tool's result: the call it answers and the tool.
        var callID: String?
        var name: String?
    }

    var messages: [Message] = []

    // MARK: Parts

    var system: String? {
        get { messages.first.flatMap { $0.role == "system" ? $0.content : nil } }
        set {
            if messages.first?.role == "system" { messages.removeFirst() }
            if let newValue { messages.insert(Message(role: "system", content: newValue), at: 0) }
        }
    }

    /// Whether anything but a system text was said.
    var isEmpty: Bool { !messages.contains { $0.role != "system" } }

    var lastAnswer: Message? { messages.last { $0.role == "assistant" } }
    var lastReasoning: String? { lastExchange.compactMap(\.reasoning).filter { !$0.isEmpty }.last }
    var lastResult: Message? { messages.last { $0.role == "tool" } }

    /// The last message of the user and all that followed.
    private var lastExchange: ArraySlice<Message> {
        messages.lastIndex { $0.role == "user" }.map { messages[$0...] } ?? []
    }

    /// Takes back the last message of the user with all that followed, and returns it; nil if there is none.
    mutating func undo() -> Message? {
        guard let index = messages.lastIndex(where: { $0.role == "user" }) else { return nil }
        let message = messages[index]
        messages.removeSubrange(index...)
        return message
    }

    mutating func reset() { messages = system.map { [Message(role: "system", content: $0)] } ?? [] }

    // MARK: JSON

    func write(to json: inout JSONWriter) {
        json.array("messages") { json in
            for message in messages {
                json.object { json in
                    json.member("role", message.role)
                    if let parts = message.parts {
                        json.array("content") { json in for part in parts { json.element(part) } }
                    } else {
                        json.member("content", message.content)
                    }
                    if let reasoning = message.reasoning, !reasoning.isEmpty { json.member("reasoning_content", reasoning) }
                    if !message.calls.isEmpty {
                        json.array("tool_calls") { json in for call in message.calls { Self.write(call, to: &json) } }
                    }
                    if let id = message.callID { json.member("tool_call_id", id) }
                    if let name = message.name { json.member("name", name) }
                }
            }
        }
    }

    private static func write(_ call: Call, to json: inout JSONWriter) {
        json.object { json in
            json.member("id", call.id)
            json.member("type", "function")
            json.object("function") { json in
                json.member("name", call.name)
                json.member("arguments", call.arguments)
            }
        }
    }

    init() {}

    /// Reads an array of messages, or an object that has one as `messages`.
    ///
    /// - Throws: `format` or `invalidArgument` with the path of the member at fault.
    init(json bytes: [UInt8], file: String) throws(KimiError) {
        let whole = try JSON.parse(bytes, file: file)
        guard let list = (whole.arrayValue ?? whole["messages"]?.arrayValue) else {
            throw KimiError(.format, "has no messages: it must be an array of messages, or an object with \"messages\"", file: file)
        }
        messages.reserveCapacity(list.count)
        for (index, value) in list.enumerated() { messages.append(try Self.message(value, "messages[\(index)]", file)) }
    }

    private static func message(_ value: JSON, _ path: String, _ file: String) throws(KimiError) -> Message {
        func wrong(_ name: String, _ words: String) -> KimiError {
            KimiError(.invalidArgument, "\(path).\(name) \(words)", file: file, subject: "\(path).\(name)")
        }
        guard let role = value["role"]?.stringValue, ["system", "developer", "user", "assistant", "tool"].contains(role) else {
            throw wrong("role", "must be \"system\", \"user\", \"assistant\" or \"tool\"")
        }
        let content = try content(value["content"], wrong)
        var message = Message(role: role == "developer" ? "system" : role, content: content.text, parts: content.parts)
        message.reasoning = value["reasoning_content"]?.stringValue
        message.callID = value["tool_call_id"]?.stringValue
        message.name = value["name"]?.stringValue
        for (index, call) in (value["tool_calls"]?.arrayValue ?? []).enumerated() {
            let function = call["function"]
            guard let id = call["id"]?.stringValue, let name = function?["name"]?.stringValue,
                let arguments = function?["arguments"]?.stringValue
            else { throw wrong("tool_calls[\(index)]", "must have an id and a function with a name and arguments, all strings") }
            message.calls.append(Call(id: id, name: name, arguments: arguments))
        }
        return message
    }

    /// The text of a content, a string, parts or nothing; and the parts, if there are others than text.
    private static func content(
        _ content: JSON?, _ wrong: (String, String) -> KimiError
    ) throws(KimiError) -> (text: String, parts: [JSON]?) {
        guard let content else { return ("", nil) }
        if let text = content.stringValue { return (text, nil) }
        guard let parts = content.arrayValue else { throw wrong("content", "must be a string, or parts of text, pictures and videos") }
        var (whole, isText) = ("", true)
        for part in parts {
            if let text = part["text"]?.stringValue {
                whole += text
            } else {
                guard part["type"]?.stringValue != nil else { throw wrong("content", "has a part that is no text and says no type") }
                isText = false
            }
        }
        return (whole, isText ? nil : parts)
    }
}
