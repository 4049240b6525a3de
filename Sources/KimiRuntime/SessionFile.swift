import CKimiSystem
import Glibc
import KimiCore
import KimiModel

// A saved session: a header that says what it belongs to, the ids, the cache, and a checksum of all that.
//
//   offset  bytes
//        0      8  "KIMISESS"
//        8      4  version: 1, or 2 if there are pictures
//       12      4  cache type
//       16     32  digest of the checkpoint, hexadecimal
//       48      4  layers
//       52      4  elements of a token in one layer
//       56      8  evaluated tokens
//       64      4  pending token, or -1
//       68      4  pictures among the tokens, chunks of clips included
//       72    4 n  ids
//           40 m  pictures in rising order: place of the first token (4), tokens held (4), digest (32)
//            ....  per 64 tokens, per layer: their latents
//             16  XXH3-128 of everything before
//
// All numbers little endian.

private let magic: [UInt8] = Array("KIMISESS".utf8)
/// Of sessions of text alone, so that libraries from before pictures read them.
private let textVersion: UInt32 = 1
private let mediaVersion: UInt32 = 2
private let headerBytes = 72
private let markBytes = 40
private let checksumBytes = 16

extension Session {
    /// Writes the session to `path`: first to a file beside it, which then takes the name, so that no half file is ever there.
    package func save(to path: String) throws(KimiError) {
        try call { () throws(KimiError) in
            try restore()
            let writer = try SessionWriter(path: path)
            let media = sequence.media
            var header: [UInt8] = magic
            header += bytes(media.isEmpty ? textVersion : mediaVersion) + bytes(UInt32(model.options.cacheType.rawValue))
            header += Array(model.checkpoint.digest.utf8)
            header += bytes(UInt32(model.checkpoint.config.layerCount)) + bytes(UInt32(tokenElements))
            header += bytes(UInt64(sequence.count)) + bytes(UInt32(bitPattern: pending ?? -1))
            header += bytes(UInt32(truncatingIfNeeded: media.count))
            try header.withUnsafeBytes { raw in Result { () throws(KimiError) in try writer.write(raw) } }.get()
            try writer.write(UnsafeRawBufferPointer(sequence.tokens))
            var marks: [UInt8] = []
            for mark in media { marks += bytes(UInt32(mark.start)) + bytes(UInt32(mark.count)) + mark.digest.bytes }
            try marks.withUnsafeBytes { raw in Result { () throws(KimiError) in try writer.write(raw) } }.get()
            try sequence.forEachCacheRun { (run) throws(KimiError) in
                try cancellation.check()
                try writer.write(UnsafeRawBufferPointer(run))
            }
            try writer.finish()
        }
    }

    /// Replaces the session's content by the file's. On any error the session is as before.
    package func load(from path: String) throws(KimiError) {
        try call { () throws(KimiError) in
            let reader = try SessionReader(path: path)
            let header = try SessionHeader(reader)
            do throws(KimiError) { try header.check(against: self, fileBytes: reader.size) } catch {
                throw KimiError(error.status, error.message, file: path, subject: error.subject)
            }
            let loaded = try TokenSequence(pool: model.text.cache, contextLimit: contextLimit)
            let ids = try reader.ids(header.count)
            for (index, id) in ids.enumerated() where id < 0 || Int(id) >= vocabularySize {
                throw reader.refused(.format, "token \(index) has id \(id); ids are 0 to \(vocabularySize - 1)", "ids")
            }
            let marks = try reader.marks(header.mediaCount, tokens: header.count)
            try withOtherMemory { () throws(KimiError) in try loaded.prepare(header.count) }
            ids.withUnsafeBufferPointer { loaded.append($0) }
            // Whoever wrote the file must not reach what other sessions compute.
            loaded.markForeign()
            for mark in marks { loaded.note(media: mark.digest, start: mark.start, count: mark.count, continues: false) }
            try loaded.forEachCacheRun { (run) throws(KimiError) in
                try cancellation.check()
                try reader.read(run)
            }
            try reader.checkSum()
            replace(sequence: loaded, pending: header.pending)
        }
    }

    fileprivate var tokenElements: Int { model.checkpoint.config.latentSize + model.checkpoint.config.ropeSize }
}

private func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

// MARK: Header

private struct SessionHeader {
    let cacheType: UInt32
    let digest: String
    let layers: UInt32
    let elements: UInt32
    let count: Int
    let pending: Int32?
    let mediaCount: Int

