import CKimiSystem
import KimiCore
import Synchronization

/// A checkpoint folder, opened: its configuration, and every tensor by name with its bytes mapped where they are.
///
/// Opening reads the configuration, the index and the headers, checks all of them, and reads no weights but the few
/// kilobytes of samples in the digest. Everything is immutable afterwards; any thread may use it. What the model needs is
/// looked up with `linear`, `matrix` and `vector`, which check type and shape. Mappings and descriptors (one a shard) go
/// with the last reference, and with them every pointer that `bytes(of:)` gave.
package final class Checkpoint: Sendable {
    package let folder: String
    package let config: ModelConfig
    /// What stands before `model.` and `lm_head.` in the names of the text model: `language_model.` or nothing.
    package let namePrefix: String
    /// Whether there are tensors of a vision tower.
    package let hasVisionTensors: Bool
    /// 32 hexadecimal digits that differ between checkpoints; see `Digest`.
    package let digest: String

    let table: TensorTable
    let shards: [Shard]
    /// Entries of the table by shard and place.
    private let fileOrder: [UInt32]
    /// Aligned copies of tensors that cannot be read in place, by table offset; see `bytes(of:)`.
    let copies = Mutex<AlignedCopies>(AlignedCopies())
    let log: Log

    /// Opens a folder.
    ///
    /// A tensor that a shard holds without the index naming it is accepted, and the log told; the reverse is an error.
    ///
    /// - Parameters:
    ///   - progress: called with the fraction done, 0 to 1, on this thread; what it throws ends the opening and comes out.
    /// - Throws: `.io` (missing, not permitted), `.format` (broken), `.unsupported` (another family or a variant of it that
    ///   is not implemented); file and tensor or field are named.
    package init(
        folder: String, log: Log = .silent, progress: ((Double) throws(KimiError) -> Void)? = nil
    ) throws(KimiError) {
        // The numbers of the configuration are rounded to nearest, whatever the host has set.
        let settings = cks_float_use_default()
        defer { cks_float_restore(settings) }
        try progress?(0)
        let entries = try FolderLayout.entries(of: folder)
        let configFile = try Self.contents(folder, "config.json", among: entries, limit: 16 << 20)
        guard let configFile else {
            throw KimiError(
                .io, "no config.json: this is no checkpoint folder", file: folder, subject: "config.json")
        }
        config = try Self.readConfig(configFile, folder: folder, entries: entries)

        var table = TensorTable()
        var shardNames: [String]
        let indexPath = FolderLayout.path(folder, FolderLayout.indexName)
        let index = try Self.contents(folder, FolderLayout.indexName, among: entries, limit: ShardIndex.maxLength)
        if let index {
            shardNames = try ShardIndex.read(index, file: indexPath, into: &table)
            try Self.checkPresence(of: shardNames, among: entries, index: indexPath, folder: folder)
        } else {
            shardNames = try FolderLayout.shardNames(among: entries, folder: folder)
        }
        let promised = table.count
        try progress?(0.2)

        let digest = try Digest()
        digest.add(configFile.count)
        digest.add(configFile)
        let sample = try MappedMemory(byteCount: Digest.sampleLength, what: "sample")
        let sampleBuffer = UnsafeMutableRawBufferPointer(start: sample.base, count: Digest.sampleLength)

        var shards: [Shard] = []
        var fileOrder: [UInt32] = []
        for (number, name) in shardNames.enumerated() {
            let shard = try Shard(folder: folder, name: name)
            let tensors = try ShardHeader.read(shard.file, shard: Int32(number), shardNames: shardNames, into: &table)
            digest.add(shard.file.size)
            digest.add(tensors.count)
            for entry in tensors {
                table.withName(Int(entry)) { digest.add($0.count); digest.add($0) }
                digest.add(table.infos[Int(entry)])
            }
            let dataStart = tensors.first.map { table.infos[Int($0)].offset } ?? shard.file.size
            try digest.addSamples(of: shard.file, from: dataStart, buffer: sampleBuffer)
            shards.append(shard)
            fileOrder += tensors
            try progress?(0.2 + 0.8 * Double(number + 1) / Double(shardNames.count))
        }
        for entry in 0..<promised where !table.isDefined(entry) {
            throw KimiError(
                .format, "the index places the tensor in \(shardNames[Int(table.infos[entry].shard)]), which does not hold it",
                file: indexPath, subject: table.name(entry))
        }
        if promised > 0, table.count > promised {
            let extra = table.count - promised
            log(.warning, "\(folder): \(extra) tensors of the shards are not in \(FolderLayout.indexName)")
        }

        self.folder = folder
        self.log = log
        self.digest = digest.text()
        self.shards = shards
        self.fileOrder = fileOrder
        self.table = table
        namePrefix = try Self.findPrefix(table, folder: folder)
        hasVisionTensors = try Self.surveyTypes(table, shards: shards)
    }

    deinit { copies.withLock { $0.release() } }

    // MARK: The tensors

    package var tensorCount: Int { table.count }

    /// The tensor with this full name, or nil.
    package func tensor(_ name: String) -> TensorInfo? {
        var name = name
        return name.withUTF8 { table.info(UnsafeRawBufferPointer($0)) }
    }

    /// Calls `body` for all tensors in the order of their bytes, shard by shard.
    package func forEachTensor<E: Error>(_ body: (String, TensorInfo) throws(E) -> Void) throws(E) {
        for entry in fileOrder { try body(table.name(Int(entry)), table.infos[Int(entry)]) }
    }

    // MARK: The files

    package var shardCount: Int { shards.count }

    /// The file of a shard as the caller wrote its folder, or the folder itself for a number that is none.
    package func shardPath(_ shard: Int32) -> String {
        shards.indices.contains(Int(shard)) ? shards[Int(shard)].file.path : folder
    }

    /// The name of a shard's file, or "".
    package func shardName(_ shard: Int32) -> String {
        shards.indices.contains(Int(shard)) ? shards[Int(shard)].name : ""
    }

    /// The size of a shard's file when it was opened, or 0.
    package func shardSize(_ shard: Int32) -> Int {
        shards.indices.contains(Int(shard)) ? shards[Int(shard)].file.size : 0
    }
}

