public import CKimi
import KimiAgent
import KimiChat
import KimiCore

/// A queue, and what its latest event points to.
final class QueueHandle: @unchecked Sendable {
    // Safe because `next` lets one thread in at a time, and the header says the event is read before the next.
    let queue: SessionQueue
    private let generation = UnsafeMutablePointer<kimi_event>.allocate(capacity: 1)
    private let generationStorage = EventStorage(maxTokens: nil)
    private let chat = UnsafeMutablePointer<kimi_chat_event>.allocate(capacity: 1)
    private let chatStorage = ChatEventStorage()
    private let text = ByteStorage()
    private let isPolled = Occupied()

    init(_ queue: SessionQueue) { self.queue = queue }

    deinit {
        generation.deallocate()
        chat.deallocate()
    }

    /// The next event in C form.
    func next(within milliseconds: Int32) throws(KimiError) -> kimi_queue_event {
        guard isPolled.enter() else { throw KimiError(.busy, "another thread is waiting for this queue's next event") }
        defer { isPolled.leave() }
        var c = kimi_queue_event()
        c.struct_size = UInt32(MemoryLayout<kimi_queue_event>.size)
        c.type = KIMI_QUEUE_NONE
        c.text = forever("")
        guard let entry = try queue.next(milliseconds: Int(milliseconds)) else { return c }
        (c.tag, c.last) = (entry.tag, entry.isLast ? 1 : 0)
        switch entry.content {
        case .generation(let event, let maxTokens):
            c.type = KIMI_QUEUE_GENERATION
            generation.initialize(to: generationStorage.show(event) { $0 })
            if generation.pointee.type == KIMI_EVENT_TOKEN { generation.pointee.total = Int64(maxTokens ?? 0) }
            c.generation = UnsafePointer(generation)
        case .chat(let event):
            c.type = KIMI_QUEUE_CHAT
            chat.initialize(to: chatStorage.show(event) { $0 })
            c.chat = UnsafePointer(chat)
        case .failure(let error):
            c.type = KIMI_QUEUE_ERROR
            c.status = error.status.rawValue
            let words = error.description
            c.text = text.keep(words)
            c.text_length = words.utf8.count
        }
        return c
    }
}

@c @implementation public func kimi_queue_create(
    _ capacity: Int32, _ outQueue: UnsafeMutablePointer<OpaquePointer?>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let out = try require(outQueue, "out_queue")
        let queue = capacity == 0 ? try SessionQueue() : try SessionQueue(capacity: Int(capacity))
        out.pointee = try Handles.add(.queue(QueueHandle(queue)))
    }
}

@c @implementation public func kimi_queue_generate(
    _ handle: OpaquePointer?, _ sessionHandle: OpaquePointer?, _ ids: UnsafePointer<Int32>?, _ count: Int,
    _ options: UnsafePointer<kimi_generation_options>?, _ tag: UInt64, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let queue = try queue(handle), session = try session(sessionHandle)
        let prompt = Array(try array(ids, count, "ids"))
        try queue.queue.generate(session, prompt: prompt, options: try generationOptions(options), tag: tag)
    }
}

@c @implementation public func kimi_queue_send(
    _ handle: OpaquePointer?, _ session: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ length: Int,
    _ options: UnsafePointer<kimi_chat_options>?, _ tag: UInt64, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let queue = try queue(handle), chat = try chatSession(session)
        let options = try chatOptions(options)
        let request = try ChatRequest(json: try bytes(request, length, "request"))
        try queue.queue.send(chat, request: request, options: options, tag: tag)
    }
}

@c @implementation public func kimi_queue_next(
    _ handle: OpaquePointer?, _ milliseconds: Int32, _ event: UnsafeMutablePointer<kimi_queue_event>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let queue = try queue(handle)
        try checkEvent(event)
        try store(try queue.next(within: milliseconds), event, "kimi_queue_event")
    }
}

@c @implementation public func kimi_queue_submit(
    _ handle: OpaquePointer?, _ tag: UInt64, _ callID: UnsafePointer<CChar>?, _ callIDLength: Int, _ text: UnsafePointer<CChar>?,
    _ length: Int, _ code: Int32, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let queue = try queue(handle)
        let (id, answer) = try answer(callID, callIDLength, text: text, length, code)
        try queue.queue.submit(tag, id, answer)
    }
}

@c @implementation public func kimi_queue_submit_content(
    _ handle: OpaquePointer?, _ tag: UInt64, _ callID: UnsafePointer<CChar>?, _ callIDLength: Int, _ content: UnsafePointer<CChar>?,
    _ length: Int, _ code: Int32, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let queue = try queue(handle)
        let (id, answer) = try answer(callID, callIDLength, content: content, length, code)
        try queue.queue.submit(tag, id, answer)
    }
}

@c @implementation public func kimi_queue_descriptor(
    _ handle: OpaquePointer?, _ outDescriptor: UnsafeMutablePointer<Int32>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        guard let out = outDescriptor else { throw KimiError(.invalidArgument, "out_descriptor is NULL", subject: "out_descriptor") }
        out.pointee = -1
        out.pointee = try queue(handle).queue.descriptor
    }
}

@c @implementation public func kimi_queue_destroy(_ handle: OpaquePointer?) {
    let removed = Handles.remove(handle) { if case .queue = $0 { true } else { false } }
    if case .queue(let queue)? = removed { queue.queue.close() }
}
