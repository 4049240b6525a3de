import KimiCore

/// Tools as the TypeScript namespace that K2.5 was trained on.
package enum TypeScriptDeclaration {
    /// The declaration of OpenAI-shaped tools, or nil where the published encoder gives up and the tools are declared as JSON: a
    /// schema without a type, `oneOf`, `allOf`, a reference to a definition that is not there, an enumeration whose values have
    /// another type than it says. One such schema among many tools makes all of them JSON.
    ///
    /// - Parameter tools: as they stand in a request; entries of another type than `function` are left out.
    /// - Complexity: O(n log n) in the size of the schemas: keys are sorted.
    package static func render(_ tools: [JSON]) -> String? {
        do throws(NotTypeScript) {
            var functions: [String] = []
            for tool in tools {
                guard case .object(let tool) = tool else { throw NotTypeScript() }
                guard tool["type"] == .string("function"), let function = tool["function"], !function.isFalsy else { continue }
                guard case .object(let function) = function else { throw NotTypeScript() }
                functions.append(try declaration(function))
            }
            if functions.isEmpty { return nil }
            return "# Tools\n\n## functions\nnamespace functions {\n" + functions.joined(separator: "\n") + "\n}\n"
        } catch {
            return nil
        }
    }

    private static func declaration(_ function: JSONObject) throws(NotTypeScript) -> String {
        var parameters = JSONObject()
        if let given = function["parameters"], !given.isFalsy {
            guard case .object(let given) = given else { throw NotTypeScript() }
            parameters = given
        }
        var reader = TypeScriptReader()
        let members = try reader.members(parameters)
        var parts: [String] = []
        let refersToRoot = reader.refersToRoot
        if refersToRoot { parts.append(try interface(ofRoot: members)) }
        // A definition may hold definitions of its own; they can be referred to and are not printed.
        let definitions = reader.definitions
        for name in reader.names {
            guard let schema = definitions[name] else { continue }
            var text = try description(schema["description"], indent: "")
            text += "interface \(name) "
            try write(reader.type(schema), indent: "", into: &text)
            // The published encoder asks the definition for its description, which a boolean has not.
            guard schema.objectValue != nil else { throw NotTypeScript() }
            parts.append(text)
        }
        var text = try description(function["description"], indent: "")
        text += "type \(function["name"].map(PythonText.string) ?? "function") = (_: "
        if refersToRoot {
            text += "parameters"
        } else {
            try write(members, indent: "", into: &text)
        }
        parts.append(text + ") => any;")
        return parts.joined(separator: "\n")
    }

    /// The parameters under a name, for schemas that refer to themselves: in the order of the names alone, and without a word about
    /// further properties.
    private static func interface(ofRoot members: TypeScriptType.Members) throws(NotTypeScript) -> String {
        var text = "interface parameters {"
        for (index, property) in members.properties.enumerated() {
            text += index == 0 ? "\n" : ",\n"
            try write(property, indent: step, into: &text)
        }
        return text + (members.properties.isEmpty ? "}" : "\n}")
    }

    // MARK: Types

    private static let step = "  "

    /// - Returns: whether what was written is a string to Python.
    @discardableResult
    private static func write(_ type: TypeScriptType, indent: String, into text: inout String) throws(NotTypeScript) -> Bool {
        switch type.shape {
        case .word(let word, let isText):
            text += word
            return isText
        case .object(let members): try write(members, indent: indent, into: &text)
        case .array(let item):
            let comments = try comments(item.notes, indent: indent + step)
            text += "Array<"
            if comments.isEmpty {
                try write(item, indent: indent, into: &text)
            } else {
                text += "\n" + comments + indent + step
                guard try write(item, indent: indent + step, into: &text) else { throw NotTypeScript() }
                text += "\n" + indent
            }
            text += ">"
        case .either(let types):
            for (index, type) in types.enumerated() {
                if index > 0 { text += " | " }
                guard try write(type, indent: indent, into: &text) else { throw NotTypeScript() }
            }
        }
        return true
    }

    /// Required properties come first.
    private static func write(_ members: TypeScriptType.Members, indent: String, into text: inout String) throws(NotTypeScript) {
        let inner = indent + step
        var separator = "{\n"
        for optional in [false, true] {
            for property in members.properties where property.optional == optional {
                text += separator
                separator = ",\n"
                try write(property, indent: inner, into: &text)
            }
        }
        if case .unsaid = members.others {
            text += members.properties.isEmpty ? "{}" : "\n\(indent)}"
            return
        }
        text += "\(separator)\(inner)[k: string]: "
        switch members.others {
        case .unsaid, .anything: text += "any"
        case .nothing: text += "never"
        case .some(let type): try write(type, indent: inner, into: &text)
        case .wrong: throw NotTypeScript()
        }
        text += "\n\(indent)}"
    }

    private static func write(_ property: TypeScriptType.Property, indent: String, into text: inout String) throws(NotTypeScript) {
        text += try comments(property.type.notes, indent: indent)
        switch property.standard {
        case .null: break
        case .bool, .integer, .number: text += "\(indent)// Default: \(PythonText.string(property.standard))\n"
        case .string, .array, .object:
            text += "\(indent)// Default: \(PythonText.dump(property.standard, .spacedSorted))\n"
        }
        text += "\(indent)\(property.name)\(property.optional ? "?" : ""): "
        try write(property.type, indent: indent, into: &text)
    }

    // MARK: Comments

    private static func comments(_ notes: TypeScriptType.Notes, indent: String) throws(NotTypeScript) -> String {
        var text = try description(notes.description, indent: indent)
        if !notes.constraints.isEmpty {
            let constraints = notes.constraints.map { "\($0.name): \(PythonText.string($0.value))" }
            text += "\(indent)// \(constraints.joined(separator: ", "))\n"
        }
        return text
    }

    /// Every line behind a comment mark, but empty lines stay empty.
    private static func description(_ value: JSON?, indent: String) throws(NotTypeScript) -> String {
        guard let value, !value.isFalsy else { return "" }
        guard let description = value.stringValue else { throw NotTypeScript() }
        var text = ""
        // By bytes: "\r\n" is one character to Swift, and only "\n" parts lines here.
        for line in description.utf8.split(separator: 0x0A, omittingEmptySubsequences: false) {
            if !line.isEmpty { text += "\(indent)// \(Substring(line))" }
            text += "\n"
        }
        return text
    }
}
