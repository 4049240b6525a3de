public import CKimi
import KimiAgent
import KimiChat
import KimiCore

private var defaultOptions: kimi_swarm_options {
    var options = kimi_swarm_options()
    options.struct_size = UInt32(MemoryLayout<kimi_swarm_options>.size)
    return options
}

@c @implementation public func kimi_swarm_options_init(
    _ options: UnsafeMutablePointer<kimi_swarm_options>?, _ size: Int
) -> kimi_status {
    initialize(options, size, defaults: defaultOptions)
}

/// The C options in the swarm's terms.
private func convert(_ c: kimi_swarm_options, _ request: ChatRequest) throws(KimiError) -> SwarmOptions {
    var options = SwarmOptions()
    /// 0 is the default; what is out of its range is refused by the swarm, by the same name.
    func set(_ option: WritableKeyPath<SwarmOptions, Int>, _ value: Int64) {
        if value != 0 { options[keyPath: option] = Int(value) }
    }
    func set(_ option: WritableKeyPath<SwarmOptions, Int?>, _ value: Int64) {
        if value != 0 { options[keyPath: option] = Int(value) }
    }
    set(\.agentLimit, Int64(c.agent_limit))
    set(\.mainSteps, Int64(c.main_steps))
    set(\.taskSteps, Int64(c.task_steps))
    set(\.taskTokens, c.task_tokens)
    set(\.allTokens, c.all_tokens)
    set(\.taskMilliseconds, c.task_milliseconds)
    set(\.allMilliseconds, c.all_milliseconds)
    set(\.resultBytes, c.result_bytes)
    set(\.parallelAgents, Int64(c.parallel_agents))
    set(\.parallelTools, Int64(c.parallel_tools))
    options.priority = Int(c.priority)
    set(\.queueLimit, Int64(c.queue_limit))
    set(\.contextLimit, c.context_limit)
    options.chat = try chatOptions(c.chat)
    guard options.chat.mode == nil, options.chat.stepLimit == nil else {
        throw KimiError(
            .invalidArgument, "chat has a mode or a step_limit; those of a swarm are main_mode, agent_mode, main_steps and task_steps",
            subject: "chat")
    }
    if c.agent_request != nil || c.agent_request_length != 0 {
        options.agentRequest = try agentRequest(c.agent_request, c.agent_request_length)
    }
    options.mainMode = try mode(c.main_mode, "main_mode") ?? request.mode ?? (request.thinking == false ? .instant : .swarm)
    options.agentMode = try mode(c.agent_mode, "agent_mode") ?? options.agentRequest?.mode
        ?? (options.agentRequest?.thinking == false ? .instant : .agent)
    return options
}

/// What sub-agents' requests have in common.
private func agentRequest(_ text: UnsafePointer<CChar>?, _ length: Int) throws(KimiError) -> ChatRequest {
    let name = "agent_request"
    let bytes = try bytes(text, length, name)
    do { return try ChatRequest(membersOf: bytes, name) } catch {
        guard let subject = error.subject, subject != name else { throw error }
        throw KimiError(error.status, error.message, file: error.file, subject: "\(name).\(subject)")
    }
}

/// A swarm that a host drives, and what its latest event points to.
final class SwarmHandle: @unchecked Sendable {
    // Safe because `next` lets one thread in at a time, and the header says the event is read before the next.
    let run: SwarmRun
    private let storage = SwarmEventStorage()
    private let isPolled = Occupied()

    init(_ run: SwarmRun) { self.run = run }

    /// Begins a request.
    ///
    /// - Parameter isPolled: whether calls of tools without callback are answered by `kimi_swarm_submit`.
    convenience init(
        _ session: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ length: Int,
        _ callerOptions: UnsafePointer<kimi_swarm_options>?, isPolled: Bool
    ) throws(KimiError) {
        let chat = try chatSession(session)
        let given = try options(callerOptions, defaults: defaultOptions, "kimi_swarm_options")
        let request = try ChatRequest(json: try bytes(request, length, "request"))
        self.init(try SwarmRun(chat, request: request, options: try convert(given, request), isPolled: isPolled))
    }

    /// The next event in C form, and whether it is the last.
    ///
    /// - Parameters:
    ///   - milliseconds: how long to wait; below 0: as long as it takes.
    ///   - handle: of this swarm.
    func next(within milliseconds: Int32, _ handle: OpaquePointer?) throws(KimiError) -> (event: kimi_swarm_event, last: SwarmAccount?) {
        guard isPolled.enter() else { throw KimiError(.busy, "another thread is waiting for this swarm's next event") }
        defer { isPolled.leave() }
        guard let event = milliseconds < 0 ? try run.next() : try run.next(within: milliseconds) else {
            return (SwarmEventStorage.nothing(of: handle), nil)
        }
        if case .finish(let account) = event.kind { return (storage.show(event, of: handle), account) }
        return (storage.show(event, of: handle), nil)
    }
}

