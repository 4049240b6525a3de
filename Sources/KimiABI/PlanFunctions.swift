public import CKimi
import KimiCore
import KimiModel
import KimiRuntime

private var defaultOptions: kimi_plan_options {
    var options = kimi_plan_options()
    options.struct_size = UInt32(MemoryLayout<kimi_plan_options>.size)
    return options
}

@c @implementation public func kimi_plan_options_init(
    _ options: UnsafeMutablePointer<kimi_plan_options>?, _ size: Int
) -> kimi_status {
    initialize(options, size, defaults: defaultOptions)
}

private func refused(_ name: String, _ value: some BinaryInteger, _ right: String) -> KimiError {
    KimiError(.invalidArgument, "\(name) is \(value); it must be \(right)", subject: name)
}

/// A NUL-terminated text of a struct's; nil for NULL.
private func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws(KimiError) -> String? {
    guard let pointer else { return nil }
    return try path(pointer, -1, name)
}

/// The C options in the runtime's terms; only what has no counterpart there is checked here.
private func convert(_ c: kimi_plan_options, _ folder: String) throws(KimiError) -> PlanRequest {
    var request = PlanRequest(folder: folder)
    request.synthetic = try text(c.synthetic, "synthetic")
    request.topologyFile = try text(c.topology, "topology")
    request.heat = try text(c.heat, "heat")
    switch c.dense {
    case KIMI_DENSE_STORED: request.dense = .stored
    case KIMI_DENSE_INT8: request.dense = .int8
    default: throw refused("dense", c.dense, "\(KIMI_DENSE_STORED) or \(KIMI_DENSE_INT8)")
    }
    switch c.cache_type {
    case KIMI_CACHE_AUTO, KIMI_CACHE_F32: request.options.cacheType = .f32
    case KIMI_CACHE_BF16: request.options.cacheType = .bf16
    case KIMI_CACHE_INT8: request.options.cacheType = .int8
    default: throw refused("cache_type", c.cache_type, "\(KIMI_CACHE_AUTO) to \(KIMI_CACHE_INT8)")
    }
    switch c.placement {
    case KIMI_PLACEMENT_AUTO: request.options.policy = nil
    case KIMI_PLACEMENT_SLICE: request.options.policy = .slice
    case KIMI_PLACEMENT_EXPERT: request.options.policy = .expert
    case KIMI_PLACEMENT_REPLICATE: request.options.policy = .replicate
    default: throw refused("placement", c.placement, "\(KIMI_PLACEMENT_AUTO) to \(KIMI_PLACEMENT_REPLICATE)")
    }
    guard c.no_streaming == 0 || c.no_streaming == 1 else { throw refused("no_streaming", c.no_streaming, "0 or 1") }
    guard c.compare == 0 || c.compare == 1 else { throw refused("compare", c.compare, "0 or 1") }
    request.options.mayStream = c.no_streaming == 0
    request.compares = c.compare == 1
    func given<T: BinaryInteger>(_ value: T) -> Int? { value == 0 ? nil : Int(value) }
    request.options.threads = given(c.threads)
    request.options.memoryLimit = given(c.memory_limit)
    request.options.context = given(c.context)
    request.options.sequences = given(c.sequences) ?? 1
    request.options.nodes = given(c.nodes)
    request.options.chunkSize = given(c.chunk_size) ?? request.options.chunkSize
    request.options.replicateBytes = given(c.replicate_bytes)
    request.options.residentBytes = given(c.resident_bytes)
    func rate(_ value: Double) -> Double? { value == 0 ? nil : value }
    request.options.rates.nodeBandwidth = rate(c.bandwidth)
    request.options.rates.linkBandwidth = rate(c.link_bandwidth)
    request.options.rates.diskBandwidth = rate(c.disk_bandwidth)
    request.options.rates.barrier = rate(c.barrier)
    return request
}

@c @implementation public func kimi_plan(
    _ folder: UnsafePointer<CChar>?, _ folderLength: Int, _ callerOptions: UnsafePointer<kimi_plan_options>?,
    _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ outLength: UnsafeMutablePointer<Int>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outJSON, outLength)
        _ = try require(outJSON, "out_json")
        let folder = try path(folder, folderLength)
        let request = try convert(try options(callerOptions, defaults: defaultOptions, "kimi_plan_options"), folder)
        try transfer(try request.answer().json, outJSON, outLength)
    }
}
