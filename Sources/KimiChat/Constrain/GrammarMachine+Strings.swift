/// Where a string stands below the level of scalars.
enum StringPhase {
    static let content: UInt8 = 0
    /// Within a character of several bytes: `b` holds its bits so far, `c` the bytes to come.
    static let bytes: UInt8 = 1
    static let escape: UInt8 = 2
    /// Within \uXXXX: `b` holds the digits so far, `c` the digits to come.
    static let digits: UInt8 = 3
    /// After \uD800 to \uDBFF, whose value is in `b`: a backslash follows, then u, then the digits of the low half.
    static let lowBackslash: UInt8 = 4
    static let lowMark: UInt8 = 5
    /// `b` holds the high half and, below it, the digits so far.
    static let lowDigits: UInt8 = 6
}

extension GrammarMachine {
    static let outsideTree: Int32 = -2
    private static let lastScalar: UInt32 = 0x10FFFF

    func beginString(_ shape: Shape, _ configuration: Configuration) {
        let string = grammar.strings[Int(shape.index)]
        var frame = Frame(.string)
        frame.shape = shape.index
        frame.taken = configuration.frame.taken
        if string.kind == .language { frame.a = grammar.languages[Int(string.index)].start }
        if string.kind == .literals, frame.taken != 0 {
            guard isPossible(grammar.trees[Int(string.index)].nodes[0], without: frame.taken) else { return }
        }
        if string.kind == .free, string.maximum == 0, frame.taken != 0, isTaken(frame) { return }
        emit(frame, configuration.stack)
    }

    func stepString(_ configuration: Configuration, _ byte: UInt8) {
        var frame = configuration.frame
        let stack = configuration.stack
        switch frame.phase {
        case StringPhase.content:
            if byte >= 0x20, byte < 0x80, byte != 0x22, byte != 0x5C {
                advance(frame, stack, UInt32(byte))
            } else if byte == 0x22 {
                endString(frame, stack)
            } else if byte == 0x5C {
                guard goesOn(frame, stack, 0, Self.lastScalar) else { return }
                frame.phase = StringPhase.escape
                emit(frame, stack)
            } else if byte >= 0xC2, byte < 0xF5 {
                frame.c = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3
                frame.b = Int32(byte) & (0x3F >> Int32(frame.c))
                frame.phase = StringPhase.bytes
                if canComplete(frame, stack) { emit(frame, stack) }
            }
        case StringPhase.bytes:
            guard byte & 0xC0 == 0x80 else { return }
            frame.b = frame.b << 6 | Int32(byte & 0x3F)
            // The second byte is the one that can make an overlong form, a surrogate or too large a number.
            if frame.c == 2, frame.b < 0x20 || (frame.b >= 0x360 && frame.b < 0x380) { return }
            if frame.c == 3, frame.b < 0x10 || frame.b > 0x10F { return }
            frame.c -= 1
            if frame.c == 0 {
                let scalar = UInt32(frame.b)
                frame.phase = StringPhase.content
                frame.b = 0
                advance(frame, stack, scalar)
            } else if canComplete(frame, stack) {
                emit(frame, stack)
            }
        default: stepEscape(frame, stack, byte)
        }
    }

    private func stepEscape(_ from: Frame, _ stack: Int32, _ byte: UInt8) {
        var frame = from
        switch frame.phase {
        case StringPhase.escape:
            let scalar: UInt32
            switch byte {
            case 0x22, 0x5C, 0x2F: scalar = UInt32(byte)
            case 0x62: scalar = 8
            case 0x66: scalar = 12
            case 0x6E: scalar = 10
            case 0x72: scalar = 13
            case 0x74: scalar = 9
            case 0x75:
                (frame.phase, frame.b, frame.c) = (StringPhase.digits, 0, 4)
                emit(frame, stack)
                return
            default: return
            }
            frame.phase = StringPhase.content
            advance(frame, stack, scalar)
        case StringPhase.digits, StringPhase.lowDigits:
            guard let digit = Self.hexDigit(byte) else { return }
            frame.b = frame.b << 4 | digit
            frame.c -= 1
            stepDigits(frame, stack)
        case StringPhase.lowBackslash where byte == 0x5C:
            frame.phase = StringPhase.lowMark
            emit(frame, stack)
        case StringPhase.lowMark where byte == 0x75:
            (frame.phase, frame.c) = (StringPhase.lowDigits, 4)
            emit(frame, stack)
        default: return
        }
    }

