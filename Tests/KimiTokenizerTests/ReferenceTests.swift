import KimiTestSupport
import KimiTokenizer
import Testing

/// What tiktoken makes of texts that try the pre-tokeniser: Tests/reference/tokenizer/make_vectors.py.
@Suite struct ReferenceTests {
    struct Case: Decodable {
        let text: String
        let tiny: [Int32]
        let tiny_special: [Int32]?
        let pairs: [Int32]
        let pairs_special: [Int32]?
    }

    @Test func writtenTexts() throws {
        let tiny = try tiny.get(), pairs = try pairs.get()
        for vector in try Fixtures.decode([Case].self, "tokenizer/cases.json") {
            let name = vector.text.debugDescription
            #expect(try tiny.encode(vector.text, special: false) == vector.tiny, "\(name)")
            #expect(try tiny.encode(vector.text, special: true) == vector.tiny_special ?? vector.tiny, "\(name)")
            #expect(try pairs.encode(vector.text, special: false) == vector.pairs, "\(name)")
            #expect(try pairs.encode(vector.text, special: true) == vector.pairs_special ?? vector.pairs, "\(name)")
        }
    }

    struct RandomTexts: Decodable {
        struct Batch: Decodable {
            let seed: UInt64
            let count: Int
            let longest: Int
            let tiny: String
            let pairs: String
        }
        let strings: [String]
        let batches: [Batch]
    }

    @Test func randomTexts() throws {
        let tiny = try tiny.get(), pairs = try pairs.get()
        let vectors = try Fixtures.decode(RandomTexts.self, "tokenizer/random.json")
        // Swift compares strings by characters, so they are joined as bytes.
        let strings = vectors.strings.map { Array($0.utf8) }
        for batch in vectors.batches {
            var random = SplitMix(batch.seed)
            var ofTiny = Checksum(), ofPairs = Checksum()
            for _ in 0..<batch.count {
                let count = 1 + random.below(batch.longest)
                let text = (0..<count).flatMap { _ in strings[random.below(strings.count)] }
                ofTiny.add(try tiny.encode(text, special: false))
                ofPairs.add(try pairs.encode(text, special: false))
            }
            #expect(ofTiny.hex == batch.tiny, "seed \(batch.seed)")
            #expect(ofPairs.hex == batch.pairs, "seed \(batch.seed)")
        }
    }

    struct CodePoints: Decodable {
        let block: UInt32
        let pairs: [String]
    }

    @Test func everyCodePointHasTheReferencesClasses() throws {
        let pairs = try pairs.get()
        let vectors = try Fixtures.decode(CodePoints.self, "tokenizer/code_points.json")
        #expect(vectors.pairs.count == 272)
        for (block, expected) in vectors.pairs.enumerated() {
            var sum = Checksum()
            let start = UInt32(block) * vectors.block
            for code in start..<start + vectors.block {
                guard let scalar = UnicodeScalar(code) else { continue }
                let c = String(scalar)
                let text = "a\(c)B\(c)\(c) \(c)Ab\(c)'s\(c)1\(c)2\(c)\n\(c) \n \(c)\(c)漢\(c)!\(c)\u{301}\(c)A\n"
                sum.add(try pairs.encode(text, special: false))
            }
            #expect(sum.hex == expected, "U+\(String(start, radix: 16)) and the \(vectors.block - 1) after it")
        }
    }

    struct Long: Decodable {
        struct Part: Decodable {
            let text: String
            let times: Int
        }
        struct Expected: Decodable {
            let count: Int
            let checksum: String
        }
        let parts: [Part]
        let special: Bool
        let tiny: Expected
        let pairs: Expected
    }

    @Test func longTextsAreCutAsTheReferenceCutsThem() throws {
        let tokenizers = (try tiny.get(), try pairs.get())
        for vector in try Fixtures.decode([Long].self, "tokenizer/long.json") {
            let text = vector.parts.flatMap { part in
                Array(repeating: Array(part.text.utf8), count: part.times).joined()
            }
            for (tokenizer, expected) in [(tokenizers.0, vector.tiny), (tokenizers.1, vector.pairs)] {
                let ids = try tokenizer.encode(text, special: vector.special)
                var sum = Checksum()
                sum.add(ids)
                #expect(ids.count == expected.count && sum.hex == expected.checksum, "\(vector.parts)")
            }
        }
    }
}
