import KimiCore
import KimiModel

// Saved prefixes: a header that says what they belong to, the blocks of the tree, and a checksum of all that.
//
//   offset  bytes
//        0      8  "KIMIPREF"
//        8      4  version: 1
//       12      4  blocks
//       16     32  digest of the checkpoint, hexadecimal
//       48      4  layers
//       52      4  elements of a token in one layer
//       56     48  how they were computed: words, then zeros
//            ....  for each block, from the most to the least recently used, each after the one that it follows:
//                      4  the number of that one, or -1
//                      4  1 if it and all before it were computed exactly, else 0
//                      4  n, its tokens: 64, or fewer of the block that a prompt ended in
//                      4  m, pieces of pictures among them
//                    4 n  ids
//                   44 m  pieces in rising order: place in the block, row of the picture, rows (4 each), digest (32)
//                   ....  per layer: the latents of its tokens
//             16  XXH3-128 of everything before
//
// All numbers little endian.

private let magic: [UInt8] = Array("KIMIPREF".utf8)
private let version: UInt32 = 1
private let headerBytes = 104
private let howBytes = 48
private let pieceBytes = 44

extension Model {
    /// Writes the beginnings that are kept at this moment to `path`, which holds all of them or what it held before.
    package func savePrefixes(to path: String) throws(KimiError) {
        let snapshot = try keptPrefixes().snapshot()
        let writer = try CheckedWriter(path: path)
        var header = magic + bytes(version) + bytes(UInt32(truncatingIfNeeded: snapshot.entries.count))
        header += Array(checkpoint.digest.utf8)
        header += bytes(UInt32(checkpoint.config.layerCount)) + bytes(UInt32(tokenElements))
        header += Array(howComputed.utf8) + [UInt8](repeating: 0, count: howBytes - howComputed.utf8.count)
        try writer.write(header)
        for (number, entry) in snapshot.entries.enumerated() {
            let (ids, media) = (entry.content.ids, entry.content.media)
            var description = bytes(Int32(entry.parent ?? -1)) + bytes(UInt32(entry.isExact ? 1 : 0))
            description += bytes(UInt32(ids.count)) + bytes(UInt32(media.count))
            for id in ids { description += bytes(id) }
            for piece in media {
                description += bytes(UInt32(piece.place)) + bytes(UInt32(piece.row)) + bytes(UInt32(piece.count)) + piece.digest.bytes
            }
            try writer.write(description)
            try snapshot.forEachCacheRun(of: number) { (run) throws(KimiError) in try writer.write(UnsafeRawBufferPointer(run)) }
        }
        try writer.finish()
    }

    /// Takes in what a file holds beside what is kept already, up to the limit what was used last. On any error nothing is taken in.
    package func loadPrefixes(from path: String) throws(KimiError) {
        let prefixes = try keptPrefixes()
        let reader = try CheckedReader(path: path)
        let blocks = try PrefixHeader(reader).check(against: self, reader)
        let snapshot = prefixes.emptySnapshot()
        let most = prefixes.limit / text.cache.blockBytes
        for block in 0..<blocks {
            let (content, isExact, parent) = try reader.block(block, vocabularySize: vocabularySize) { snapshot.isWhole($0) }
            if block < most {
                let number = try snapshot.append(content, isExact: isExact, parent: parent)
                try snapshot.forEachCacheRun(of: number) { (run) throws(KimiError) in try reader.read(run) }
            } else {
                // Of those that are left over only the checksum counts.
                try reader.skip(content.ids.count * text.cache.tokenBytes, times: checkpoint.config.layerCount)
            }
        }
        guard reader.size - reader.position == Int64(checksumBytes) else {
            throw reader.refused(.format, "\(reader.size) bytes long; \(blocks) blocks end at \(reader.position)", "size")
        }
        try reader.checkSum()
        prefixes.take(snapshot)
    }

    private func keptPrefixes() throws(KimiError) -> PrefixTree {
        guard let prefixes else {
            throw KimiError(.unsupported, "this model keeps no prefixes: open it with a limit that has room for some", subject: "prefix_limit")
        }
        return prefixes
    }

    /// Elements of a cached token in one layer.
    var tokenElements: Int { checkpoint.config.latentSize + checkpoint.config.ropeSize }

    /// What the bits of latents depend on beside the checkpoint: those of other models are not mixed with one's own.
    fileprivate var howComputed: String {
        let order = text.addsInTiles ? "tiles" : "lanes"
        return "\(options.cacheType.name) \(options.dense.rawValue) \(options.decodeBits.rawValue) \(order) \(options.vision.rawValue)"
    }
}

