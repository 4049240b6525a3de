import KimiCore

extension ChatMessage {
    /// Reads a message of a request.
    ///
    /// - Parameter ignored: gets the paths of members that have no meaning here.
    /// - Throws: `invalidArgument` or `unsupported`, naming the path.
    init(_ field: RequestField, ignored: inout IgnoredFields) throws(KimiError) {
        let object = try field.object("an object with role and content")
        let roleField = try field.required("role", "one of \(Self.roleNames)")
        let roleName = try roleField.text("one of \(Self.roleNames)")
        // The old form of a tool's result, with the function's name in the place of an id.
        let isFunction = roleName == "function"
        guard let role = isFunction ? .tool : Role(rawValue: roleName) else { throw roleField.refused("one of \(Self.roleNames)") }
        self.init(role, try Self.content(field, role, &ignored))
        if isFunction {
            functionName = try field.required("name", "the name of the function whose result this is").text()
        } else {
            name = try field.member("name")?.text()
        }
        if role == .assistant {
            reasoning = try Self.reasoning(field)
            toolCalls = try Self.toolCalls(field)
        } else if let calls = field.member("tool_calls"), calls.value.arrayValue?.isEmpty != true {
            throw KimiError(
                .invalidArgument, "\(calls.path) stands in a message of role \"\(roleName)\"; only an assistant calls tools",
                subject: calls.path)
        }
        if role == .tool && !isFunction {
            toolCallID = try field.required("tool_call_id", "the id of the call whose result this is").text()
        }
        for key in object.keys where !Self.known.contains(key) { ignored.add("\(field.path).\(key)") }
    }

    private static let known: Set<String> = [
        "role", "content", "name", "reasoning_content", "reasoning", "tool_calls", "function_call", "tool_call_id",
        // What this library's own answers, and OpenAI's, carry besides.
        "refusal", "annotations", "audio",
    ]

    private static let roleNames = "\"system\", \"developer\", \"user\", \"assistant\", \"tool\""

    // MARK: Content

    private static func content(
        _ field: RequestField, _ role: Role, _ ignored: inout IgnoredFields
    ) throws(KimiError) -> Content {
        let right = "a string or a list of parts"
        guard let content = field.member("content") else {
            // Null says that it is meant; a message without the member is a slip, but an assistant that only calls tools has none.
            if role != .assistant, field.value.objectValue?["content"] == nil { _ = try field.required("content", right) }
            return .none
        }
        return try Self.content(content, &ignored)
    }

    /// - Throws: `invalidArgument` for what is neither a string nor a list of parts.
    static func content(_ content: RequestField, _ ignored: inout IgnoredFields) throws(KimiError) -> Content {
        let right = "a string or a list of parts"
        switch content.value {
        case .string(let text): return .text(text)
        case .array:
            var parts: [Part] = []
            for element in try content.elements(right) { parts.append(try part(element, &ignored)) }
            return .parts(parts)
        default: throw content.refused(right)
        }
    }

    private static func part(_ field: RequestField, _ ignored: inout IgnoredFields) throws(KimiError) -> Part {
        _ = try field.object("a part: an object with a type")
        let type = try field.required("type", "\"text\", \"image_url\" or \"video_url\"")
        let name = try type.text()
        switch name {
        case "text", "input_text", "output_text": return .text(try field.required("text", "a string").text())
        case "refusal": return .text(try field.required("refusal", "a string").text())
        case "image", "image_url", "input_image": return .media(try MediaPart(.image, type: name, field, ignored: &ignored))
        case "video", "video_url", "input_video": return .media(try MediaPart(.video, type: name, field, ignored: &ignored))
        case "input_audio", "file", "input_file": throw type.refused("\"text\", \"image_url\" or \"video_url\"", .unsupported)
        default: throw type.refused("\"text\", \"image_url\" or \"video_url\"")
        }
    }

    private static func reasoning(_ field: RequestField) throws(KimiError) -> Reasoning {
        if let reasoning = field.member("reasoning_content") { return .text(try reasoning.text()) }
        // The newer name that some servers answer with, and that comes back from their clients.
        if let reasoning = field.member("reasoning") { return .text(try reasoning.text()) }
        return field.value.objectValue?["reasoning_content"] == nil ? .absent : .null
    }

    // MARK: Calls

    private static func toolCalls(_ field: RequestField) throws(KimiError) -> [ToolCall] {
        var calls: [ToolCall] = []
        for element in try field.member("tool_calls")?.elements("a list of calls") ?? [] {
            _ = try element.object("a call: an object with id and function")
            if let type = element.member("type"), type.value != .string("function") { throw type.refused("\"function\"") }
            let id = try element.required("id", "a string that no other call of this message has")
            guard try !id.text().isEmpty else { throw id.refused("a string that is not empty") }
            let function = try element.required("function", "an object with name and arguments")
            calls.append(try call(function, id: id.text()))
        }
        if calls.isEmpty, let function = field.member("function_call") { calls.append(try call(function, id: nil)) }
        return calls
    }

    private static func call(_ function: RequestField, id: String?) throws(KimiError) -> ToolCall {
        _ = try function.object("an object with name and arguments")
        let name = try function.required("name", "the name of the function")
        // A tool of the past need not obey the rules for declared ones, but its name must fit into an id.
        let text = try name.text()
        guard (1...longestPastName).contains(text.utf8.count) else { throw name.refused("1 to \(longestPastName) bytes") }
        let arguments = try function.required("arguments", "JSON text, or an object")
        switch arguments.value {
        case .string(let text): return ToolCall(id: id, name: try name.text(), arguments: text)
        case .object: return ToolCall(id: id, name: try name.text(), arguments: PythonText.dump(arguments.value, .spaced))
        default: throw arguments.refused("JSON text, or an object")
        }
    }

    private static let longestPastName = 1024
}

/// The members of a request that nothing was done with: a misspelt option shows up here.
struct IgnoredFields {
    private(set) var paths: [String] = []

    /// How many are named; a list that goes on tells nobody more.
    static let limit = 32

    mutating func add(_ path: String) {
        if paths.count < Self.limit { paths.append(RequestField.preview(path)) }
    }
}

extension ChatMessage.Content {
    /// Reads the content of a tool's message by itself: a string, or a list of parts.
    ///
    /// - Throws: `invalidArgument` or `unsupported`, naming the path from `content` on.
    package init(json bytes: UnsafeRawBufferPointer) throws(KimiError) {
        var ignored = IgnoredFields()
        let value = try RequestField.value(bytes, "the content is", subject: "content")
        self = try ChatMessage.content(RequestField(path: "content", value: value), &ignored)
    }
}
