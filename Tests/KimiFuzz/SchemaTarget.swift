import Foundation
import KimiChat
import KimiCore
import KimiTestSupport
import KimiTokenizer

/// Fuzzes the compiler of schemas, and writes a value by each grammar it makes: random tokens among those allowed, then the short way to
/// the end. Whatever the schema is, there is always a next token, and the text is JSON.
final class SchemaTarget: FuzzTarget {
    private var seeds: [[UInt8]] = []
    private let tokenizer: Tokenizer
    private let vocabulary: VocabularyTree

    init() throws {
        tokenizer = try Tokenizer(folder: Fixtures.path("tiny-kimi"))
        vocabulary = VocabularyTree(tokenizer)
        let list = try JSONSerialization.jsonObject(with: Data(Fixtures.bytes("vectors/tools_typescript.json"))) as? [[String: Any]] ?? []
        for tools in list.compactMap({ $0["tools"] as? [[String: Any]] }) {
            for case let function as [String: Any] in tools.compactMap({ $0["function"] }) {
                guard let parameters = function["parameters"] else { continue }
                seeds.append(Array(try JSONSerialization.data(withJSONObject: parameters)))
            }
        }
        seeds.append(Array(Self.everyKeyword.utf8))
    }

    private static let everyKeyword = #"""
        {"type":["object","null"],"properties":{"a":{"type":"string","pattern":"^[a-c]{2,5}$","minLength":3},"b":{"type":"array","items":
        {"enum":[1,"x",null,{"y":[]}]},"minItems":1,"maxItems":3,"uniqueItems":true},"c":{"$ref":"#/$defs/n"},"d":{"format":"date"},
        "e":{"type":"number","minimum":-1.5,"exclusiveMaximum":2,"multipleOf":0.5},"f":{"oneOf":[{"type":"integer","multipleOf":7},
        {"type":"boolean"}]},"g":{"allOf":[{"maxLength":4},{"minLength":2}],"type":"string"},"h":{"prefixItems":[{"const":3}],"items":
        false}},"required":["a","c"],"additionalProperties":{"type":"integer"},"minProperties":2,"$defs":{"n":{"anyOf":[{"type":"null"},
        {"type":"array","items":{"$ref":"#/$defs/n"}}]}},"not":{"required":["z"]}}
        """#

    func run(_ number: Int, _ mutator: inout Mutator, _ outcome: inout Outcome) throws {
        do {
            let text = mutator.mutate(seeds[number % seeds.count])
            let schema = try JSON.parse(text, file: "schema", maxDepth: ChatRequest.maxDepth)
            outcome.accepted += 1
            let before = outcome.wrong.count
            // A value that must be millions long has no short way to its end.
            let isHuge = text.contains(0x65) && String(decoding: text, as: UTF8.self).contains("1e") || text.split(whereSeparator: { !(0x30...0x39).contains($0) }).contains { $0.count > 5 }
            write(Grammar(schema: schema), SplitMix(UInt64(number)), isHuge, &outcome)
            if outcome.wrong.count > before { outcome.wrong.append("by the schema \(String(decoding: text, as: UTF8.self))") }
        } catch {
            outcome.refuse(error, needsFile: false)
        }
    }

    private func write(_ grammar: Grammar, _ seed: SplitMix, _ isHuge: Bool, _ outcome: inout Outcome) {
        var random = seed
        let matcher = GrammarMatcher(grammar, vocabulary)
        var text: [UInt8] = []
        for _ in 0..<12 {
            let mask = matcher.mask()
            let allowed = mask.enumerated().flatMap { word, bits in
                (0..<64).filter { bits >> UInt64($0) & 1 == 1 }.map { Int32(word * 64 + $0) }
            }
            guard let id = allowed.randomElement(using: &random) else {
                if !matcher.canEnd { outcome.wrong.append("a text that can neither go on nor end: \(String(decoding: text, as: UTF8.self))") }
                return
            }
            guard matcher.accept(id) else { return outcome.wrong.append("token \(id) is allowed and not taken") }
            text += tokenizer.piece(id) ?? []
        }
        guard let rest = matcher.shortCompletion() else {
            if isHuge { return }
            return outcome.wrong.append("no way to the end from \(String(decoding: text, as: UTF8.self))")
        }
        text += rest
        guard matcher.accept(bytes: rest), matcher.canEnd else { return outcome.wrong.append("the way to the end leads elsewhere") }
        do { _ = try JSON.parse(text, file: "value", maxDepth: 200) } catch {
            outcome.wrong.append("no JSON: \(String(decoding: text, as: UTF8.self)): \(error)")
        }
    }
}
