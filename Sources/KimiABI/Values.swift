import CKimi
import Glibc
import KimiCore
import Synchronization

// How values cross the border: strings, arrays, option structs, memory that changes its owner.

// MARK: Strings in

/// A caller's string as bytes; they are only borrowed during the call.
func bytes(
    _ text: UnsafePointer<CChar>?, _ length: Int, _ name: String
) throws(KimiError) -> UnsafeRawBufferPointer {
    // size_t is imported as Int: KIMI_NUL is -1, and every other negative number is beyond any memory.
    let limit = 1 << 30
    guard length == -1 || (0...limit).contains(length) else {
        throw KimiError(.invalidArgument, "\(name) has a length beyond \(limit) bytes", subject: name)
    }
    guard let text else {
        guard length == 0 else { throw KimiError(.invalidArgument, "\(name) is NULL", subject: name) }
        return UnsafeRawBufferPointer(start: nil, count: 0)
    }
    guard length == -1 else { return UnsafeRawBufferPointer(start: text, count: length) }
    let found = strnlen(text, limit + 1)
    guard found <= limit else {
        throw KimiError(.invalidArgument, "\(name) is longer than \(limit) bytes", subject: name)
    }
    return UnsafeRawBufferPointer(start: text, count: found)
}

/// A caller's text, copied.
func utf8(_ text: UnsafePointer<CChar>?, _ length: Int, _ name: String) throws(KimiError) -> String {
    guard let text = String(validating: try bytes(text, length, name), as: UTF8.self) else {
        throw KimiError(.invalidArgument, "\(name) is not UTF-8", subject: name)
    }
    return text
}

/// A caller's yes or no.
func flag(_ value: Int32, _ name: String) throws(KimiError) -> Bool {
    guard value == 0 || value == 1 else {
        throw KimiError(.invalidArgument, "\(name) is \(value); it must be 0 or 1", subject: name)
    }
    return value == 1
}

/// A caller's path.
func path(_ text: UnsafePointer<CChar>?, _ length: Int, _ name: String = "path") throws(KimiError) -> String {
    func refused(_ words: String) -> KimiError { KimiError(.invalidArgument, "\(name) \(words)", subject: name) }
    let raw = try bytes(text, length, name)
    guard !raw.isEmpty else { throw refused("is empty") }
    guard raw.count < Int(PATH_MAX) else { throw refused("has \(raw.count) bytes; at most \(PATH_MAX - 1) are allowed") }
    guard !raw.contains(0), let path = String(validating: raw, as: UTF8.self) else { throw refused("is not UTF-8 text without NUL") }
    return path
}

// MARK: Arrays in

/// A caller's array; borrowed during the call.
func array<T>(
    _ base: UnsafePointer<T>?, _ count: Int, _ name: String, limit: Int = 1 << 28
) throws(KimiError) -> UnsafeBufferPointer<T> {
    guard (0...limit).contains(count) else {
        throw KimiError(.invalidArgument, "\(name) has a count beyond \(limit)", subject: name)
    }
    guard base != nil || count == 0 else { throw KimiError(.invalidArgument, "\(name) is NULL", subject: name) }
    return UnsafeBufferPointer(start: base, count: count)
}

// MARK: Buffers out

/// Fills a caller's buffer and reports the full count; NULL with a capacity of 0 only counts.
func fill<T>(
    _ target: UnsafeMutablePointer<T>?, _ capacity: Int, _ outCount: UnsafeMutablePointer<Int>?,
    from source: [T], _ name: String
) throws(KimiError) {
    guard let outCount else { throw KimiError(.invalidArgument, "the pointer for the count of \(name) is NULL", subject: name) }
    outCount.pointee = source.count
    guard capacity >= 0 else { throw KimiError(.invalidArgument, "the capacity of \(name) is beyond any memory", subject: name) }
    guard let target else {
        guard capacity == 0 else { throw KimiError(.invalidArgument, "\(name) is NULL", subject: name) }
        return
    }
    source.withUnsafeBufferPointer { source in
        if let base = source.baseAddress { target.update(from: base, count: min(source.count, capacity)) }
    }
    guard source.count <= capacity else {
        throw KimiError(.tooSmall, "\(name) holds \(capacity); \(source.count) are needed", subject: name)
    }
}

/// Refuses a missing out-parameter, and clears one that is there.
func require<T>(_ out: UnsafeMutablePointer<T?>?, _ name: String) throws(KimiError) -> UnsafeMutablePointer<T?> {
    guard let out else { throw KimiError(.invalidArgument, "\(name) is NULL", subject: name) }
    out.pointee = nil
    return out
}

// MARK: Memory that changes its owner

/// Blocks given to the caller and not freed yet: `kimi_free` frees these and nothing else.
private let transferred = Mutex(Set<UInt>())

