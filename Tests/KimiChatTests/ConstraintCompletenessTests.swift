import KimiChat
import KimiCore
import KimiTestSupport
import Testing

/// What is valid is never forbidden, and no way ever ends nowhere.
@Suite struct ConstraintCompletenessTests {
    /// Documents of `Tests/reference/constraints.py documents`, each in one random spelling and one random tokenisation.
    @Test func validDocumentsAreAllowedTokenByToken() throws {
        let tree = try TestVocabulary.tree.get()
        var count = 0
        for (index, line) in try lines("constraints/documents.jsonl").enumerated() {
            let json = try JSON.parse(line, file: "document \(index)", maxDepth: 200)
            let matcher = GrammarMatcher(Grammar(schema: try #require(json["schema"])), tree)
            for (place, text) in try #require(json["texts"]?.arrayValue).enumerated() {
                var numbers = SeededNumbers(index * 100 + place)
                let tokens = try TestVocabulary.tokens(of: Array(try #require(text.stringValue).utf8), &numbers)
                #expect(!tokens.isEmpty)
                matcher.reset()
                for (step, token) in tokens.enumerated() {
                    let allowed = matcher.mask()[Int(token) >> 6] >> UInt64(token & 63) & 1 == 1
                    try #require(allowed, "document \(index).\(place), token \(step): \(text)")
                    try #require(matcher.accept(token))
                }
                #expect(matcher.canEnd, "document \(index).\(place): \(text)")
                count += 1
            }
        }
        #expect(count > 400)
    }

    /// At random places of random texts the mask holds exactly the tokens that can be taken.
    @Test func maskIsWhatAcceptSays() throws {
        let tokenizer = try TestVocabulary.tokenizer.get()
        let tree = try TestVocabulary.tree.get()
        for (index, line) in try lines("constraints/schemas.jsonl").enumerated() where index % 4 == 0 {
            var numbers = SeededNumbers(index)
            let matcher = GrammarMatcher(Grammar(schema: try JSON.parse(line, file: "schema")), tree)
            for _ in 0..<6 {
                for _ in 0..<Int.random(in: 0...6, using: &numbers) {
                    if Bool.random(using: &numbers), let rest = matcher.shortCompletion() {
                        #expect(matcher.accept(bytes: rest.prefix(Int.random(in: 0...5, using: &numbers))))
                    } else if let id = matcher.allowedTokens().randomElement(using: &numbers) {
                        #expect(matcher.accept(id))
                    }
                }
                let mask = matcher.mask()
                for id in 0..<Int32(tokenizer.vocabularySize) {
                    let taken = matcher.copy().accept(id)
                    let allowed = mask[Int(id) >> 6] >> UInt64(id & 63) & 1 == 1
                    if taken != allowed { Issue.record("schema \(index), token \(id): mask \(allowed), accept \(taken)") }
                }
            }
        }
    }

    /// From wherever masks lead, some text ends the value.
    @Test func everyPrefixCanBeCompleted() throws {
        let tree = try TestVocabulary.tree.get()
        for (index, line) in try lines("constraints/schemas.jsonl").enumerated() {
            var numbers = SeededNumbers(index)
            let matcher = GrammarMatcher(Grammar(schema: try JSON.parse(line, file: "schema")), tree)
            for step in 0..<40 {
                let copy = matcher.copy()
                let rest = try #require(copy.shortCompletion(), "schema \(index), step \(step)")
                #expect(copy.accept(bytes: rest) && copy.canEnd, "schema \(index), step \(step)")
                guard let id = matcher.allowedTokens().randomElement(using: &numbers) else {
                    #expect(matcher.canEnd)
                    break
                }
                #expect(matcher.accept(id))
            }
        }
    }

    @Test func refusedTokenChangesNothing() throws {
        let matcher = GrammarMatcher(try grammar(#"{"enum": ["abc"]}"#), try TestVocabulary.tree.get())
        #expect(matcher.accept(bytes: Array(#""ab"#.utf8)))
        #expect(!matcher.accept(bytes: Array("x".utf8)))
        #expect(!matcher.accept(bytes: Array("cd".utf8)))
        #expect(!matcher.accept(-1) && !matcher.accept(.max))
        #expect(matcher.accept(bytes: Array(#"c""#.utf8)) && matcher.canEnd && matcher.hasEnded)
    }
}
