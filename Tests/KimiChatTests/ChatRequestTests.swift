import KimiChat
import KimiCore
import KimiTestSupport
import Testing

/// What a request may say, and what is made of it.
@Suite struct ChatRequestTests {
    @Test func everyOptionIsRead() throws {
        let read = try request(#"""
            {"model": "kimi", "messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": {
            "name": "get_weather", "description": "d", "strict": true, "parameters": {"type": "object"}}}, {"type": "function", "function":
            {"name": "a.b-c"}}], "tool_choice": {"type": "function", "function": {"name": "a.b-c"}}, "parallel_tool_calls": false,
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": {"type": "array"}}},
            "max_tokens": 7, "max_completion_tokens": 7, "temperature": 0.5, "top_p": 1, "top_k": 40, "min_p": 0.05,
            "presence_penalty": -1, "frequency_penalty": 2, "repetition_penalty": 1.5, "seed": -1, "stop": ["a", "b"], "n": 1,
            "logit_bias": {"5": -100, "17": 1.5}, "logprobs": true, "top_logprobs": 3, "stream": true, "stream_options": {}, "user": "u",
            "mode": "agent", "chat_template_kwargs": {"thinking": false}, "reasoning_budget": 100, "add_generation_prompt": false}
            """#)
        #expect(read.messages == [ChatMessage(.user, text: "hi")])
        #expect(read.tools.map(\.name) == ["get_weather", "a.b-c"])
        #expect(read.tools.map(\.description) == ["d", nil])
        #expect(read.tools.map(\.strict) == [true, false])
        #expect(read.tools[0].parameters?["type"] == .string("object"))
        #expect(read.tools[1].parameters == nil)
        #expect(read.toolChoice == .named("a.b-c"))
        #expect(!read.parallelToolCalls)
        guard case .jsonSchema(name: "n", let schema, strict: true) = read.responseFormat else { throw KimiError(.internal, "format") }
        #expect(schema["type"] == .string("array"))
        #expect(read.maxTokens == 7)
        #expect(read.temperature == 0.5)
        #expect(read.topP == 1)
        #expect(read.topK == 40)
        #expect(read.minP == 0.05)
        #expect(read.presencePenalty == -1)
        #expect(read.frequencyPenalty == 2)
        #expect(read.repetitionPenalty == 1.5)
        #expect(read.seed == .max)
        #expect(read.stop == ["a", "b"])
        #expect(read.logitBias.map(\.id) == [5, 17])
        #expect(read.logitBias.map(\.bias) == [-100, 1.5])
        #expect(read.topLogprobs == 3)
        #expect(read.mode == .agent)
        #expect(read.thinking == false)
        #expect(read.reasoningBudget == 100)
        #expect(!read.addsGenerationPrompt)
        #expect(read.ignoredFields.isEmpty)
    }

    @Test func nothingAskedForIsNothingSet() throws {
        let read = try request(#"{"messages": [{"role": "user", "content": "hi"}], "tools": null, "stop": null, "seed": null, "n": null}"#)
        #expect(read.tools.isEmpty)
        #expect(read.toolChoice == .auto)
        #expect(read.parallelToolCalls)
        #expect(read.responseFormat == .text)
        #expect(read.mode == nil && read.thinking == nil && read.reasoningBudget == nil && read.maxTokens == nil && read.temperature == nil)
        #expect(read.topP == nil && read.topK == nil && read.seed == nil && read.stop.isEmpty && read.topLogprobs == nil)
        #expect(read.addsGenerationPrompt)
    }

    @Test(arguments: [
        (#""chat_template_kwargs": {"thinking": true}"#, true, nil), (#""chat_template_kwargs": {"thinking": false}"#, false, nil),
        (#""thinking": {"type": "enabled"}"#, true, nil), (#""thinking": {"type": "disabled"}"#, false, nil),
        (#""thinking": {"type": "enabled", "budget_tokens": 32768}"#, true, 32768), (#""thinking": {"budget_tokens": 0}"#, nil, 0),
        (#""chat_template_kwargs": {"thinking": true}, "thinking": {"type": "enabled"}"#, true, nil), (#""n": 1"#, nil, nil),
    ] as [(String, Bool?, Int?)])
    func bothSpellingsOfTheSwitch(members: String, thinking: Bool?, budget: Int?) throws {
        let read = try request(#"{"messages": [{"role": "user", "content": "hi"}], \#(members)}"#)
        #expect(read.thinking == thinking)
        #expect(read.reasoningBudget == budget)
        for mode in ChatMode.allCases { #expect(read.thinks(otherwise: mode) == thinking ?? mode.thinks) }
    }

    /// The request's own mode comes before the session's, the switch before both.
    @Test func switchOverridesMode() throws {
        let messages = #""messages": [{"role": "user", "content": "hi"}]"#
        #expect(try !request(#"{\#(messages), "mode": "instant"}"#).thinks(otherwise: .thinking))
        #expect(try request(#"{\#(messages), "mode": "instant", "thinking": {"type": "enabled"}}"#).thinks(otherwise: .instant))
        #expect(try !request(#"{\#(messages), "mode": "agent", "thinking": {"type": "disabled"}}"#).thinks(otherwise: .thinking))
    }

    @Test func membersWithoutMeaningAreNamed() throws {
        let read = try request(#"""
            {"messages": [{"role": "user", "content": "hi", "partial": true, "refusal": null}], "temprature": 1, "stream": true,
            "chat_template_kwargs": {"enable_thinking": true}, "thinking": {"effort": 3}, "reasoning_effort": "high"}
            """#)
        #expect(Set(read.ignoredFields) == [
            "temprature", "messages[0].partial", "chat_template_kwargs.enable_thinking", "thinking.effort", "reasoning_effort",
        ])
        let many = (0..<1000).map { #""x\#($0)": 1"# }.joined(separator: ",")
        #expect(try request(#"{"messages": [{"role": "user", "content": "hi"}], \#(many)}"#).ignoredFields.count == 32)
    }

    // MARK: Messages

    @Test func allFormsOfMessages() throws {
        let read = try request(#"""
            {"messages": [{"role": "developer", "content": "d"}, {"role": "system", "content": [{"type": "text", "text": "s"}]},
            {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"role": "assistant", "content": null, "reasoning_content": "r", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"id": "call_2", "function": {"name": "g", "arguments": {"b": [1, "é"]}}}]},
            {"role": "tool", "tool_call_id": "call_2", "content": "2"}, {"role": "tool", "tool_call_id": "call_1", "content": null},
            {"role": "assistant", "reasoning": "r2", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "assistant", "reasoning_content": null, "content": "x", "tool_calls": []}, {"role": "user", "content": ""}]}
            """#)
        let messages = read.messages
        #expect(messages.map(\.role) == [.developer, .system, .user, .assistant, .tool, .tool, .assistant, .assistant, .user])
        #expect(messages[1].content == .parts([.text("s")]))
        #expect(messages[2].name == "Ann")
        #expect(messages[2].content == .parts([.text("a"), .text("b")]))
        #expect(messages[3].content == .none)
        #expect(messages[3].toolCalls == [
            .init(id: "call_1", name: "f", arguments: #"{"a":1}"#), .init(id: "call_2", name: "g", arguments: #"{"b": [1, "é"]}"#),
        ])
        #expect(messages.map(\.reasoning) == [
            .absent, .absent, .absent, .text("r"), .absent, .absent, .text("r2"), .null, .absent,
        ])
        #expect(messages[4].toolCallID == "call_2")
        #expect(messages[6].content == .parts([.text("no")]))
    }

    /// `function_call` and `role: "function"`, from before there were tools.
    @Test func oldFormOfCallsIsRead() throws {
        let read = try request(#"""
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"}]}
            """#)
        let text = try promptRenderer().text(of: read)
        #expect(text.contains("<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|>"))
        #expect(text.contains("<|im_system|>tool<|im_middle|>## Return of functions.f:0\n1<|im_end|>"))
    }
}