/// What the out-parameters of a transferred text hold if the call fails. First in every call that has them.
func clear(_ out: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ outLength: UnsafeMutablePointer<Int>?) {
    out?.pointee = nil
    outLength?.pointee = 0
}

/// Gives the caller a NUL-terminated copy of a text, which may hold NUL bytes itself.
func transfer(
    _ text: String, _ out: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ outLength: UnsafeMutablePointer<Int>?
) throws(KimiError) {
    outLength?.pointee = 0
    let out = try require(out, "the pointer for the result")
    // A String has fewer bytes than Int.max by far, so that one more is no overflow.
    let count = text.utf8.count
    guard let memory = malloc(count + 1) else { throw KimiError(.outOfMemory, "no memory for a result") }
    let copy = memory.bindMemory(to: CChar.self, capacity: count + 1)
    let bytes = UnsafeMutableRawBufferPointer(start: memory, count: count + 1)
    bytes.copyBytes(from: text.utf8)
    bytes[count] = 0
    let address = UInt(bitPattern: copy)
    transferred.withLock { _ = $0.insert(address) }
    out.pointee = copy
    outLength?.pointee = count
}

@c @implementation public func kimi_free(_ memory: UnsafeMutableRawPointer?) {
    let address = UInt(bitPattern: memory)
    let isOurs = transferred.withLock { $0.remove(address) != nil }
    if isOurs { free(memory) }
}

// MARK: Size-first structs

/// The largest struct_size that is believed; what lies beyond is garbage, not a newer caller.
private let structLimit = 4096

/// A caller's option struct as this library knows it: fields an older caller lacks keep the defaults, fields of a newer one must
/// be zero.
func options<T>(_ caller: UnsafePointer<T>?, defaults: T, _ name: String) throws(KimiError) -> T {
    guard let caller else { return defaults }
    var result = defaults
    let raw = UnsafeRawPointer(caller)
    let size = Int(raw.loadUnaligned(as: UInt32.self))
    guard (4...structLimit).contains(size) else {
        throw KimiError(
            .invalidArgument, "struct_size is \(size); call \(name)_init first (it is \(MemoryLayout<T>.size) here)", subject: name)
    }
    withUnsafeMutableBytes(of: &result) { known in
        known.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: min(size, known.count)))
    }
    for offset in MemoryLayout<T>.size..<max(size, MemoryLayout<T>.size) where raw.load(fromByteOffset: offset, as: UInt8.self) != 0 {
        throw KimiError(
            .unsupported, "\(name) has a field at byte \(offset) that this version does not know (its size here is \(MemoryLayout<T>.size))",
            subject: name)
    }
    return result
}

/// Fills a caller's option struct of `size` bytes with defaults.
func initialize<T>(_ caller: UnsafeMutablePointer<T>?, _ size: Int, defaults: T) -> kimi_status {
    guard let caller, (4...structLimit).contains(size) else { return Status.invalidArgument.rawValue }
    let raw = UnsafeMutableRawBufferPointer(start: caller, count: size)
    withUnsafeBytes(of: defaults) { known in
        raw.copyMemory(from: UnsafeRawBufferPointer(rebasing: known.prefix(size)))
        for offset in known.count..<max(size, known.count) { raw[offset] = 0 }
    }
    raw.storeBytes(of: UInt32(size), as: UInt32.self)
    return Status.ok.rawValue
}

/// Refuses a struct that an event can't be stored in: before the event is taken or computed, so that none is lost.
func checkEvent<T>(_ event: UnsafeMutablePointer<T>?) throws(KimiError) {
    guard let event, UnsafeRawPointer(event).loadUnaligned(as: UInt32.self) >= 8 else {
        throw KimiError(.invalidArgument, "event is NULL, or its struct_size is not set", subject: "event")
    }
}

/// Stores a result struct in a caller's, as much of it as that has room for. Its struct_size stays.
func store<T>(_ value: T, _ caller: UnsafeMutablePointer<T>?, _ name: String) throws(KimiError) {
    guard let caller else { throw KimiError(.invalidArgument, "\(name) is NULL", subject: name) }
    let size = Int(UnsafeRawPointer(caller).loadUnaligned(as: UInt32.self))
    guard (8...structLimit).contains(size) else {
        throw KimiError(.invalidArgument, "struct_size of \(name) is \(size); set it to sizeof (\(MemoryLayout<T>.size) here)", subject: name)
    }
    withUnsafeBytes(of: value) { known in
        let count = min(size, known.count)
        let target = UnsafeMutableRawBufferPointer(start: UnsafeMutableRawPointer(caller) + 4, count: count - 4)
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: known[4..<count]))
    }
}
