public import CKimi
import KimiAgent
import KimiCore
import KimiRuntime

private var defaultOptions: kimi_session_options {
    var options = kimi_session_options()
    options.struct_size = UInt32(MemoryLayout<kimi_session_options>.size)
    return options
}

@c @implementation public func kimi_session_options_init(
    _ options: UnsafeMutablePointer<kimi_session_options>?, _ size: Int
) -> kimi_status {
    initialize(options, size, defaults: defaultOptions)
}

@c @implementation public func kimi_session_create(
    _ handle: OpaquePointer?, _ callerOptions: UnsafePointer<kimi_session_options>?,
    _ outSession: UnsafeMutablePointer<OpaquePointer?>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let out = try require(outSession, "out_session")
        let model = try model(handle)
        let options = try options(callerOptions, defaults: defaultOptions, "kimi_session_options")
        let limit = options.context_limit == 0 ? nil : Int(options.context_limit)
        guard let onShortage = Session.Shortage(rawValue: options.on_shortage) else {
            throw KimiError(
                .invalidArgument, "on_shortage is \(options.on_shortage); it must be one of KIMI_SHORTAGE_..., 0 or 1", subject: "on_shortage")
        }
        guard options.reserved == 0 else {
            throw KimiError(.invalidArgument, "reserved is \(options.reserved); it must be 0", subject: "reserved")
        }
        let session = try Session(
            model: model, contextLimit: limit, priority: Int(options.priority), onShortage: onShortage)
        out.pointee = try Handles.add(.session(ChatSession(session)))
    }
}

@c @implementation public func kimi_session_fork(
    _ handle: OpaquePointer?, _ outSession: UnsafeMutablePointer<OpaquePointer?>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let out = try require(outSession, "out_session")
        out.pointee = try Handles.add(.session(try chatSession(handle).fork()))
    }
}

@c @implementation public func kimi_session_destroy(_ handle: OpaquePointer?) {
    let removed = Handles.remove(handle) { if case .session = $0 { true } else { false } }
    // A call that runs on it holds its own reference; it ends soon, and the last reference frees the session.
    if case .session(let chat)? = removed { chat.session.cancellation.end() }
}

@c @implementation public func kimi_session_reset(
    _ handle: OpaquePointer?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in try session(handle).reset() }
}

@c @implementation public func kimi_session_truncate(
    _ handle: OpaquePointer?, _ position: Int64, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in try session(handle).truncate(to: Int(position)) }
}

@c @implementation public func kimi_session_position(_ handle: OpaquePointer?) -> Int64 {
    Int64((try? session(handle))?.position ?? -1)
}

@c @implementation public func kimi_session_ids(
    _ handle: OpaquePointer?, _ ids: UnsafeMutablePointer<Int32>?, _ capacity: Int,
    _ outCount: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outCount?.pointee = 0
        try fill(ids, capacity, outCount, from: try session(handle).ids(), "ids")
    }
}

@c @implementation public func kimi_session_evaluate(
    _ handle: OpaquePointer?, _ ids: UnsafePointer<Int32>?, _ count: Int, _ flags: UInt32,
    _ logits: UnsafeMutablePointer<Float>?, _ capacity: Int, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let session = try session(handle)
        let ids = try array(ids, count, "ids")
        guard !ids.isEmpty else { throw KimiError(.invalidArgument, "there is nothing to evaluate: count is 0", subject: "ids") }
        guard flags & ~UInt32(KIMI_EVALUATE_ALL) == 0 else {
            throw KimiError(.invalidArgument, "flags is \(flags); it may be 0 or KIMI_EVALUATE_ALL", subject: "flags")
        }
        let all = flags & UInt32(KIMI_EVALUATE_ALL) != 0
        if logits != nil {
            // Not Checked.product: its variable arguments are an allocation, and a decode step makes none.
            let (needed, overflow) = (all ? ids.count : 1).multipliedReportingOverflow(by: session.vocabularySize)
            guard capacity >= 0, !overflow else {
                throw KimiError(.invalidArgument, "the capacity of logits is beyond any memory", subject: "logits")
            }
            guard capacity >= needed else {
                throw KimiError(.tooSmall, "logits holds \(capacity) floats; \(needed) are needed", subject: "logits")
            }
        }
        try session.call { () throws(KimiError) in
            try session.evaluate(ids, all: all && logits != nil, into: logits)
        }
    }
}

@c @implementation public func kimi_session_cancel(_ handle: OpaquePointer?) -> kimi_status {
    status(nil) { () throws(KimiError) in try session(handle).cancellation.request() }
}

@c @implementation public func kimi_session_save(
    _ handle: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ fileLength: Int,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in try session(handle).save(to: try path(file, fileLength)) }
}

@c @implementation public func kimi_session_load(
    _ handle: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ fileLength: Int,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in try session(handle).load(from: try path(file, fileLength)) }
}

@c @implementation public func kimi_session_get_stats(
    _ handle: OpaquePointer?, _ stats: UnsafeMutablePointer<kimi_session_stats>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let session = try session(handle)
        let found = try session.snapshot()
        var result = kimi_session_stats()
        result.position = Int64(found.position)
        result.prompt_tokens = Int64(found.counts.promptTokens)
        result.reused_tokens = Int64(found.counts.reusedTokens)
        result.generated_tokens = Int64(found.counts.generatedTokens)
        result.steps = Int64(found.counts.steps)
        result.prompt_nanoseconds = found.counts.promptNanoseconds
        result.generation_nanoseconds = found.counts.generationNanoseconds
        result.bytes_read = Int64(found.counts.bytesRead)
        result.cache_bytes = Int64(found.cacheBytes)
        result.rows_exact = Int64(found.counts.exactRows)
        result.rows_fast = Int64(found.counts.fastRows)
        result.media_tokens = Int64(found.counts.mediaTokens)
        result.media_encoded = Int64(found.counts.mediaEncoded)
        result.media_reused = Int64(found.counts.mediaReused)
        result.preemptions = Int32(clamping: found.counts.preemptions)
        result.restored_tokens = Int64(found.counts.restoredTokens)
        try store(result, stats, "kimi_session_stats")
    }
}
