import KimiChat
import KimiCore
import KimiTestSupport
import Testing

/// What cannot be enforced is listed, and then nothing valid is forbidden.
@Suite struct DegradationTests {
    @Test(arguments: [
        (#"{"not":{"type":"null"}}"#, "#", "not", ["null", "1"]),
        (#"{"if":{"type":"null"},"then":false}"#, "#", "if", ["null"]),
        (#"{"type":"object","patternProperties":{"^x":{"type":"integer"}},"additionalProperties":false}"#, "#", "patternProperties", ["{\"x\":1}", "{}"]),
        (#"{"properties":{"a":{"type":"array","contains":{"const":1}}}}"#, "#/properties/a", "contains", ["{\"a\":[]}", "{\"a\":[1]}"]),
        (#"{"type":"object","propertyNames":{"maxLength":2}}"#, "#", "propertyNames", ["{\"abc\":1}"]),
        (#"{"type":"object","dependentRequired":{"a":["b"]}}"#, "#", "dependentRequired", ["{\"a\":1}"]),
        (#"{"oneOf":[{"type":"integer"},{"minimum":3}]}"#, "#", "oneOf", ["1", "5", "\"x\""]),
        (#"{"type":"array","items":{"type":"object"},"uniqueItems":true}"#, "#", "uniqueItems", ["[{},{}]"]),
        (##"{"$ref":"#/$defs/none"}"##, "#", "$ref", ["1"]),
        (##"{"$ref":"https://example.org/schema"}"##, "#", "$ref", ["1"]),
        (##"{"$ref":"#"}"##, "#", "$ref", ["1"]),
        (##"{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}"##, "#", "schema", ["1", "{}"]),
        (#"{"type":"integer","minimum":5,"maximum":4}"#, "#", "schema", ["1"]),
        (#"false"#, "#", "schema", ["1"]),
        (#"[1]"#, "#", "schema", ["1"]),
        (#""x""#, "#", "schema", ["1"]),
        (#"{"type":"thing"}"#, "#", "type", ["1"]),
        (#"{"type":"string","pattern":"(a)\\1"}"#, "#", "pattern", ["\"aa\"", "\"b\""]),
        (#"{"type":"string","format":"idn-email"}"#, "#", "format", ["\"ü@example.org\""]),
        (#"{"type":"string","minLength":-1}"#, "#", "minLength", ["\"\""]),
        (#"{"properties":[]}"#, "#", "properties", ["{}"]),
        (#"{"type":"number","multipleOf":0.7}"#, "#", "multipleOf", ["0.7", "1"]),
        (#"{"type":"number","minimum":1e30}"#, "#", "minimum", ["1"]),
        (#"{"const":18446744073709551615}"#, "#", "const", ["18446744073709551615"]),
    ])
    func keywordIsListedAndForbidsNothing(schema: String, path: String, keyword: String, texts: [String]) throws {
        let degradations = try grammar(schema).degradations
        #expect(degradations.contains { $0.path == path && $0.keyword == keyword }, "\(degradations)")
        for text in texts { #expect(try allows(schema, text), "refused: \(text)") }
    }

    @Test func annotationsAreNotListed() throws {
        let schema = ##"{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"x","$comment":"c","title":"t","description":"d","default":1,"examples":[1],"deprecated":true,"readOnly":true,"contentEncoding":"base64","format":"int32","type":"integer","$defs":{"unused":{"not":{}}}}"##
        #expect(try grammar(schema).degradations.isEmpty)
    }

    // MARK: Bad input

    private static func chain(_ count: Int, _ link: (Int) -> String) -> String {
        #"{"$defs":{"# + (0..<count).map { "\"d\($0)\":" + link($0) }.joined(separator: ",") + ##"},"$ref":"#/$defs/d0"}"##
    }

    static let large: [(name: String, schema: String)] = [
        ("100,000 properties", #"{"type":"object","additionalProperties":false,"properties":{"#
            + (0..<100_000).map { "\"property\($0)\":{\"type\":\"integer\",\"minimum\":\($0)}" }.joined(separator: ",") + "}}"),
        ("10 MB of enumeration", #"{"enum":["# + (0..<100_000).map { "\"\($0)\(String(repeating: "x", count: 94))\"" }.joined(separator: ",") + "]}"),
        ("20,000 constants", #"{"oneOf":["# + (0..<20_000).map { "{\"const\":\"v\($0)\"}" }.joined(separator: ",") + "]}"),
        ("2,000 objects to choose from", #"{"anyOf":["# + (0..<2000).map { "{\"type\":\"object\",\"required\":[\"k\($0)\"]}" }.joined(separator: ",") + "]}"),
        ("10^8 alternatives", #"{"allOf":["# + (0..<8).map { outer in
            "{\"anyOf\":[" + (0..<10).map { "{\"properties\":{\"p\(outer)_\($0)\":{\"type\":\"null\"}}}" }.joined(separator: ",") + "]}"
        }.joined(separator: ",") + "]}"),
        ("20,000 references in a row", chain(20_000) { ##"{"$ref":"#/$defs/d\##($0 + 1)"}"## }),
        ("2^60 ways through references", chain(60) { ##"{"allOf":[{"$ref":"#/$defs/d\##($0 + 1)"},{"$ref":"#/$defs/d\##($0 + 1)"}]}"## }),
        ("references into each other", chain(24) { n in
            ##"{"type":"object","properties":{"a":{"$ref":"#/$defs/d\##((n * 7 + 1) % 24)"},"b":{"allOf":[{"$ref":"#/$defs/d\##((n * 5 + 2) % 24)"},{"$ref":"#/$defs/d\##((n * 3 + 2) % 24)"}]}}}"##
        }),
        ("20,000 choices that hang on each other", chain(20_000) { n in
            ##"{"oneOf":[{"type":"object","properties":{"a":{"$ref":"#/$defs/d\##(n + 1)"}},"required":["a"]},{"type":"object","properties":{"a":{"const":\##(n)}},"required":["a"]}]}"##
        }),
        ("50,000 elements at least", #"{"type":"array","minItems":50000,"items":{"type":"null"}}"#),
        ("a string longer than any context", #"{"type":"string","minLength":1e12}"#),
        ("a catastrophic pattern", #"{"type":"string","pattern":"^(a+)+(b{1,1000}){1,1000}$"}"#),
    ]

    @Test(arguments: large.indices)
    func largeSchemaIsCompiledOrDegrades(_ index: Int) throws {
        let schema = Self.large[index].schema
        let matcher = GrammarMatcher(try grammar(schema), try TestVocabulary.tree.get())
        #expect(!matcher.allowedTokens().isEmpty, "\(Self.large[index].name)")
        if let rest = matcher.shortCompletion() { #expect(matcher.accept(bytes: rest) && matcher.canEnd) }
    }
}
