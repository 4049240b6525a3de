import KimiCore

/// The schema says something that the published declaration has no TypeScript for.
struct NotTypeScript: Error {}

/// A JSON Schema as the published declaration sees it.
///
/// It sees less than the schema says: of the keywords `$ref`, `anyOf`, `enum` and `type` the first there decides and the others are
/// not looked at, and what has none of them but is not empty (`oneOf`, `allOf`, `const` alone) it cannot say at all.
struct TypeScriptType {
    let notes: Notes
    let shape: Shape

    /// What stands above the type as comments.
    struct Notes {
        /// Of any kind, and looked at only where it is printed.
        var description: JSON?
        /// By name, in the order of the names.
        var constraints: [(name: String, value: JSON)] = []
    }

    indirect enum Shape {
        /// A type without parts. `isText` is false for a `type` that is no string, which Python prints in some places and not in
        /// others.
        case word(String, isText: Bool)
        case object(Members)
        case array(TypeScriptType)
        case either([TypeScriptType])
    }

    struct Members {
        /// In the order of the names.
        var properties: [Property] = []
        var others = Others.unsaid
    }

    /// `additionalProperties`.
    enum Others {
        case unsaid
        case anything
        case nothing
        case some(TypeScriptType)
        /// Neither schema nor boolean: an error where it is printed.
        case wrong
    }

    struct Property {
        let name: String
        let type: TypeScriptType
        let optional: Bool
        /// JSON's null where there is none: the two are printed alike.
        let standard: JSON
    }
}

/// Reads the schemas of one function and remembers what `$ref` can lead to.
///
/// Definitions are known from the object that holds them onwards, in the order of reading; a reference to one that comes later is
/// `NotTypeScript`, as in the published encoder. References are not followed, so a recursive schema ends by itself.
struct TypeScriptReader {
    /// The names of the definitions in the order in which they were met.
    private(set) var names: [String] = []
    private(set) var definitions: [String: JSON] = [:]
    /// Whether `$ref: "#"` was met.
    private(set) var refersToRoot = false

    mutating func type(_ schema: JSON) throws(NotTypeScript) -> TypeScriptType {
        switch schema {
        case .bool(let yes): return .init(notes: .init(), shape: .word(yes ? "any" : "null", isText: true))
        case .object(let object):
            if let target = object["$ref"] { return try reference(target, object) }
            if let options = object["anyOf"] {
                var types: [TypeScriptType] = []
                for option in try elements(options) { types.append(try type(option)) }
                return .init(notes: notes(object), shape: .either(types))
            }
            if let values = object["enum"] { return try enumeration(values, object) }
            guard let type = object["type"] else {
                guard object.keys.isEmpty else { throw NotTypeScript() }
                return .init(notes: .init(), shape: .word("any", isText: true))
            }
            return try typed(type, object)
        default: throw NotTypeScript()
        }
    }

    private mutating func typed(_ type: JSON, _ object: JSONObject) throws(NotTypeScript) -> TypeScriptType {
        switch type {
        case .array(let types):
            var words: [String] = []
            for type in types { words.append(try Self.word(type)) }
            return .init(notes: notes(object), shape: .word(words.joined(separator: " | "), isText: true))
        case .string("object"): return .init(notes: notes(object), shape: .object(try members(object)))
        case .string("array"):
            let items = object["items"] ?? .null
            let item = try items.isFalsy ? TypeScriptType(notes: .init(), shape: .word("any", isText: true)) : self.type(items)
            return .init(notes: notes(object, ["maxItems", "minItems"]), shape: .array(item))
        case .string(let name):
            let constraints =
                switch name {
                case "string": ["maxLength", "minLength", "pattern"]
                case "number", "integer": ["maximum", "minimum"]
                default: [String]()
                }
            return .init(notes: notes(object, constraints), shape: .word(name == "integer" ? "number" : name, isText: true))
        default: return .init(notes: notes(object), shape: .word(PythonText.string(type), isText: false))
        }
    }

    /// A type in a list of types.
    private static func word(_ type: JSON) throws(NotTypeScript) -> String {
        switch type.stringValue {
        case "string": return "string"
        case "number", "integer": return "number"
        case "boolean": return "boolean"
        case "null": return "null"
        case "object": return "{}"
        case "array": return "Array<any>"
        default: throw NotTypeScript()
        }
    }

