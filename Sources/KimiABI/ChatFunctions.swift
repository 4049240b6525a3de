public import CKimi
import KimiAgent
import KimiChat
import KimiCore

private var defaultOptions: kimi_chat_options {
    var options = kimi_chat_options()
    options.struct_size = UInt32(MemoryLayout<kimi_chat_options>.size)
    options.reasoning_budget = -1
    options.temperature = -1
    options.top_p = -1
    options.constrain = 1
    return options
}

@c @implementation public func kimi_chat_options_init(
    _ options: UnsafeMutablePointer<kimi_chat_options>?, _ size: Int
) -> kimi_status {
    initialize(options, size, defaults: defaultOptions)
}

/// A host's pointer that goes back to its callback unchanged, whichever thread that runs on.
struct UserData: @unchecked Sendable {
    // Safe because the library never looks at what it points to.
    let pointer: UnsafeMutableRawPointer?
}

/// A mode of kimi.h; nil for KIMI_MODE_AUTO.
func mode(_ value: Int32, _ name: String = "mode") throws(KimiError) -> ChatMode? {
    switch value {
    case KIMI_MODE_AUTO: return nil
    case KIMI_MODE_INSTANT: return .instant
    case KIMI_MODE_THINKING: return .thinking
    case KIMI_MODE_AGENT: return .agent
    case KIMI_MODE_SWARM: return .swarm
    default: throw KimiError(.invalidArgument, "\(name) is \(value); it must be one of KIMI_MODE_..., 0 to 4", subject: name)
    }
}

/// A whole number of an option, with 0 for "not given".
private func optional(_ value: Int64, _ name: String, _ range: ClosedRange<Int>) throws(KimiError) -> Int? {
    guard value != 0 else { return nil }
    guard let number = Int(exactly: value), range.contains(number) else {
        throw KimiError(
            .invalidArgument, "\(name) is \(value); it must be \(range.lowerBound) to \(range.upperBound), or 0", subject: name)
    }
    return number
}

/// The C options in the agent's terms.
func chatOptions(_ caller: UnsafePointer<kimi_chat_options>?) throws(KimiError) -> ChatOptions {
    let c = try options(caller, defaults: defaultOptions, "kimi_chat_options")
    var options = ChatOptions()
    options.mode = try mode(c.mode)
    options.maxTokens = try optional(c.max_tokens, "max_tokens", 1...Int.max)
    guard c.reasoning_budget >= -1 else {
        throw KimiError(
            .invalidArgument, "reasoning_budget is \(c.reasoning_budget); it must be 0 or more, or -1", subject: "reasoning_budget")
    }
    options.reasoningBudget = c.reasoning_budget == -1 ? nil : Int(c.reasoning_budget)
    options.seed = c.seed == 0 ? nil : c.seed
    // NaN is neither below 0 nor a temperature; the runtime refuses it.
    options.temperature = c.temperature < 0 ? nil : c.temperature
    options.topP = c.top_p < 0 ? nil : c.top_p
    options.constrain = try flag(c.constrain, "constrain")
    options.stepLimit = try optional(Int64(c.step_limit), "step_limit", ChatOptions.stepRange)
    options.append = try flag(c.append, "append")
    options.parallelCalls = try optional(Int64(c.parallel_calls), "parallel_calls", ChatOptions.parallelRange) ?? 1
    for (name, value) in [("reserved", c.reserved), ("reserved2", c.reserved2)] where value != 0 {
        throw KimiError(.invalidArgument, "\(name) is \(value); it must be 0", subject: name)
    }
    options.allowsFiles = try flag(c.allow_files, "allow_files")
    options.heldMedia = HeldMedia.origin
    switch c.context_policy {
    case KIMI_CONTEXT_STOP: options.contextPolicy = .stop
    case KIMI_CONTEXT_DROP_RESULTS: options.contextPolicy = .dropResults
    case KIMI_CONTEXT_ASK:
        guard let callback = c.context_callback else {
            throw KimiError(
                .invalidArgument, "context_policy is KIMI_CONTEXT_ASK, but context_callback is NULL", subject: "context_callback")
        }
        let userData = UserData(pointer: c.context_user_data)
        options.contextPolicy = .ask { needed, limit in
            callback(Int64(needed), Int64(limit), userData.pointer) == KIMI_CONTEXT_DROP_RESULTS
        }
    default:
        throw KimiError(
            .invalidArgument, "context_policy is \(c.context_policy); it must be one of KIMI_CONTEXT_..., 0 to 2",
            subject: "context_policy")
    }
    return options
}

/// Runs a request to its end; a non-zero answer of the callback ends it and is returned.
private func run(
    _ handle: OpaquePointer?, _ callerOptions: UnsafePointer<kimi_chat_options>?,
    _ callback: kimi_chat_callback?, _ userData: UnsafeMutableRawPointer?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?, start: (ChatSession, ChatOptions) throws(KimiError) -> ChatRun
) -> kimi_status {
    var answer: kimi_status = 0
    let failure = status(outError) { () throws(KimiError) in
        let chat = try chatSession(handle)
        let run = try start(chat, try chatOptions(callerOptions))
        defer { run.abandon() }
        let storage = ChatEventStorage()
        while true {
            let event = try run.next()
            if let callback {
                answer = storage.show(event) { c in withUnsafePointer(to: c) { callback($0, userData) } }
            }
            guard answer == 0, event.kind != .finish else { return }
        }
    }
    return failure == 0 ? answer : failure
}

