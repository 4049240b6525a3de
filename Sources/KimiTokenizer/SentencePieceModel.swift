import CSentencePiece
import KimiCore

/// A SentencePiece model loaded by libsentencepiece. Immutable and free for any thread.
final class SentencePieceModel: @unchecked Sendable {
    /// The library needs some sixty times the memory of the text, and counts in 32 bits.
    static let longestText = 16 << 20
    private static let messageSize = 512

    // Safe because the library does not change a loaded model, and it is freed once, here, when nobody holds it any
    // more.
    private let model: OpaquePointer

    /// - Parameter bytes: a model that `SentencePieceFile` has checked.
    /// - Throws: `Status.format` with the library's reason, `Status.outOfMemory`.
    init(_ bytes: [UInt8], pieces: Int, file: String) throws(KimiError) {
        var loaded: OpaquePointer?
        var message = [CChar](repeating: 0, count: Self.messageSize)
        let status = bytes.withUnsafeBytes { csp_open($0.baseAddress, $0.count, &loaded, &message, Self.messageSize) }
        guard status == CSP_OK, let loaded else { throw Self.failure(status, message, file: file) }
        model = loaded
        guard csp_count(loaded) == pieces else {
            throw KimiError(
                .format, "has \(pieces) pieces, of which libsentencepiece sees \(csp_count(loaded))", file: file)
        }
    }

    deinit { csp_close(model) }

    private static func failure(_ status: csp_status, _ message: [CChar], file: String?) -> KimiError {
        let reason = String(decoding: message.lazy.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // A checked model that refuses checked text is nobody's input at fault.
        let refused: Status = file == nil ? .internal : .format
        return KimiError(
            status == CSP_NO_MEMORY ? .outOfMemory : refused, "libsentencepiece: \(reason)", file: file)
    }

    /// Appends the ids of the bytes from `start` to `end`.
    ///
    /// - Throws: `Status.invalidArgument` if the text is too long, `Status.outOfMemory`.
    func append(_ text: CheckedText, from start: Int, to end: Int, to ids: inout [Int32]) throws(KimiError) {
        guard end > start else { return }
        guard end - start <= Self.longestText else {
            throw KimiError(
                .invalidArgument,
                "text of \(end - start) bytes; a SentencePiece model takes at most \(Self.longestText)")
        }
        var found: UnsafeMutablePointer<Int32>?
        var count = 0
        var message = [CChar](repeating: 0, count: Self.messageSize)
        let status = text.bytes.withMemoryRebound(to: CChar.self, capacity: text.count) {
            csp_encode(model, $0 + start, end - start, &found, &count, &message, Self.messageSize)
        }
        guard status == CSP_OK else { throw Self.failure(status, message, file: nil) }
        defer { csp_free(found) }
        ids.append(contentsOf: UnsafeBufferPointer(start: found, count: count))
    }
}
