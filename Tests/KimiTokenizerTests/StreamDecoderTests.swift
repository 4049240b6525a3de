import KimiTestSupport
import KimiTokenizer
import Testing

@Suite struct StreamDecoderTests {
    /// All outputs of a stream, checked one by one: none may end within a character that is completed later.
    private func stream(_ tokenizer: Tokenizer, _ ids: [Int32]) throws -> [UInt8] {
        var decoder = StreamDecoder(tokenizer)
        var all: [UInt8] = []
        let whole = try tokenizer.decode(ids)
        for id in ids {
            all += try decoder.feed(id)
            #expect(whole.starts(with: all))
            #expect(all.count == whole.count || !isContinuationOfCharacter(whole, all.count))
        }
        all += decoder.finish()
        #expect(decoder.finish().isEmpty)
        return all
    }

    /// Whether a well-formed character of `bytes` begins before `position` and ends after it.
    private func isContinuationOfCharacter(_ bytes: [UInt8], _ position: Int) -> Bool {
        (max(0, position - 3)..<position).contains { start in
            (2...4).contains { length in
                let end = start + length
                guard end > position, end <= bytes.count else { return false }
                guard let text = String(validating: bytes[start..<end], as: UTF8.self) else { return false }
                return text.unicodeScalars.count == 1
            }
        }
    }

    @Test(arguments: ["", "a", "naïve", "漢字", "😀👍🏽", "mixed 漢 😀 é text", "a\u{0}b", "\u{10FFFF}"])
    func aStreamIsTheWholeText(_ text: String) throws {
        // In the vocabulary of pairs a character of three or four bytes is always torn.
        for tokenizer in [try tiny.get(), try pairs.get(), try SentencePieceTests.bpe.get()] {
            let ids = try tokenizer.encode(text, special: false)
            #expect(try stream(tokenizer, ids) == tokenizer.decode(ids))
        }
    }

    @Test func anyIDsGiveTheWholeInTheEnd() throws {
        var random = SplitMix(5)
        for tokenizer in [
            try tiny.get(), try pairs.get(), try SentencePieceTests.bpe.get(), try SentencePieceTests.unigram.get(),
        ] {
            for round in 0..<400 {
                // Bytes alone make the most ill-formed sequences; in all four vocabularies they are among the first
                // ids.
                let bound = round % 2 == 0 ? min(260, tokenizer.vocabularySize) : tokenizer.vocabularySize
                let ids = (0..<random.below(24)).map { _ in Int32(random.below(bound)) }
                #expect(try stream(tokenizer, ids) == tokenizer.decode(ids), "\(ids)")
            }
        }
    }

    /// Which bytes are held back after which, by Unicode's table of well-formed sequences.
    @Test(arguments: [
        ([0xC3], 1), ([0xC3, 0xA9], 0), ([0xC1], 0), ([0xE6], 1), ([0xE6, 0xBC], 2), ([0xE6, 0xBC, 0xA2], 0),
        ([0xE0, 0x9F], 0), ([0xE0, 0xA0], 2), ([0xED, 0xA0], 0), ([0xED, 0x9F], 2), ([0xF0, 0x8F], 0),
        ([0xF0, 0x9F, 0x98], 3),
        ([0xF0, 0x9F, 0x98, 0x80], 0), ([0xF4, 0x90], 0), ([0xF4, 0x8F], 2), ([0xF5], 0), ([0xFF], 0), ([0x80], 0),
        ([0x9F, 0x98, 0x80], 0), ([0xE6, 0x41], 0), ([0xC3, 0xC3], 1), ([0xF0, 0x9F, 0xF0, 0x9F], 2),
        ([0xE6, 0xBC, 0xE6], 1),
    ] as [([UInt8], Int)])
    func holdsBackWhatCanBeCompleted(_ bytes: [UInt8], _ held: Int) throws {
        let tokenizer = try tiny.get()
        var decoder = StreamDecoder(tokenizer)
        var all: [UInt8] = []
        for byte in bytes { all += try decoder.feed(try #require(tokenizer.id(ofPiece: [byte]))) }
        #expect(all == bytes.dropLast(held))
        #expect(decoder.finish() == bytes.suffix(held))
    }

    @Test func anUnknownIDChangesNothing() throws {
        var decoder = StreamDecoder(try tiny.get())
        _ = try decoder.feed(0xE6)
        #expect(failure { _ = try decoder.feed(1792) }?.status == .invalidArgument)
        #expect(failure { _ = try decoder.feed(-1) }?.message.contains("-1 at index 1") == true)
        _ = try decoder.feed(0xBC)
        #expect(try decoder.feed(0xA2) == Array("漢".utf8))
    }

    @Test func sentencePieceKeepsItsSpaceWhereTextWentBefore() throws {
        let tokenizer = try SentencePieceTests.bpe.get()
        let ids = try tokenizer.encode("hello world", special: false)
        var first = StreamDecoder(tokenizer), later = StreamDecoder(tokenizer, continuing: true)
        #expect(String(decoding: try ids.flatMap { try first.feed($0) }, as: UTF8.self) == "hello world")
        #expect(String(decoding: try ids.flatMap { try later.feed($0) }, as: UTF8.self) == " hello world")
    }
}
