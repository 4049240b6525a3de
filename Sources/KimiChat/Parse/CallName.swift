/// A call's id as a model writes it, `functions.NAME:INDEX`, and what is left of it when parts are missing.
struct CallName: Equatable {
    /// What stands between `functions.` and the index.
    let name: String

    init(_ written: String) {
        var rest = Substring(written)
        if rest.hasPrefix(Self.prefix) { rest = rest.dropFirst(Self.prefix.count) }
        if let colon = rest.lastIndex(of: ":"), rest[rest.index(after: colon)...].allSatisfy(\.isASCIIDigit) { rest = rest[..<colon] }
        name = String(rest)
    }

    private static let prefix = "functions."

    /// The declared tool that is meant: the one of this name, or, where the id is damaged (no dot, no colon, no prefix), the only
    /// one that it can stand for.
    static func declared(in tools: [String], _ written: String) -> String? {
        let name = CallName(written).name
        if tools.contains(name) { return name }
        let meant = tools.filter { damaged(written, canStandFor: $0) }
        return meant.count == 1 ? meant.first : nil
    }

    private static func damaged(_ written: String, canStandFor tool: String) -> Bool {
        ["functions.", "functions", "function.", ""].contains { prefix in
            guard written.hasPrefix(prefix + tool) else { return false }
            let rest = written.dropFirst(prefix.count + tool.count)
            return (rest.first == ":" ? rest.dropFirst() : rest).allSatisfy(\.isASCIIDigit)
        }
    }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { isASCII && isNumber }
}
