/// Reads the fields of one protocol buffer message, without trusting a byte of it.
struct ProtocolBuffer {
    /// The content of one field, as its wire type has it.
    enum Content {
        case integer(UInt64)
        case fixed32(UInt32)
        case fixed64(UInt64)
        /// A string, bytes or a message: where it lies in the bytes that the reader was given.
        case bytes(Range<Int>)
    }

    struct Field {
        let number: UInt64
        let content: Content
        /// The whole field, tag included.
        let range: Range<Int>
    }

    /// The message is not well-formed from here on.
    struct Malformed: Error { let offset: Int }

    private let bytes: [UInt8]
    private var position: Int
    private let end: Int

    /// Reads the message that lies in `range` of `bytes`; `range` must lie within them.
    init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    /// The next field, or nil at the end of the message. Groups, long out of use, are taken for damage.
    mutating func next() throws(Malformed) -> Field? {
        guard position < end else { return nil }
        let start = position
        let tag = try integer()
        let content: Content
        switch tag & 7 {
        case 0: content = .integer(try integer())
        case 1: content = .fixed64(try fixed(8))
        case 2: content = .bytes(try stretch())
        case 5: content = .fixed32(UInt32(truncatingIfNeeded: try fixed(4)))
        default: throw Malformed(offset: start)
        }
        guard tag >> 3 > 0 else { throw Malformed(offset: start) }
        return Field(number: tag >> 3, content: content, range: start..<position)
    }

    private mutating func integer() throws(Malformed) -> UInt64 {
        let start = position
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end, shift < 64 {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw Malformed(offset: start)
    }

    private mutating func fixed(_ count: Int) throws(Malformed) -> UInt64 {
        guard end - position >= count else { throw Malformed(offset: position) }
        var value: UInt64 = 0
        for offset in 0..<count { value |= UInt64(bytes[position + offset]) << UInt64(8 * offset) }
        position += count
        return value
    }

    private mutating func stretch() throws(Malformed) -> Range<Int> {
        let start = position
        guard let count = Int(exactly: try integer()), count <= end - position else { throw Malformed(offset: start) }
        position += count
        return position - count..<position
    }

    /// A varint as it is written.
    static func varint(_ value: Int) -> [UInt8] {
        var rest = UInt64(truncatingIfNeeded: value)
        var bytes: [UInt8] = []
        repeat {
            bytes.append(UInt8(truncatingIfNeeded: rest & 0x7F) | (rest > 0x7F ? 0x80 : 0))
            rest >>= 7
        } while rest > 0
        return bytes
    }
}
