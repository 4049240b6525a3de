import KimiCore

/// A value in a request and the path that leads to it, such as `messages[3].tool_calls[0].function.name`.
///
/// Every refusal names the path, says what stands there and what would be right. A null counts as absent.
struct RequestField {
    let path: String
    let value: JSON

    /// The value of a host's JSON text.
    ///
    /// - Parameter words: what the text is, with its verb, for the message: "the request is".
    /// - Throws: `invalidArgument` for text that is not JSON, with the byte.
    static func value(_ bytes: UnsafeRawBufferPointer, _ words: String, subject: String) throws(KimiError) -> JSON {
        do {
            return try JSON.parse(bytes, file: subject, maxDepth: ChatRequest.maxDepth)
        } catch {
            throw KimiError(.invalidArgument, "\(words) \(error.message)", subject: subject)
        }
    }

    /// The member of an object, or nil if it is absent or null. `self` must be an object: see `object()`.
    func member(_ key: String) -> RequestField? {
        guard let value = value[key] else { return nil }
        return RequestField(path: path.isEmpty ? key : "\(path).\(key)", value: value)
    }

    /// - Throws: `invalidArgument` if the member is absent or null.
    func required(_ key: String, _ right: String) throws(KimiError) -> RequestField {
        if let field = member(key) { return field }
        let field = RequestField(path: path.isEmpty ? key : "\(path).\(key)", value: .null)
        throw KimiError(.invalidArgument, "\(field.path) is missing; it must be \(right)", subject: field.path)
    }

    /// - Throws: `invalidArgument` unless this is an object.
    func object(_ right: String = "an object") throws(KimiError) -> JSONObject {
        guard let object = value.objectValue else { throw refused(right) }
        return object
    }

    func elements(_ right: String) throws(KimiError) -> [RequestField] {
        guard let elements = value.arrayValue else { throw refused(right) }
        return elements.enumerated().map { RequestField(path: "\(path)[\($0.offset)]", value: $0.element) }
    }

    func text(_ right: String = "a string") throws(KimiError) -> String {
        guard let text = value.stringValue else { throw refused(right) }
        return text
    }

    func flag() throws(KimiError) -> Bool {
        guard let flag = value.boolValue else { throw refused("true or false") }
        return flag
    }

    func integer(_ right: String, in range: ClosedRange<Int>) throws(KimiError) -> Int {
        guard let integer = value.intValue, range.contains(integer) else { throw refused(right) }
        return integer
    }

    func number() throws(KimiError) -> Double {
        guard let number = value.doubleValue else { throw refused("a number") }
        return number
    }

    // MARK: Refusals

    func refused(_ right: String, _ status: Status = .invalidArgument) -> KimiError {
        KimiError(status, "\(path) is \(found); it must be \(right)", subject: path)
    }

    /// The value in words, short enough for a message.
    private var found: String {
        switch value {
        case .string(let text): "\"\(Self.preview(text))\""
        case .integer(let number): "\(number)"
        case .number(let number): "\(number)"
        case .bool(let flag): "\(flag)"
        case .null, .array, .object: value.kind
        }
    }

    /// The beginning of a text, for messages.
    static func preview(_ text: String) -> String {
        let start = text.unicodeScalars.prefix(80)
        return String(start) + (start.endIndex == text.unicodeScalars.endIndex ? "" : "...")
    }
}
