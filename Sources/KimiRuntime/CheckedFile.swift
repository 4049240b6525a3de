import CKimiSystem
import Glibc
import KimiCore

/// Bytes of the checksum that a file ends in.
let checksumBytes = 16

/// A number's bytes, the lowest first.
func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

extension [UInt8] {
    /// The number of four bytes from `offset` on, the lowest first.
    func number(at offset: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(self[offset + $1]) << (8 * UInt32($1)) } }
}

/// XXH3-128 of what a file holds.
private final class Checksum {
    private let digest: OpaquePointer

    init() throws(KimiError) {
        guard let digest = cks_digest_create() else { throw KimiError(.outOfMemory, "no memory for a checksum") }
        self.digest = digest
    }

    deinit { cks_digest_destroy(digest) }

    func update(_ bytes: UnsafeRawBufferPointer) { cks_digest_update(digest, bytes.baseAddress, bytes.count) }

    var value: [UInt8] {
        var result = [UInt8](repeating: 0, count: checksumBytes)
        cks_digest_finish(digest, &result)
        return result
    }
}

/// A new file that ends in the checksum of everything before.
final class CheckedWriter {
    private let file: NewFile
    private let checksum: Checksum

    init(path: String) throws(KimiError) {
        checksum = try Checksum()
        file = try NewFile(path: path, mode: 0o600)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(KimiError) {
        checksum.update(bytes)
        try file.write(bytes)
    }

    func write(_ bytes: [UInt8]) throws(KimiError) {
        try bytes.withUnsafeBytes { raw in Result { () throws(KimiError) in try write(raw) } }.get()
    }

    func finish() throws(KimiError) {
        try checksum.value.withUnsafeBytes { raw in Result { () throws(KimiError) in try file.write(raw) } }.get()
        try file.finish()
    }
}

/// Such a file, read from its beginning; all that is read counts for the checksum.
final class CheckedReader {
    private let path: String
    private let descriptor: Int32
    private let checksum: Checksum
    /// Bytes that have been read.
    private(set) var position: Int64 = 0
    let size: Int64

    init(path: String) throws(KimiError) {
        guard !path.isEmpty else { throw KimiError(.invalidArgument, "the path is empty", subject: "path") }
        self.path = path
        checksum = try Checksum()
        var size: Int64 = 0
        descriptor = cks_file_open(path, &size)
        guard descriptor >= 0 else { throw KimiError(.io, "cannot be opened: \(systemWords(-descriptor))", file: path) }
        self.size = size
    }

    deinit { if descriptor >= 0 { cks_file_close(descriptor) } }

    func refused(_ status: Status, _ message: String, _ field: String) -> KimiError {
        KimiError(status, message, file: path, subject: field)
    }

    func read(_ buffer: UnsafeMutableRawBufferPointer) throws(KimiError) {
        try readRaw(buffer)
        checksum.update(UnsafeRawBufferPointer(buffer))
    }

    private func readRaw(_ buffer: UnsafeMutableRawBufferPointer) throws(KimiError) {
        let count = cks_file_read(descriptor, buffer.baseAddress, buffer.count, position)
        if count < 0 { throw KimiError(.io, "cannot be read: \(systemWords(Int32(truncatingIfNeeded: -count)))", file: path) }
        guard count == Int64(buffer.count) else { throw refused(.format, "ends at byte \(position + count)", "size") }
        position += count
    }

    func bytes(_ count: Int) throws(KimiError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { raw in Result { () throws(KimiError) in try read(raw) } }.get()
        return bytes
    }

    /// The digest of a checkpoint, as 32 digits; checked, since it goes into messages.
    func checkpointDigest(_ bytes: ArraySlice<UInt8>) throws(KimiError) -> String {
        let digits = Array("0123456789abcdef".utf8)
        guard bytes.allSatisfy({ digits.contains($0) }) else {
            throw refused(.format, "the digest is not 32 hexadecimal digits", "digest")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    func ids(_ count: Int) throws(KimiError) -> [Int32] {
        var ids = [Int32](repeating: 0, count: count)
        try ids.withUnsafeMutableBytes { raw in Result { () throws(KimiError) in try read(raw) } }.get()
        return ids
    }

    /// Reads some bytes, several times, that only the checksum is about.
    func skip(_ count: Int, times: Int) throws(KimiError) {
        var unused = [UInt8](repeating: 0, count: count)
        for _ in 0..<times {
            try unused.withUnsafeMutableBytes { raw in Result { () throws(KimiError) in try read(raw) } }.get()
        }
    }

    /// Reads the last bytes and compares.
    func checkSum() throws(KimiError) {
        let expected = checksum.value
        var found = [UInt8](repeating: 0, count: checksumBytes)
        try found.withUnsafeMutableBytes { raw in Result { () throws(KimiError) in try readRaw(raw) } }.get()
        guard found == expected else { throw refused(.format, "the checksum does not fit: the file is damaged", "checksum") }
    }
}
