public import CKimi
import KimiCore
import KimiRuntime

private var defaultOptions: kimi_generation_options {
    var options = kimi_generation_options()
    options.struct_size = UInt32(MemoryLayout<kimi_generation_options>.size)
    options.temperature = 1
    options.top_logprobs = -1
    return options
}

@c @implementation public func kimi_generation_options_init(
    _ options: UnsafeMutablePointer<kimi_generation_options>?, _ size: Int
) -> kimi_status {
    initialize(options, size, defaults: defaultOptions)
}

/// The C options in the runtime's terms, arrays copied. Ranges are checked by the runtime.
func generationOptions(_ caller: UnsafePointer<kimi_generation_options>?) throws(KimiError) -> GenerationOptions {
    let c = try options(caller, defaults: defaultOptions, "kimi_generation_options")
    var options = GenerationOptions()
    options.greedy = try flag(c.greedy, "greedy")
    options.maxTokens = c.max_tokens == 0 ? nil : Int(c.max_tokens)
    options.seed = c.seed == UInt64(KIMI_SEED_RANDOM) ? nil : c.seed
    options.temperature = c.temperature
    options.topP = c.top_p == 0 ? 1 : c.top_p
    options.topK = Int(c.top_k)
    options.minP = c.min_p
    options.repetitionPenalty = c.repetition_penalty == 0 ? 1 : c.repetition_penalty
    options.presencePenalty = c.presence_penalty
    options.frequencyPenalty = c.frequency_penalty
    options.topLogprobs = c.top_logprobs == -1 ? nil : Int(c.top_logprobs)
    options.ignoreEnd = try flag(c.ignore_end, "ignore_end")
    guard c.reserved == 0 else {
        throw KimiError(.invalidArgument, "reserved is \(c.reserved); it must be 0", subject: "reserved")
    }
    options.logitBias = try array(c.logit_bias, c.logit_bias_count, "logit_bias", limit: 1 << 22).map { ($0.id, $0.bias) }
    options.stopIDs = Array(try array(c.stop_ids, c.stop_id_count, "stop_ids", limit: 1 << 22))
    for view in try array(c.stop_strings, c.stop_string_count, "stop_strings", limit: 1 << 16) {
        options.stopStrings.append(Array(try bytes(view.bytes, view.length, "stop_strings")))
    }
    return options
}

// MARK: Events

/// Builds C events; what they point to stays until the next one.
final class EventStorage {
    private let text = ByteStorage()
    private let top = TopStorage()
    private let maxTokens: Int

    init(maxTokens: Int?) { self.maxTokens = maxTokens ?? 0 }

    /// Calls `body` with the event in C form. For polling, `body` copies it; text and alternatives stay valid.
    func show<R>(_ event: GenerationEvent, _ body: (kimi_event) -> R) -> R {
        var c = kimi_event()
        c.struct_size = UInt32(MemoryLayout<kimi_event>.size)
        c.id = -1
        c.stop_string = -1
        c.text = forever("")
        switch event {
        case .prompt(let done, let total):
            c.type = KIMI_EVENT_PROMPT
            c.done = Int64(done)
            c.total = Int64(total)
        case .token(let token):
            c.type = KIMI_EVENT_TOKEN
            c.done = Int64(token.count)
            c.total = Int64(maxTokens)
            c.id = token.id
            c.logprob = token.logprob ?? 0
            set(token.text, &c)
            if !token.top.isEmpty {
                c.top = top.store(token.top)
                c.top_count = Int32(clamping: token.top.count)
            }
        case .finish(let reason, let id, let stopString, let text):
            c.type = KIMI_EVENT_FINISH
            c.finish_reason = reason.rawValue
            c.id = id ?? -1
            c.stop_string = stopString.map { Int32(clamping: $0) } ?? -1
            set(text, &c)
        }
        return body(c)
    }

    private func set(_ bytes: [UInt8], _ c: inout kimi_event) {
        guard !bytes.isEmpty, let base = text.update(bytes).baseAddress else { return }
        c.text = UnsafeRawPointer(base).assumingMemoryBound(to: CChar.self)
        c.text_length = bytes.count
    }
}

/// The alternatives of one token at a stable address; at most 20.
private final class TopStorage {
    private let memory = UnsafeMutablePointer<kimi_token_logprob>.allocate(capacity: 20)

