public import CKimi
import Glibc
import KimiCore
import KimiVision

/// A picture of the host's, and what the host may look at as long as the handle lives.
final class ImageHandle: @unchecked Sendable {
    // Safe because nothing changes after init.
    let picture: Picture
    let name: String
    let nameText: UnsafeMutablePointer<CChar>?
    let digestText: UnsafeMutablePointer<CChar>?

    init(_ picture: Picture) throws(KimiError) {
        let digest = try picture.digest().bytes
        self.picture = picture
        name = HeldMedia.name("kimi-image", .picture(picture))
        nameText = strdup(name)
        let digits = Array("0123456789abcdef".utf8)
        let hexadecimal = digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        digestText = strdup(String(decoding: hexadecimal, as: UTF8.self))
    }

    deinit {
        free(nameText)
        free(digestText)
    }
}

/// Hands a picture over as a handle.
private func make(
    _ outImage: UnsafeMutablePointer<OpaquePointer?>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?,
    _ picture: () throws(KimiError) -> Picture
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let out = try require(outImage, "out_image")
        let handle = try ImageHandle(try picture())
        do throws(KimiError) { out.pointee = try Handles.add(.image(handle)) } catch {
            HeldMedia.forget(handle.name)
            throw error
        }
    }
}

/// A caller's bytes of any length.
func memory(_ bytes: UnsafeRawPointer?, _ count: Int, _ name: String) throws(KimiError) -> UnsafeRawBufferPointer {
    guard count >= 0 else { throw KimiError(.invalidArgument, "\(name) has a length beyond any memory", subject: name) }
    guard bytes != nil || count == 0 else { throw KimiError(.invalidArgument, "\(name) is NULL", subject: name) }
    return UnsafeRawBufferPointer(start: bytes, count: count)
}

@c @implementation public func kimi_image_from_bytes(
    _ bytes: UnsafeRawPointer?, _ count: Int, _ outImage: UnsafeMutablePointer<OpaquePointer?>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    make(outImage, outError) { () throws(KimiError) in
        try Picture.decode(try memory(bytes, count, "bytes"), subject: "bytes")
    }
}

@c @implementation public func kimi_image_from_path(
    _ file: UnsafePointer<CChar>?, _ length: Int, _ outImage: UnsafeMutablePointer<OpaquePointer?>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    make(outImage, outError) { () throws(KimiError) in try Picture.decode(.file(try path(file, length)), subject: "path") }
}

@c @implementation public func kimi_image_from_url(
    _ url: UnsafePointer<CChar>?, _ length: Int, _ outImage: UnsafeMutablePointer<OpaquePointer?>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    make(outImage, outError) { () throws(KimiError) in
        let text = try utf8(url, length, "url")
        let limit = MediaLimits().encodedBytes
        return try Picture.decode(try MediaSource(url: text, policy: MediaPolicy(), limit: limit, subject: "url"), subject: "url")
    }
}

@c @implementation public func kimi_image_from_pixels(
    _ pixels: UnsafePointer<UInt8>?, _ count: Int, _ width: Int64, _ height: Int64, _ channels: Int32, _ stride: Int,
    _ outImage: UnsafeMutablePointer<OpaquePointer?>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    make(outImage, outError) { () throws(KimiError) in
        guard channels == 3 || channels == 4 else {
            throw KimiError(.invalidArgument, "channels is \(channels); it must be 3 or 4", subject: "channels")
        }
        for (name, side) in [("width", width), ("height", height)] where side < 1 {
            throw KimiError(.invalidArgument, "\(name) is \(side); it must be 1 or more", subject: name)
        }
        return try Picture.raw(
            try memory(pixels, count, "pixels"), width: Int(width), height: Int(height), stride: stride == 0 ? nil : stride,
            hasAlpha: channels == 4, subject: "pixels")
    }
}

@c @implementation public func kimi_image_width(_ handle: OpaquePointer?) -> Int64 {
    Int64((try? image(handle))?.picture.width ?? 0)
}

@c @implementation public func kimi_image_height(_ handle: OpaquePointer?) -> Int64 {
    Int64((try? image(handle))?.picture.height ?? 0)
}

@c @implementation public func kimi_image_url(_ handle: OpaquePointer?) -> UnsafePointer<CChar>? {
    UnsafePointer((try? image(handle))?.nameText)
}

@c @implementation public func kimi_image_digest(_ handle: OpaquePointer?) -> UnsafePointer<CChar>? {
    UnsafePointer((try? image(handle))?.digestText)
}

@c @implementation public func kimi_image_destroy(_ handle: OpaquePointer?) {
    let removed = Handles.remove(handle) { if case .image = $0 { true } else { false } }
    if case .image(let image)? = removed { HeldMedia.forget(image.name) }
}
