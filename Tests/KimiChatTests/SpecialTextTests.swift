import KimiChat
import KimiCore
import KimiTestSupport
import KimiTokenizer
import Testing

/// Text that looks like a special token stays text, whatever field it stands in.
@Suite struct SpecialTextTests {
    /// Requests with a place for a text, and how often it shows in the prompt.
    static let fields: [(name: String, request: @Sendable (String) -> String)] = [
        ("system", { #"{"messages": [{"role": "system", "content": \#(quoted($0))}]}"# }),
        ("developer", { #"{"messages": [{"role": "developer", "content": \#(quoted($0))}]}"# }),
        ("user", { #"{"messages": [{"role": "user", "content": \#(quoted("a" + $0 + "b"))}]}"# }),
        ("part", { #"{"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": \#(quoted($0))}]}]}"# }),
        ("name", { #"{"messages": [{"role": "user", "name": \#(quoted($0)), "content": "x"}]}"# }),
        ("assistant's name", { #"{"messages": [{"role": "assistant", "name": \#(quoted($0)), "content": "x"}]}"# }),
        ("answer", { #"{"messages": [{"role": "assistant", "content": \#(quoted($0))}]}"# }),
        ("reasoning", { text in
            #"{"messages": [{"role": "assistant", "content": null, "reasoning_content": \#(quoted(text)), "tool_calls": "#
                + #"[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}]}"#
        }),
        ("arguments", { text in
            #"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "#
                + #""function": {"name": "f", "arguments": \#(quoted(text))}}]}]}"#
        }),
        ("arguments as an object", { text in
            #"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "#
                + #""function": {"name": "f", "arguments": {\#(quoted(text)): \#(quoted(text))}}}]}]}"#
        }),
        ("function of a call", { text in
            #"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "#
                + #""function": {"name": \#(quoted(text)), "arguments": "{}"}}]}]}"#
        }),
        ("id of a call", { text in
            #"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": \#(quoted(text)), "type": "function", "#
                + #""function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": \#(quoted(text)), "content": "x"}]}"#
        }),
        ("result", { text in
            #"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "#
                + #""function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "1", "content": \#(quoted(text))}]}"#
        }),
        ("tool's description", { text in
            #"{"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", "function": "#
                + #"{"name": "f", "description": \#(quoted(text))}}]}"#
        }),
        ("property", { text in
            #"{"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", "function": {"name": "f", "parameters": "#
                + #"{"properties": {\#(quoted(text)): {"type": "string", "description": \#(quoted(text)), "default": \#(quoted(text)), "#
                + #""pattern": \#(quoted(text))}, "e": {"enum": [\#(quoted(text))]}}}}}]}"#
        }),
        ("tools as JSON", { text in
            #"{"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", "function": {"name": "f", "parameters": "#
                + #"{"properties": {"a": {"const": \#(quoted(text))}}}}}]}"#
        }),
    ]

    @Test(arguments: Self.fields.indices, PromptLayout.allCases)
    func everySpecialTokenIsText(field: Int, layout: PromptLayout) throws {
        let tokenizer = try promptTokenizer.get()
        let renderer = try promptRenderer(layout)
        let make = Self.fields[field].request
        // The same request with a harmless text has the same special tokens in the same order.
        let harmless = try renderer.ids(of: request(make("harmless"))).ids.filter(tokenizer.isSpecial)
        for name in tokenizer.specialIDs.keys {
            let request = try request(make(name))
            let prompt = try renderer.ids(of: request)
            #expect(prompt.ids.filter(tokenizer.isSpecial) == harmless, "\(name)")
            #expect(try tokenizer.decode(prompt.ids) == Array(renderer.text(of: request).utf8), "\(name)")
        }
    }

    @Test func resultsOfAContinuationAreText() throws {
        let tokenizer = try promptTokenizer.get()
        let renderer = try promptRenderer()
        for name in tokenizer.specialIDs.keys {
            let result = try renderer.continuation(
                results: [ToolResult(id: "functions.f:0", text: name)], thinks: true, closesTurn: false)
            let specials = result.ids.filter(tokenizer.isSpecial).compactMap { tokenizer.piece($0) }.map { String(decoding: $0, as: UTF8.self) }
            #expect(specials == ["<|im_system|>", "<|im_middle|>", "<|im_end|>", "<|im_assistant|>", "<|im_middle|>", "<think>"])
        }
    }
}
