public import CKimi
import KimiCore
import KimiModel
import KimiRuntime
import KimiVision

private var defaultOptions: kimi_model_options {
    var options = kimi_model_options()
    options.struct_size = UInt32(MemoryLayout<kimi_model_options>.size)
    options.log_level = KIMI_LOG_INFO
    return options
}

@c @implementation public func kimi_model_options_init(
    _ options: UnsafeMutablePointer<kimi_model_options>?, _ size: Int
) -> kimi_status {
    initialize(options, size, defaults: defaultOptions)
}

private func refused(_ name: String, _ value: some BinaryInteger, _ right: String) -> KimiError {
    KimiError(.invalidArgument, "\(name) is \(value); it must be \(right)", subject: name)
}

/// The C options in the runtime's terms; only what has no counterpart there is checked here.
private func convert(_ c: kimi_model_options) throws(KimiError) -> Model.Options {
    var options = Model.Options()
    options.threads = c.threads == 0 ? nil : Int(c.threads)
    guard (KIMI_ISA_AUTO...KIMI_ISA_AMX).contains(c.isa) else {
        throw refused("isa", c.isa, "\(KIMI_ISA_AUTO) to \(KIMI_ISA_AMX)")
    }
    options.isa = c.isa == KIMI_ISA_AUTO ? nil : c.isa - KIMI_ISA_SCALAR
    switch c.cache_type {
    case KIMI_CACHE_AUTO, KIMI_CACHE_F32: options.cacheType = .f32
    case KIMI_CACHE_BF16: options.cacheType = .bf16
    case KIMI_CACHE_INT8: options.cacheType = .int8
    default: throw refused("cache_type", c.cache_type, "\(KIMI_CACHE_AUTO) to \(KIMI_CACHE_INT8)")
    }
    switch c.load_policy {
    case KIMI_LOAD_AUTO: options.loadPolicy = nil
    case KIMI_LOAD_MAP: options.loadPolicy = .map
    case KIMI_LOAD_COPY: options.loadPolicy = .copy
    case KIMI_LOAD_STREAM: options.loadPolicy = .stream
    default: throw refused("load_policy", c.load_policy, "\(KIMI_LOAD_AUTO) to \(KIMI_LOAD_STREAM)")
    }
    switch c.dense {
    case KIMI_DENSE_STORED: options.dense = .stored
    case KIMI_DENSE_INT8: options.dense = .int8
    default: throw refused("dense", c.dense, "\(KIMI_DENSE_STORED) or \(KIMI_DENSE_INT8)")
    }
    guard c.exact == 0 || c.exact == 1 else { throw refused("exact", c.exact, "0 or 1") }
    options.exact = c.exact == 1
    guard let bits = c.decode_bits == 0 ? .exact : DecodeBits(rawValue: Int(c.decode_bits)) else {
        throw refused("decode_bits", c.decode_bits, "8, 16, or 24, as 0 is")
    }
    options.decodeBits = bits
    switch c.vision_arithmetic {
    case KIMI_VISION_FULL: options.vision = .full
    case KIMI_VISION_BF16: options.vision = .bf16
    default: throw refused("vision_arithmetic", c.vision_arithmetic, "\(KIMI_VISION_FULL) or \(KIMI_VISION_BF16)")
    }
    options.contextLimit = c.context_limit == 0 ? nil : Int(c.context_limit)
    if c.chunk_size != 0 { options.chunkSize = Int(c.chunk_size) }
    guard (KIMI_LOG_DEBUG...KIMI_LOG_ERROR).contains(c.log_level) else {
        throw refused("log_level", c.log_level, "\(KIMI_LOG_DEBUG) to \(KIMI_LOG_ERROR)")
    }
    options.memory = try memory(c)
    if c.features_limit != 0 { options.featureBytes = max(0, Int(c.features_limit)) }
    if c.prefix_limit != 0 { options.prefixBytes = max(0, Int(c.prefix_limit)) }
    if let callback = c.log {
        let sink = LogSink(callback: callback, userData: c.log_user_data)
        options.log = Log { [level = c.log_level] found, message in
            if found.rawValue >= level { sink.send(found, message) }
        }
    }
    return options
}

