import KimiChat
import KimiTestSupport
import Testing

@Suite struct VocabularyTreeTests {
    private static let bytes: [[UInt8]?] = (UInt8.min...UInt8.max).map { [$0] }

    @Test func specialTokensAreNeverAllowed() throws {
        let tokenizer = try TestVocabulary.tokenizer.get()
        let matcher = GrammarMatcher(.anyValue, try TestVocabulary.tree.get())
        for id in 0..<Int32(tokenizer.vocabularySize) where tokenizer.isSpecial(id) { #expect(!matcher.accept(id)) }
        #expect(matcher.accept(bytes: Array("\"".utf8)))
        #expect(matcher.allowedTokens().allSatisfy { !tokenizer.isSpecial($0) })
        #expect(matcher.mask().count == (tokenizer.vocabularySize + 63) / 64)
    }

    @Test func tokensOfTheSameBytesAreAllowedTogether() throws {
        let tree = VocabularyTree(pieces: Self.bytes + [Array("nu".utf8), nil, Array("nu".utf8), Array("null".utf8), [], Array("nu".utf8)])
        let matcher = GrammarMatcher(try grammar(#"{"type":"null"}"#), tree)
        #expect(matcher.allowedTokens().filter { $0 >= 0x7F } == [256, 258, 259, 261])
        #expect(matcher.accept(261))
        #expect(!matcher.accept(257) && !matcher.accept(260))
    }

    /// Where a character's parts are no tokens, a token that ends within one could never be completed.
    @Test func partOfACharacterNeedsTheOtherParts() throws {
        let ascii: [[UInt8]?] = (UInt8(0)..<0x80).map { [$0] }
        let tree = VocabularyTree(pieces: ascii + [[0xE6, 0x97], Array("日".utf8)])
        let matcher = GrammarMatcher(try grammar(#"{"type":"string"}"#), tree)
        #expect(matcher.accept(bytes: [0x22]))
        #expect(matcher.allowedTokens().contains(129) && !matcher.allowedTokens().contains(128))
        #expect(tree.missingCharacters.isEmpty)
        #expect(VocabularyTree(pieces: ascii.filter { $0 != [0x7B] }).missingCharacters == [0x7B])
    }

    @Test func emptyVocabularyAllowsNothing() {
        let matcher = GrammarMatcher(.anyValue, VocabularyTree(pieces: []))
        #expect(matcher.mask().isEmpty)
        #expect(!matcher.accept(0))
    }

    /// Lengths count characters, and a mask knows how many each token has.
    @Test func lengthLimitsTokensByTheirCharacters() throws {
        let tree = VocabularyTree(pieces: Self.bytes + ["ab", "abc", "日本", "日本語", "ab\"", "abc\""].map { Array($0.utf8) })
        let matcher = GrammarMatcher(try grammar(#"{"type":"string","minLength":2,"maxLength":2}"#), tree)
        #expect(matcher.accept(bytes: [0x22]))
        #expect(matcher.allowedTokens().filter { $0 > 0xFF } == [256, 258, 260])
        #expect(matcher.accept(258))
        #expect(matcher.allowedTokens() == [0x22])
    }
}
