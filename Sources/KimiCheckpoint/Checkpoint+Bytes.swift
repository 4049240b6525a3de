import CKimiSystem
import Glibc
import KimiCore

/// Copies of tensors whose place in the file does not suit their type. Guarded by the checkpoint's lock.
struct AlignedCopies: ~Copyable {
    private var copies: [Place: MappedMemory] = [:]
    private(set) var byteCount = 0

    struct Place: Hashable { let shard: Int32, offset: Int }

    func copy(at place: Place) -> MappedMemory? { copies[place] }

    mutating func keep(_ memory: MappedMemory, for place: Place) {
        copies[place] = memory
        byteCount += memory.byteCount
    }

    mutating func release() { copies = [:] }
}

extension Checkpoint {
    /// The bytes of a tensor, in place in the mapping of its shard, valid as long as the checkpoint. Nothing is read here.
    ///
    /// Where a file places a tensor at an offset that its element type cannot be read at (the format does not forbid it; the
    /// usual writers never do), the first call copies it into memory, and the log is told. All such copies together may take
    /// half of the machine's memory.
    ///
    /// - Throws: `.invalidArgument` for a tensor that is not this checkpoint's; for copies also `.io` and `.outOfMemory`.
    package func bytes(of tensor: TensorInfo) throws(KimiError) -> UnsafeRawBufferPointer {
        let shard = try self.shard(of: tensor)
        guard tensor.byteCount > 0 else { return UnsafeRawBufferPointer(start: shard.bytes.baseAddress, count: 0) }
        if tensor.isAligned {
            // Safe because `shard(of:)` has compared the range with the mapping.
            return UnsafeRawBufferPointer(rebasing: shard.bytes[tensor.offset..<tensor.offset + tensor.byteCount])
        }
        return try alignedCopy(of: tensor, in: shard)
    }

    /// The memory that copies of all tensors would take whose place does not suit their type; 0 for files as they are usually written.
    package var unalignedByteCount: Int {
        var sum = 0
        // Safe from overflow because the files hold all tensors whole.
        forEachTensor { (_, tensor) throws(Never) in if !tensor.isAligned { sum += tensor.byteCount + 4096 } }
        return sum
    }

    private func alignedCopy(of tensor: TensorInfo, in shard: Shard) throws(KimiError) -> UnsafeRawBufferPointer {
        let place = AlignedCopies.Place(shard: tensor.shard, offset: tensor.offset)
        let outcome = copies.withLock { copies in
            Result { () throws(KimiError) in
                if let memory = copies.copy(at: place) { return (memory, isNew: false) }
                let limit = Self.physicalMemory / 2
                guard copies.byteCount <= limit, tensor.byteCount <= limit - copies.byteCount else {
                    throw KimiError(
                        .outOfMemory,
                        "offset \(tensor.offset) does not suit \(tensor.dtype.spelling), and copies of more than \(limit) bytes (half of the memory) are not made",
                        file: shard.file.path, subject: name(of: tensor))
                }
                let memory = try MappedMemory(byteCount: tensor.byteCount, what: "aligned copy of a tensor")
                let target = UnsafeMutableRawBufferPointer(start: memory.base, count: tensor.byteCount)
                try read(tensor, into: target)
                copies.keep(memory, for: place)
                return (memory, isNew: true)
            }
        }
        let (memory, isNew) = try outcome.get()
        // Outside the lock: the host's log callback may call back.
        if isNew { log(.debug, "\(shard.file.path): \(name(of: tensor) ?? "a tensor") is not aligned for its type; copied") }
        return UnsafeRawBufferPointer(start: memory.base, count: tensor.byteCount)
    }

    /// Reads a tensor into memory of the caller's, by the file system and not through the mapping: a file that has shrunk is
    /// an error here, never a signal.
    ///
    /// - Throws: `.invalidArgument` if the buffer's size is not the tensor's, `.io` with file and tensor.
    package func read(_ tensor: TensorInfo, into buffer: UnsafeMutableRawBufferPointer) throws(KimiError) {
        guard buffer.count == tensor.byteCount else {
            throw KimiError(
                .invalidArgument, "a buffer of \(buffer.count) bytes for a tensor of \(tensor.byteCount)",
                file: try shard(of: tensor).file.path, subject: name(of: tensor))
        }
        try read(tensor, from: 0, into: buffer)
    }

