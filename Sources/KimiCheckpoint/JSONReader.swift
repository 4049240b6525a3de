import KimiCore

/// A string of a JSON text, not copied where it has no escapes. Valid while the text is.
enum JSONText {
    // Safe because the readers keep the text's memory until they have dropped every string of it; none is stored.
    case plain(UnsafeRawBufferPointer)
    case resolved(String)

    func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        switch self {
        case .plain(let bytes): return body(bytes)
        case .resolved(var string): return string.withUTF8 { body(UnsafeRawBufferPointer($0)) }
        }
    }

    var count: Int { withBytes { $0.count } }

    var string: String { withBytes { String(decoding: $0, as: UTF8.self) } }

    /// For messages: in quotes, escaped, and cut where a hostile file made it long.
    var quoted: String { JSONText.quoted(string) }

    static func quoted(_ string: String) -> String {
        string.utf8.count <= 200 ? JSONWriter.quoted(string) : JSONWriter.quoted(String(string.prefix(160))) + "..."
    }

    func equals(_ literal: StaticString) -> Bool {
        withBytes { bytes in
            literal.withUTF8Buffer { bytes.count == $0.count && bytes.elementsEqual($0) }
        }
    }

    func equals(_ other: JSONText) -> Bool {
        withBytes { a in other.withBytes { a.count == $0.count && a.elementsEqual($0) } }
    }
}

/// `JSONScanner` for the big files: failures become `KimiError`s that name the file, what of it is read, the byte, and the
/// tensor that was being read.
struct JSONReader {
    let file: String
    private let what: String
    private var scanner: JSONScanner
    /// The tensor being read, for messages.
    var subject: JSONText?

    /// - Parameters:
    ///   - bytes: must outlive the reader and its strings.
    ///   - what: the text's name in messages, such as "header".
    init(_ bytes: UnsafeRawBufferPointer, file: String, what: String) {
        self.file = file
        self.what = what
        scanner = JSONScanner(bytes)
    }

    func fault(_ message: String) -> KimiError {
        KimiError(.format, message, file: file, subject: subject.map { $0.count <= 200 ? $0.string : $0.quoted })
    }

    private func fault(_ failure: JSONScanner.Failure) -> KimiError {
        fault("\(what) is not valid JSON at byte \(failure.offset): \(failure.reason.prefix(300))")
    }

    mutating func take(_ byte: UInt8) -> Bool { scanner.take(byte) }

    mutating func expect(_ byte: UInt8) throws(KimiError) {
        do { try scanner.expect(byte) } catch { throw fault(error) }
    }

    mutating func text() throws(KimiError) -> JSONText {
        do throws(JSONScanner.Failure) {
            if let range = try scanner.plainString() { return .plain(UnsafeRawBufferPointer(rebasing: scanner.bytes[range])) }
            return .resolved(try scanner.string())
        } catch {
            throw fault(error)
        }
    }

    /// A key and its colon.
    mutating func key() throws(KimiError) -> JSONText {
        let key = try text()
        try expect(0x3A)
        return key
    }

    mutating func unsigned() throws(KimiError) -> Int {
        do { return try scanner.unsigned() } catch { throw fault(error) }
    }

    mutating func skipValue(depth: Int) throws(KimiError) {
        do { _ = try scanner.value(depth: depth) } catch { throw fault(error) }
    }

    mutating func end() throws(KimiError) {
        do { try scanner.expectEnd() } catch { throw fault(error) }
    }
}
