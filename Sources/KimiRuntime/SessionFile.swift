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

extension Session {
    /// Writes the session to `path`: first to a file beside it, which then takes the name, so that no half file is ever there.
    package func save(to path: String) throws(KimiError) {
        try call { () throws(KimiError) in
            try restore()
            let writer = try CheckedWriter(path: path)
            let media = sequence.media
            var header: [UInt8] = magic
            header += bytes(media.isEmpty ? textVersion : mediaVersion) + bytes(UInt32(model.options.cacheType.rawValue))
            header += Array(model.checkpoint.digest.utf8)
            header += bytes(UInt32(model.checkpoint.config.layerCount)) + bytes(UInt32(model.tokenElements))
            header += bytes(UInt64(sequence.count)) + bytes(UInt32(bitPattern: pending ?? -1))
            header += bytes(UInt32(truncatingIfNeeded: media.count))
            try writer.write(header)
            try writer.write(UnsafeRawBufferPointer(sequence.tokens))
            var marks: [UInt8] = []
            for mark in media { marks += bytes(UInt32(mark.start)) + bytes(UInt32(mark.count)) + mark.digest.bytes }
            try writer.write(marks)
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
            let reader = try CheckedReader(path: path)
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
}

// MARK: Header

private struct SessionHeader {
    let cacheType: UInt32
    let digest: String
    let layers: UInt32
    let elements: UInt32
    let count: Int
    let pending: Int32?
    let mediaCount: Int

    init(_ reader: CheckedReader) throws(KimiError) {
        guard reader.size >= Int64(headerBytes + checksumBytes) else {
            throw reader.refused(.format, "\(reader.size) bytes are too few for a session file", "header")
        }
        let raw = try reader.bytes(headerBytes)
        guard Array(raw[0..<8]) == magic else { throw reader.refused(.format, "no session file: it does not begin with KIMISESS", "header") }
        func number(_ offset: Int) -> UInt32 { raw.number(at: offset) }
        let found = number(8)
        guard found == textVersion || found == mediaVersion else {
            throw reader.refused(
                .unsupported, "session file version \(found); this library reads versions \(textVersion) and \(mediaVersion)", "version")
        }
        cacheType = number(12)
        digest = try reader.checkpointDigest(raw[16..<48])
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
        guard layers == UInt32(model.checkpoint.config.layerCount), elements == UInt32(model.tokenElements) else {
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

extension CheckedReader {
    /// What the file says of pictures among so many tokens.
    fileprivate func marks(_ count: Int, tokens: Int) throws(KimiError) -> [MediaMark] {
        // `count` is at most `tokens`, and those are below 2^31.
        let raw = try bytes(count * markBytes)
        func number(_ offset: Int) -> Int { Int(raw.number(at: offset)) }
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
}