    /// The same for a part of a tensor: the bytes from `begin` on, as many as the buffer holds. Any thread.
    package func read(
        _ tensor: TensorInfo, from begin: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(KimiError) {
        let shard = try self.shard(of: tensor, from: begin, count: buffer.count)
        do throws(KimiError) {
            // Safe from overflow because the shard holds the tensor whole.
            try shard.file.read(into: buffer, at: tensor.offset + begin)
        } catch {
            // The name is looked up on the way out only: it is a walk through the table.
            throw KimiError(error.status, error.message, file: error.file, subject: name(of: tensor))
        }
    }

    /// The same, and then a look at whether the file is still as it was. Any thread.
    ///
    /// - Throws: `.io` with file and tensor also for a file that was cut or written to since it was opened.
    package func readIntact(
        _ tensor: TensorInfo, from begin: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(KimiError) {
        let shard = try self.shard(of: tensor)
        do throws(KimiError) {
            try read(tensor, from: begin, into: buffer)
        } catch {
            throw shard.hasChanged ? Self.changed(shard, subject: name(of: tensor)) : error
        }
        if shard.hasChanged { throw Self.changed(shard, subject: name(of: tensor)) }
    }

    /// Fills the buffer from the page cache if all of these bytes of a tensor are in it; waits for no device. Any thread.
    ///
    /// - Returns: false, and anything in the buffer, if they are not all there or that cannot be told.
    /// - Throws: as `readIntact`.
    package func readCached(
        _ tensor: TensorInfo, from begin: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(KimiError) -> Bool {
        let shard = try self.shard(of: tensor, from: begin, count: buffer.count)
        guard let to = buffer.baseAddress, let mapping = shard.bytes.baseAddress, buffer.count > 0 else { return true }
        // Safe from overflow because the shard holds the tensor whole.
        let offset = tensor.offset + begin
        let got = cks_file_read_cached(shard.file.descriptor, mapping + offset, to, buffer.count, Int64(offset))
        if shard.hasChanged { throw Self.changed(shard, subject: name(of: tensor)) }
        guard got >= 0 else {
            throw OpenFile.error(
                "cannot be read at byte \(offset)", errno: Int32(clamping: -got), path: shard.file.path,
                subject: name(of: tensor))
        }
        return got == buffer.count
    }

    /// Asks every shard's size and when it was last written to. Cheap (two system calls a shard) and without allocation while all is
    /// well, for calling before weights are touched through the mappings: a file that shrank becomes an error instead of SIGBUS, one
    /// that was written to an error instead of wrong numbers.
    ///
    /// - Throws: `.io` naming the shard that is another than when it was opened.
    package func checkIntact() throws(KimiError) {
        for shard in shards where shard.hasChanged { throw Self.changed(shard) }
    }

    /// What became of a shard that has changed.
    static func changed(_ shard: Shard, subject: String? = nil) -> KimiError {
        guard shard.hasShrunk else {
            return KimiError(.io, "the file was modified while it was in use", file: shard.file.path, subject: subject)
        }
        return KimiError(
            .io,
            "the file became smaller while it was in use: \(max(0, shard.file.currentSize)) bytes now, \(shard.file.size) when it was opened",
            file: shard.file.path, subject: subject)
    }

    private func shard(of tensor: TensorInfo) throws(KimiError) -> Shard {
        guard shards.indices.contains(Int(tensor.shard)), case let shard = shards[Int(tensor.shard)],
            tensor.offset >= 0, tensor.byteCount >= 0,
            let end = Checked.sum(tensor.offset, tensor.byteCount), end <= shard.bytes.count
        else { throw KimiError(.invalidArgument, "a tensor of another checkpoint", file: folder) }
        return shard
    }

    /// The shard of a tensor that has so many bytes from `begin` on.
    private func shard(of tensor: TensorInfo, from begin: Int, count: Int) throws(KimiError) -> Shard {
        let shard = try self.shard(of: tensor)
        guard (0...tensor.byteCount).contains(begin), count <= tensor.byteCount - begin else {
            throw KimiError(
                .invalidArgument, "\(count) bytes from \(begin) on, of a tensor of \(tensor.byteCount)",
                file: shard.file.path, subject: name(of: tensor))
        }
        return shard
    }

    /// The name of a tensor, for messages: a walk through the whole table.
    func name(of tensor: TensorInfo) -> String? {
        table.infos.firstIndex(of: tensor).map { table.name($0) }
    }

    private static var physicalMemory: Int {
        let (bytes, overflow) = sysconf(Int32(_SC_PHYS_PAGES)).multipliedReportingOverflow(by: sysconf(Int32(_SC_PAGESIZE)))
        return overflow || bytes <= 0 ? 1 << 30 : bytes
    }
}