/// Ends a handle; its swarm, if it was one.
private func take(_ handle: OpaquePointer?) -> SwarmHandle? {
    let removed = Handles.remove(handle) { if case .swarm = $0 { true } else { false } }
    guard case .swarm(let swarm)? = removed else { return nil }
    return swarm
}

@c @implementation public func kimi_swarm_run(
    _ session: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ length: Int, _ options: UnsafePointer<kimi_swarm_options>?,
    _ callback: kimi_swarm_callback?, _ userData: UnsafeMutableRawPointer?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    var answer: kimi_status = 0
    let failure = status(outError) { () throws(KimiError) in
        let swarm = try SwarmHandle(session, request, length, options, isPolled: false)
        defer { swarm.run.abandon() }
        let handle = try Handles.add(.swarm(swarm))
        defer { _ = take(handle) }
        while true {
            let next: (event: kimi_swarm_event, last: SwarmAccount?)
            do throws(KimiError) { next = try swarm.next(within: -1, handle) } catch {
                // A callback has destroyed it.
                guard Handles.object(handle) == nil else { throw error }
                throw KimiError(.cancelled, "the swarm was destroyed while it ran")
            }
            if let callback { answer = withUnsafePointer(to: next.event) { callback($0, userData) } }
            guard answer == 0 else { return }
            guard let last = next.last else { continue }
            guard last.finish != .cancelled else { throw KimiError(.cancelled, "the swarm was cancelled, or its time was over") }
            return
        }
    }
    return failure == 0 ? answer : failure
}

@c @implementation public func kimi_swarm_open(
    _ session: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ length: Int, _ options: UnsafePointer<kimi_swarm_options>?,
    _ outSwarm: UnsafeMutablePointer<OpaquePointer?>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let out = try require(outSwarm, "out_swarm")
        let swarm = try SwarmHandle(session, request, length, options, isPolled: true)
        do throws(KimiError) { out.pointee = try Handles.add(.swarm(swarm)) } catch {
            swarm.run.abandon()
            throw error
        }
    }
}

@c @implementation public func kimi_swarm_next(
    _ handle: OpaquePointer?, _ milliseconds: Int32, _ event: UnsafeMutablePointer<kimi_swarm_event>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let swarm = try swarm(handle)
        try checkEvent(event)
        try store(try swarm.next(within: milliseconds, handle).event, event, "kimi_swarm_event")
    }
}

@c @implementation public func kimi_swarm_submit(
    _ handle: OpaquePointer?, _ agent: Int32, _ callID: UnsafePointer<CChar>?, _ callIDLength: Int, _ text: UnsafePointer<CChar>?,
    _ length: Int, _ code: Int32, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let swarm = try swarm(handle)
        let (id, answer) = try answer(callID, callIDLength, text: text, length, code)
        try swarm.run.submit(Int(agent), id, answer)
    }
}

@c @implementation public func kimi_swarm_submit_content(
    _ handle: OpaquePointer?, _ agent: Int32, _ callID: UnsafePointer<CChar>?, _ callIDLength: Int, _ content: UnsafePointer<CChar>?,
    _ length: Int, _ code: Int32, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let swarm = try swarm(handle)
        let (id, answer) = try answer(callID, callIDLength, content: content, length, code)
        try swarm.run.submit(Int(agent), id, answer)
    }
}

@c @implementation public func kimi_swarm_cancel(
    _ handle: OpaquePointer?, _ agent: Int32, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in try swarm(handle).run.cancel(Int(agent)) }
}

@c @implementation public func kimi_swarm_account(
    _ handle: OpaquePointer?, _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ outLength: UnsafeMutablePointer<Int>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outJSON, outLength)
        try transfer(try swarm(handle).run.account.json, outJSON, outLength)
    }
}

@c @implementation public func kimi_swarm_trace(
    _ handle: OpaquePointer?, _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ outLength: UnsafeMutablePointer<Int>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outJSON, outLength)
        try transfer(try swarm(handle).run.account.chromeTrace, outJSON, outLength)
    }
}

@c @implementation public func kimi_swarm_destroy(_ handle: OpaquePointer?) { take(handle)?.run.abandon() }
