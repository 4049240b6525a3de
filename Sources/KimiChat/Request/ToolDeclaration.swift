import KimiCore

/// A tool that the model may call.
package struct ToolDeclaration: Sendable, Equatable {
    package let name: String
    package let description: String?
    /// The JSON Schema of the arguments, an object, or nil for a tool without any.
    package let parameters: JSON?
    /// Whether the host asked for arguments that follow the schema exactly. They do in any case; kept for who asks.
    package let strict: Bool
    /// The tool as the request has it, which is what the prompt is made of.
    package let json: JSON

    /// Letters, digits, `_` and `-`, as OpenAI has it, and `.`: in `functions.NAME:INDEX` the name goes from the first point to
    /// the last colon, so a point in it does no harm while a colon would. Twice OpenAI's length, for gateways that put a server's
    /// name in front.
    static let longestName = 128

    /// Reads `{"type": "function", "function": {...}}`.
    ///
    /// - Throws: `invalidArgument` or `unsupported`, naming the path.
    init(_ field: RequestField) throws(KimiError) {
        _ = try field.object("a tool: an object with type and function")
        let type = try field.required("type", "\"function\"")
        guard try type.text() == "function" else { throw type.refused("\"function\"", .unsupported) }
        let function = try field.required("function", "an object with name, description and parameters")
        _ = try function.object("an object with name, description and parameters")
        let name = try function.required("name", "1 to \(Self.longestName) of A-Z, a-z, 0-9, \"_\", \"-\" and \".\"")
        self.name = try name.text()
        guard Self.isName(self.name) else {
            throw name.refused("1 to \(Self.longestName) of A-Z, a-z, 0-9, \"_\", \"-\" and \".\"")
        }
        description = try function.member("description")?.text()
        let parameters = function.member("parameters")
        _ = try parameters?.object("a JSON Schema: an object")
        self.parameters = parameters?.value
        strict = try function.member("strict")?.flag() ?? false
        json = field.value
    }

    package static func isName(_ text: String) -> Bool {
        (1...longestName).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F, 0x2D, 0x2E: true
                default: false
                }
            }
    }

    /// Reads a list of tools, in which no name stands twice.
    static func list(_ field: RequestField) throws(KimiError) -> [ToolDeclaration] {
        var tools: [ToolDeclaration] = []
        var places: [String: Int] = [:]
        for (index, element) in try field.elements("a list of tools").enumerated() {
            let tool = try ToolDeclaration(element)
            if let first = places.updateValue(index, forKey: tool.name) {
                let path = "\(element.path).function.name"
                throw KimiError(
                    .invalidArgument,
                    "\(path) is \"\(tool.name)\", as is that of \(field.path)[\(first)]; every tool needs a name of its own",
                    subject: path)
            }
            tools.append(tool)
        }
        return tools
    }
}
