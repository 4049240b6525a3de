import Foundation
import KimiCore
import KimiTestSupport
import KimiTokenizer
import Testing

/// Files that must be refused, with a message that names the file and the place.
@Suite struct BadFileTests {
    private static let lines = (0..<256).map { "\(Data([UInt8($0)]).base64EncodedString()) \($0)" }
    private static let noNames = #"{"added_tokens_decoder": {}}"#

    /// The error of opening a folder with these files.
    private func refusal(
        ranks: [String]? = Self.lines, config: String? = Self.noNames, vocabularySize: Int? = nil
    ) throws -> KimiError {
        let folder = try TemporaryFolder()
        if let ranks { try folder.write("tiktoken.model", ranks.joined(separator: "\n")) }
        if let config { try folder.write("tokenizer_config.json", config) }
        return try #require(failure { _ = try Tokenizer(folder: folder.path, vocabularySize: vocabularySize) })
    }

    private func with(_ line: Int, _ text: String) -> [String] {
        var lines = Self.lines
        lines[line - 1] = text
        return lines
    }

    @Test func theShortestFileThatIsGood() throws {
        let folder = try TemporaryFolder()
        // Any order, empty lines, and line ends of both kinds.
        try folder.write("tiktoken.model", Self.lines.reversed().joined(separator: "\r\n\n") + "\n")
        try folder.write("tokenizer_config.json", Self.noNames)
        let tokenizer = try Tokenizer(folder: folder.path, vocabularySize: 512)
        #expect(tokenizer.vocabularySize == 512)
        #expect(try tokenizer.encode("a\n", special: false) == [97, 10])
        #expect(tokenizer.specialIDs["<|reserved_token_300|>"] == 300)
    }

    @Test(arguments: [
        (4, "AQ== 3", "are the same token"), (4, "Aw==", "no space"), (4, "Aw== ", "is not a whole number"),
        (4, "Aw== -3", "is not a whole number"), (4, "Aw== +3", "is not a whole number"),
        (4, "Aw== 3 ", "is not a whole number"),
        (4, "Aw==  3", "is not a whole number"), (4, "Aw== 3.0", "is not a whole number"),
        (4, "Aw== 4194304", "is not a whole number"), (4, "Aw== 99999999999999999999999", "is not a whole number"),
        (4, "Aw== 2", "rank 2 stands in line 3 already"), (4, "Aw== 256", "rank 3 is missing"),
        (4, "Aw== 4000000", "rank 3 is missing"), (4, " 3", "base64"), (4, "==== 3", "base64"), (4, "A=== 3", "base64"),
        (4, "Aw=A 3", "base64"), (4, "Aw 3", "base64"), (4, "Ax== 3", "base64"), (4, "A\u{e9}== 3", "base64"),
        (4, "Aw-_ 3", "base64"), (4, "\u{0} 3", "base64"), (4, "Aw==\t3", "no space"), (4, "YWI= 3", "single byte 3"),
    ])
    func ranks(_ line: Int, _ text: String, _ expected: String) throws {
        let error = try refusal(ranks: with(line, text))
        #expect(error.status == .format)
        #expect(error.file?.hasSuffix("/tiktoken.model") == true)
        #expect(error.description.contains(expected), "\(error)")
        // What concerns the vocabulary as a whole has no line.
        if !expected.contains("single byte") && !expected.contains("same token") {
            #expect(error.subject == "line \(line)", "\(error)")
        }
    }

    @Test func noRanks() throws {
        #expect(try refusal(ranks: []).message.contains("is empty"))
        #expect(try refusal(ranks: ["", "", ""]).message.contains("only empty lines"))
        #expect(try refusal(ranks: Array(Self.lines.dropLast())).message.contains("single byte 255"))
        #expect(try refusal(ranks: Array(Self.lines.dropFirst())).message.contains("rank 0 is missing"))
    }

