import CKimiKernels
import Glibc

/// Memory between two pages that must not be touched, with the content against one of them: a read or write past that
/// end kills the test.
final class Guarded: @unchecked Sendable {
    enum End: CaseIterable { case low, high }

    private let mapping: UnsafeMutableRawPointer
    private let length: Int
    let base: UnsafeMutableRawPointer

    init(bytes: Int, against end: End) {
        let page = Int(getpagesize())
        let inner = (max(bytes, 1) + page - 1) / page * page
        length = inner + 2 * page
        mapping = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        mprotect(mapping, page, PROT_NONE)
        mprotect(mapping + page + inner, page, PROT_NONE)
        base = end == .low ? mapping + page : mapping + page + inner - bytes
    }

    convenience init<T>(_ values: [T], against end: End) {
        self.init(bytes: values.count * MemoryLayout<T>.stride, against: end)
        values.withUnsafeBytes { bytes in
            if let source = bytes.baseAddress { memcpy(base, source, bytes.count) }
        }
    }

    deinit { munmap(mapping, length) }

    func array<T>(_ type: T.Type, _ count: Int) -> [T] {
        (0..<count).map { base.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.stride, as: T.self) }
    }
}

/// A random matrix as it would lie in a checkpoint, and its values by the test's own reading of the format.
struct StoredMatrix {
    let element: Element
    let rows: Int
    let columns: Int
    let data: [UInt8]
    let scales: [UInt16]
    let values: [[Float]]

    init(_ element: Element, rows: Int, columns: Int, mood: Mood, _ random: inout Random) {
        self.element = element
        self.rows = rows
        self.columns = columns
        var data = [UInt8]()
        var scales = [UInt16]()
        var values = [[Float]]()
        for _ in 0..<rows {
            var row = [Float]()
            switch element {
            case .f32:
                row = floats(columns, mood, &random)
                for value in row { withUnsafeBytes(of: value) { data.append(contentsOf: $0) } }
            case .bf16, .f16:
                for _ in 0..<columns {
                    let word = mood.word(&random, element)
                    withUnsafeBytes(of: word) { data.append(contentsOf: $0) }
                    row.append(
                        element == .f16 ? Float(Float16(bitPattern: word)) : Float(bitPattern: UInt32(word) << 16))
                }
            case .int4:
                for _ in 0..<columns / 32 {
                    let word = mood.word(&random, .bf16)
                    scales.append(word)
                    let scale = Float(bitPattern: UInt32(word) << 16)
                    for _ in 0..<16 {
                        let byte = UInt8(truncatingIfNeeded: random.next())
                        data.append(byte)
                        row.append(Float(Int(byte & 15) - 8) * scale)
                        row.append(Float(Int(byte >> 4) - 8) * scale)
                    }
                }
            }
            values.append(row)
        }
        self.data = data
        self.scales = scales
        self.values = values
    }

    /// Calls `body` with the matrix, its data `offset` bytes past an aligned address.
    func withMatrix<R>(offset: Int = 0, _ body: (UnsafePointer<ck_matrix>) -> R) -> R {
        var shifted = [UInt8](repeating: 0xff, count: offset + 64 + data.count)
        return shifted.withUnsafeMutableBytes { bytes in
            // Safe because the buffer is 64 + offset longer than the data.
            let address = Int(bitPattern: bytes.baseAddress)
            let place = bytes.baseAddress.unsafelyUnwrapped + (64 - address % 64) % 64 + offset
            _ = data.withUnsafeBytes { source in source.baseAddress.map { memcpy(place, $0, data.count) } }
            return scales.withUnsafeBufferPointer { scales in
                var matrix = ck_matrix(
                    data: place, scales: element == .int4 ? scales.baseAddress : nil, rows: rows, columns: columns,
                    type: element.rawValue, reserved: 0)
                return body(&matrix)
            }
        }
    }
}
