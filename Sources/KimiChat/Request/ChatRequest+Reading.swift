import KimiCore

extension ChatRequest {
    /// Reads a request that is parsed already.
    ///
    /// - Throws: as `init(json:)`.
    package init(_ json: JSON) throws(KimiError) {
        guard json.objectValue != nil else {
            throw KimiError(.invalidArgument, "the request is \(json.kind); it must be an object with messages", subject: "request")
        }
        let root = RequestField(path: "", value: json)
        var ignored = try Self.ignored(root)
        var messages: [ChatMessage] = []
        let list = try root.required("messages", "a list of messages")
        for field in try list.elements("a list of messages") { messages.append(try ChatMessage(field, ignored: &ignored)) }
        guard !messages.isEmpty else {
            throw KimiError(.invalidArgument, "messages is an empty list; it must have a message at least", subject: "messages")
        }
        self.init(messages: messages)
        try readMembers(root, &ignored)
    }

    /// Reads what requests have in common, without their messages.
    ///
    /// - Parameter name: what the text is called; paths in it are subjects as they are.
    /// - Throws: as `init(json:)`; `invalidArgument` if there are messages.
    package init(membersOf bytes: UnsafeRawBufferPointer, _ name: String) throws(KimiError) {
        let root = RequestField(path: "", value: try RequestField.value(bytes, "\(name) is", subject: name))
        guard root.value.objectValue != nil else {
            throw KimiError(.invalidArgument, "\(name) is \(root.value.kind); it must be an object", subject: name)
        }
        guard root.member("messages") == nil else {
            throw KimiError(.invalidArgument, "\(name) has messages; they are given where it is used", subject: name)
        }
        var ignored = try Self.ignored(root)
        self.init(messages: [])
        try readMembers(root, &ignored)
    }

    /// Members that mean nothing here.
    private static func ignored(_ root: RequestField) throws(KimiError) -> IgnoredFields {
        var ignored = IgnoredFields()
        for key in root.value.objectValue?.keys ?? [] where !known.contains(key) { ignored.add(key) }
        for key in ["functions", "function_call"] where root.member(key) != nil {
            throw KimiError(.unsupported, "\(key) is the old form; use tools and tool_choice", subject: key)
        }
        return ignored
    }

    /// All members but the messages.
    private mutating func readMembers(_ root: RequestField, _ ignored: inout IgnoredFields) throws(KimiError) {
        if let field = root.member("tools") { tools = try ToolDeclaration.list(field) }
        try readToolChoice(root)
        parallelToolCalls = try root.member("parallel_tool_calls")?.flag() ?? true
        if let field = root.member("response_format") { responseFormat = try Self.responseFormat(field) }
        try readThinking(root, &ignored)
        addsGenerationPrompt = try root.member("add_generation_prompt")?.flag() ?? true
        try readSampling(root)
        ignoredFields = ignored.paths
    }

    private static let known: Set<String> = [
        "messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "mode", "thinking",
        "chat_template_kwargs", "reasoning_budget", "add_generation_prompt", "max_tokens", "max_completion_tokens",
        "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty", "seed",
        "stop", "n", "logit_bias", "logprobs", "top_logprobs",
        // Meant for a server around the library; nothing here depends on them.
        "model", "stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
    ]

    // MARK: Tools

    /// Whether there are such tools, who runs the request knows: a session may have tools of its own.
    private mutating func readToolChoice(_ root: RequestField) throws(KimiError) {
        guard let field = root.member("tool_choice") else { return }
        let right = "\"none\", \"auto\", \"required\" or {\"type\": \"function\", \"function\": {\"name\": NAME}}"
        switch field.value {
        case .string("none"): toolChoice = .none
        case .string("auto"): toolChoice = .auto
        case .string("required"): toolChoice = .required
        case .object:
            let type = try field.required("type", "\"function\"")
            guard type.value == .string("function") else { throw type.refused("\"function\"", .unsupported) }
            let function = try field.required("function", "an object with a name")
            _ = try function.object("an object with a name")
            let name = try function.required("name", "the name of a declared tool")
            let text = try name.text()
            guard ToolDeclaration.isName(text) else { throw name.refused("the name of a declared tool") }
            toolChoice = .named(text)
        default: throw field.refused(right)
        }
    }

    private static func responseFormat(_ field: RequestField) throws(KimiError) -> ResponseFormat {
        _ = try field.object("an object with a type")
        let right = "\"text\", \"json_object\" or \"json_schema\""
        let type = try field.required("type", right)
        switch try type.text() {
        case "text": return .text
        case "json_object": return .jsonObject
        case "json_schema":
            let format = try field.required("json_schema", "an object with a schema")
            _ = try format.object("an object with a schema")
            let schema = try format.required("schema", "a JSON Schema: an object")
            if schema.value != .bool(true) { _ = try schema.object("a JSON Schema: an object") }
            return .jsonSchema(
                name: try format.member("name")?.text(), schema: schema.value, strict: try format.member("strict")?.flag() ?? false)
        default: throw type.refused(right)
        }
    }

