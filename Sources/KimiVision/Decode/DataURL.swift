import KimiCore

/// `data:[type][;parameters][;base64],content` (RFC 2397). The type is not looked at: the content tells what it is.
enum DataURL {
    /// The content.
    ///
    /// - Parameters:
    ///   - url: begins with `data:`.
    ///   - limit: the most bytes.
    static func decode(_ url: String, limit: Int, subject: String) throws(KimiError) -> MediaBytes {
        var url = url
        let outcome = url.withUTF8 { bytes in
            Result { () throws(KimiError) in try decode(UnsafeRawBufferPointer(bytes), limit: limit, subject: subject) }
        }
        return try outcome.get()
    }

    private static func decode(_ url: UnsafeRawBufferPointer, limit: Int, subject: String) throws(KimiError) -> MediaBytes {
        // A media type with its parameters is short; a text that is all header is not searched to its end.
        guard let comma = url.prefix(4096).firstIndex(of: UInt8(ascii: ",")) else {
            throw KimiError(.format, "a data: URL without a comma; data:image/png;base64,CONTENT must be here", subject: subject)
        }
        let header = String(decoding: url[..<comma].suffix(16), as: UTF8.self).lowercased()
        let isBase64 = header.split(separator: ";").last?.trimmingSpaces == "base64"
        let content = UnsafeRawBufferPointer(rebasing: url[(comma + 1)...])
        let room = isBase64 ? content.count / 4 * 3 + 3 : content.count
        // Three bytes a percent sign at most; what is larger even so is refused before memory for it is taken.
        guard room / 3 <= limit else {
            throw KimiError(
                .invalidArgument, "a data: URL of \(content.count) bytes; at most \(limit) bytes of content are read",
                subject: subject)
        }
        let bytes = try MediaBytes(room: room) { to throws(KimiError) in
            try isBase64 ? base64(content, to, subject) : plain(content, to, subject)
        }
        guard bytes.count <= limit else {
            throw KimiError(.invalidArgument, "\(bytes.count) bytes in a data: URL; at most \(limit) are read", subject: subject)
        }
        return bytes
    }

    private static func malformed(_ subject: String) -> KimiError {
        KimiError(.format, "a data: URL with a percent sign that two hexadecimal digits do not follow", subject: subject)
    }

    private static func plain(_ content: UnsafeRawBufferPointer, _ to: UnsafeMutableRawBufferPointer, _ subject: String)
        throws(KimiError) -> Int
    {
        var reader = PercentReader(content)
        var count = 0
        while let byte = reader.next() {
            to[count] = byte
            count += 1
        }
        guard !reader.isMalformed else { throw malformed(subject) }
        return count
    }

    /// Of either alphabet, with white space anywhere and padding or none.
    private static func base64(_ content: UnsafeRawBufferPointer, _ to: UnsafeMutableRawBufferPointer, _ subject: String)
        throws(KimiError) -> Int
    {
        var reader = PercentReader(content)
        var (count, bits, digits, padding) = (0, UInt32(0), 0, 0)
        while let byte = reader.next() {
            let digit = values[Int(byte)]
            if digit == space { continue }
            if digit == pad { padding += 1 }
            guard digit < 64, padding == 0 else {
                if digit == pad, padding <= 2 { continue }
                throw KimiError(
                    .format,
                    "byte \(reader.place - 1) of a data: URL's content is no base64; letters, digits, + and / must be there",
                    subject: subject)
            }
            bits = bits << 6 | UInt32(digit)
            digits += 1
            if digits % 4 == 0 {
                to[count] = UInt8(truncatingIfNeeded: bits >> 16)
                to[count + 1] = UInt8(truncatingIfNeeded: bits >> 8)
                to[count + 2] = UInt8(truncatingIfNeeded: bits)
                count += 3
            }
        }
        guard !reader.isMalformed else { throw malformed(subject) }
        let rest = digits % 4
        guard rest != 1, padding == 0 || rest + padding == 4 else {
            throw KimiError(.format, "a data: URL whose base64 ends within a byte; it may have been cut", subject: subject)
        }
        if rest >= 2 {
            to[count] = UInt8(truncatingIfNeeded: (bits << (6 * UInt32(4 - rest))) >> 16)
            count += 1
        }
        if rest == 3 {
            to[count] = UInt8(truncatingIfNeeded: (bits << 6) >> 8)
            count += 1
        }
        return count
    }

    private static let space: UInt8 = 254
    private static let pad: UInt8 = 253

    /// What each byte stands for: 0 to 63, `space`, `pad`, or 255 for nothing.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for (value, byte) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8.enumerated() {
            values[Int(byte)] = UInt8(value)
        }
        values[Int(UInt8(ascii: "-"))] = 62
        values[Int(UInt8(ascii: "_"))] = 63
        values[Int(UInt8(ascii: "="))] = pad
        for byte in " \t\n\r\u{0C}".utf8 { values[Int(byte)] = space }
        return values
    }()
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        var text = self
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return text
    }
}