    /// - Parameter constraints: the keywords to print, in the order of the alphabet.
    private func notes(_ object: JSONObject, _ constraints: [String] = []) -> TypeScriptType.Notes {
        var notes = TypeScriptType.Notes(description: object["description"])
        for name in constraints {
            if let value = object[name] { notes.constraints.append((name, value)) }
        }
        return notes
    }

    /// What Python iterates over.
    private func elements(_ value: JSON) throws(NotTypeScript) -> [JSON] {
        switch value {
        case .array(let elements): return elements
        case .string(let text): return text.unicodeScalars.map { .string(String($0)) }
        case .object(let object): return object.sortedKeys.map { .string($0) }
        default: throw NotTypeScript()
        }
    }

    // MARK: Objects

    /// The members of a schema of type object, or of a function's parameters.
    mutating func members(_ object: JSONObject) throws(NotTypeScript) -> TypeScriptType.Members {
        if let definitions = object["$defs"], !definitions.isFalsy { try define(definitions) }
        var members = TypeScriptType.Members()
        switch object["additionalProperties"] {
        case nil, .null: break
        case .bool(let yes): members.others = yes ? .anything : .nothing
        case .some(let schema):
            if case .object = schema { members.others = .some(try type(schema)) } else { members.others = .wrong }
        }
        guard let properties = object["properties"] else { return members }
        guard case .object(let properties) = properties else { throw NotTypeScript() }
        let required = try requiredNames(object["required"])
        members.properties.reserveCapacity(properties.keys.count)
        for name in properties.sortedKeys {
            guard let schema = properties[name] else { continue }
            members.properties.append(
                .init(
                    name: name, type: try type(schema), optional: !required.contains(name), standard: schema["default"] ?? .null))
        }
        return members
    }

    private mutating func define(_ schemas: JSON) throws(NotTypeScript) {
        guard case .object(let schemas) = schemas else { throw NotTypeScript() }
        for name in schemas.sortedKeys {
            if definitions.updateValue(schemas[name] ?? .null, forKey: name) == nil { names.append(name) }
        }
    }

    private func requiredNames(_ value: JSON?) throws(NotTypeScript) -> Set<String> {
        guard let value else { return [] }
        var names: Set<String> = []
        for element in try elements(value) {
            switch element {
            case .string(let name): names.insert(name)
            // Python cannot put these into a set.
            case .array, .object: throw NotTypeScript()
            default: break
            }
        }
        return names
    }

    // MARK: References

    private mutating func reference(_ target: JSON, _ object: JSONObject) throws(NotTypeScript) -> TypeScriptType {
        guard let target = target.stringValue else { throw NotTypeScript() }
        var name = "parameters"
        if target == "#" {
            refersToRoot = true
        } else {
            guard target.utf8.starts(with: "#/$defs/".utf8) else { throw NotTypeScript() }
            let last = String(target.unicodeScalars.reversed().prefix { $0 != "/" }.reversed().map(Character.init))
            guard case .object(let schema)? = definitions[last] else { throw NotTypeScript() }
            if schema["$self_ref"]?.isFalsy ?? true { name = last }
        }
        return .init(notes: notes(object), shape: .word(name, isText: true))
    }

    // MARK: Enumerations

    private func enumeration(_ values: JSON, _ object: JSONObject) throws(NotTypeScript) -> TypeScriptType {
        let values = try elements(values)
        if let type = object["type"] {
            let type = try Self.enumerated(type)
            for value in values where !Self.isValue(value, of: type) { throw NotTypeScript() }
        }
        let words = values.map { value in
            if case .string(let text) = value { "\"\(text)\"" } else { PythonText.string(value) }
        }
        return .init(notes: notes(object), shape: .word(words.joined(separator: " | "), isText: true))
    }

    /// The one type of the values; null goes beside any.
    private static func enumerated(_ type: JSON) throws(NotTypeScript) -> JSON {
        guard case .array(let types) = type else { return type }
        if types.count == 1 { return types[0] }
        guard types.count == 2, types.contains(.string("null")) else { throw NotTypeScript() }
        return types[0] == .string("null") ? types[1] : types[0]
    }

    private static func isValue(_ value: JSON, of type: JSON) -> Bool {
        switch (type.stringValue, value) {
        case (_, .null): true
        case ("string", _): value.stringValue != nil
        // Python's booleans are integers.
        case ("number", .integer), ("number", .number), ("number", .bool), ("integer", .integer), ("integer", .bool): true
        case ("number", _), ("integer", _): false
        case ("boolean", _): value.boolValue != nil
        default: true
        }
    }
}