    @Test(arguments: [
        ("", "not valid JSON at byte 0"), ("{", "not valid JSON"), ("[]", "is an array"), ("7", "is an integer"),
        ("{}", "is missing"), (#"{"added_tokens_decoder": null}"#, "is missing"),
        (#"{"added_tokens_decoder": []}"#, "is an array"),
        (#"{"added_tokens_decoder": {"256": "x"}}"#, "is a string"),
        (#"{"added_tokens_decoder": {"256": {}}}"#, "no content"),
        (#"{"added_tokens_decoder": {"256": {"content": 7}}}"#, "content is an integer"),
        (#"{"added_tokens_decoder": {"256": {"content": ""}}}"#, "content is empty"),
        (#"{"added_tokens_decoder": {"255": {"content": "x"}}}"#, "outside the special ids, 256 to 511"),
        (#"{"added_tokens_decoder": {"512": {"content": "x"}}}"#, "outside the special ids, 256 to 511"),
        (#"{"added_tokens_decoder": {"-1": {"content": "x"}}}"#, "outside the special ids"),
        (#"{"added_tokens_decoder": {"9223372036854775808": {"content": "x"}}}"#, "not an id"),
        (#"{"added_tokens_decoder": {"": {"content": "x"}}}"#, "not an id"),
        (#"{"added_tokens_decoder": {"+256": {"content": "x"}}}"#, "not an id"),
        (#"{"added_tokens_decoder": {"256.0": {"content": "x"}}}"#, "not an id"),
        (#"{"added_tokens_decoder": {"256": {"content": "x"}, "257": {"content": "x"}}}"#, "name of id 256 already"),
        (#"{"added_tokens_decoder": {"256": {"content": "x"}, "256": {"content": "y"}}}"#, "stands twice"),
        (#"{"added_tokens_decoder": {"256": {"content": "x"}, "0256": {"content": "y"}}}"#, "has a name already"),
        (#"{"added_tokens_decoder": {"256": {"content": "<|reserved_token_300|>"}}}"#, "is given to another id"),
    ])
    func names(_ config: String, _ expected: String) throws {
        let error = try refusal(config: config)
        #expect(error.status == .format)
        #expect(error.file?.hasSuffix("/tokenizer_config.json") == true)
        #expect(error.message.contains(expected), "\(error)")
    }

    @Test func aNameTooLong() throws {
        let name = String(repeating: "x", count: 1025)
        let error = try refusal(config: #"{"added_tokens_decoder": {"256": {"content": "\#(name)"}}}"#)
        #expect(error.message.contains("1025 bytes"))
    }

    @Test func missingFiles() throws {
        let nothing = try refusal(ranks: nil)
        #expect(nothing.status == .io)
        #expect(nothing.message.contains("neither tiktoken.model nor a SentencePiece tokenizer.model"))
        let noConfig = try refusal(config: nil)
        #expect(noConfig.status == .io)
        #expect(noConfig.file?.hasSuffix("/tokenizer_config.json") == true)
        #expect(failure { _ = try Tokenizer(folder: "/no/such/folder") }?.status == .io)
        #expect(failure { _ = try Tokenizer(folder: "") }?.status == .io)
        #expect(failure { _ = try Tokenizer(folder: "a\u{0}b") }?.status == .invalidArgument)
        #expect(failure { _ = try Tokenizer(folder: Fixtures.path("tiny-kimi/tiktoken.model")) }?.status == .io)
    }

    @Test func aFolderOrPipeForAFile() throws {
        let folder = try TemporaryFolder()
        try FileManager.default.createDirectory(
            at: folder.url.appending(path: "tiktoken.model"), withIntermediateDirectories: false)
        let error = try #require(failure { _ = try Tokenizer(folder: folder.path) })
        #expect(error.status == .io && error.message.contains("not a regular file"), "\(error)")
        let other = try TemporaryFolder()
        #expect(mkfifo(other.path + "/tiktoken.model", 0o600) == 0)
        #expect(failure { _ = try Tokenizer(folder: other.path) }?.message.contains("not a regular file") == true)
    }

    @Test func aFileTooLarge() throws {
        let folder = try TemporaryFolder()
        try folder.write("tiktoken.model", "")
        #expect(truncate(folder.path + "/tiktoken.model", (256 << 20) + 1) == 0)
        let error = try #require(failure { _ = try Tokenizer(folder: folder.path) })
        #expect(error.status == .format && error.message.contains("\((256 << 20) + 1) bytes"), "\(error)")
    }

    @Test func aVocabularyLargerThanTheModels() throws {
        let error = try refusal(vocabularySize: 511)
        #expect(error.status == .mismatch && error.message.contains("512") && error.message.contains("511"), "\(error)")
        let pieces = Fixtures.path("vectors/sentencepiece")
        #expect(failure { _ = try Tokenizer(folder: pieces, vocabularySize: 799) }?.status == .mismatch)
        #expect(failure { _ = try Tokenizer(folder: pieces, vocabularySize: 800) } == nil)
    }

    @Test func damageAnywhereInTheFilesIsSurvived() throws {
        let folder = try TemporaryFolder()
        var random = SplitMix(8)
        for name in ["tiktoken.model", "tokenizer_config.json"] {
            try folder.copyFixtureFile("tiny-kimi/tiktoken.model")
            try folder.copyFixtureFile("tiny-kimi/tokenizer_config.json")
            let good = try Fixtures.bytes("tiny-kimi/" + name)
            for _ in 0..<300 {
                try folder.write(name, mutated(good, &random))
                if let tokenizer = try? Tokenizer(folder: folder.path) {
                    let text = Array("any text 漢".utf8)
                    #expect(try tokenizer.decode(tokenizer.encode(text, special: true)) == text)
                }
            }
        }
    }

    @Test(arguments: ["vectors/sentencepiece", "tokenizer/unigram"])
    func damageAnywhereInASentencePieceModelIsSurvived(_ fixture: String) throws {
        let folder = try TemporaryFolder()
        var random = SplitMix(9)
        let good = try Fixtures.bytes(fixture + "/tokenizer.model")
        for cut in [0, 1, 2, good.count / 2, good.count - 1] {
            try folder.write("tokenizer.model", good.prefix(cut))
            let error = try #require(failure { _ = try Tokenizer(folder: folder.path) }, "cut at \(cut)")
            #expect(error.status == .format && error.file?.hasSuffix("/tokenizer.model") == true, "\(error)")
        }
        for _ in 0..<400 {
            try folder.write("tokenizer.model", mutated(good, &random))
            guard let tokenizer = try? Tokenizer(folder: folder.path) else { continue }
            let ids = try tokenizer.encode("any text 漢 ﬁ ① ｶﾞ <s>", special: true)
            _ = try tokenizer.decode(ids)
        }
    }

    @Test func aSentencePieceModelThatIsAnotherFile() throws {
        let folder = try TemporaryFolder()
        for other in ["tiny-kimi/config.json", "tiny-kimi/tiktoken.model"] {
            try folder.write("tokenizer.model", try Fixtures.bytes(other))
            #expect(failure { _ = try Tokenizer(folder: folder.path) }?.status == .format)
        }
    }

    @Test func aConfigurationThatDisagreesWithTheModel() throws {
        let folder = try TemporaryFolder()
        try folder.write("tokenizer.model", try Fixtures.bytes("tokenizer/unigram/tokenizer.model"))
        try folder.write("tokenizer_config.json", #"{"added_tokens_decoder": {"1": {"content": "<bos>"}}}"#)
        let error = try #require(failure { _ = try Tokenizer(folder: folder.path) })
        #expect(error.status == .mismatch, "\(error)")
        #expect(error.message.contains("<bos>") && error.message.contains("<s>"), "\(error)")
        try folder.write("tokenizer_config.json", #"{"added_tokens_decoder": {"200": {"content": "<s>"}}}"#)
        #expect(failure { _ = try Tokenizer(folder: folder.path) }?.message.contains("1") == true)
    }

    /// A few bytes changed, removed or put in, or the end cut off.
    private func mutated(_ bytes: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        var bytes = bytes
        for _ in 0...random.below(3) where !bytes.isEmpty {
            let place = random.below(bytes.count)
            switch random.below(5) {
            case 0: bytes[place] ^= 1 << UInt8(random.below(8))
            case 1: bytes[place] = UInt8(random.below(256))
            case 2: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.below(8)))
            case 3: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 20)], at: random.below(bytes.count))
            default: if random.below(8) == 0 { bytes.removeLast(bytes.count - place) }
            }
        }
        return bytes
    }
}

extension TemporaryFolder {
    /// Copies one fixture file under its own name.
    fileprivate func copyFixtureFile(_ name: String) throws {
        try write(String(name.split(separator: "/").last ?? ""), try Fixtures.bytes(name))
    }
}
