import KimiCore

/// Compiled grammars by the text of their schemas, the most recent ones. For one thread at a time.
package struct GrammarCache {
    private var grammars: [[UInt8]: (grammar: Grammar, lastUse: Int)] = [:]
    private var time = 0
    private let limit: Int

    /// - Parameter limit: how many grammars are kept.
    package init(limit: Int = 128) { self.limit = max(limit, 1) }

    /// The grammar of a schema. Schemas are the same if they are written the same.
    package mutating func grammar(of schema: JSON) -> Grammar {
        var writer = JSONWriter()
        writer.element(schema)
        let text = Array(writer.text.utf8)
        time += 1
        if let known = grammars[text]?.grammar {
            grammars[text]?.lastUse = time
            return known
        }
        let grammar = Grammar(schema: schema)
        if grammars.count >= limit, let oldest = grammars.min(by: { $0.value.lastUse < $1.value.lastUse }) {
            grammars[oldest.key] = nil
        }
        grammars[text] = (grammar, time)
        return grammar
    }
}
