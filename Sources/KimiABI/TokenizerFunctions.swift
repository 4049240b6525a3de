public import CKimi
import KimiCore
import KimiRuntime
import KimiTokenizer

/// A stream decoder and the bytes it gave out last, which the caller may look at until the next call.
final class DecoderHandle: @unchecked Sendable {
    // Safe because the header allows one thread at a time.
    private var decoder: StreamDecoder
    private let storage = ByteStorage()

    init(_ decoder: StreamDecoder) { self.decoder = decoder }

    func feed(_ id: Int32) throws(KimiError) -> UnsafeBufferPointer<UInt8> { storage.update(try decoder.feed(id)) }
    func finish() -> UnsafeBufferPointer<UInt8> { storage.update(decoder.finish()) }
}

/// Bytes at a stable address until the next update: what a caller may look at.
final class ByteStorage {
    private var memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 64)

    deinit { memory.deallocate() }

    func update(_ bytes: [UInt8]) -> UnsafeBufferPointer<UInt8> {
        if bytes.count > memory.count {
            memory.deallocate()
            memory = .allocate(capacity: bytes.count * 2)
        }
        _ = memory.update(fromContentsOf: bytes)
        return UnsafeBufferPointer(rebasing: memory[..<bytes.count])
    }
}

@c @implementation public func kimi_tokenize(
    _ handle: OpaquePointer?, _ text: UnsafePointer<CChar>?, _ length: Int, _ flags: UInt32,
    _ ids: UnsafeMutablePointer<Int32>?, _ capacity: Int, _ outCount: UnsafeMutablePointer<Int>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outCount?.pointee = 0
        let model = try model(handle)
        guard flags & ~UInt32(KIMI_TOKENIZE_SPECIAL) == 0 else {
            throw KimiError(.invalidArgument, "flags is \(flags); it may be 0 or KIMI_TOKENIZE_SPECIAL", subject: "flags")
        }
        let text = try bytes(text, length, "text")
        let found = try model.tokenizer.encode(text, special: flags & UInt32(KIMI_TOKENIZE_SPECIAL) != 0)
        try fill(ids, capacity, outCount, from: found, "ids")
    }
}

@c @implementation public func kimi_detokenize(
    _ handle: OpaquePointer?, _ ids: UnsafePointer<Int32>?, _ count: Int,
    _ bytes: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ outLength: UnsafeMutablePointer<Int>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outLength?.pointee = 0
        let model = try model(handle)
        let found = try model.tokenizer.decode(Array(try array(ids, count, "ids")))
        try fill(bytes, capacity, outLength, from: found.map { CChar(bitPattern: $0) }, "bytes")
    }
}

@c @implementation public func kimi_token_piece(
    _ handle: OpaquePointer?, _ id: Int32, _ bytes: UnsafeMutablePointer<CChar>?, _ capacity: Int,
    _ outLength: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outLength?.pointee = 0
        guard let piece = try model(handle).tokenizer.piece(id) else {
            throw KimiError(.invalidArgument, "\(id) is no token of this checkpoint", subject: "id")
        }
        try fill(bytes, capacity, outLength, from: piece.map { CChar(bitPattern: $0) }, "bytes")
    }
}

@c @implementation public func kimi_token_id(
    _ handle: OpaquePointer?, _ piece: UnsafePointer<CChar>?, _ length: Int, _ outID: UnsafeMutablePointer<Int32>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outID?.pointee = -1
        let model = try model(handle)
        guard let outID else { throw KimiError(.invalidArgument, "out_id is NULL", subject: "out_id") }
        guard let id = model.tokenizer.id(ofPiece: Array(try bytes(piece, length, "piece"))) else {
            throw KimiError(.invalidArgument, "no token has exactly these bytes", subject: "piece")
        }
        outID.pointee = id
    }
}

@c @implementation public func kimi_token_is_special(_ handle: OpaquePointer?, _ id: Int32) -> Int32 {
    (try? model(handle))?.tokenizer.isSpecial(id) == true ? 1 : 0
}

@c @implementation public func kimi_special_tokens(
    _ handle: OpaquePointer?, _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
    _ outLength: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outJSON, outLength)
        let specials = try model(handle).tokenizer.specialIDs.sorted { $0.value < $1.value }
        var json = JSONWriter()
        json.object { json in for (name, id) in specials { json.member(name, Int(id)) } }
        try transfer(json.text, outJSON, outLength)
    }
}

@c @implementation public func kimi_decoder_create(
    _ handle: OpaquePointer?, _ outDecoder: UnsafeMutablePointer<OpaquePointer?>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let out = try require(outDecoder, "out_decoder")
        out.pointee = try Handles.add(.decoder(DecoderHandle(StreamDecoder(try model(handle).tokenizer))))
    }
}

/// Shows borrowed bytes to the caller; never NULL.
private func show(
    _ bytes: UnsafeBufferPointer<UInt8>, _ outBytes: UnsafeMutablePointer<UnsafePointer<CChar>?>,
    _ outLength: UnsafeMutablePointer<Int>
) {
    outBytes.pointee = bytes.baseAddress.map { UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self) } ?? forever("")
    outLength.pointee = bytes.count
}

@c @implementation public func kimi_decoder_feed(
    _ handle: OpaquePointer?, _ id: Int32, _ outBytes: UnsafeMutablePointer<UnsafePointer<CChar>?>?,
    _ outLength: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outLength?.pointee = 0
        let out = try require(outBytes, "out_bytes")
        guard let outLength else { throw KimiError(.invalidArgument, "out_length is NULL", subject: "out_length") }
        show(try decoder(handle).feed(id), out, outLength)
    }
}

@c @implementation public func kimi_decoder_finish(
    _ handle: OpaquePointer?, _ outBytes: UnsafeMutablePointer<UnsafePointer<CChar>?>?,
    _ outLength: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outLength?.pointee = 0
        let out = try require(outBytes, "out_bytes")
        guard let outLength else { throw KimiError(.invalidArgument, "out_length is NULL", subject: "out_length") }
        show(try decoder(handle).finish(), out, outLength)
    }
}

@c @implementation public func kimi_decoder_destroy(_ handle: OpaquePointer?) {
    _ = Handles.remove(handle) { if case .decoder = $0 { true } else { false } }
}