    private func stepDigits(_ from: Frame, _ stack: Int32) {
        var frame = from
        if frame.phase == StringPhase.lowDigits {
            guard frame.c == 0 else {
                if canComplete(frame, stack) { emit(frame, stack) }
                return
            }
            let low = UInt32(frame.b & 0xFFFF)
            guard low >= 0xDC00, low < 0xE000 else { return }
            let scalar = 0x10000 + (UInt32(frame.b >> 16 & 0x3FF) << 10) + (low - 0xDC00)
            (frame.phase, frame.b) = (StringPhase.content, 0)
            advance(frame, stack, scalar)
        } else if frame.c > 0 {
            if canComplete(frame, stack) { emit(frame, stack) }
        } else if frame.b >= 0xD800, frame.b < 0xDC00 {
            guard canComplete(frame, stack) else { return }
            frame.b &= 0x3FF
            frame.phase = StringPhase.lowBackslash
            emit(frame, stack)
        } else if frame.b < 0xD800 || frame.b >= 0xE000 {
            let scalar = UInt32(frame.b)
            (frame.phase, frame.b) = (StringPhase.content, 0)
            advance(frame, stack, scalar)
        }
    }

    private static func hexDigit(_ byte: UInt8) -> Int32? {
        switch byte {
        case 0x30...0x39: Int32(byte) - 0x30
        case 0x41...0x46: Int32(byte) - 0x37
        case 0x61...0x66: Int32(byte) - 0x57
        default: nil
        }
    }

    /// Whether some scalar that the unfinished character can become is allowed.
    private func canComplete(_ frame: Frame, _ stack: Int32) -> Bool {
        let bits = UInt32(frame.b)
        if frame.phase == StringPhase.bytes {
            let shift = UInt32(frame.c) * 6
            // The first byte alone allows more than the second will: overlong forms are left out here already.
            let least: UInt32 = bits != 0 ? 0 : frame.c == 2 ? 0x800 : 0x10000
            let end = frame.c == 2 && bits == 0xD ? 0xD7FF : min((bits + 1) << shift - 1, Self.lastScalar)
            return goesOn(frame, stack, max(bits << shift, least), end)
        }
        let shift = UInt32(frame.c) * 4
        if frame.phase == StringPhase.lowDigits {
            // `b` is the high half, then the low half's first digits.
            let digits = 4 - UInt32(frame.c)
            let high = bits >> (digits * 4) & 0x3FF
            let low = bits & ((1 << (digits * 4)) - 1)
            let first = max(low << shift, 0xDC00)
            let last = min((low + 1) << shift - 1, 0xDFFF)
            guard first <= last else { return false }
            let base = 0x10000 + high << 10
            return goesOn(frame, stack, base + first - 0xDC00, base + last - 0xDC00)
        }
        let first = bits << shift
        let last = (bits + 1) << shift - 1
        if first < 0xD800, goesOn(frame, stack, first, min(last, 0xD7FF)) { return true }
        if last >= 0xE000, goesOn(frame, stack, max(first, 0xE000), last) { return true }
        let high = max(first, 0xD800)
        let end = min(last, 0xDBFF)
        return high <= end && goesOn(frame, stack, 0x10000 + (high - 0xD800) << 10, 0x10000 + (end - 0xD800) << 10 + 0x3FF)
    }
}
