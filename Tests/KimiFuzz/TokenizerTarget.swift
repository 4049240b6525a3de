import Foundation
import KimiCore
import KimiTestSupport
import KimiTokenizer

/// Fuzzes the reading of tokenizer files, and what opens all the same: encoding, decoding, decoding as a stream.
///
/// Seeds are small: a rank file with its configuration, a unigram SentencePiece model, and the first pieces of a larger one.
final class TokenizerTarget: FuzzTarget {
    private struct Seed {
        let folder: TemporaryFolder
        /// The file that is damaged, what it holds when it is not, and whether it is rewritten before each case.
        let file: String
        let bytes: [UInt8]
    }

    private var seeds: [Seed] = []

    init() throws {
        let ranks = ["tiktoken.model", "tokenizer_config.json"]
        for file in ranks { try add("shapes/mixed", ranks, damaging: file) }
        for file in ["tokenizer.model", "tokenizer_config.json"] {
            try add("tokenizer/unigram", ["tokenizer.model", "tokenizer_config.json"], damaging: file)
        }
        let folder = try TemporaryFolder()
        let model = Self.shortened(try Fixtures.bytes("vectors/sentencepiece/tokenizer.model"), pieces: 400)
        try folder.write("tokenizer.model", model)
        seeds.append(Seed(folder: folder, file: "tokenizer.model", bytes: model))
    }

    private func add(_ fixture: String, _ files: [String], damaging file: String) throws {
        let folder = try TemporaryFolder()
        for name in files { try folder.write(name, try Fixtures.bytes("\(fixture)/\(name)")) }
        seeds.append(Seed(folder: folder, file: file, bytes: try Fixtures.bytes("\(fixture)/\(file)")))
    }

    /// The model with its first `pieces` pieces (field 1) and all other fields.
    private static func shortened(_ model: [UInt8], pieces: Int) -> [UInt8] {
        var result: [UInt8] = []
        var place = 0
        var count = 0
        func varint() -> Int {
            var value = 0
            var shift = 0
            while place < model.count {
                let byte = model[place]
                place += 1
                value |= Int(byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 || shift > 56 { break }
            }
            return value
        }
        while place < model.count {
            let start = place
            let tag = varint()
            // All top-level fields of a model are messages.
            let length = varint()
            let end = min(model.count, place + length)
            place = end
            if tag >> 3 == 1 {
                count += 1
                if count > pieces { continue }
            }
            result += model[start..<end]
        }
        return result
    }

    func run(_ number: Int, _ mutator: inout Mutator, _ outcome: inout Outcome) throws {
        let seed = seeds[number % seeds.count]
        try seed.folder.rewrite(seed.file, mutator.mutate(seed.bytes))
        do {
            let size = mutator.below(4) == 0 ? mutator.below(2000) : nil
            let tokenizer = try Tokenizer(folder: seed.folder.path, vocabularySize: size)
            outcome.accepted += 1
            use(tokenizer, &mutator, &outcome)
        } catch {
            outcome.refuse(error)
        }
    }

    // MARK: Use

    private static let texts: [[UInt8]] = [
        "", " ", "Hello world, it's 2024!\n\n  indented", "日本語のテキスト，中文 mixed", "🇩🇪👩‍👩‍👧 e\u{301}", "<|im_end|>[BOS]<think>", "\u{0}\u{7F}",
    ].map { Array($0.utf8) } + [[0xC3], [0xED, 0xA0, 0x80], [0xFF, 0xFE]]

    private func use(_ tokenizer: Tokenizer, _ mutator: inout Mutator, _ outcome: inout Outcome) {
        let count = tokenizer.vocabularySize
        for text in [mutator.pick(Self.texts), mutator.mutate(mutator.pick(Self.texts))] {
            for special in [false, true] {
                do {
                    let ids = try tokenizer.encode(text, special: special)
                    if let bad = ids.first(where: { $0 < 0 || Int($0) >= count }) { outcome.wrong.append("encoded to id \(bad) of \(count)") }
                    try decode(ids, tokenizer, &outcome)
                } catch {
                    // Text that is not UTF-8, or that the damaged ranks cannot spell.
                    if error.status == .internal { outcome.wrong.append("encoding: \(error)") }
                }
            }
        }
        var ids = (0..<mutator.below(40)).map { _ in Int32(truncatingIfNeeded: mutator.below(count + 1)) }
        if mutator.below(4) == 0 { ids.append(Int32(truncatingIfNeeded: Int64(bitPattern: mutator.next()))) }
        try? decode(ids, tokenizer, &outcome)
        for id in ids {
            guard let piece = tokenizer.piece(id) else {
                if id >= 0 && Int(id) < count { outcome.wrong.append("id \(id) of \(count) has no piece") }
                continue
            }
            if let other = tokenizer.id(ofPiece: piece), tokenizer.piece(other) != piece {
                outcome.wrong.append("the id of the piece of \(id) is \(other), which has another")
            }
            _ = tokenizer.isSpecial(id)
        }
    }

    /// The stream's outputs together are the decoded whole.
    private func decode(_ ids: [Int32], _ tokenizer: Tokenizer, _ outcome: inout Outcome) throws(KimiError) {
        let whole = try tokenizer.decode(ids)
        var decoder = StreamDecoder(tokenizer)
        var parts: [UInt8] = []
        for id in ids { parts += try decoder.feed(id) }
        parts += decoder.finish()
        if parts != whole { outcome.wrong.append("a stream of \(ids.prefix(20)) gives another text than decoding") }
    }
}
