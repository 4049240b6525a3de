import KimiChat
import KimiCore
import KimiTestSupport
import KimiTokenizer
import Testing

/// The layouts of K2 Thinking and K2 Instruct, whose expected prompts were written by hand from their published templates, and what
/// an agent appends.
@Suite struct PromptLayoutTests {
    @Test func checkpointTellsItsLayout() {
        let thoughts = ChatTokens(names: ["<think>": 1, "</think>": 2])
        let none = ChatTokens(names: ["<|im_end|>": 1])
        #expect(PromptLayout(modelType: "kimi_k25", tokens: none) == .k25)
        #expect(PromptLayout(modelType: "kimi_k2", tokens: thoughts) == .k2Thinking)
        #expect(PromptLayout(modelType: "kimi_k2", tokens: none) == .k2Instruct)
        #expect(PromptLayout(modelType: "deepseek_v3", tokens: none) == .k2Instruct)
    }

    private static let conversation = #"""
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning_content": "old"},
        {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "w"}]}, {"role": "assistant", "content": "look", "reasoning_content": "new",
        "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": "é"}}}]},
        {"role": "tool", "tool_call_id": "x", "content": "r"}], "tools": [{"type": "function", "function": {"name": "f", "description": "d é",
        "parameters": {"type": "object", "properties": {"b": {"default": 1.0}, "a": {}}}}}]SWITCH}
        """#

    private static let tools = "<|im_system|>tool_declare<|im_middle|>"
        + #"[{"function":{"description":"d é","name":"f","parameters":{"properties":{"a":{},"b":{"default":1.0}},"type":"object"}},"type":"function"}]<|im_end|>"#
    private static let system = "<|im_system|>system<|im_middle|>You are Kimi, an AI assistant created by Moonshot AI.<|im_end|>"
    private static let calls = "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>"
        + #"{"b": 1, "a": "é"}<|tool_call_end|><|tool_calls_section_end|><|im_end|><|im_system|>tool<|im_middle|>## Return of functions.f:0"#
        + "\nr<|im_end|><|im_assistant|>assistant<|im_middle|>"

    private func render(_ layout: PromptLayout, _ member: String = "") throws -> (text: String, prompt: RenderedPrompt) {
        let request = try request(Self.conversation.split(separator: "SWITCH").joined(separator: member))
        let renderer = try promptRenderer(layout)
        let prompt = try renderer.ids(of: request)
        let text = try renderer.text(of: request)
        #expect(try promptTokenizer.get().decode(prompt.ids) == Array(text.utf8))
        return (text, prompt)
    }

    @Test func thinkingLayout() throws {
        let (text, prompt) = try render(.k2Thinking)
        #expect(text == Self.tools + Self.system + "<|im_user|>user<|im_middle|>q<|im_end|><|im_assistant|>assistant<|im_middle|><think></think>a<|im_end|>"
            + "<|im_user|>Ann<|im_middle|>w<|im_end|><|im_assistant|>assistant<|im_middle|><think>new</think>look" + Self.calls)
        // The model opens its thought itself.
        #expect(prompt.start == .content)
        #expect(!prompt.declaresToolsAsJSON)
    }

    @Test func thinkingLayoutSwitchedOff() throws {
        let (text, prompt) = try render(.k2Thinking, #", "thinking": {"type": "disabled"}"#)
        #expect(text.hasSuffix("<|im_assistant|>assistant<|im_middle|><think></think>look" + Self.calls + "<think></think>"))
        #expect(prompt.start == .content)
    }

    @Test func instructLayout() throws {
        for member in ["", #", "thinking": {"type": "disabled"}"#] {
            let (text, prompt) = try render(.k2Instruct, member)
            #expect(text == Self.tools + Self.system + "<|im_user|>user<|im_middle|>q<|im_end|><|im_assistant|>assistant<|im_middle|>a<|im_end|>"
                + "<|im_user|>Ann<|im_middle|>w<|im_end|><|im_assistant|>assistant<|im_middle|>look" + Self.calls)
            #expect(prompt.start == .content)
        }
    }

    @Test(arguments: [PromptLayout.k2Thinking, .k2Instruct]) func ownSystemPromptTakesTheDefaultsPlace(layout: PromptLayout) throws {
        let own = try promptRenderer(layout).text(of: request(#"{"messages": [{"role": "system", "content": "s"}], "add_generation_prompt": false}"#))
        #expect(own == "<|im_system|>system<|im_middle|>s<|im_end|>")
    }

    @Test func toolsThatTypeScriptCannotSayAreJSON() throws {
        let request = try request(#"""
            {"messages": [{"role": "user", "content": "q"}], "tools": [{"type": "function", "function": {"name": "f", "parameters":
            {"type": "object", "properties": {"x": {"oneOf": [{"const": "é"}]}}}}}]}
            """#)
        let renderer = try promptRenderer()
        #expect(try renderer.ids(of: request).declaresToolsAsJSON)
        #expect(try renderer.text(of: request).hasPrefix("<|im_system|>tool_declare<|im_middle|>"
            + #"[{"function":{"name":"f","parameters":{"properties":{"x":{"oneOf":[{"const":"é"}]}},"type":"object"}},"type":"function"}]<|im_end|>"#))
    }

    /// What stands between two markers is one text to the tokenizer, however many parts it came in.
    @Test func partsOfAMessageAreOneText() throws {
        let renderer = try promptRenderer()
        let text = "the answer is in the file that the user has given"
        let whole = try renderer.ids(of: ChatRequest(messages: [ChatMessage(.user, text: text)]))
        let parts = text.map { ChatMessage.Part.text(String($0)) }
        #expect(try renderer.ids(of: ChatRequest(messages: [ChatMessage(.user, .parts(parts))])).ids == whole.ids)
    }

    @Test func missingMarkerIsNamed() throws {
        let folder = try TemporaryFolder()
        try folder.copyFixture("tiny-kimi")
        try folder.write("tokenizer_config.json", #"{"added_tokens_decoder": {"1536": {"content": "[BOS]"}, "1538": {"content": "<|im_end|>"}}}"#)
        let renderer = PromptRenderer(try Tokenizer(folder: folder.path), layout: .k25)
        let error = #expect(throws: KimiError.self) { try renderer.ids(of: ChatRequest(messages: [ChatMessage(.user, text: "x")])) }
        #expect(error?.status == .unsupported)
        #expect(error?.subject == "<|im_user|>")
    }

    // MARK: Agents

    /// Three steps of an agent: prompt, output and continuation together are the prompt of the longer conversation, id by id.
    @Test(arguments: PromptLayout.allCases, [true, false]) func continuationEqualsTheLongerConversation(layout: PromptLayout, thinks: Bool) throws {
        let tokenizer = try promptTokenizer.get()
        let renderer = try promptRenderer(layout)
        var request = ChatRequest(messages: [ChatMessage(.system, text: "s"), ChatMessage(.user, text: "q")])
        request.thinking = thinks
        var prompt = try renderer.ids(of: request)
        var calls = prompt.toolCallIDs
        for step in 0..<3 {
            let ids = [calls.claim("f"), calls.claim("g")]
            let reasoning = thinks && layout.thinks ? "thought \(step)" : ""
            var output = "answer \(step)<|tool_calls_section_begin|>"
            for id in ids { output += "<|tool_call_begin|>\(id)<|tool_call_argument_begin|>{\"a\": \(step)}<|tool_call_end|>" }
            output += "<|tool_calls_section_end|>"
            // What the model writes of its thought depends on what the prompt has opened.
            if prompt.startsInReasoning { output = "\(reasoning)</think>" + output }
            if layout == .k2Thinking && thinks { output = "<think>\(reasoning)</think>" + output }
            let closes = step % 2 == 0
            if !closes { output += "<|im_end|>" }
            var extra: [ChatMessage] = []
            if step == 1 { extra = [ChatMessage(.system, text: "note")] }
            let results = ids.map { ToolResult(id: $0, text: "result of \($0)") }
            let continuation = try renderer.continuation(results: results, messages: extra, thinks: thinks, closesTurn: closes)
            let whole = try prompt.ids + tokenizer.encode(output, special: true) + continuation.ids

            var turn = ChatMessage(.assistant, text: "answer \(step)")
            turn.reasoning = .text(reasoning)
            turn.toolCalls = zip(ids, ["f", "g"]).map { .init(id: $0, name: $1, arguments: "{\"a\": \(step)}") }
            request.messages.append(turn)
            request.messages += results.map { .result(of: $0.id, "result of \($0.id)") } + extra
            prompt = try renderer.ids(of: request)
            #expect(prompt.ids == whole)
            #expect(prompt.start == continuation.start)
            #expect(prompt.toolCallIDs.nextIndex == calls.nextIndex)
        }
    }

    @Test func continuationsTakeNoAnswers() throws {
        for role in [ChatMessage.Role.assistant, .tool] {
            let error = #expect(throws: KimiError.self) {
                try promptRenderer().continuation(results: [], messages: [ChatMessage(role, text: "x")], thinks: true, closesTurn: false)
            }
            #expect(error?.status == .invalidArgument)
            #expect(error?.subject == "messages[0].role")
        }
    }
}
