/// Writes JSON text member by member. The caller keeps braces balanced; commas and escapes are the writer's.
///
///     var json = JSONWriter()
///     json.object { json in json.member("layers", 61); json.member("name", "kimi_k25") }
package struct JSONWriter {
    package private(set) var text = ""
    private var needsComma = false

    package init() {}

    private mutating func separate() {
        if needsComma { text += "," }
        needsComma = true
    }

    private mutating func nest(_ open: String, _ close: String, _ body: (inout JSONWriter) -> Void) {
        text += open
        needsComma = false
        body(&self)
        text += close
        needsComma = true
    }

    private mutating func key(_ key: String) {
        separate()
        text += Self.quoted(key) + ":"
    }

    /// An object as the whole text or as an array element.
    package mutating func object(_ body: (inout JSONWriter) -> Void) {
        separate()
        nest("{", "}", body)
    }

    package mutating func object(_ name: String, _ body: (inout JSONWriter) -> Void) {
        key(name)
        nest("{", "}", body)
    }

    /// An array as the whole text or as an array element.
    package mutating func array(_ body: (inout JSONWriter) -> Void) {
        separate()
        nest("[", "]", body)
    }

    package mutating func array(_ name: String, _ body: (inout JSONWriter) -> Void) {
        key(name)
        nest("[", "]", body)
    }

    package mutating func member(_ name: String, _ value: String) { key(name); text += Self.quoted(value) }
    package mutating func member(_ name: String, _ value: Int) { key(name); text += String(value) }
    package mutating func member(_ name: String, _ value: Bool) { key(name); text += value ? "true" : "false" }
    /// A number that is not finite becomes null: JSON has no word for it.
    package mutating func member(_ name: String, _ value: Double) {
        key(name)
        text += value.isFinite ? "\(value)" : "null"
    }
    package mutating func null(_ name: String) { key(name); text += "null" }
    package mutating func element(_ value: Int) { separate(); text += String(value) }
    /// A value as it was read; numbers beyond 64 bits as the nearest double.
    package mutating func element(_ value: JSON) {
        switch value {
        case .null: separate(); text += "null"
        case .bool(let value): separate(); text += value ? "true" : "false"
        case .integer(let value): separate(); text += String(value)
        case .number(let value): separate(); text += "\(value)"
        case .string(let value): element(value)
        case .array(let values): array { json in for value in values { json.element(value) } }
        case .object(let members):
            object { json in
                for name in members.keys {
                    guard let value = members[name] else { continue }
                    json.key(name)
                    json.needsComma = false
                    json.element(value)
                    json.needsComma = true
                }
            }
        }
    }

    package mutating func element(_ value: String) { separate(); text += Self.quoted(value) }

    /// The string in quotes with JSON's escapes.
    package static func quoted(_ string: String) -> String {
        var result = "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
