import Foundation
import KimiTestSupport
import KimiTokenizer
import Testing

/// Checkpoints with a SentencePiece model. The vectors are those of the fixture and of make_vectors.py.
@Suite struct SentencePieceTests {
    static let bpe = Result { try Tokenizer(folder: Fixtures.path("vectors/sentencepiece")) }
    /// With a configuration that declares a user-defined piece special and adds two tokens.
    static let unigram = Result { try Tokenizer(folder: Fixtures.path("tokenizer/unigram")) }

    struct Case: Decodable {
        let text: String
        let ids: [Int32]
    }
    struct Decoding: Decodable {
        let ids: [Int32]
        let text: String
    }

    @Test func theFixturesVectors() throws {
        struct Vector: Decodable {
            let text: String
            let ids: [Int32]
            let decoded: String
        }
        let tokenizer = try Self.bpe.get()
        for vector in try Fixtures.decode([Vector].self, "vectors/sentencepiece/vectors.json") {
            #expect(try tokenizer.encode(vector.text, special: false) == vector.ids, "\(vector.text.debugDescription)")
            #expect(try tokenizer.decode(vector.ids) == Array(vector.decoded.utf8), "\(vector.text.debugDescription)")
        }
    }

    @Test func moreOfTheFixturesModel() throws {
        struct Vectors: Decodable {
            let cases: [Case]
            let decode: [Decoding]
        }
        let tokenizer = try Self.bpe.get()
        let vectors = try Fixtures.decode(Vectors.self, "tokenizer/bpe.json")
        for vector in vectors.cases {
            #expect(try tokenizer.encode(vector.text, special: false) == vector.ids, "\(vector.text.debugDescription)")
        }
        for vector in vectors.decode {
            #expect(try tokenizer.decode(vector.ids) == Array(vector.text.utf8), "\(vector.ids)")
        }
    }

    struct Unigram: Decodable {
        struct Case: Decodable {
            let text: String
            let as_it_is: [Int32]
            let declared: [Int32]
        }
        let tool: Int32
        let control: Int32
        let size: Int32
        let cases: [Case]
        let decode: [Decoding]
    }

    @Test func aDeclaredPieceIsOutOfReachForText() throws {
        let vectors = try Fixtures.decode(Unigram.self, "tokenizer/unigram.json")
        let declared = try Self.unigram.get()
        let folder = try TemporaryFolder()
        try folder.write("tokenizer.model", Fixtures.bytes("tokenizer/unigram/tokenizer.model"))
        let asItIs = try Tokenizer(folder: folder.path)
        for vector in vectors.cases {
            let name = vector.text.debugDescription
            #expect(try declared.encode(vector.text, special: false) == vector.declared, "\(name)")
            #expect(try asItIs.encode(vector.text, special: false) == vector.as_it_is, "\(name)")
        }
        for vector in vectors.decode where !vector.ids.contains(vectors.tool) {
            #expect(try declared.decode(vector.ids) == Array(vector.text.utf8), "\(vector.ids)")
        }
        for vector in vectors.decode {
            #expect(try asItIs.decode(vector.ids) == Array(vector.text.utf8), "\(vector.ids)")
        }
    }

    @Test func specialTokens() throws {
        let vectors = try Fixtures.decode(Unigram.self, "tokenizer/unigram.json")
        let tokenizer = try Self.unigram.get()
        #expect(tokenizer.vocabularySize == Int(vectors.size) + 3)
        #expect(tokenizer.specialIDs == [
            "<s>": 1, "</s>": 2, "<|sys|>": vectors.control, "<tool>": vectors.tool, "<|added|>": vectors.size,
            "<|reserved_token_\(vectors.size + 1)|>": vectors.size + 1, "<|last|>": vectors.size + 2,
        ])
        #expect(!tokenizer.isSpecial(0))
        let ids = try tokenizer.encode("<s>hello<|added|><tool> world<|last|>", special: true)
        let hello = try tokenizer.encode("hello", special: false)
        let world = try tokenizer.encode(" world", special: false)
        #expect(ids == [1] + hello + [vectors.size, vectors.tool] + world + [vectors.size + 2])
        #expect(try tokenizer.decode(ids) == Array("<s>hello<|added|><tool> world<|last|>".utf8))
    }

    @Test func bytePiecesPassAsTheyAre() throws {
        let tokenizer = try Self.bpe.get()
        // An emoji is four byte pieces behind the space; without the last one it is no character, but no U+FFFD either.
        let ids = try tokenizer.encode("😀", special: false)
        let bytes = Array("😀".utf8)
        #expect(try tokenizer.decode(ids) == bytes)
        #expect(try tokenizer.decode(Array(ids.dropLast())) == bytes.dropLast())
        let last = try #require(ids.last)
        #expect(tokenizer.piece(last) == [bytes[3]])
        #expect(tokenizer.id(ofPiece: [bytes[3]]) == last)
        // A written piece comes before a byte.
        let letter = try #require(tokenizer.id(ofPiece: Array("a".utf8)))
        #expect(try tokenizer.encode("xa", special: false).contains(letter))
    }

    @Test func hostileTextIsQuicklyDone() throws {
        let tokenizer = try Self.bpe.get()
        for text in ["a", " ", "\u{301}", "漢"] {
            let ids = try tokenizer.encode(String(repeating: text, count: 200_000), special: false)
            #expect(ids.count < 700_000)
        }
    }
}
