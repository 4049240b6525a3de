import Foundation
import KimiChat
import KimiCore
import KimiTestSupport
import KimiTokenizer
import Testing

struct OutputParserTests {
    struct Vector: Decodable {
        struct Call: Decodable, Equatable { let id: String; let name: String; let arguments: String }
        let thinking: Bool
        let text: String
        let reasoning_content: String?
        let content: String
        let tool_calls: [Call]
    }

    static let vectors = (try? Fixtures.decode([Vector].self, "vectors/tool_parse.json")) ?? []
    static let tokenizer = Result { () throws -> Tokenizer in try Tokenizer(folder: Fixtures.path("tiny-kimi")) }
    static let end: Int32 = 1538

    static func parser(thinking: Bool, tools: [String]? = nil, firstCall: Int = 0) throws -> OutputParser {
        let tokenizer = try tokenizer.get()
        return OutputParser(
            tokens: ChatTokens(tokenizer), tokenizer: tokenizer, endTokens: [end], startsInReasoning: thinking, tools: tools,
            firstCall: firstCall)
    }

    /// What events add up to.
    struct Sum: Equatable {
        var reasoning = "", content = ""
        var calls: [String] = []
        var rejected: [CallRejection] = []
        var open: [String: String] = [:]

        mutating func add(_ events: [OutputEvent]) {
            for event in events {
                switch event {
                case .reasoning(let text): reasoning += text
                case .content(let text): content += text
                case .callBegin(_, let id, _): open[id] = ""
                case .argumentDelta(_, let id, _, let text): open[id, default: "?"] += text
                case .callEnd(_, let id, let name, let arguments):
                    #expect(open.removeValue(forKey: id) == arguments)
                    calls.append("\(id) \(name) \(arguments)")
                case .callRejected(_, _, let reason, let preview):
                    #expect(preview.count <= 200)
                    rejected.append(reason)
                }
            }
        }
    }

    static func sum(_ ids: [Int32], thinking: Bool, tools: [String]? = nil) throws -> Sum {
        var parser = try parser(thinking: thinking, tools: tools)
        var sum = Sum()
        for id in ids { sum.add(parser.feed(id)) }
        sum.add(parser.finish())
        return sum
    }

    @Test("outputs are read as the reference reads them", arguments: vectors.indices)
    func vector(_ index: Int) throws {
        let vector = Self.vectors[index]
        let ids = try Self.tokenizer.get().encode(vector.text, special: true)
        let sum = try Self.sum(ids, thinking: vector.thinking)
        #expect(sum.reasoning == vector.reasoning_content ?? "")
        #expect(sum.content == vector.content)
        #expect(sum.calls == vector.tool_calls.map { "\($0.id) \($0.name) \($0.arguments)" })
        #expect(sum.rejected.isEmpty)
        let parsed = ParsedOutput(text: vector.text, hasThought: vector.thinking)
        #expect(parsed.reasoning == vector.reasoning_content)
        #expect(parsed.content == vector.content)
        #expect(parsed.calls.map { "\($0.id ?? "") \($0.name) \($0.arguments)" } == sum.calls)
    }

    @Test("an output on record is read by the names of its markers, and of no others", arguments: [
        ("<|tool_call_section_begin|><|tool_call_begin|>functions.a:0<|tool_call_argument_begin|>{\"t\": \"<|im_end|>[EOS]\"}<|tool_call_end|>"
            + "<|tool_call_section_end|><|im_end|>gone", "", ["functions.a:0 a {\"t\": \"<|im_end|>[EOS]\"}"]),
        ("a < b <|im_user <|im_user|> [BOS]", "a < b <|im_user <|im_user|> [BOS]", []), ("é<|im_end|>x", "é", []), ("<", "<", []),
    ] as [(String, String, [String])])
    func textOnRecord(_ text: String, _ content: String, _ calls: [String]) {
        let parsed = ParsedOutput(text: text, hasThought: false)
        #expect(parsed.content == content)
        #expect(parsed.calls.map { "\($0.id ?? "") \($0.name) \($0.arguments)" } == calls)
    }

