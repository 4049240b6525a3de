import KimiChat
import KimiCore
import KimiTestSupport
import Testing

/// One keyword after another: what is allowed and what is not, by the JSON Schema standard (Draft 2020-12).
@Suite struct GrammarTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let schema: String
        let allowed: [String]
        let refused: [String]
        var testDescription: String { schema }

        init(_ schema: String, _ allowed: [String], not refused: [String]) {
            self.schema = schema
            self.allowed = allowed
            self.refused = refused
        }
    }

    @Test(arguments: types + strings + numbers + arrays + objects + combinations + references)
    func keywordAllowsWhatTheStandardDoes(_ example: Case) throws {
        #expect(try grammar(example.schema).degradations.isEmpty)
        for text in example.allowed { #expect(try allows(example.schema, text), "refused: \(text)") }
        for text in example.refused { #expect(try !allows(example.schema, text), "allowed: \(text)") }
    }

    static let types = [
        Case("true", ["null", " [1, {\"a\": []}]\n", "-0.5e-3", "\"\\ud83d\\ude42\"", "{}", "1E+2"],
             not: ["", "nul", "[1,]", "{\"a\":1,\"a\":2}", "01", "1.", "\"\\ud83d\"", "\"\\ude42\"", "\"\t\"", "{,}", ".5", "+1", "1 2"]),
        Case(#"{"type":"null"}"#, ["null"], not: ["0", "false", "\"\""]),
        Case(#"{"type":["boolean","null"]}"#, ["true", "false", "null"], not: ["1", "[]"]),
        Case(#"{"type":"string","nullable":true}"#, ["null", "\"a\""], not: ["1"]),
        Case(#"{"enum":["a",1,null,[1,{"b":2}],{"c":[]}]}"#, ["\"\\u0061\"", "1", "1.0", "null", "[1,{\"b\":2}]", "{ \"c\" : [ ] }"],
             not: ["\"b\"", "2", "[1]", "{\"c\":[1]}", "{}", "[1,{\"b\":3}]", "true"]),
        Case(#"{"const":false}"#, ["false"], not: ["0", "true", "null"]),
        Case(#"{"enum":["ab","cd"],"minLength":2,"pattern":"^c"}"#, ["\"cd\""], not: ["\"ab\""]),
        Case(#"{"type":"integer","enum":[1,2.5,"x",7]}"#, ["1", "7"], not: ["2.5", "\"x\""]),
    ]

    static let strings = [
        Case(#"{"type":"string","minLength":2,"maxLength":3}"#, ["\"ab\"", "\"日本語\"", "\"\\u65e5🙂\"", "\"\\n\\\"\""],
             not: ["\"a\"", "\"abcd\"", "\"🙂\""]),
        Case(#"{"type":"string","maxLength":0}"#, ["\"\""], not: ["\"a\""]),
        Case(#"{"type":"string","pattern":"^[0-9]{3}$"}"#, ["\"123\"", "\"\\u0031\\u00323\""], not: ["\"12\"", "\"1234\"", "\"12a\""]),
        Case(#"{"type":"string","format":"date"}"#, ["\"2024-02-29\""], not: ["\"2023-02-29\"", "\"2024-2-29\""]),
        Case(#"{"type":"string","pattern":"b","maxLength":2}"#, ["\"b\"", "\"ab\"", "\"bé\""], not: ["\"a\"", "\"aab\""]),
    ]

    static let numbers = [
        Case(#"{"type":"integer"}"#, ["0", "-17", "123456789012345678901234567890"], not: ["1.5", "00", "-", "--1"]),
        Case(#"{"type":"integer","minimum":-5,"maximum":12}"#, ["-5", "-0", "0", "9", "10", "12"], not: ["-6", "13", "100", "-10"]),
        Case(#"{"type":"integer","exclusiveMinimum":99,"exclusiveMaximum":1000.5}"#, ["100", "999", "1000"], not: ["99", "1001", "1"]),
        Case(#"{"type":"integer","minimum":9223372036854775806}"#, ["9223372036854775806", "9223372036854775808", "99999999999999999999"],
             not: ["9223372036854775805", "92233"]),
        Case(#"{"type":"number","minimum":0.5,"maximum":0.75}"#, ["0.5", "0.50", "0.6125", "0.75", "5e-1", "7.5E-01", "6.125e-001"],
             not: ["0", "0.4", "0.7501", "5e-2", "1", "8e-1"]),
        Case(#"{"type":"number","exclusiveMinimum":0}"#, ["0.1", "3", "1e300", "0.00001", "1.5e3", "12.5"], not: ["0", "0.0", "-1", "0e5"]),
        Case(#"{"type":"number","exclusiveMaximum":0.3}"#, ["0.29", "-1", "-1e30", "0", "-0.0"], not: ["0.3", "0.29999999999999999", "1"]),
        Case(#"{"type":"number"}"#, ["1e300", "5e-300", "1.7E+30", "0", "-0", "123.456"], not: ["12e3", "1e999", "e5"]),
        Case(#"{"type":"integer","multipleOf":7,"minimum":1}"#, ["7", "14", "700", "7000000000000000000"], not: ["0", "8", "15"]),
        Case(#"{"type":"number","multipleOf":0.01,"minimum":0,"maximum":2}"#, ["0", "1.25", "0.5", "2.00", "1.99"], not: ["0.005", "2.01", "1.12"]),
        Case(#"{"type":"number","multipleOf":0.5}"#, ["0.5", "-17.5", "3", "1000000.0"], not: ["0.25", "1.1"]),
        Case(#"{"type":"number","multipleOf":10}"#, ["100", "-20"], not: ["5"]),
    ]

    static let arrays = [
        Case(#"{"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":2}"#, ["[1]", "[ 1 , 2 ]"], not: ["[]", "[1,2,3]", "[\"a\"]", "[1"]),
        Case(#"{"type":"array","prefixItems":[{"type":"string"},{"type":"null"}],"items":false}"#, ["[]", "[\"a\"]", "[\"a\",null]"],
             not: ["[null]", "[\"a\",null,1]"]),
        Case(#"{"type":"array","prefixItems":[{"const":1}],"items":{"type":"boolean"},"minItems":2}"#, ["[1,true]", "[1,true,false]"],
             not: ["[1]", "[true,true]"]),
        Case(#"{"type":"array","items":{"enum":["a","ab",1]},"uniqueItems":true}"#, ["[\"a\",\"ab\",1]", "[]"], not: ["[\"a\",\"a\"]", "[1,1.0]", "[\"a\",\"ab\",1,\"a\"]"]),
        Case(#"{"type":"array","items":{"type":"integer","minimum":8,"maximum":11},"uniqueItems":true,"minItems":4}"#, ["[11,9,10,8]"],
             not: ["[8,9,10]", "[8,8,9,10]"]),
        Case(#"{"type":"array","items":{"type":["string","boolean"]},"uniqueItems":true}"#, ["[\"a\",\"b\",true,false,\"\"]"],
             not: ["[\"a\",\"\\u0061\"]", "[true,true]", "[\"\",\"\"]"]),
        Case(#"{"type":"array","items":{"type":"integer"},"uniqueItems":true}"#, ["[0,10,1,-1,-10]", "[12345678901234567]"], not: ["[1,1]", "[-3,0,-3]", "[0,-0]"]),
        Case(#"{"type":"array","items":{"type":"integer","minimum":1,"multipleOf":5},"uniqueItems":true}"#, ["[5,55,10]"], not: ["[5,5]", "[1]"]),
        Case(#"{"type":"array","items":{"type":"string","maxLength":2},"uniqueItems":true,"minItems":2}"#, ["[\"\",\"a\",\"ab\",\"aé\"]"],
             not: ["[\"ab\",\"ab\"]", "[\"\",\"\"]", "[\"é\",\"\\u00e9\"]"]),
        Case(#"{"type":"array","items":{"type":"string","maxLength":0},"uniqueItems":true}"#, ["[\"\"]", "[]"], not: ["[\"\",\"\"]"]),
    ]

    static let objects = [
        Case(#"{"type":"object","properties":{"a":{"type":"integer"},"ab":{"type":"null"}},"required":["a"],"additionalProperties":false}"#,
             ["{\"a\":1}", "{ \"ab\":null, \"\\u0061\" : 2 }"], not: ["{}", "{\"ab\":null}", "{\"b\":1}", "{\"a\":1,\"a\":2}", "{\"a\":\"x\"}"]),
        Case(#"{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"string"}}"#,
             ["{}", "{\"b\":\"x\",\"aa\":\"y\",\"\":\"z\",\"a\":1}"], not: ["{\"a\":\"x\"}", "{\"b\":1}", "{\"b\":\"x\",\"\\u0062\":\"y\"}"]),
        Case(#"{"required":["x"],"type":"object"}"#, ["{\"y\":1,\"x\":[]}"], not: ["{}", "{\"y\":1}"]),
        Case(#"{"type":"object","minProperties":2,"maxProperties":3}"#, ["{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":2,\"c\":3}"],
             not: ["{\"a\":1}", "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}"]),
        Case(#"{"type":"object","properties":{"a":{},"b":{},"c":{}},"required":["c"],"maxProperties":2,"additionalProperties":false}"#,
             ["{\"a\":1,\"c\":2}", "{\"c\":1}"], not: ["{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":1,\"c\":1}"]),
        Case(#"{"type":"object","properties":{"a":false,"b":true}}"#, ["{\"b\":1,\"c\":1}"], not: ["{\"a\":1}"]),
    ]

    static let combinations = [
        Case(#"{"anyOf":[{"type":"integer","minimum":10},{"type":"string","maxLength":1},{"type":"integer","maximum":0}]}"#,
             ["10", "0", "\"a\""], not: ["5", "\"ab\""]),
        Case(#"{"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"v":{"type":"integer"}},"required":["k"]},{"type":"object","properties":{"k":{"const":"b"},"v":{"type":"string"}},"required":["k"]}]}"#,
             ["{\"v\":1,\"k\":\"a\"}", "{\"k\":\"b\",\"v\":\"x\"}"], not: ["{\"k\":\"c\"}", "{\"v\":1,\"k\":\"b\"}", "{\"k\":\"a\",\"v\":\"x\"}"]),
        Case(#"{"allOf":[{"type":"object","properties":{"a":{"minimum":3}},"required":["a"]},{"properties":{"a":{"type":"integer","maximum":5}},"additionalProperties":{"type":"null"}}]}"#,
             ["{\"a\":4}", "{\"b\":null,\"a\":3}"], not: ["{\"a\":2}", "{\"a\":6}", "{}", "{\"a\":4,\"b\":1}"]),
        Case(#"{"type":"integer","anyOf":[{"minimum":10},{"multipleOf":4}],"maximum":12}"#, ["4", "10", "11", "12", "-8"], not: ["5", "13", "16"]),
        Case(#"{"allOf":[{"type":"string","pattern":"^a"},{"pattern":"z$"}],"minLength":3}"#, ["\"abz\""], not: ["\"az\"", "\"abc\""]),
    ]

    static let references = [
        Case(##"{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"},"v":{"type":"integer"}},"required":["v"],"additionalProperties":false}}}"##,
             ["{\"v\":1}", "{\"next\":{\"next\":{\"v\":3},\"v\":2},\"v\":1}"], not: ["{\"next\":{}}", "{\"next\":{\"v\":1}}"]),
        Case(##"{"type":"array","items":{"$ref":"#"}}"##, ["[]", "[[],[[]]]"], not: ["[1]"]),
        Case(##"{"$ref":"#/$defs/a~1b%20c","maximum":3,"$defs":{"a/b c":{"type":"integer"}}}"##, ["3"], not: ["4", "\"x\""]),
        Case(##"{"$ref":"#word","definitions":{"w":{"$anchor":"word","const":"yes"}}}"##, ["\"yes\""], not: ["\"no\""]),
        Case(expression, ["1", "{\"left\":{\"op\":\"neg\",\"left\":2},\"op\":\"+\"}"], not: ["{\"left\":1,\"op\":\"*\"}", "{\"op\":\"+\"}"]),
    ]

    static let expression = ##"""
        {"oneOf":[{"type":"object","properties":{"left":{"$ref":"#"},"op":{"enum":["+","-"]}},"required":["left","op"],\##
        "additionalProperties":false},{"type":"object","properties":{"left":{"$ref":"#"},"op":{"const":"neg"}},\##
        "required":["left","op"],"additionalProperties":false},{"type":"number"}]}
        """##

    // MARK: Spelling

    /// Overlong forms, surrogates, numbers beyond Unicode and stray bytes, each refused at the first byte that tells.
    @Test(arguments: [[0xC1], [0xE0, 0x9F], [0xED, 0xA0], [0xF0, 0x8F], [0xF4, 0x90], [0xF5], [0x80], [0xC3, 0x41], [0x1F]] as [[UInt8]])
    func stringIsUTF8(_ bytes: [UInt8]) throws {
        let matcher = GrammarMatcher(.anyValue, try TestVocabulary.tree.get())
        #expect(matcher.accept(bytes: [0x22]))
        #expect(bytes.dropLast().isEmpty || matcher.accept(bytes: bytes.dropLast()))
        #expect(!matcher.accept(bytes: bytes.suffix(1)))
    }

    /// 32 characters, and 8 for each array or object around them.
    @Test func whiteSpaceHasItsBound() throws {
        let schema = #"{"type":"array"}"#
        for (more, isAllowed) in [(0, true), (1, false)] {
            let outside = String(repeating: " ", count: 32 + more), inside = String(repeating: "\n", count: 40 + more)
            #expect(try allows(schema, "\(outside)[]") == isAllowed)
            #expect(try allows(schema, "[]\(outside)") == isAllowed)
            #expect(try allows(schema, "[\(inside)]") == isAllowed)
            #expect(try allows(schema, "[\(inside)1\(inside),\(inside)[\(inside)        ]\(inside)]") == isAllowed)
        }
    }

    @Test func nestingHasItsBound() throws {
        let bracket = { (count: Int) in String(repeating: "[", count: count) + String(repeating: "]", count: count) }
        #expect(try allows("true", bracket(64)))
        #expect(try !allows("true", bracket(65)))
        // A value that needs two more levels cannot begin one level below the bound.
        let tree = ##"{"type":"array","items":{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}}"##
        let matcher = GrammarMatcher(try grammar(tree), try TestVocabulary.tree.get())
        for _ in 0..<31 { #expect(matcher.accept(bytes: Array(#"[{"a":"#.utf8))) }
        #expect(!matcher.copy().accept(bytes: Array(#"[{"a":["#.utf8)) || matcher.copy().accept(bytes: Array(#"[{"a":[]"#.utf8)))
        let rest = try #require(matcher.shortCompletion())
        #expect(matcher.accept(bytes: rest) && matcher.canEnd)
    }

    @Test func literalsAreBytes() throws {
        let matcher = GrammarMatcher(.literals([Array("get".utf8), Array("get_all".utf8), Array("put".utf8)]), try TestVocabulary.tree.get())
        #expect(!matcher.canEnd)
        #expect(matcher.accept(bytes: Array("get".utf8)) && matcher.canEnd && !matcher.hasEnded)
        #expect(!matcher.accept(bytes: Array(" ".utf8)))
        #expect(matcher.accept(bytes: Array("_all".utf8)) && matcher.canEnd)
        #expect(matcher.allowedTokens().isEmpty)
        matcher.reset()
        #expect(!matcher.accept(bytes: Array("\"get\"".utf8)))
    }

    @Test func anyObjectIsAnObject() throws {
        let matcher = GrammarMatcher(.anyObject, try TestVocabulary.tree.get())
        #expect(!matcher.accept(bytes: Array("[".utf8)))
        #expect(matcher.accept(bytes: Array(#"{"a":[1,{"b":null}]}"#.utf8)) && matcher.canEnd)
    }

    @Test func cacheKeepsGrammarsByText() throws {
        var cache = GrammarCache(limit: 2)
        func schema(_ text: String) throws -> JSON { try JSON.parse(Array(text.utf8), file: "schema") }
        let first = cache.grammar(of: try schema(#"{"type":"null"}"#))
        #expect(cache.grammar(of: try schema(#"{ "type": "null" }"#)) === first)
        for text in ["true", "false"] { _ = cache.grammar(of: try schema(text)) }
        #expect(cache.grammar(of: try schema(#"{"type":"null"}"#)) !== first)
    }
}