// MARK: Steps of opening

extension Checkpoint {
    /// A file of the folder, or nil if it has none of that name.
    static func contents(
        _ folder: String, _ name: String, among entries: [String], limit: Int
    ) throws(KimiError) -> [UInt8]? {
        guard entries.contains(name) else { return nil }
        return try OpenFile(FolderLayout.path(folder, name)).contents(limit: limit)
    }

    static func readConfig(
        _ bytes: [UInt8], folder: String, entries: [String]
    ) throws(KimiError) -> ModelConfig {
        let fields = try ConfigFields.parse(bytes, file: FolderLayout.path(folder, "config.json"))
        var generation: ConfigFields?
        if let text = try contents(folder, "generation_config.json", among: entries, limit: 1 << 20) {
            generation = try ConfigFields.parse(text, file: FolderLayout.path(folder, "generation_config.json"))
        }
        return try ModelConfig(fields, generation: generation)
    }

    private static func checkPresence(
        of shardNames: [String], among entries: [String], index: String, folder: String
    ) throws(KimiError) {
        let present = Set(entries)
        let missing = shardNames.filter { !present.contains($0) }
        guard let first = missing.first else { return }
        throw KimiError(
            .io, "the shard is missing (\(missing.count) of the \(shardNames.count) that \(FolderLayout.indexName) names)",
            file: FolderLayout.path(folder, first))
    }

    private static func findPrefix(_ table: TensorTable, folder: String) throws(KimiError) -> String {
        let name = "model.embed_tokens.weight"
        let found = ["language_model.", ""].filter { prefix in
            var full = prefix + name
            return full.withUTF8 { table.info(UnsafeRawBufferPointer($0)) } != nil
        }
        guard found.count <= 1 else {
            throw KimiError(.format, "the tensor is there with and without \"language_model.\"", file: folder, subject: name)
        }
        guard let prefix = found.first else {
            throw KimiError(
                .format, "tensor missing: neither \(name) nor language_model.\(name) is in the checkpoint", file: folder,
                subject: name)
        }
        return prefix
    }

    /// Refuses weights in formats that no part of this library computes with; says whether there is a vision tower.
    private static func surveyTypes(_ table: TensorTable, shards: [Shard]) throws(KimiError) -> Bool {
        let vision: StaticString = "vision_tower."
        var hasVision = false
        for entry in 0..<table.count {
            let info = table.infos[entry]
            if info.dtype.isNarrowFloat {
                throw KimiError(
                    .unsupported,
                    "the weights are \(info.dtype.spelling); supported are BF16, F16, F32 and INT4 packed in groups of 32",
                    file: shards[Int(info.shard)].file.path, subject: table.name(entry))
            }
            if !hasVision {
                hasVision = table.withName(entry) { name in
                    vision.withUTF8Buffer { name.count > $0.count && name.prefix($0.count).elementsEqual($0) }
                }
            }
        }
        return hasVision
    }
}
