/// A JSON value. Objects keep the order of their keys; a duplicate key is an error, not a silent choice.
package enum JSON: Equatable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    /// A number with a fraction or exponent, or an integer beyond 64 bits. Always finite.
    case number(Double)
    case string(String)
    case array([JSON])
    case object(JSONObject)
}

/// The members of a JSON object in their written order.
package struct JSONObject: Equatable, Sendable {
    package private(set) var keys: [String] = []
    private var values: [String: JSON] = [:]

    package init() {}

    package subscript(key: String) -> JSON? { values[key] }

    /// Adds a member; false, and nothing changed, if the key is there already.
    package mutating func add(_ key: String, _ value: JSON) -> Bool {
        guard values[key] == nil else { return false }
        keys.append(key)
        values[key] = value
        return true
    }
}

extension JSON {
    /// Reads one JSON text.
    ///
    /// - Parameters:
    ///   - bytes: the text in UTF-8; a byte order mark is not accepted.
    ///   - file: the name for error messages.
    ///   - maxDepth: how deep arrays and objects may nest.
    /// - Throws: `Status.format` with the byte offset.
    package static func parse(
        _ bytes: UnsafeRawBufferPointer, file: String, maxDepth: Int = 64
    ) throws(KimiError) -> JSON {
        var scanner = JSONScanner(bytes)
        do {
            let value = try scanner.value(depth: maxDepth)
            try scanner.expectEnd()
            return value
        } catch {
            throw KimiError(.format, "not valid JSON at byte \(error.offset): \(error.reason)", file: file)
        }
    }

    package static func parse(_ bytes: [UInt8], file: String, maxDepth: Int = 64) throws(KimiError) -> JSON {
        // Typed throws do not pass through withUnsafeBytes' rethrow; a Result does.
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(KimiError) in try parse(buffer, file: file, maxDepth: maxDepth) }
        }
        return try result.get()
    }

    /// The member of an object, or nil if this is no object, has no such key, or holds null there.
    package subscript(key: String) -> JSON? {
        guard case .object(let object) = self, let value = object[key], value != .null else { return nil }
        return value
    }

    package var stringValue: String? { if case .string(let value) = self { value } else { nil } }
    package var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var arrayValue: [JSON]? { if case .array(let value) = self { value } else { nil } }
    package var objectValue: JSONObject? { if case .object(let value) = self { value } else { nil } }

    /// An integer, also when written as 64.0.
    package var intValue: Int? {
        switch self {
        case .integer(let value): Int(exactly: value)
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    package var doubleValue: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// The kind of value in words, for messages.
    package var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer: "an integer"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension JSONScanner {
    /// The next value as a tree; `depth` is how many levels of nesting are still allowed.
    package mutating func value(depth: Int) throws(Failure) -> JSON {
        skipWhitespace()
        switch peek() {
        case 0x7B: return try object(depth: depth)
        case 0x5B: return try array(depth: depth)
        case 0x22: return .string(try string())
        case 0x74 where word("true"): return .bool(true)
        case 0x66 where word("false"): return .bool(false)
        case 0x6E where word("null"): return .null
        default: return try number()
        }
    }

    private mutating func object(depth: Int) throws(Failure) -> JSON {
        guard depth > 0 else { throw failure("nested too deep") }
        try expect(0x7B)
        var members = JSONObject()
        if take(0x7D) { return .object(members) }
        repeat {
            let key = try string()
            try expect(0x3A)
            let value = try value(depth: depth - 1)
            guard members.add(key, value) else { throw failure("key \"\(key.prefix(80))\" stands twice") }
        } while take(0x2C)
        try expect(0x7D)
        return .object(members)
    }

    private mutating func array(depth: Int) throws(Failure) -> JSON {
        guard depth > 0 else { throw failure("nested too deep") }
        try expect(0x5B)
        var elements: [JSON] = []
        if take(0x5D) { return .array(elements) }
        repeat { elements.append(try value(depth: depth - 1)) } while take(0x2C)
        try expect(0x5D)
        return .array(elements)
    }
}
