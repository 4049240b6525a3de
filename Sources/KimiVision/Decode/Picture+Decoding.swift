import CKimiMedia
import KimiCore

/// Pictures from files: PNG, JPEG, WebP and GIF, told apart by their content.
extension Picture {
    private static let wanted = "a whole PNG, JPEG, WebP or GIF"

    /// Decodes a picture: 16 bits reduced to their high byte, what is transparent on white, a JPEG upright as its EXIF data say,
    /// of an animation the first frame.
    ///
    /// - Parameters:
    ///   - file: the path that the bytes are from, for messages.
    ///   - subject: the option or field that it came by.
    /// - Throws: `format` for what is damaged or ends early; `unsupported` for other formats; `invalidArgument` beyond the limits;
    ///   `outOfMemory`.
    package static func decode(
        _ bytes: UnsafeRawBufferPointer, limits: MediaLimits = MediaLimits(), file: String? = nil, subject: String = "image"
    ) throws(KimiError) -> Picture {
        guard let base = bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count > 0 else {
            throw KimiError(.format, "no bytes at all; \(wanted) must be here", file: file, subject: subject)
        }
        guard bytes.count <= limits.encodedBytes else {
            throw KimiError(
                .invalidArgument, "\(bytes.count) bytes; at most \(limits.encodedBytes) are decoded", file: file, subject: subject)
        }
        var fault = DecodingFault(file: file, subject: subject)
        var size = ckm_size()
        let seen = ckm_picture_size(base, bytes.count, &size, &fault.fault)
        guard seen == Int32(CKM_OK) else { throw fault.error(seen, wanted: wanted) }
        try checkSize(Int(size.width), Int(size.height), limits, file: file, subject: subject)
        let picture = try Picture(width: Int(size.width), height: Int(size.height))
        var allowed = ckm_limits(pictures: limits)
        let code = ckm_picture_decode(base, bytes.count, size, &allowed, picture.pixels, &fault.fault)
        guard code == Int32(CKM_OK) else { throw fault.error(code, wanted: wanted) }
        return picture
    }

    /// As `decode` with bytes.
    package static func decode(_ source: MediaSource, limits: MediaLimits = MediaLimits(), subject: String = "image")
        throws(KimiError) -> Picture
    {
        switch source {
        case .bytes(let bytes): return try decode(bytes.buffer, limits: limits, subject: subject)
        case .file(let path):
            let bytes = try MediaBytes.read(path: path, limit: limits.encodedBytes, subject: subject)
            return try decode(bytes.buffer, limits: limits, file: path, subject: subject)
        }
    }

    /// A picture from a host's own pixels.
    ///
    /// - Parameters:
    ///   - bytes: rows from the top, each `width` pixels of R, G, B and, if `hasAlpha`, opacity, which is composed on white.
    ///   - stride: bytes from one row to the next; nil if there is nothing between them.
    /// - Throws: `invalidArgument` if `bytes` are too few, or the size beyond the limits; `outOfMemory`.
    package static func raw(
        _ bytes: UnsafeRawBufferPointer, width: Int, height: Int, stride: Int? = nil, hasAlpha: Bool = false,
        limits: MediaLimits = MediaLimits(), subject: String = "image"
    ) throws(KimiError) -> Picture {
        try checkSize(width, height, limits, file: nil, subject: subject)
        guard let row = Checked.product(width, hasAlpha ? 4 : 3) else {
            throw KimiError(.invalidArgument, "rows of \(width) pixels are beyond any memory", subject: subject)
        }
        let stride = stride ?? row
        guard stride >= row else {
            throw KimiError(.invalidArgument, "a stride of \(stride) bytes; a row of \(width) pixels has \(row)", subject: subject)
        }
        guard let before = Checked.product(stride, height - 1), let needed = Checked.sum(before, row), bytes.count >= needed,
            let base = bytes.bindMemory(to: UInt8.self).baseAddress
        else {
            throw KimiError(
                .invalidArgument, "\(bytes.count) bytes of pixels; \(height) rows of \(row) bytes, \(stride) apart, must be here",
                subject: subject)
        }
        let picture = try Picture(width: width, height: height)
        if hasAlpha {
            ckm_compose_on_white(picture.pixels, base, width, height, stride)
        } else {
            ckm_orient(picture.pixels, base, width, height, stride, 1)
        }
        return picture
    }

    /// - Throws: `format` for a size of nothing, `invalidArgument` for one beyond the limits.
    static func checkSize(_ width: Int, _ height: Int, _ limits: MediaLimits, file: String?, subject: String) throws(KimiError) {
        guard width > 0, height > 0 else {
            throw KimiError(.format, "\(width) x \(height) pixels; both must be at least 1", file: file, subject: subject)
        }
        guard width <= limits.side, height <= limits.side, let pixels = Checked.product(width, height), pixels <= limits.pixels
        else {
            throw KimiError(
                .invalidArgument,
                "\(width) x \(height) pixels; at most \(limits.pixels) pixels and sides of \(limits.side) are decoded", file: file,
                subject: subject)
        }
    }
}