private struct PrefixHeader {
    let blocks: UInt32
    let digest: String
    let layers: UInt32
    let elements: UInt32
    let how: [UInt8]

    init(_ reader: CheckedReader) throws(KimiError) {
        guard reader.size >= Int64(headerBytes + checksumBytes) else {
            throw reader.refused(.format, "\(reader.size) bytes are too few for a file of prefixes", "header")
        }
        let raw = try reader.bytes(headerBytes)
        guard Array(raw[0..<8]) == magic else {
            throw reader.refused(.format, "no file of prefixes: it does not begin with KIMIPREF", "header")
        }
        guard raw.number(at: 8) == version else {
            throw reader.refused(
                .unsupported, "version \(raw.number(at: 8)) of files of prefixes; this library reads version \(version)", "version")
        }
        blocks = raw.number(at: 12)
        digest = try reader.checkpointDigest(raw[16..<48])
        (layers, elements) = (raw.number(at: 48), raw.number(at: 52))
        how = Array(raw[56..<headerBytes].prefix { $0 != 0 })
        // Checked, since it goes into a message.
        guard how.allSatisfy({ (0x20..<0x7f).contains($0) }) else {
            throw reader.refused(.format, "how the blocks were computed is not in words", "header")
        }
    }

    /// - Returns: how many blocks there are.
    func check(against model: Model, _ reader: CheckedReader) throws(KimiError) -> Int {
        guard digest == model.checkpoint.digest else {
            throw reader.refused(
                .mismatch, "the file was saved with checkpoint \(digest); this one is \(model.checkpoint.digest)", "digest")
        }
        guard layers == UInt32(model.checkpoint.config.layerCount), elements == UInt32(model.tokenElements) else {
            throw reader.refused(.mismatch, "the file's cache has another shape", "layers")
        }
        guard how == Array(model.howComputed.utf8) else {
            let words = "cache_type, dense, decode_bits, order of sums, vision_arithmetic"
            throw reader.refused(
                .mismatch,
                "computed with \(String(decoding: how, as: UTF8.self)); this model computes with \(model.howComputed) (\(words))", "options")
        }
        // A block has a token at least, and that some bytes.
        guard Int64(blocks) * 16 <= reader.size else {
            throw reader.refused(.format, "\(blocks) blocks do not fit \(reader.size) bytes", "blocks")
        }
        return Int(blocks)
    }
}

extension CheckedReader {
    /// What the file says of a block, up to its latents.
    ///
    /// - Parameter isWhole: whether the block of a number before this one may be followed by others; nil: it was left out.
    fileprivate func block(
        _ number: Int, vocabularySize: Int, _ isWhole: (Int) -> Bool?
    ) throws(KimiError) -> (content: PrefixContent, isExact: Bool, parent: Int?) {
        let raw = try bytes(16)
        let parent = Int32(bitPattern: raw.number(at: 0))
        let (exact, count, pieces) = (raw.number(at: 4), raw.number(at: 8), raw.number(at: 12))
        guard parent == -1 || (parent >= 0 && parent < number && isWhole(Int(parent)) != false) else {
            throw refused(.format, "block \(number) follows block \(parent), which is none that others follow", "blocks")
        }
        let whole = BlockPool.blockTokens
        guard exact <= 1, (1...UInt32(whole)).contains(count), pieces <= count, count == whole || (pieces == 0 && parent >= 0) else {
            throw refused(.format, "block \(number) has \(count) tokens and \(pieces) pictures", "blocks")
        }
        let ids = try ids(Int(count))
        if let wrong = ids.first(where: { $0 < 0 || Int($0) >= vocabularySize }) {
            throw refused(.format, "block \(number) has the id \(wrong); ids are 0 to \(vocabularySize - 1)", "ids")
        }
        let media = try bytes(Int(pieces) * pieceBytes)
        var found: [PrefixContent.Piece] = []
        for piece in 0..<Int(pieces) {
            let at = piece * pieceBytes
            let (place, row, rows) = (Int(media.number(at: at)), Int(media.number(at: at + 4)), Int(media.number(at: at + 8)))
            let free = found.last.map { $0.place + $0.count } ?? 0
            guard place >= free, rows >= 1, row <= Int(Int32.max), place + rows <= whole else {
                throw refused(.format, "block \(number) has \(rows) rows of a picture at place \(place)", "media")
            }
            found.append(.init(place: place, row: row, count: rows, digest: MediaDigest(media[(at + 12)..<(at + pieceBytes)])))
        }
        return (PrefixContent(ids: ids, media: found), exact == 1, parent < 0 ? nil : Int(parent))
    }
}
