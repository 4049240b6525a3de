import KimiAgent
import KimiCore

// An event as `--json` prints it; the same members for a chat and for agents of a swarm.

extension ChatEvent {
    /// What `--json` calls it.
    var eventName: String {
        switch kind {
        case .start: "start"
        case .prompt: "prompt"
        case .media: "media"
        case .reasoning: "reasoning"
        case .content: "content"
        case .callBegin: "call_begin"
        case .callArguments: "call_arguments"
        case .callEnd: "call_end"
        case .callRejected: "call_rejected"
        case .resultNeeded: "result_needed"
        case .result: "result"
        case .notice: "notice"
        case .finish: "finish"
        }
    }

    /// The members beside its name; those of the finish are the caller's.
    func write(to json: inout JSONWriter) {
        json.member("step", step)
        switch kind {
        case .start:
            json.member("prompt_tokens", total)
            json.member("cached_tokens", done)
            json.member("reasoning", code == 1)
        case .prompt:
            json.member("done", done)
            json.member("total", total)
        case .media:
            json.member("part", text)
            json.member("kind", code == 1 ? "image" : "chunk")
            json.member("tokens", usage.media)
            json.member("cached", usage.cached > 0)
            json.member("done", done)
            json.member("total", total)
        case .reasoning, .content, .notice: json.member("text", text)
        case .callBegin, .resultNeeded: call(&json)
        case .callArguments: call(&json, text: "text")
        case .callEnd: call(&json, text: "arguments")
        case .callRejected:
            call(&json, text: "text")
            json.member("code", Int(code))
        case .result:
            call(&json, text: "text")
            json.member("outcome", (ToolAnswer.Outcome(rawValue: code) ?? .ok).word)
        case .finish: break
        }
    }

    private func call(_ json: inout JSONWriter, text member: String? = nil) {
        json.member("call_id", callID)
        json.member("name", name)
        if let member { json.member(member, text) }
    }
}