    init(_ reader: SessionReader) throws(KimiError) {
        var raw = [UInt8](repeating: 0, count: headerBytes)
        guard reader.size >= Int64(headerBytes + checksumBytes) else {
            throw reader.refused(.format, "\(reader.size) bytes are too few for a session file", "header")
        }
        try raw.withUnsafeMutableBytes { buffer in Result { () throws(KimiError) in try reader.read(buffer) } }.get()
        guard Array(raw[0..<8]) == magic else { throw reader.refused(.format, "no session file: it does not begin with KIMISESS", "header") }
        func number(_ offset: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(raw[offset + $1]) << (8 * UInt32($1)) } }
        let found = number(8)
        guard found == textVersion || found == mediaVersion else {
            throw reader.refused(
                .unsupported, "session file version \(found); this library reads versions \(textVersion) and \(mediaVersion)", "version")
        }
        cacheType = number(12)
        // Checked, since it goes into a message.
        let digits = Array("0123456789abcdef".utf8)
        guard raw[16..<48].allSatisfy({ digits.contains($0) }) else {
            throw reader.refused(.format, "the digest is not 32 hexadecimal digits", "digest")
        }
        digest = String(decoding: raw[16..<48], as: UTF8.self)
        layers = number(48)
        elements = number(52)
        let tokens = UInt64(number(56)) | UInt64(number(60)) << 32
        guard tokens <= UInt64(Int32.max) else { throw reader.refused(.format, "\(tokens) tokens are beyond any context", "count") }
        count = Int(tokens)
        let id = Int32(bitPattern: number(64))
        pending = id == -1 ? nil : id
        mediaCount = Int(number(68))
        guard found == mediaVersion || mediaCount == 0 else { throw reader.refused(.format, "reserved bytes are not zero", "header") }
        guard mediaCount <= count else {
            throw reader.refused(.format, "\(mediaCount) pictures among \(count) tokens", "media")
        }
    }

    func check(against session: Session, fileBytes: Int64) throws(KimiError) {
        let model = session.model
        func mismatch(_ message: String, _ field: String) -> KimiError { KimiError(.mismatch, message, subject: field) }
        guard digest == model.checkpoint.digest else {
            throw mismatch("the file was saved with checkpoint \(digest); this one is \(model.checkpoint.digest)", "digest")
        }
        guard cacheType == UInt32(model.options.cacheType.rawValue) else {
            throw mismatch("the file's cache type is \(cacheType); this model's is \(model.options.cacheType.rawValue)", "cache_type")
        }
        guard layers == UInt32(model.checkpoint.config.layerCount), elements == UInt32(session.tokenElements) else {
            throw mismatch("the file's cache has another shape", "layers")
        }
        let held = count + (pending == nil ? 0 : 1)
        guard held <= session.contextLimit else {
            throw KimiError(
                .contextFull, "the file holds \(held) tokens; this session's context limit is \(session.contextLimit)")
        }
        if let pending, pending < 0 || Int(pending) >= session.vocabularySize {
            throw KimiError(.format, "pending token \(pending) is no id of this model", subject: "pending")
        }
        // Below 2^31 tokens, and layers and type of cache equal the model's: no overflow.
        let cache = count * Int(layers) * model.text.cache.tokenBytes
        let expected = Int64(headerBytes + 4 * count + markBytes * mediaCount + cache + checksumBytes)
        guard fileBytes == expected else {
            throw KimiError(.format, "\(fileBytes) bytes long; \(count) tokens make \(expected)", subject: "size")
        }
    }
}

// MARK: Files

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

private final class SessionWriter {
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

    func finish() throws(KimiError) {
        try checksum.value.withUnsafeBytes { raw in Result { () throws(KimiError) in try file.write(raw) } }.get()
        try file.finish()
    }
}

private final class SessionReader {
    private let path: String
    private let descriptor: Int32
    private let checksum: Checksum
    private var position: Int64 = 0
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

    func ids(_ count: Int) throws(KimiError) -> [Int32] {
        var ids = [Int32](repeating: 0, count: count)
        try ids.withUnsafeMutableBytes { raw in Result { () throws(KimiError) in try read(raw) } }.get()
        return ids
    }

    /// What the file says of pictures among so many tokens.
    func marks(_ count: Int, tokens: Int) throws(KimiError) -> [MediaMark] {
        // `count` is at most `tokens`, and those are below 2^31.
        var raw = [UInt8](repeating: 0, count: count * markBytes)
        try raw.withUnsafeMutableBytes { raw in Result { () throws(KimiError) in try read(raw) } }.get()
        func number(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(raw[offset + $1]) << (8 * $1) } }
        var marks: [MediaMark] = []
        marks.reserveCapacity(count)
        for index in 0..<count {
            let (start, held) = (number(index * markBytes), number(index * markBytes + 4))
            guard start >= marks.last?.end ?? 0, held >= 1, start + held <= tokens else {
                throw refused(.format, "picture \(index) has \(held) tokens from \(start) on, of \(tokens)", "media")
            }
            marks.append(MediaMark(
                start: start, count: held, digest: MediaDigest(raw[(index * markBytes + 8)..<((index + 1) * markBytes)])))
        }
        return marks
    }

    func checkSum() throws(KimiError) {
        let expected = checksum.value
        var found = [UInt8](repeating: 0, count: checksumBytes)
        try found.withUnsafeMutableBytes { raw in Result { () throws(KimiError) in try readRaw(raw) } }.get()
        guard found == expected else { throw refused(.format, "the checksum does not fit: the file is damaged", "checksum") }
    }
}