@c @implementation public func kimi_session_send(
    _ handle: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ length: Int,
    _ options: UnsafePointer<kimi_chat_options>?, _ callback: kimi_chat_callback?, _ userData: UnsafeMutableRawPointer?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    run(handle, options, callback, userData, outError) { (chat, options) throws(KimiError) in
        try ChatRun(chat, request: try ChatRequest(json: try bytes(request, length, "request")), options: options, isPolled: false)
    }
}

@c @implementation public func kimi_session_say(
    _ handle: OpaquePointer?, _ text: UnsafePointer<CChar>?, _ length: Int,
    _ options: UnsafePointer<kimi_chat_options>?, _ callback: kimi_chat_callback?, _ userData: UnsafeMutableRawPointer?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    run(handle, options, callback, userData, outError) { (chat, options) throws(KimiError) in
        let text = try utf8(text, length, "text")
        var options = options
        options.append = true
        return try ChatRun(chat, request: ChatRequest(userText: text), options: options, isPolled: false)
    }
}

@c @implementation public func kimi_session_turn(
    _ handle: OpaquePointer?, _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
    _ outLength: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outJSON, outLength)
        try transfer(try chatSession(handle).lastTurnJSON(), outJSON, outLength)
    }
}

@c @implementation public func kimi_session_messages(
    _ handle: OpaquePointer?, _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
    _ outLength: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outJSON, outLength)
        try transfer(try chatSession(handle).messagesJSON(), outJSON, outLength)
    }
}

// MARK: By polling

/// A polled request and what its latest event points to.
final class ChatHandle: @unchecked Sendable {
    // Safe because `next` lets one thread in at a time, and the header says the event is read before the next.
    let run: ChatRun
    private let storage = ChatEventStorage()
    private let isPolled = Occupied()

    init(_ run: ChatRun) { self.run = run }

    /// The next event in C form.
    func next() throws(KimiError) -> kimi_chat_event {
        guard isPolled.enter() else { throw KimiError(.busy, "another thread is polling this request") }
        defer { isPolled.leave() }
        return storage.show(try run.next()) { $0 }
    }
}

@c @implementation public func kimi_chat_start(
    _ handle: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ length: Int,
    _ callerOptions: UnsafePointer<kimi_chat_options>?, _ outChat: UnsafeMutablePointer<OpaquePointer?>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let out = try require(outChat, "out_chat")
        let chat = try chatSession(handle)
        let options = try chatOptions(callerOptions)
        let request = try ChatRequest(json: try bytes(request, length, "request"))
        out.pointee = try Handles.add(.chat(ChatHandle(try ChatRun(chat, request: request, options: options, isPolled: true))))
    }
}

@c @implementation public func kimi_chat_next(
    _ handle: OpaquePointer?, _ event: UnsafeMutablePointer<kimi_chat_event>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let chat = try chat(handle)
        try checkEvent(event)
        try store(try chat.next(), event, "kimi_chat_event")
    }
}

/// What a host may say of a call.
private func outcome(_ code: Int32) throws(KimiError) -> ToolAnswer.Outcome {
    guard code == KIMI_RESULT_OK || code == KIMI_RESULT_FAILED else {
        throw KimiError(.invalidArgument, "code is \(code); it must be KIMI_RESULT_OK or KIMI_RESULT_FAILED", subject: "code")
    }
    return code == KIMI_RESULT_OK ? .ok : .failed
}

/// A call's id and its result as text, as the host submits it.
func answer(
    _ callID: UnsafePointer<CChar>?, _ callIDLength: Int, text: UnsafePointer<CChar>?, _ length: Int, _ code: Int32
) throws(KimiError) -> (id: String, answer: ToolAnswer) {
    let outcome = try outcome(code)
    let id = try utf8(callID, callIDLength, "call_id")
    return (id, ToolAnswer(outcome, try utf8(text, length, "text")))
}

/// The same with content in JSON.
func answer(
    _ callID: UnsafePointer<CChar>?, _ callIDLength: Int, content: UnsafePointer<CChar>?, _ length: Int, _ code: Int32
) throws(KimiError) -> (id: String, answer: ToolAnswer) {
    let outcome = try outcome(code)
    let id = try utf8(callID, callIDLength, "call_id")
    return (id, ToolAnswer(outcome, content: try ChatMessage.Content(json: try bytes(content, length, "content"))))
}

@c @implementation public func kimi_chat_submit(
    _ handle: OpaquePointer?, _ callID: UnsafePointer<CChar>?, _ callIDLength: Int, _ text: UnsafePointer<CChar>?, _ length: Int,
    _ code: Int32, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let chat = try chat(handle)
        let (id, answer) = try answer(callID, callIDLength, text: text, length, code)
        try chat.run.submit(id, answer)
    }
}

@c @implementation public func kimi_chat_submit_content(
    _ handle: OpaquePointer?, _ callID: UnsafePointer<CChar>?, _ callIDLength: Int, _ content: UnsafePointer<CChar>?, _ length: Int,
    _ code: Int32, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let chat = try chat(handle)
        let (id, answer) = try answer(callID, callIDLength, content: content, length, code)
        try chat.run.submit(id, answer)
    }
}

@c @implementation public func kimi_chat_destroy(_ handle: OpaquePointer?) {
    let removed = Handles.remove(handle) { if case .chat = $0 { true } else { false } }
    // If another thread is computing its next event, that ends soon and the last reference frees the request.
    if case .chat(let handle)? = removed { handle.run.abandon() }
}
