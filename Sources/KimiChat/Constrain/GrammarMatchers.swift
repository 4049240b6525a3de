/// Matchers that are used again, each for its grammar, because they keep the masks they have found. A matcher's masks take up to 5 MB
/// with 163,840 tokens, so only the latest few are kept. One thread at a time.
package final class GrammarMatchers {
    /// Made when a matcher first needs it: it takes some tenths of a second.
    private lazy var vocabulary = makeVocabulary()
    private let makeVocabulary: () -> VocabularyTree
    private var matchers: [GrammarMatcher] = []
    private static let limit = 8

    package init(_ vocabulary: @escaping () -> VocabularyTree) { makeVocabulary = vocabulary }

    /// A matcher that is used once.
    func unkept(_ grammar: Grammar) -> GrammarMatcher { GrammarMatcher(grammar, vocabulary) }

    /// A matcher at the beginning of a value. An earlier one of the same grammar is not to be used any more.
    package func matcher(_ grammar: Grammar) -> GrammarMatcher {
        if let place = matchers.firstIndex(where: { $0.grammar === grammar }) {
            let matcher = matchers.remove(at: place)
            matcher.reset()
            matchers.append(matcher)
            return matcher
        }
        let matcher = GrammarMatcher(grammar, vocabulary)
        if matchers.count == Self.limit { matchers.removeFirst() }
        matchers.append(matcher)
        return matcher
    }
}