/// The options that concern memory.
private func memory(_ c: kimi_model_options) throws(KimiError) -> MemoryOptions {
    var options = MemoryOptions()
    options.limit = c.memory_limit == 0 ? nil : Int(c.memory_limit)
    switch c.placement {
    case KIMI_PLACEMENT_AUTO: options.policy = nil
    case KIMI_PLACEMENT_SLICE: options.policy = .slice
    case KIMI_PLACEMENT_EXPERT: options.policy = .expert
    case KIMI_PLACEMENT_REPLICATE: options.policy = .replicate
    default: throw refused("placement", c.placement, "\(KIMI_PLACEMENT_AUTO) to \(KIMI_PLACEMENT_REPLICATE)")
    }
    options.nodes = c.nodes == 0 ? nil : Int(c.nodes)
    options.replicateBytes = c.replicate_bytes == 0 ? nil : Int(c.replicate_bytes)
    options.residentBytes = c.resident_bytes == 0 ? nil : Int(c.resident_bytes)
    guard let pages = MemoryOptions.Pages(rawValue: c.huge_pages) else {
        throw refused("huge_pages", c.huge_pages, "\(KIMI_PAGES_AUTO) to \(KIMI_PAGES_HUGE)")
    }
    options.pages = pages
    if let heat = c.heat { options.heat = try path(heat, -1, "heat") }
    return options
}

/// A host's log callback.
private struct LogSink: @unchecked Sendable {
    // Safe because the header tells the host that the callback may come from several threads at once.
    let callback: @convention(c) (Int32, UnsafePointer<CChar>?, UnsafeMutableRawPointer?) -> Void
    let userData: UnsafeMutableRawPointer?

    func send(_ level: Log.Level, _ message: String) { message.withCString { callback(level.rawValue, $0, userData) } }
}

@c @implementation public func kimi_model_open(
    _ folder: UnsafePointer<CChar>?, _ folderLength: Int, _ callerOptions: UnsafePointer<kimi_model_options>?,
    _ progress: kimi_progress_callback?, _ progressUserData: UnsafeMutableRawPointer?,
    _ outModel: UnsafeMutablePointer<OpaquePointer?>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let out = try require(outModel, "out_model")
        let folder = try path(folder, folderLength)
        let options = try convert(try options(callerOptions, defaults: defaultOptions, "kimi_model_options"))
        let model = try Model(folder: folder, options: options) { (done, total) throws(KimiError) in
            guard let progress, progress(UInt64(done), UInt64(total), progressUserData) != 0 else { return }
            throw KimiError(.cancelled, "opening was stopped by the progress callback", file: folder)
        }
        out.pointee = try Handles.add(.model(model))
    }
}

@c @implementation public func kimi_model_close(_ handle: OpaquePointer?) {
    _ = Handles.remove(handle) { if case .model = $0 { true } else { false } }
}

@c @implementation public func kimi_model_info(
    _ handle: OpaquePointer?, _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
    _ outLength: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outJSON, outLength)
        try transfer(try model(handle).info, outJSON, outLength)
    }
}

@c @implementation public func kimi_model_heat(
    _ handle: OpaquePointer?, _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
    _ outLength: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outJSON, outLength)
        try transfer(try model(handle).heat(), outJSON, outLength)
    }
}

@c @implementation public func kimi_model_save_heat(
    _ handle: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ pathLength: Int,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        try model(handle).saveHeat(to: try path(file, pathLength))
    }
}

@c @implementation public func kimi_model_save_prefixes(
    _ handle: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ pathLength: Int,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        try model(handle).savePrefixes(to: try path(file, pathLength))
    }
}

@c @implementation public func kimi_model_load_prefixes(
    _ handle: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ pathLength: Int,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        try model(handle).loadPrefixes(from: try path(file, pathLength))
    }
}

@c @implementation public func kimi_model_vocabulary_size(_ handle: OpaquePointer?) -> Int32 {
    Int32(clamping: (try? model(handle))?.vocabularySize ?? 0)
}

@c @implementation public func kimi_model_context_limit(_ handle: OpaquePointer?) -> Int64 {
    Int64((try? model(handle))?.contextLimit ?? 0)
}