    deinit { memory.deallocate() }

    func store(_ top: [(id: Int32, logprob: Float)]) -> UnsafePointer<kimi_token_logprob> {
        for (index, entry) in top.prefix(20).enumerated() {
            memory[index] = kimi_token_logprob(id: entry.id, logprob: entry.logprob)
        }
        return UnsafePointer(memory)
    }
}

// MARK: By callback

/// Runs a generation on the prompt that `prompt` makes for the session; a non-zero answer of the callback ends it and is returned.
private func generate(
    _ handle: OpaquePointer?, _ callerOptions: UnsafePointer<kimi_generation_options>?,
    _ callback: kimi_event_callback?, _ userData: UnsafeMutableRawPointer?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?, prompt: (Session) throws(KimiError) -> [Int32]
) -> kimi_status {
    var answer: kimi_status = 0
    let failure = status(outError) { () throws(KimiError) in
        let session = try session(handle)
        let prompt = try prompt(session)
        let options = try generationOptions(callerOptions)
        let storage = EventStorage(maxTokens: options.maxTokens)
        try session.generate(prompt, options: options) { event in
            guard let callback else { return true }
            answer = storage.show(event) { c in withUnsafePointer(to: c) { callback($0, userData) } }
            return answer == 0
        }
    }
    return failure == 0 ? answer : failure
}

@c @implementation public func kimi_session_generate(
    _ handle: OpaquePointer?, _ ids: UnsafePointer<Int32>?, _ count: Int,
    _ options: UnsafePointer<kimi_generation_options>?, _ callback: kimi_event_callback?,
    _ userData: UnsafeMutableRawPointer?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    generate(handle, options, callback, userData, outError) { (_) throws(KimiError) in
        Array(try array(ids, count, "ids"))
    }
}

@c @implementation public func kimi_session_generate_text(
    _ handle: OpaquePointer?, _ text: UnsafePointer<CChar>?, _ length: Int,
    _ options: UnsafePointer<kimi_generation_options>?, _ callback: kimi_event_callback?,
    _ userData: UnsafeMutableRawPointer?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    generate(handle, options, callback, userData, outError) { (session) throws(KimiError) in
        try session.model.tokenizer.encode(try bytes(text, length, "text"), special: false)
    }
}

// MARK: By polling

/// A polled generation and what its latest event points to.
final class GenerationHandle: @unchecked Sendable {
    // Safe because `next` is let in one thread at a time by the session, and the header says the event is read before the next.
    let generation: Generation
    private let storage: EventStorage
    /// One thread fills the storage at a time; the session alone does not see to that, for it is free before the event is shown.
    private let isPolled = Occupied()

    /// The next event in C form.
    func next() throws(KimiError) -> kimi_event {
        guard isPolled.enter() else { throw KimiError(.busy, "another thread is polling this generation") }
        defer { isPolled.leave() }
        return storage.show(try generation.next()) { $0 }
    }

    init(_ generation: Generation, maxTokens: Int?) {
        self.generation = generation
        storage = EventStorage(maxTokens: maxTokens)
    }
}

@c @implementation public func kimi_generation_start(
    _ handle: OpaquePointer?, _ ids: UnsafePointer<Int32>?, _ count: Int,
    _ callerOptions: UnsafePointer<kimi_generation_options>?,
    _ outGeneration: UnsafeMutablePointer<OpaquePointer?>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let out = try require(outGeneration, "out_generation")
        let session = try session(handle)
        let prompt = Array(try array(ids, count, "ids"))
        let options = try generationOptions(callerOptions)
        let generation = try Generation(session: session, prompt: prompt, options: options)
        out.pointee = try Handles.add(.generation(GenerationHandle(generation, maxTokens: options.maxTokens)))
    }
}

@c @implementation public func kimi_generation_next(
    _ handle: OpaquePointer?, _ event: UnsafeMutablePointer<kimi_event>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let generation = try generation(handle)
        try checkEvent(event)
        try store(try generation.next(), event, "kimi_event")
    }
}

@c @implementation public func kimi_generation_destroy(_ handle: OpaquePointer?) {
    let removed = Handles.remove(handle) { if case .generation = $0 { true } else { false } }
    // If another thread is computing its next event, that ends soon and the last reference frees the generation.
    if case .generation(let handle)? = removed { handle.generation.abandon() }
}
