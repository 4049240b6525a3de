import Foundation
import KimiTestSupport
import KimiTokenizer
import Testing

/// What must hold for every text, whatever its ids.
@Suite struct TextPropertyTests {
    /// A random text of well-formed UTF-8, from all planes and with runs.
    private func text(_ random: inout SplitMix) -> [UInt8] {
        var text = ""
        for _ in 0..<random.below(60) {
            let bound = [0x80, 0x800, 0x3000, 0x10000, 0x110000][random.below(5)]
            guard let scalar = UnicodeScalar(UInt32(random.below(bound))) else { continue }
            text += String(repeating: String(scalar), count: 1 + random.below(random.below(9) == 0 ? 200 : 3))
        }
        return Array(text.utf8)
    }

    @Test func decodingGivesTheTextBack() throws {
        var random = SplitMix(1)
        for _ in 0..<3000 {
            let text = text(&random)
            for tokenizer in [try tiny.get(), try pairs.get()] {
                #expect(try tokenizer.decode(tokenizer.encode(text, special: false)) == text)
                #expect(try tokenizer.decode(tokenizer.encode(text, special: true)) == text)
            }
        }
    }

    @Test func textNeverBecomesASpecialToken() throws {
        var random = SplitMix(2)
        for tokenizer in [
            try tiny.get(), try pairs.get(), try SentencePieceTests.bpe.get(), try SentencePieceTests.unigram.get(),
        ] {
            let names = tokenizer.specialIDs.keys.sorted()
            let all = names.joined() + names.joined(separator: " ") + names.joined(separator: "\n")
            #expect(try tokenizer.encode(all, special: false).allSatisfy { !tokenizer.isSpecial($0) })
            for _ in 0..<300 {
                let text = (0..<8).map { _ in
                    let name = names[random.below(names.count)]
                    return random.below(2) == 0 ? name : String(name.dropLast(random.below(4)))
                }.joined(separator: ["", " ", "a", "<"][random.below(4)])
                #expect(try tokenizer.encode(text, special: false).allSatisfy { !tokenizer.isSpecial($0) }, "\(text)")
            }
        }
    }

    @Test func everyNameIsRecognisedInTemplateText() throws {
        for tokenizer in [try tiny.get(), try pairs.get(), try SentencePieceTests.unigram.get()] {
            for (name, id) in tokenizer.specialIDs {
                #expect(try tokenizer.encode(name, special: true) == [id])
                #expect(tokenizer.piece(id) == Array(name.utf8))
            }
        }
    }

    /// Of names that begin alike the longest is taken. (tiktoken takes the one that its hash table lists first.)
    @Test func theLongestNameIsTaken() throws {
        let folder = try TemporaryFolder()
        try folder.write("tiktoken.model", try Fixtures.bytes("tiny-kimi/tiktoken.model"))
        try folder.write("tokenizer_config.json", """
            {"added_tokens_decoder": {"1536": {"content": "<a>"}, "1537": {"content": "<a>b"},
            "1538": {"content": "b<"}}}
            """)
        let tokenizer = try Tokenizer(folder: folder.path)
        #expect(try tokenizer.encode("<a><a>b<", special: true) == [1536, 1537, 60])
        #expect(try tokenizer.encode("b<a>", special: true) == [1538, 97, 62])
    }

    @Test(arguments: [
        ([0x61, 0xFF], 1), ([0xC3], 0), ([0x61, 0x62, 0xC3, 0x28], 2), ([0xE6, 0xBC], 0), ([0xED, 0xA0, 0x80], 0),
        ([0xF4, 0x90, 0x80, 0x80], 0), ([0xC0, 0x80], 0), ([0xF0, 0x80, 0x80, 0x80], 0), ([0x80], 0),
        ([0xF8, 0x88, 0x80, 0x80], 0),
        ([UInt8](repeating: 0x61, count: 100) + [0xE6, 0xBC, 0x61], 100),
        ([UInt8](repeating: 0x61, count: 16) + [0xC3, 0xA9, 0xF0, 0x9F, 0x98, 0x7F], 18),
    ] as [([UInt8], Int)])
    func textThatIsNotUTF8IsRefusedByOffset(_ bytes: [UInt8], _ offset: Int) throws {
        for tokenizer in [try tiny.get(), try SentencePieceTests.bpe.get()] {
            let error = try #require(failure { _ = try tokenizer.encode(bytes, special: false) })
            #expect(error.status == .invalidArgument)
            #expect(error.message.contains("byte \(offset) "), "\(error)")
        }
    }

    @Test func randomBytesAreUTF8OrRefused() throws {
        let tokenizer = try tiny.get()
        var random = SplitMix(4)
        for _ in 0..<5000 {
            let bytes = (0..<random.below(12)).map { _ in
                [UInt8(random.below(256)), 0xE6, 0xBC, 0xF0, 0x9F, 0x41][random.below(6)]
            }
            let isUTF8 = String(validating: bytes, as: UTF8.self) != nil
            #expect((failure { _ = try tokenizer.encode(bytes, special: true) } == nil) == isUTF8, "\(bytes)")
        }
    }

    @Test func idsThatDoNotExistAreNamed() throws {
        for (tokenizer, last) in [(try tiny.get(), 1791), (try SentencePieceTests.bpe.get(), 799)] {
            for id in [Int32(last + 1), -1, .max, .min] {
                let error = try #require(failure { _ = try tokenizer.decode([0, id]) })
                #expect(error.status == .invalidArgument)
                #expect(error.message.contains("\(id) at index 1"), "\(error)")
                #expect(error.message.contains("0 to \(last)"), "\(error)")
            }
            #expect(try tokenizer.decode([]).isEmpty)
        }
    }

    @Test func anEmptyTextHasNoTokens() throws {
        for tokenizer in [try tiny.get(), try SentencePieceTests.bpe.get()] {
            #expect(try tokenizer.encode("", special: true).isEmpty)
            #expect(try tokenizer.encode(UnsafeRawBufferPointer(start: nil, count: 0), special: false).isEmpty)
        }
    }

    @Test func manyThreadsMayShareATokenizer() async throws {
        let text = "Threads share one tokenizer: 漢字 <|im_end|> 😀 and so on. "
        for tokenizer in [try tiny.get(), try SentencePieceTests.bpe.get()] {
            let expected = try tokenizer.encode(text, special: true)
            await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        (0..<200).allSatisfy { _ in (try? tokenizer.encode(text, special: true)) == expected }
                    }
                }
                for await same in group { #expect(same) }
            }
        }
    }

    @Test(arguments: ["a", " ", "\u{301}", "\n", "漢", "1", "!", "A", "aB", "'s", "<", "<|", "\u{3000}"])
    func aMillionBytesOfOneThingComeBack(_ unit: String) throws {
        let unit = Array(unit.utf8)
        let text = Array(repeatElement(unit, count: 1_000_000 / unit.count).joined())
        for tokenizer in [try tiny.get(), try pairs.get()] {
            #expect(try tokenizer.decode(tokenizer.encode(text, special: true)) == text)
        }
    }
}
