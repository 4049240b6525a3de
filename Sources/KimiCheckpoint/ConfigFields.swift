import KimiCore

/// The members of one object of a configuration file, read with their types and ranges checked. Every error names the file
/// and the field with its path (`text_config.hidden_size`), what was found, and what would be right.
///
/// null counts as absent throughout, as the tools that write these files use it.
package struct ConfigFields {
    package let file: String
    /// The path to this object, empty at the top.
    package let path: String
    private let object: JSON

    /// - Throws: `.format` if the file's value is no object.
    package init(_ json: JSON, file: String, path: String = "") throws(KimiError) {
        guard case .object = json else {
            throw KimiError(.format, "\(json.kind) where an object must be", file: file, subject: path.isEmpty ? nil : path)
        }
        object = json
        self.file = file
        self.path = path
    }

    package func fault(_ key: String, _ message: String, _ status: Status = .format) -> KimiError {
        KimiError(status, message, file: file, subject: path.isEmpty ? key : "\(path).\(key)")
    }

    package func missing(_ key: String, _ wanted: String) -> KimiError { fault(key, "missing; \(wanted) must be here") }

    package var keys: [String] { object.objectValue?.keys ?? [] }

    /// The value, or nil if it is absent or null.
    package subscript(key: String) -> JSON? { object[key] }

    // MARK: Numbers

    package func optionalInteger(_ key: String, in range: ClosedRange<Int>) throws(KimiError) -> Int? {
        guard let value = self[key] else { return nil }
        let wanted = "an integer from \(range.lowerBound) to \(range.upperBound)"
        guard let number = value.intValue, range.contains(number) else {
            throw fault(key, "\(Self.words(value)); \(wanted) must be here")
        }
        return number
    }

    package func integer(_ key: String, in range: ClosedRange<Int>) throws(KimiError) -> Int {
        guard let value = try optionalInteger(key, in: range) else {
            throw missing(key, "an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    package func optionalNumber(_ key: String, in range: ClosedRange<Double>) throws(KimiError) -> Double? {
        guard let value = self[key] else { return nil }
        guard let number = value.doubleValue, range.contains(number) else {
            throw fault(key, "\(Self.words(value)); a number from \(range.lowerBound) to \(range.upperBound) must be here")
        }
        return number
    }

    package func number(_ key: String, in range: ClosedRange<Double>) throws(KimiError) -> Double {
        guard let value = try optionalNumber(key, in: range) else {
            throw missing(key, "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    // MARK: Other values

    package func optionalFlag(_ key: String) throws(KimiError) -> Bool? {
        guard let value = self[key] else { return nil }
        guard let flag = value.boolValue else { throw fault(key, "\(Self.words(value)); true or false must be here") }
        return flag
    }

    package func flag(_ key: String) throws(KimiError) -> Bool {
        guard let flag = try optionalFlag(key) else { throw missing(key, "true or false") }
        return flag
    }

    package func optionalText(_ key: String) throws(KimiError) -> String? {
        guard let value = self[key] else { return nil }
        guard let text = value.stringValue else { throw fault(key, "\(Self.words(value)); a string must be here") }
        return text
    }

    package func section(_ key: String) throws(KimiError) -> ConfigFields? {
        guard let value = self[key] else { return nil }
        return try ConfigFields(value, file: file, path: path.isEmpty ? key : "\(path).\(key)")
    }

    /// The member must be absent or this text, since nothing else is implemented.
    package func only(_ supported: String, _ key: String) throws(KimiError) {
        guard let text = try optionalText(key), text != supported else { return }
        throw fault(key, "\(JSONText.quoted(text)) is not supported; \(JSONText.quoted(supported)) is", .unsupported)
    }

    /// The member must be absent or this flag, since nothing else is implemented.
    package func only(_ supported: Bool, _ key: String) throws(KimiError) {
        guard let flag = try optionalFlag(key), flag != supported else { return }
        throw fault(key, "\(flag) is not supported; \(supported) is", .unsupported)
    }

    /// A token id or several; nil if absent.
    package func tokens(_ key: String, vocabularySize: Int) throws(KimiError) -> [Int32]? {
        guard let value = self[key] else { return nil }
        var tokens: [Int32] = []
        for element in value.arrayValue ?? [value] {
            guard let token = element.intValue, token >= 0, token < vocabularySize else {
                throw fault(key, "\(Self.words(element)); token ids from 0 to \(vocabularySize - 1) must be here")
            }
            if !tokens.contains(Int32(token)) { tokens.append(Int32(token)) }
            guard tokens.count <= 1024 else { throw fault(key, "more than 1024 token ids") }
        }
        return tokens
    }

    /// A value as a message shows it.
    package static func words(_ value: JSON) -> String {
        switch value {
        case .null: "null"
        case .bool(let flag): "\(flag)"
        case .integer(let number): "\(number)"
        case .number(let number): "\(number)"
        case .string(let text): "the string \(JSONText.quoted(text))"
        case .array, .object: value.kind
        }
    }
}

extension ConfigFields {
    /// Reads a configuration file's text. Where it is not JSON, the error names the field in front of the fault, so that a
    /// `NaN` or `Infinity` (which JSON does not have, but Python writes) is told by the field's name.
    package static func parse(_ bytes: [UInt8], file: String) throws(KimiError) -> ConfigFields {
        let outcome: Result<JSON, JSONScanner.Failure> = bytes.withUnsafeBytes { buffer in
            var scanner = JSONScanner(buffer)
            return Result { () throws(JSONScanner.Failure) in
                let value = try scanner.value(depth: 64)
                try scanner.expectEnd()
                return value
            }
        }
        switch outcome {
        case .success(let json): return try ConfigFields(json, file: file)
        case .failure(let failure):
            throw KimiError(
                .format, "not valid JSON at byte \(failure.offset): \(failure.reason.prefix(300))", file: file,
                subject: field(before: failure.offset, in: bytes))
        }
    }

    /// The last `"name":` in front of a byte, or nil.
    private static func field(before offset: Int, in bytes: [UInt8]) -> String? {
        let text = bytes.prefix(offset)
        guard let colon = text.lastIndex(of: 0x3A),
            let close = text[..<colon].lastIndex(of: 0x22),
            let open = text[..<close].lastIndex(of: 0x22), close - open <= 100
        else { return nil }
        let name = text[(open + 1)..<close]
        guard name.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !name.isEmpty else { return nil }
        return String(decoding: name, as: UTF8.self)
    }
}