    @Test("the vectors are there") func hasVectors() { #expect(Self.vectors.count == 11) }

    // MARK: Any stream

    /// A stream of text, markers and strays, likelier in an order that makes sense.
    static func stream(_ random: inout SplitMix) throws -> [Int32] {
        let tokenizer = try tokenizer.get()
        let markers = ["</think>", "<|tool_calls_section_begin|>", "<|tool_call_begin|>", "functions.a:0", "<|tool_call_argument_begin|>",
                       #"{"x": 1}"#, "<|tool_call_end|>", "<|tool_calls_section_end|>", "<|im_end|>"]
        var ids: [Int32] = []
        var place = 0
        while ids.count < 60 {
            if Int.random(in: 0..<10, using: &random) < 7 {
                ids += try tokenizer.encode(markers[place % markers.count], special: true)
                place += Int.random(in: 0..<3, using: &random)
            } else if Bool.random(using: &random) {
                // Any id, special ones and bytes of unfinished characters among them.
                ids.append(Int32.random(in: -3..<1800, using: &random))
            } else {
                ids += try tokenizer.encode(["é", "🙂 x", " ", "functions.b", "}\n", "日本"].randomElement(using: &random) ?? "", special: false)
            }
        }
        return ids
    }

    @Test("however a stream is cut, the events are the same", arguments: 0..<10)
    func chunks(_ part: Int) throws {
        for seed in part * 1000..<(part + 1) * 1000 {
            var random = SplitMix(UInt64(seed))
            let ids = try Self.stream(&random)
            let thinking = Bool.random(using: &random)
            let tools = [nil, ["a"], ["a", "b"]].randomElement(using: &random) ?? nil
            var whole = try Self.parser(thinking: thinking, tools: tools), parts = whole
            let expected = whole.feed(ids) + whole.finish()
            var found: [OutputEvent] = []
            var start = 0
            while start < ids.count {
                let end = min(ids.count, start + Int.random(in: 1..<9, using: &random))
                found += parts.feed(ids[start..<end])
                start = end
            }
            found += parts.finish()
            #expect(found == expected, "seed \(seed)")
        }
    }

    @Test("every beginning of an answer says what the whole says, as far as it goes", arguments: [true, false])
    func truncation(thinking: Bool) throws {
        let text = (thinking ? "Let me see é</think>" : "") + "Here: <|tool_calls_section_begin|><|tool_call_begin|>functions.a:0"
            + #"<|tool_call_argument_begin|>{"x": "日本"}<|tool_call_end|><|tool_call_begin|>functions.b:1<|tool_call_argument_begin|>{}"#
            + "<|tool_call_end|><|tool_calls_section_end|>"
        let ids = try Self.tokenizer.get().encode(text, special: true)
        let whole = try Self.sum(ids, thinking: thinking, tools: ["a", "b"])
        #expect(whole.reasoning == (thinking ? "Let me see é" : ""))
        #expect(whole.content == "Here: ")
        #expect(whole.calls == [#"functions.a:0 a {"x": "日本"}"#, "functions.b:1 b {}"])
        for count in 0..<ids.count {
            var parser = try Self.parser(thinking: thinking, tools: ["a", "b"])
            var sum = Sum()
            sum.add(parser.feed(ids[..<count]))
            let isInCall = parser.isInCall, isReasoning = parser.isReasoning
            sum.add(parser.finish())
            #expect(sum.rejected == (isInCall ? [.unfinished] : []))
            if isReasoning { #expect(sum.content.isEmpty && sum.calls.isEmpty) }
            // A character that is cut in its middle is shown as such; all else is a beginning.
            #expect(whole.reasoning.hasPrefix(sum.reasoning.replacing("\u{FFFD}", with: "")))
            #expect(whole.content.hasPrefix(sum.content))
            #expect(Array(whole.calls.prefix(sum.calls.count)) == sum.calls)
        }
    }

    @Test("a damaged id is repaired if one tool only can be meant", arguments: [
        ("functions.read:4", "read"), ("functionsread4", "read"), ("functions.read", "read"), ("read:0", "read"), ("read", "read"),
        (" functions.read:1\n", "read"), ("functions.read_all:0", "read_all"), ("functionsread_all7", "read_all"),
        ("function.read:2", "read"), ("functions.reed:0", nil), ("", nil), ("functions.", nil), ("functions.v1:0", "v1"),
        ("functions.v12", "v12"), ("functionsv12", nil),
    ] as [(String, String?)])
    func names(_ header: String, _ tool: String?) throws {
        let tokenizer = try Self.tokenizer.get()
        let text = "<|tool_calls_section_begin|><|tool_call_begin|>\(header)<|tool_call_argument_begin|>{}<|tool_call_end|>"
        let sum = try Self.sum(
            try tokenizer.encode(text, special: true), thinking: false, tools: ["read", "read_all", "v1", "v12"])
        #expect(sum.calls == (tool.map { ["functions.\($0):0 \($0) {}"] } ?? []))
        #expect(sum.rejected == (tool == nil ? [.unknownTool] : []))
    }

    @Test("arguments that are no object are no call", arguments: ["[]", "{\"a\":}", "{} {}", "null"])
    func badArguments(_ arguments: String) throws {
        let text = "<|tool_call_begin|>functions.a:0<|tool_call_argument_begin|>\(arguments)<|tool_call_end|>"
        let sum = try Self.sum(try Self.tokenizer.get().encode(text, special: true), thinking: false, tools: ["a"])
        #expect(sum.calls.isEmpty)
        #expect(sum.rejected == [.arguments])
    }

    @Test("a call without arguments has none", arguments: ["", " \n", "<|tool_call_argument_begin|>", "<|tool_call_argument_begin|> "])
    func noArguments(_ space: String) throws {
        let text = "<|tool_call_begin|>functions.a:0\(space)<|tool_call_end|> and so on<|im_user|>more"
        let sum = try Self.sum(try Self.tokenizer.get().encode(text, special: true), thinking: false, tools: ["a"])
        #expect(sum.calls == ["functions.a:0 a {}"])
        #expect(sum.content.isEmpty)
    }

    @Test("300 calls count on from where the conversation is")
    func counting() throws {
        let call = try Self.tokenizer.get().encode(
            "<|tool_call_begin|>functions.a:7<|tool_call_argument_begin|>{}<|tool_call_end|>", special: true)
        var parser = try Self.parser(thinking: true, tools: ["a"], firstCall: 40)
        var sum = Sum()
        for _ in 0..<300 { sum.add(parser.feed(call)) }
        #expect(sum.calls == (40..<340).map { "functions.a:\($0) a {}" })
    }

    @Test("arguments of any length are read whole", arguments: [200_000])
    func longArguments(_ length: Int) throws {
        let tokenizer = try Self.tokenizer.get()
        let piece = try tokenizer.encode("abc ", special: false)
        var parser = try Self.parser(thinking: false, tools: ["a"])
        _ = parser.feed(try tokenizer.encode(#"<|tool_call_begin|>functions.a:0<|tool_call_argument_begin|>{"s":""#, special: true))
        var total = 0
        for _ in 0..<length / 4 {
            for case .argumentDelta(_, _, _, let text) in parser.feed(piece) { total += text.utf8.count }
        }
        #expect(total >= length - 8)
        let events = parser.feed(try tokenizer.encode(#""}<|tool_call_end|>"#, special: true))
        guard case .callEnd(_, _, _, let arguments)? = events.last else { Issue.record("no end"); return }
        #expect(arguments.utf8.count == length + 8)
    }
}
