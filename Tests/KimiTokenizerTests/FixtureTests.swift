import Foundation
import KimiTestSupport
import KimiTokenizer
import Testing

/// The vectors of the reference tokenizer that came with the fixture checkpoint.
@Suite struct FixtureTests {
    struct Vectors: Decodable {
        struct Case: Decodable {
            let text: String
            let ids: [Int32]
            let ids_special: [Int32]
        }
        struct Decoding: Decodable {
            let ids: [Int32]
            let bytes_base64: String
        }
        let cases: [Case]
        let decode: [Decoding]
    }

    @Test func textBecomesTheReferencesIDs() throws {
        let tokenizer = try tiny.get()
        let vectors = try Fixtures.decode(Vectors.self, "vectors/tokenizer.json")
        #expect(vectors.cases.count > 200)
        for vector in vectors.cases {
            let name = vector.text.prefix(80).debugDescription
            #expect(try tokenizer.encode(vector.text, special: false) == vector.ids, "\(name)")
            #expect(try tokenizer.encode(vector.text, special: true) == vector.ids_special, "\(name)")
            #expect(try tokenizer.tokenCount(vector.text) == vector.ids.count)
        }
    }

    @Test func idsBecomeTheReferencesBytes() throws {
        let tokenizer = try tiny.get()
        let vectors = try Fixtures.decode(Vectors.self, "vectors/tokenizer.json")
        #expect(!vectors.decode.isEmpty)
        for vector in vectors.decode {
            let bytes = try #require(Data(base64Encoded: vector.bytes_base64))
            #expect(try tokenizer.decode(vector.ids) == [UInt8](bytes))
        }
    }

    @Test func specialTokensComeFromTheConfiguration() throws {
        let tokenizer = try tiny.get()
        #expect(tokenizer.vocabularySize == 1792)
        #expect(tokenizer.specialIDs.count == 256)
        #expect(tokenizer.specialIDs["<|im_end|>"] == 1538)
        #expect(tokenizer.specialIDs["</think>"] == 1559)
        #expect(tokenizer.specialIDs["[PAD]"] == 1791)
        // 1541 has no name in the file.
        #expect(tokenizer.specialIDs["<|reserved_token_1541|>"] == 1541)
        #expect(!tokenizer.isSpecial(1535))
        #expect(tokenizer.isSpecial(1536))
        #expect(tokenizer.isSpecial(1791))
        #expect(!tokenizer.isSpecial(1792))
        #expect(!tokenizer.isSpecial(-1))
    }

    @Test func piecesAndIDsLeadToEachOther() throws {
        let tokenizer = try tiny.get()
        for id in Int32(0)..<1792 {
            let piece = try #require(tokenizer.piece(id))
            #expect(tokenizer.id(ofPiece: piece) == id)
            #expect(try tokenizer.decode([id]) == piece)
            #expect(tokenizer.withPiece(id) { Array($0) } == piece)
        }
        #expect(tokenizer.piece(1792) == nil)
        #expect(tokenizer.piece(-1) == nil)
        #expect(tokenizer.piece(.max) == nil)
        #expect(tokenizer.id(ofPiece: []) == nil)
        #expect(tokenizer.id(ofPiece: Array("no such token".utf8)) == nil)
        #expect(tokenizer.id(ofPiece: [0xFF, 0xFE, 0xFD]) == nil)
    }
}
