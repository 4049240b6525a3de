import Foundation
import KimiChat
import KimiCore
import KimiTestSupport
import Testing

/// Requests that are refused: the error names the place and what would be right.
@Suite struct BadRequestTests {
    private static let hi = #""messages": [{"role": "user", "content": "hi"}]"#

    private static func message(_ members: String) -> String { #"{"messages": [{"role": "user", "content": "q"}, {\#(members)}]}"# }

    private static func call(_ members: String) -> String {
        message(#""role": "assistant", "content": null, "tool_calls": [{\#(members)}]"#)
    }

    private static func tool(_ function: String) -> String { #"{\#(hi), "tools": [{"type": "function", "function": {\#(function)}}]}"# }

    private static func with(_ members: String) -> String { #"{\#(hi), \#(members)}"# }

    /// The request, the error's subject, and a part of its message.
    static let cases: [(json: String, subject: String, says: String)] = [
        ("", "request", "byte 0"), ("{", "request", "byte 1"), (#"{"messages": [}"#, "request", "byte 14"), ("[]", "request", "an object with messages"),
        ("null", "request", "null"), (#"{"messages": [], "messages": []}"#, "request", "stands twice"), ("{\"messages\": [\"\u{1}\"]}", "request", "control character"),
        ("{}", "messages", "missing"), (#"{"messages": null}"#, "messages", "missing"), (#"{"messages": {}}"#, "messages", "a list of messages"),
        (#"{"messages": []}"#, "messages", "empty"), (#"{"messages": ["hi"]}"#, "messages[0]", "an object with role and content"),
        (message(#""content": "x""#), "messages[1].role", #""assistant""#), (message(#""role": "critic", "content": "x""#), "messages[1].role", #"is "critic""#),
        (message(#""role": 5, "content": "x""#), "messages[1].role", "is 5"), (message(#""role": "user""#), "messages[1].content", "missing"),
        (message(#""role": "user", "content": 5"#), "messages[1].content", "a string or a list of parts"),
        (message(#""role": "user", "content": {"type": "text"}"#), "messages[1].content", "an object"),
        (message(#""role": "user", "content": ["x"]"#), "messages[1].content[0]", "a part"),
        (message(#""role": "user", "content": [{"text": "x"}]"#), "messages[1].content[0].type", "missing"),
        (message(#""role": "user", "content": [{"type": "text"}]"#), "messages[1].content[0].text", "missing"),
        (message(#""role": "user", "content": [{"type": "text", "text": 1}]"#), "messages[1].content[0].text", "a string"),
        (message(#""role": "user", "content": [{"type": "smell"}]"#), "messages[1].content[0].type", "smell"),
        (message(#""role": "user", "name": 1, "content": "x""#), "messages[1].name", "a string"),
        (message(#""role": "user", "content": "x", "tool_calls": [{}]"#), "messages[1].tool_calls", "only an assistant"),
        (message(#""role": "assistant", "content": "x", "reasoning_content": 1"#), "messages[1].reasoning_content", "a string"),
        (message(#""role": "assistant", "content": "x", "tool_calls": {}"#), "messages[1].tool_calls", "a list of calls"),
        (call(""), "messages[1].tool_calls[0].id", "missing"), (call(#""id": 1"#), "messages[1].tool_calls[0].id", "a string"),
        (call(#""id": """#), "messages[1].tool_calls[0].id", "not empty"), (call(#""id": "1""#), "messages[1].tool_calls[0].function", "missing"),
        (call(#""id": "1", "type": "custom""#), "messages[1].tool_calls[0].type", "custom"),
        (call(#""id": "1", "function": "f""#), "messages[1].tool_calls[0].function", "name and arguments"),
        (call(#""id": "1", "function": {"arguments": ""}"#), "messages[1].tool_calls[0].function.name", "missing"),
        (call(#""id": "1", "function": {"name": "", "arguments": ""}"#), "messages[1].tool_calls[0].function.name", "1 to"),
        (call(#""id": "1", "function": {"name": 7, "arguments": ""}"#), "messages[1].tool_calls[0].function.name", "is 7"),
        (call(#""id": "1", "function": {"name": "f"}"#), "messages[1].tool_calls[0].function.arguments", "JSON text"),
        (call(#""id": "1", "function": {"name": "f", "arguments": [1]}"#), "messages[1].tool_calls[0].function.arguments", "JSON text"),
        (message(#""role": "tool", "content": "x""#), "messages[1].tool_call_id", "missing"),
        (message(#""role": "function", "content": "x""#), "messages[1].name", "missing"),
        (with(#""tools": {}"#), "tools", "a list of tools"), (with(#""tools": ["f"]"#), "tools[0]", "a tool"), (with(#""tools": [{}]"#), "tools[0].type", "function"),
        (with(#""tools": [{"type": "function"}]"#), "tools[0].function", "missing"), (with(#""tools": [{"type": "function", "function": 1}]"#), "tools[0].function", "an object"),
        (tool(""), "tools[0].function.name", "missing"), (tool(#""name": 1"#), "tools[0].function.name", "is 1"), (tool(#""name": """#), "tools[0].function.name", "1 to 128"),
        (tool(#""name": "a b""#), "tools[0].function.name", "A-Z"), (tool(#""name": "a:1""#), "tools[0].function.name", "A-Z"), (tool(#""name": "é""#), "tools[0].function.name", "A-Z"),
        (tool(#""name": "\#(String(repeating: "x", count: 129))""#), "tools[0].function.name", "1 to 128"), (tool(#""name": "<|im_end|>""#), "tools[0].function.name", "A-Z"),
        (tool(#""name": "f", "description": 1"#), "tools[0].function.description", "a string"), (tool(#""name": "f", "strict": "yes""#), "tools[0].function.strict", "true or false"),
        (tool(#""name": "f", "parameters": []"#), "tools[0].function.parameters", "a JSON Schema"), (tool(#""name": "f", "parameters": "x""#), "tools[0].function.parameters", "a JSON Schema"),
        (with(#""tools": [{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}}]"#), "tools[1].function.name", "tools[0]"),
        (with(#""tool_choice": "f""#), "tool_choice", "\"required\""), (with(#""tool_choice": 1"#), "tool_choice", "is 1"),
        (with(#""tool_choice": {"type": "function", "function": {"name": "g:1"}}"#), "tool_choice.function.name", "declared"),
        (with(#""tool_choice": {"type": "function"}"#), "tool_choice.function", "missing"), (with(#""parallel_tool_calls": 1"#), "parallel_tool_calls", "true or false"),
        (with(#""response_format": "json""#), "response_format", "an object"), (with(#""response_format": {"type": "xml"}"#), "response_format.type", "xml"),
        (with(#""response_format": {"type": "json_schema"}"#), "response_format.json_schema", "missing"),
        (with(#""response_format": {"type": "json_schema", "json_schema": {}}"#), "response_format.json_schema.schema", "missing"),
        (with(#""response_format": {"type": "json_schema", "json_schema": {"schema": []}}"#), "response_format.json_schema.schema", "a JSON Schema"),
        (with(#""max_tokens": 0"#), "max_tokens", "1 or more"), (with(#""max_tokens": 1.5"#), "max_tokens", "1.5"), (with(#""max_tokens": 1e300"#), "max_tokens", "1 or more"),
        (with(#""max_tokens": 5, "max_completion_tokens": 6"#), "max_completion_tokens", "max_tokens is 5"), (with(#""temperature": "hot""#), "temperature", "a number"),
        (with(#""top_p": true"#), "top_p", "a number"), (with(#""top_k": -2"#), "top_k", "0 or more"), (with(#""min_p": []"#), "min_p", "a number"), (with(#""seed": 1.5"#), "seed", "64 bits"),
        (with(#""seed": 1e30"#), "seed", "64 bits"), (with(#""stop": 5"#), "stop", "a list of strings"), (with(#""stop": ["a", 5]"#), "stop[1]", "a string"), (with(#""stop": [""]"#), "stop[0]", "not empty"),
        (with(#""stop": """#), "stop", "none of them empty"), (with(#""logit_bias": []"#), "logit_bias", "token ids"), (with(#""logit_bias": {"x": 1}"#), "logit_bias", "token ids"),
        (with(#""logit_bias": {"-1": 1}"#), "logit_bias", "token ids"), (with(#""logit_bias": {"99999999999": 1}"#), "logit_bias", "token ids"),
        (with(#""logit_bias": {"5": "x"}"#), "logit_bias.5", "a number"), (with(#""top_logprobs": 21"#), "top_logprobs", "0 to 20"), (with(#""logprobs": 1"#), "logprobs", "true or false"),
        (with(#""mode": "turbo""#), "mode", "\"instant\""), (with(#""mode": 1"#), "mode", "is 1"), (with(#""chat_template_kwargs": true"#), "chat_template_kwargs", "an object"),
        (with(#""chat_template_kwargs": {"thinking": "no"}"#), "chat_template_kwargs.thinking", "true or false"), (with(#""thinking": false"#), "thinking", "an object such as"),
        (with(#""thinking": {"type": "auto"}"#), "thinking.type", "\"enabled\" or \"disabled\""), (with(#""reasoning_budget": -1"#), "reasoning_budget", "0 or more"),
        (with(#""thinking": {"type": "enabled"}, "chat_template_kwargs": {"thinking": false}"#), "thinking.type", "chat_template_kwargs.thinking is false"),
        (with(#""thinking": {"budget_tokens": 5}, "reasoning_budget": 6"#), "reasoning_budget", "thinking.budget_tokens is 5"),
        (with(#""add_generation_prompt": 0"#), "add_generation_prompt", "true or false"),
    ]

    @Test(arguments: Self.cases.indices) func wrongValueIsNamed(index: Int) throws {
        let (json, subject, says) = Self.cases[index]
        let error = try #require(refusal(json))
        #expect(error.status == .invalidArgument)
        #expect(error.subject == subject)
        #expect(error.message.contains(says), "\(error.message)")
        #expect(error.message.contains(subject), "\(error.message)")
    }

    /// Right, and not served.
    @Test(arguments: [
        (with(#""n": 2"#), "n"), (with(#""functions": []"#), "functions"), (with(#""function_call": "auto""#), "function_call"),
        (with(#""tools": [{"type": "builtin_function", "function": {"name": "$web_search"}}]"#), "tools[0].type"),
        (with(#""tool_choice": {"type": "allowed_tools"}"#), "tool_choice.type"),
        (message(#""role": "user", "content": [{"type": "input_audio"}]"#), "messages[1].content[0].type"),
    ])
    func unservedValueIsNamed(json: String, subject: String) throws {
        let error = try #require(refusal(json))
        #expect(error.status == .unsupported)
        #expect(error.subject == subject)
    }

    @Test func depthIsBounded() throws {
        func nested(_ depth: Int) -> String {
            #"{"messages": [{"role": "user", "content": "hi"}], "x": "# + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
        }
        #expect(refusal(nested(95)) == nil)
        #expect(refusal(nested(96))?.message.contains("nested too deep") == true)
        #expect(refusal(nested(1_000_000))?.message.contains("nested too deep") == true)
    }

    @Test func messagesOfErrorsAreShort() throws {
        let long = String(repeating: "x", count: 1_000_000)
        for json in [#"{"messages": [{"role": "\#(long)"}]}"#, Self.with(#""mode": "\#(long)""#), Self.with(#""logit_bias": {"\#(long)": 1}"#), Self.tool(#""name": "\#(long)""#)] {
            #expect(try #require(refusal(json)).description.utf8.count < 1000)
        }
        #expect(try request(Self.with(#""\#(long)": 1"#)).ignoredFields[0].utf8.count < 100)
    }

    /// 10 MB in one description, and 100,000 properties.
    @Test func largeSchemasAreRead() throws {
        let long = String(repeating: "word ", count: 2_000_000)
        let wide = (0..<100_000).map { #""p\#($0)": {"type": "string"}"# }.joined(separator: ",")
        let read = try request(#"""
            {\#(Self.hi), "tools": [{"type": "function", "function": {"name": "f", "description": "\#(long)", "parameters": {"properties": {\#(wide)}}}}]}
            """#)
        let text = try promptRenderer().text(of: read)
        #expect(text.utf8.count > 11_000_000)
        #expect(try promptRenderer().ids(of: read).ids.count > 1_000_000)
    }

    /// A result of 50 MB, escapes and markers in it.
    @Test func largeResultsAreRead() throws {
        let long = String(repeating: "line\\n<|im_end|>", count: 3_300_000)
        let read = try request(#"""
            {"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f",
            "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "\#(long)"}]}
            """#)
        guard case .text(let text) = read.messages[1].content else { throw KimiError(.internal, "no text") }
        #expect(text.utf8.count == 15 * 3_300_000)
        #expect(try promptRenderer().text(of: read).utf8.count > text.utf8.count)
    }

    /// What nests as deep as it may is read, declared and let go on the small stack that some hosts give their threads.
    @Test(arguments: [
        (#"{"type": "object", "properties": {"a": "#, "}}", 2), (#"{"type": "array", "items": "#, "}", 1), (#"{"anyOf": ["#, "]}", 2),
        (#"{"type": "string", "default": ["#, "]}", 2), (#"{"type": "object", "additionalProperties": "#, "}", 1), (#"{"oneOf": ["#, "]}", 2),
    ])
    func deepestSchemaFitsASmallStack(open: String, close: String, levels: Int) async throws {
        // The request, tools, the tool, function, parameters and properties are six levels, an empty schema is one.
        let count = (ChatRequest.maxDepth - 7) / levels
        let schema = String(repeating: open, count: count) + "{}" + String(repeating: close, count: count)
        let json = Self.tool(#""name": "f", "parameters": {"properties": {"p": \#(schema)}}"#)
        let sizes = await withCheckedContinuation { (done: CheckedContinuation<[Int], Never>) in
            let thread = Thread {
                let sizes = PromptLayout.allCases.map { layout in
                    guard let renderer = try? promptRenderer(layout), let read = try? request(json) else { return 0 }
                    return (try? renderer.ids(of: read).ids.count) ?? 0
                }
                done.resume(returning: sizes)
            }
            thread.stackSize = 256 << 10
            thread.start()
        }
        #expect(sizes.allSatisfy { $0 > count }, "\(sizes)")
    }

    @Test func picturesAreSaidToBeUnsupported() throws {
        let read = try request(Self.message(#""role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:,"}}]"#))
        let error = #expect(throws: KimiError.self) { try promptRenderer().ids(of: read) }
        #expect(error?.status == .unsupported)
        #expect(error?.subject == "messages[1].content[1]")
    }
}