    // MARK: Thinking

    /// The two public spellings of the switch, and the budget. Two that contradict each other are an error: which one counts
    /// would be a guess.
    private mutating func readThinking(_ root: RequestField, _ ignored: inout IgnoredFields) throws(KimiError) {
        if let field = root.member("mode") { mode = try ChatMode(named: field.text("the name of a mode")) }
        if let arguments = root.member("chat_template_kwargs") {
            let object = try arguments.object()
            thinking = try arguments.member("thinking")?.flag()
            for key in object.keys where key != "thinking" { ignored.add("chat_template_kwargs.\(key)") }
        }
        reasoningBudget = try root.member("reasoning_budget").map { (field) throws(KimiError) in try Self.budget(field) }
        guard let field = root.member("thinking") else { return }
        let object = try field.object("an object such as {\"type\": \"enabled\"}")
        for key in object.keys where key != "type" && key != "budget_tokens" { ignored.add("thinking.\(key)") }
        if let type = field.member("type") {
            let enabled: Bool
            switch type.value {
            case .string("enabled"): enabled = true
            case .string("disabled"): enabled = false
            default: throw type.refused("\"enabled\" or \"disabled\"")
            }
            if let thinking, thinking != enabled {
                throw KimiError(
                    .invalidArgument,
                    "thinking.type is \"\(enabled ? "enabled" : "disabled")\" and chat_template_kwargs.thinking is \(thinking)",
                    subject: "thinking.type")
            }
            thinking = enabled
        }
        if let tokens = field.member("budget_tokens") {
            let budget = try Self.budget(tokens)
            if let other = reasoningBudget, other != budget {
                throw KimiError(
                    .invalidArgument, "thinking.budget_tokens is \(budget) and reasoning_budget is \(other)",
                    subject: "reasoning_budget")
            }
            reasoningBudget = budget
        }
    }

    private static func budget(_ field: RequestField) throws(KimiError) -> Int {
        try field.integer("a number of tokens, 0 or more", in: 0...Int(Int32.max))
    }

    // MARK: Sampling

    private mutating func readSampling(_ root: RequestField) throws(KimiError) {
        let tokens = "a number of tokens, 1 or more"
        maxTokens = try root.member("max_tokens")?.integer(tokens, in: 1...Int(Int32.max))
        if let field = root.member("max_completion_tokens") {
            let limit = try field.integer(tokens, in: 1...Int(Int32.max))
            if let other = maxTokens, other != limit {
                throw KimiError(
                    .invalidArgument, "max_completion_tokens is \(limit) and max_tokens is \(other)",
                    subject: "max_completion_tokens")
            }
            maxTokens = limit
        }
        temperature = try root.member("temperature")?.number()
        topP = try root.member("top_p")?.number()
        // -1 is the other spelling of "all".
        topK = try root.member("top_k").map { (field) throws(KimiError) in
            max(0, try field.integer("0 or more", in: -1...Int(Int32.max)))
        }
        minP = try root.member("min_p")?.number()
        presencePenalty = try root.member("presence_penalty")?.number()
        frequencyPenalty = try root.member("frequency_penalty")?.number()
        repetitionPenalty = try root.member("repetition_penalty")?.number()
        if let field = root.member("seed") {
            seed = UInt64(bitPattern: Int64(try field.integer("an integer of 64 bits", in: Int.min...Int.max)))
        }
        if let field = root.member("n") {
            guard try field.integer("1", in: Int.min...Int.max) == 1 else { throw field.refused("1", .unsupported) }
        }
        if let field = root.member("stop") { stop = try Self.stop(field) }
        if let field = root.member("logit_bias") { logitBias = try Self.logitBias(field) }
        if let field = root.member("top_logprobs") { topLogprobs = try field.integer("0 to 20", in: 0...20) }
        if let field = root.member("logprobs") {
            if try !field.flag() { topLogprobs = nil } else if topLogprobs == nil { topLogprobs = 0 }
        }
    }

    private static func stop(_ field: RequestField) throws(KimiError) -> [String] {
        let right = "a string or a list of strings, none of them empty"
        if let text = field.value.stringValue {
            guard !text.isEmpty else { throw field.refused(right) }
            return [text]
        }
        var strings: [String] = []
        for element in try field.elements(right) {
            let text = try element.text("a string that is not empty")
            guard !text.isEmpty else { throw element.refused("a string that is not empty") }
            strings.append(text)
        }
        return strings
    }

    private static func logitBias(_ field: RequestField) throws(KimiError) -> [(id: Int32, bias: Double)] {
        let object = try field.object("an object from token ids to numbers")
        var biases: [(id: Int32, bias: Double)] = []
        for key in object.keys {
            guard let member = field.member(key) else { continue }
            guard key.utf8.count <= 10, let id = Int32(key), id >= 0 else {
                throw KimiError(
                    .invalidArgument, "logit_bias has the key \"\(RequestField.preview(key))\"; its keys must be token ids",
                    subject: "logit_bias")
            }
            biases.append((id, try member.number()))
        }
        return biases
    }
}
