/// Whether bytes are well-formed UTF-8 (Unicode's table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
enum UTF8Check {
    /// The offset of the first byte that no well-formed sequence covers, or nil if all is well.
    static func firstFault(in bytes: UnsafeRawBufferPointer) -> Int? {
        var position = 0
        let count = bytes.count
        while position < count {
            // Safe because eight bytes are left; the load need not be aligned.
            if count &- position >= 8,
                bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self) & 0x8080_8080_8080_8080 == 0 {
                position &+= 8
                continue
            }
            let first = bytes[position]
            if first < 0x80 { position &+= 1; continue }
            let length = sequenceLength(first)
            guard length > 0, count &- position >= length, follows(first, bytes[position &+ 1]) else { return position }
            for offset in 2..<max(length, 2) where !isContinuation(bytes[position &+ offset]) { return position }
            position &+= length
        }
        return nil
    }

    /// How many bytes the sequence has that begins with `first`; 0 if none does.
    @inline(__always)
    static func sequenceLength(_ first: UInt8) -> Int {
        switch first {
        case 0..<0x80: 1
        case 0xC2..<0xE0: 2
        case 0xE0..<0xF0: 3
        case 0xF0..<0xF5: 4
        default: 0
        }
    }

    @inline(__always)
    static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }

    /// Whether `second` may follow `first`; the first continuation byte is the only one whose range depends on the
    /// lead.
    @inline(__always)
    static func follows(_ first: UInt8, _ second: UInt8) -> Bool {
        switch first {
        case 0xE0: second >= 0xA0 && second <= 0xBF
        case 0xED: second >= 0x80 && second <= 0x9F
        case 0xF0: second >= 0x90 && second <= 0xBF
        case 0xF4: second >= 0x80 && second <= 0x8F
        default: isContinuation(second)
        }
    }

    /// How many bytes at the end of `bytes`, 0 to 3, are the beginning of a sequence that more bytes could complete.
    static func unfinishedTail(of bytes: [UInt8]) -> Int {
        for length in 1...3 {
            guard length <= bytes.count else { return 0 }
            let first = bytes[bytes.count - length]
            if isContinuation(first) { continue }
            guard sequenceLength(first) > length else { return 0 }
            return length == 1 || follows(first, bytes[bytes.count - length + 1]) ? length : 0
        }
        return 0
    }
}
