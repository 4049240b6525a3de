/// A strict, bounded reader of JSON text (RFC 8259) that trusts no byte.
///
/// It is the one place that turns JSON bytes into values: `JSON.parse` builds a tree with it, and the safetensors header
/// reader drives it directly, since a tree of 208,550 tensors would cost ten times the memory of the table that is wanted.
/// Foundation's reader was weighed and not taken: it accepts duplicate keys, and would put Foundation into the library.
///
/// Depth is bounded by the caller of `enter`; strings must be UTF-8; control characters, NaN, Infinity, comments and
/// trailing commas are refused.
package struct JSONScanner {
    // Safe because every read goes through `peek` or `slice`, which compare with `bytes.count` first. The buffer must
    // outlive the scanner, which is only ever a local variable of the function that owns the bytes.
    package let bytes: UnsafeRawBufferPointer
    package private(set) var position = 0

    package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Why a text is not JSON, and where.
    package struct Failure: Error, Equatable, Sendable {
        package let reason: String
        package let offset: Int
    }

    package func failure(_ reason: String) -> Failure { Failure(reason: reason, offset: position) }

    @inline(__always)
    package func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

    @inline(__always)
    package mutating func skipWhitespace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    /// Skips white space and takes `byte` if it is next.
    @inline(__always)
    package mutating func take(_ byte: UInt8) -> Bool {
        skipWhitespace()
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    package mutating func expect(_ byte: UInt8) throws(Failure) {
        guard take(byte) else {
            throw failure("expected '\(Character(UnicodeScalar(byte)))'\(foundHere)")
        }
    }

    private var foundHere: String {
        guard let byte = peek() else { return " but the text ends" }
        return byte > 0x20 && byte < 0x7F ? " but found '\(Character(UnicodeScalar(byte)))'" : " but found byte \(byte)"
    }

    /// Nothing but white space may follow.
    package mutating func expectEnd() throws(Failure) {
        skipWhitespace()
        guard position == bytes.count else { throw failure("text continues after the value") }
    }

    // MARK: Strings

    /// The raw bytes between the quotes of the next string, if it has no escape; nil (and nothing taken) otherwise.
    /// The fast way for names; UTF-8 is checked.
    package mutating func plainString() throws(Failure) -> Range<Int>? {
        skipWhitespace()
        guard peek() == 0x22 else { throw failure("expected a string\(foundHere)") }
        let start = position + 1
        var index = start
        var ascii = true
        while index < bytes.count {
            let byte = bytes[index]
            if byte == 0x22 {
                let range = start..<index
                if !ascii && !isUTF8(range) { throw failure("string is not UTF-8") }
                position = index + 1
                return range
            }
            if byte == 0x5C { return nil }
            if byte < 0x20 { position = index; throw failure("control character \(byte) inside a string") }
            if byte >= 0x80 { ascii = false }
            index += 1
        }
        throw failure("string without end")
    }

    private func isUTF8(_ range: Range<Int>) -> Bool {
        String(validating: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self) != nil
    }

    /// The next string, escapes resolved.
    package mutating func string() throws(Failure) -> String {
        if let range = try plainString() {
            return String(decoding: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
        }
        return try escapedString()
    }

    private mutating func escapedString() throws(Failure) -> String {
        var text: [UInt8] = []
        position += 1
        while let byte = peek() {
            position += 1
            switch byte {
            case 0x22:
                guard let result = String(validating: text, as: UTF8.self) else { throw failure("string is not UTF-8") }
                return result
            case 0x5C: try appendEscape(to: &text)
            case 0..<0x20: throw failure("control character \(byte) inside a string")
            default: text.append(byte)
            }
        }
        throw failure("string without end")
    }

    private mutating func appendEscape(to text: inout [UInt8]) throws(Failure) {
        guard let byte = peek() else { throw failure("string without end") }
        position += 1
        switch byte {
        case 0x22, 0x5C, 0x2F: text.append(byte)
        case 0x62: text.append(0x08)
        case 0x66: text.append(0x0C)
        case 0x6E: text.append(0x0A)
        case 0x72: text.append(0x0D)
        case 0x74: text.append(0x09)
        case 0x75:
            var code = try hexQuad()
            if code >= 0xD800 && code < 0xDC00 {
                guard take(0x5C, 0x75) else { throw failure("high surrogate without its partner") }
                let low = try hexQuad()
                guard low >= 0xDC00 && low < 0xE000 else { throw failure("high surrogate without its partner") }
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            }
            guard let scalar = UnicodeScalar(code) else { throw failure("lone low surrogate") }
            text.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
        default: throw failure("unknown escape")
        }
    }

    private mutating func take(_ first: UInt8, _ second: UInt8) -> Bool {
        guard position + 1 < bytes.count, bytes[position] == first, bytes[position + 1] == second else { return false }
        position += 2
        return true
    }

    private mutating func hexQuad() throws(Failure) -> UInt32 {
        guard bytes.count - position >= 4 else { throw failure("\\u needs four hexadecimal digits") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            let byte = bytes[position]
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x41...0x46: digit = byte - 0x41 + 10
            case 0x61...0x66: digit = byte - 0x61 + 10
            default: throw failure("\\u needs four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    // MARK: Numbers and words

    /// The next number, as an integer where it is one and fits, as a double otherwise.
    package mutating func number() throws(Failure) -> JSON {
        skipWhitespace()
        let start = position
        if peek() == 0x2D { position += 1 }
        let firstDigit = position
        skipDigits()
        guard position > firstDigit else { throw failure("expected a value\(foundHere)") }
        if bytes[firstDigit] == 0x30 && position > firstDigit + 1 { throw failure("number with a leading zero") }
        var isInteger = true
        if peek() == 0x2E {
            isInteger = false
            position += 1
            let first = position
            skipDigits()
            guard position > first else { throw failure("number without digits after the point") }
        }
        if let byte = peek(), byte == 0x65 || byte == 0x45 {
            isInteger = false
            position += 1
            if let sign = peek(), sign == 0x2B || sign == 0x2D { position += 1 }
            let first = position
            skipDigits()
            guard position > first else { throw failure("number without digits in its exponent") }
        }
        let text = String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<position]), as: UTF8.self)
        if isInteger, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else { throw failure("number \(text) is out of range") }
        return .number(value)
    }

    /// The next value must be a non-negative integer: the fast way for shapes and offsets.
    package mutating func unsigned() throws(Failure) -> Int {
        skipWhitespace()
        let start = position
        var value = 0
        while position < bytes.count, case let digit = bytes[position] &- 0x30, digit < 10 {
            let (scaled, overflow1) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflow2) = scaled.addingReportingOverflow(Int(digit))
            guard !overflow1, !overflow2 else { throw failure("number is too large") }
            value = sum
            position += 1
        }
        guard position > start else { throw failure("expected a non-negative integer\(foundHere)") }
        if bytes[start] == 0x30 && position > start + 1 { throw failure("number with a leading zero") }
        if let next = peek(), next == 0x2E || next == 0x65 || next == 0x45 { throw failure("expected an integer") }
        return value
    }

    private mutating func skipDigits() {
        while position < bytes.count, bytes[position] &- 0x30 < 10 { position += 1 }
    }

    /// Takes one of the words true, false and null.
    package mutating func word(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard bytes.count - position >= count else { return false }
        for index in 0..<count where bytes[position + index] != word.utf8Start[index] { return false }
        position += count
        return true
    }
}
