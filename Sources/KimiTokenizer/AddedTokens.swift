import KimiCore

/// The names of special tokens in `tokenizer_config.json`, under `added_tokens_decoder`: an object of id to
/// `{"content": name, ...}`.
struct AddedTokens {
    /// The largest file that is read; the published one has a few kilobytes.
    static let fileLimit = 16 << 20

    /// Names by id.
    private(set) var names: [Int32: String] = [:]
    private let file: String

    private func fault(_ subject: String, _ message: String) -> KimiError {
        KimiError(.format, message, file: file, subject: subject)
    }

    /// - Parameters:
    ///   - content: the file's bytes.
    ///   - ids: the ids that may have a name.
    ///   - required: whether the file must have `added_tokens_decoder`; if not, there are no names without it.
    /// - Throws: `Status.format` if the file is no such JSON, an id lies outside `ids`, or two tokens share an id or a
    ///   name.
    init(_ content: [UInt8], file: String, ids: Range<Int>, required: Bool) throws(KimiError) {
        self.file = file
        let config = try JSON.parse(content, file: file)
        guard config.objectValue != nil else {
            throw KimiError(.format, "is \(config.kind); an object is needed", file: file)
        }
        guard let member = config["added_tokens_decoder"] else {
            guard required else { return }
            throw fault("added_tokens_decoder", "is missing; it must give the names of the special tokens")
        }
        guard let tokens = member.objectValue else {
            throw fault("added_tokens_decoder", "is \(member.kind); an object of id to token is needed")
        }
        var idOfName: [String: Int32] = [:]
        for key in tokens.keys {
            let subject = "added_tokens_decoder[\"\(key.prefix(40))\"]"
            guard let token = tokens[key] else { continue }
            let id = try id(key, ids, subject)
            let name = try name(token, subject)
            if let other = names[id] { throw fault(subject, "id \(id) has a name already, \"\(other)\"") }
            if let other = idOfName[name] { throw fault(subject, "\"\(name)\" is the name of id \(other) already") }
            names[id] = name
            idOfName[name] = id
        }
    }

    private func id(_ key: String, _ ids: Range<Int>, _ subject: String) throws(KimiError) -> Int32 {
        // Int accepts "+7" too, which then would be a second spelling of an id.
        guard let first = key.utf8.first, first != 0x2B, let value = Int(key) else {
            throw fault(subject, "the key is not an id")
        }
        guard ids.contains(value), let id = Int32(exactly: value) else {
            throw fault(subject, "id \(value) is outside the special ids, \(ids.lowerBound) to \(ids.upperBound - 1)")
        }
        return id
    }

    private func name(_ token: JSON, _ subject: String) throws(KimiError) -> String {
        guard token.objectValue != nil else { throw fault(subject, "is \(token.kind); an object is needed") }
        guard let content = token["content"] else { throw fault(subject, "has no content, the token's name") }
        guard let name = content.stringValue else {
            throw fault(subject, "content is \(content.kind); a string is needed")
        }
        guard !name.isEmpty else { throw fault(subject, "content is empty; a token needs a name") }
        guard name.utf8.count <= SpecialNames.longestName else {
            throw fault(
                subject, "content has \(name.utf8.count) bytes; at most \(SpecialNames.longestName) are accepted")
        }
        return name
    }

    /// Names for all of `ids`: those of the file, `<|reserved_token_ID|>` for the rest.
    ///
    /// - Throws: `Status.format` if the file gives such a reserved name to another id.
    func filled(_ ids: Range<Int32>) throws(KimiError) -> [Int32: String] {
        var filled = names
        let given = Set(names.values)
        for id in ids where filled[id] == nil {
            let name = "<|reserved_token_\(id)|>"
            guard !given.contains(name) else {
                throw fault(
                    "added_tokens_decoder", "\"\(name)\", the name of the nameless id \(id), is given to another id")
            }
            filled[id] = name
        }
        return filled
    }
}
