/// A keyword of a schema that constrained decoding does not enforce. Everything the schema allows stays possible there, and more.
package struct Degradation: Equatable, Sendable {
    /// Where in the schema, as a JSON pointer: `#/properties/x`.
    package let path: String
    package let keyword: String
    /// Why, in words.
    package let reason: String

    /// `#/properties/x: not is not enforced: ` and why.
    package var sentence: String { "\(path): \(keyword) is not enforced: \(reason)" }

    package init(path: String, keyword: String, reason: String) {
        self.path = path
        self.keyword = keyword
        self.reason = reason
    }
}

/// The degradations of one schema, each once, the first few hundred of them.
struct DegradationList {
    private(set) var all: [Degradation] = []
    private var known: Set<String> = []
    /// A schema of 100,000 odd properties is answered with these many messages, not with 100,000.
    static let limit = 256

    mutating func add(_ path: String, _ keyword: String, _ reason: String) {
        guard all.count < Self.limit, known.insert(path + "\n" + keyword).inserted else { return }
        all.append(Degradation(path: path, keyword: keyword, reason: reason))
    }
}
