import KimiCore

extension ToolDeclaration {
    /// A tool that a host declares by its parts rather than in a request.
    ///
    /// - Parameter parameters: the JSON text of a schema of an object, or nil for a tool without arguments.
    /// - Throws: `invalidArgument` naming the part.
    package init(name: String, description: String?, parameters: UnsafeRawBufferPointer?) throws(KimiError) {
        var schema: JSON?
        if let parameters { schema = try RequestField.value(parameters, "parameters are", subject: "parameters") }
        try self.init(name: name, description: description, schema: schema)
    }

    /// - Parameter schema: the schema of an object, or nil for a tool without arguments.
    /// - Throws: `invalidArgument` naming the part.
    package init(name: String, description: String?, schema: JSON?) throws(KimiError) {
        var function = JSONObject()
        _ = function.add("name", .string(name))
        if let description { _ = function.add("description", .string(description)) }
        if let schema { _ = function.add("parameters", schema) }
        var tool = JSONObject()
        _ = tool.add("type", .string("function"))
        _ = tool.add("function", .object(function))
        try self.init(RequestField(path: "", value: .object(tool)))
    }

    /// OpenAI tools, a JSON array, as the prompt declares them: in TypeScript, or as JSON where that cannot say one of the schemas.
    ///
    /// - Throws: `invalidArgument` naming the path.
    package static func declaration(of tools: UnsafeRawBufferPointer) throws(KimiError) -> String {
        let value = try RequestField.value(tools, "tools are", subject: "tools")
        let list = try Self.list(RequestField(path: "tools", value: value)).map(\.json)
        return TypeScriptDeclaration.render(list) ?? PythonText.dump(.array(list), .compactSorted)
    }
}

extension ChatRequest {
    /// One message of a user.
    package init(userText text: String) { self.init(messages: [ChatMessage(.user, text: text)]) }
}
