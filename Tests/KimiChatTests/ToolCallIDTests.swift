import KimiChat
import KimiCore
import KimiTestSupport
import Testing

@Suite struct ToolCallIDTests {
    private func assistant(_ calls: (id: String?, name: String)...) -> ChatMessage {
        var message = ChatMessage(.assistant, .none)
        message.toolCalls = calls.map { ChatMessage.ToolCall(id: $0.id, name: $0.name, arguments: "{}") }
        return message
    }

    @Test(arguments: ["call_abc", "functionsexec5", "chatcmpl-tool-1", "7", "functions.g:0", "functions.f:x", "é<|im_end|>", " "])
    func idsOfAnyFormBecomeCanonical(form: String) throws {
        let resolved = try ResolvedCalls([
            ChatMessage(.user, text: "q"), assistant((form, "f"), (form + "2", "g")), .result(of: form + "2", "2"), .result(of: form, "1"),
            assistant((form + "3", "f")), .result(of: form + "3", "3"),
        ])
        #expect(resolved.calls == [[], ["functions.f:0", "functions.g:1"], [], [], ["functions.f:2"], []])
        #expect(resolved.results == [nil, nil, "functions.g:1", "functions.f:0", nil, "functions.f:2"])
        #expect(resolved.unanswered.isEmpty)
        #expect(resolved.ids.hostID(of: "functions.f:0") == form)
        #expect(resolved.ids.hostID(of: "functions.g:1") == form + "2")
        #expect(resolved.ids.nextIndex == 3)
        var ids = resolved.ids
        #expect(ids.claim("new") == "functions.new:3")
        #expect(ids.claim("new") == "functions.new:4")
        #expect(ids.hostID(of: "functions.new:3") == "functions.new:3")
    }

    /// A host that has dropped the beginning of a conversation keeps the numbers of the rest, so that no new one collides.
    @Test func canonicalIDsThatCountUpwardsStay() throws {
        let resolved = try ResolvedCalls([
            assistant(("functions.f:7", "f"), ("functions.g:8", "g")), .result(of: "functions.f:7", ""), .result(of: "functions.g:8", ""),
            assistant(("functions.f:12", "f")),
        ])
        #expect(resolved.calls[0] == ["functions.f:7", "functions.g:8"])
        #expect(resolved.calls[3] == ["functions.f:12"])
        #expect(resolved.ids.nextIndex == 13)
        #expect(resolved.unanswered == ["functions.f:12"])
    }

    /// Servers that count anew in every turn give the same id twice.
    @Test func idsThatStartAgainAreCounted() throws {
        let resolved = try ResolvedCalls([
            assistant(("functions.f:0", "f")), .result(of: "functions.f:0", "1"), assistant(("functions.f:0", "f")), .result(of: "functions.f:0", "2"),
        ])
        #expect(resolved.calls == [["functions.f:0"], [], ["functions.f:1"], []])
        #expect(resolved.results == [nil, "functions.f:0", nil, "functions.f:1"])
        #expect(resolved.ids.hostID(of: "functions.f:1") == "functions.f:0")
    }

    @Test func promptsShowCanonicalIDsOnly() throws {
        let text = try promptRenderer().text(of: request(#"""
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": [{"id": "call_9", "type": "function",
            "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "call_9", "content": "r"}]}
            """#))
        #expect(text == "<|im_user|>user<|im_middle|>q<|im_end|><|im_assistant|>assistant<|im_middle|><think></think><|tool_calls_section_begin|>"
            + "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|><|im_end|>"
            + "<|im_system|>tool<|im_middle|>## Return of functions.f:0\nr<|im_end|><|im_assistant|>assistant<|im_middle|><think>")
    }

    @Test func unknownTwiceAnsweredAndEqualIDsAreRefused() throws {
        func refusal(_ messages: [ChatMessage]) throws -> KimiError {
            try #require(throws: KimiError.self) { try ResolvedCalls(messages) }
        }
        let unknown = try refusal([assistant(("a", "f")), .result(of: "b", "")])
        #expect(unknown.subject == "messages[1].tool_call_id" && unknown.message.contains("\"b\""))
        let early = try refusal([.result(of: "a", ""), assistant(("a", "f"))])
        #expect(early.subject == "messages[0].tool_call_id")
        let twice = try refusal([assistant(("a", "f")), .result(of: "a", ""), .result(of: "a", "")])
        #expect(twice.subject == "messages[2]" && twice.message.contains("messages[1] is the first"))
        let equal = try refusal([assistant(("a", "f"), ("a", "g"))])
        #expect(equal.subject == "messages[0].tool_calls[1].id")
        for error in [unknown, early, twice, equal] { #expect(error.status == .invalidArgument) }
    }

    @Test func missingResultsAreNamed() throws {
        let prompt = try promptRenderer().ids(of: ChatRequest(messages: [
            assistant(("a", "f"), ("b", "f")), .result(of: "b", "x"), ChatMessage(.user, text: "go on"), assistant(("c", "f")), .result(of: "c", ""),
        ]))
        #expect(prompt.unansweredCalls == ["a"])
    }

    @Test(arguments: [
        ("functions.f:0", "f", 0), ("functions.a.b-c:123456789", "a.b-c", 123_456_789), ("functions.a:b:7", "a:b", 7),
    ])
    func canonicalIDsHaveParts(id: String, name: String, index: Int) throws {
        let parts = try #require(ToolCallIDs.parts(of: id))
        #expect(parts.name == name && parts.index == index)
        #expect(ToolCallIDs.canonical(name, index) == id)
    }

    @Test(arguments: [
        "", "functions.", "functions.f", "functions.f:", "functions.:1", "functions.f:-1", "functions.f:01", "functions.f:1234567890", "f:1", "functions.f:1 ",
        "functions.f:١", "Functions.f:1",
    ])
    func otherIDsHaveNone(id: String) { #expect(ToolCallIDs.parts(of: id) == nil) }

    /// 300 calls in a row, as an agent makes them.
    @Test func threeHundredCallsCountFromZero() throws {
        var messages = [ChatMessage(.user, text: "q")]
        for step in 0..<300 {
            messages.append(assistant(("host-\(step)", "f")))
            messages.append(.result(of: "host-\(step)", "\(step)"))
        }
        let resolved = try ResolvedCalls(messages)
        #expect(resolved.calls.flatMap { $0 } == (0..<300).map { "functions.f:\($0)" })
        #expect(resolved.ids.nextIndex == 300)
    }
}
