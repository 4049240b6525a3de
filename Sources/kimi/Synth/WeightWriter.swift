import Dispatch
import Glibc
import Synchronization

/// Writes the planned shards, block by block, from several threads, in memory that does not grow with the checkpoint.
///
/// The files are the same whatever the number of threads.
struct WeightWriter {
    let plan: ShardPlan
    let folder: String
    let seed: UInt64
    let threads: Int
    /// Sizes and headers only: the data is a hole in the file.
    let headersOnly: Bool
    let interrupt: Interrupt

    private static let blockSize = 4 << 20

    /// A part of a file that one thread makes at once: some whole tensors, or a stretch of a large one.
    private struct Block {
        let shard: Int
        let tensors: Range<Int>
        /// Of the only tensor, where the block begins in it.
        let offset: Int
        let byteCount: Int
    }

    /// - Parameter progress: told the bytes written.
    func write(progress: @Sendable (_ done: Int, _ total: Int) -> Void) throws(Failure) {
        var files: [OutputFile] = []
        for shard in plan.shards {
            guard !interrupt.isRequested else { throw .interrupted }
            let file = try OutputFile(folder + "/" + shard.fileName)
            try file.write(shard.header, at: 0)
            try file.resize(to: shard.fileSize)
            files.append(file)
        }
        if !headersOnly { try writeBlocks(to: files, progress: progress) }
        for file in files { try file.close() }
    }

    private func writeBlocks(
        to files: [OutputFile], progress: @Sendable (_ done: Int, _ total: Int) -> Void
    ) throws(Failure) {
        let blocks = plan.shards.indices.flatMap { cut($0) }
        let next = Atomic(0)
        let written = Atomic(0)
        let failure = Mutex<Failure?>(nil)
        DispatchQueue.concurrentPerform(iterations: threads) { _ in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.blockSize, alignment: 64)
            defer { buffer.deallocate() }
            var values = RandomValues(seed: seed)
            while failure.withLock({ $0 == nil }) {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < blocks.count else { return }
                do throws(Failure) {
                    guard !interrupt.isRequested else { throw .interrupted }
                    try write(blocks[index], to: files[blocks[index].shard], buffer, &values)
                } catch {
                    failure.withLock { $0 = $0 ?? error }
                    return
                }
                let done = written.wrappingAdd(blocks[index].byteCount, ordering: .relaxed).newValue
                progress(done, plan.weightBytes)
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    /// A shard in blocks, in the order of its bytes.
    private func cut(_ shard: Int) -> [Block] {
        let tensors = plan.shards[shard].tensors
        var blocks: [Block] = []
        var begin = 0
        var gathered = 0
        func flush(_ end: Int) {
            if end > begin { blocks.append(Block(shard: shard, tensors: begin..<end, offset: 0, byteCount: gathered)) }
            (begin, gathered) = (end, 0)
        }
        for (index, tensor) in tensors.enumerated() {
            let size = tensor.byteCount
            if gathered + size > Self.blockSize { flush(index) }
            if size > Self.blockSize {
                for offset in stride(from: 0, to: size, by: Self.blockSize) {
                    blocks.append(Block(
                        shard: shard, tensors: index..<index + 1, offset: offset,
                        byteCount: min(Self.blockSize, size - offset)))
                }
                begin = index + 1
            } else {
                gathered += size
            }
        }
        flush(tensors.count)
        return blocks
    }

    private func write(
        _ block: Block, to file: OutputFile, _ buffer: UnsafeMutableRawBufferPointer, _ values: inout RandomValues
    ) throws(Failure) {
        let shard = plan.shards[block.shard]
        var place = 0
        for index in block.tensors {
            let count = min(shard.tensors[index].byteCount, block.byteCount - place)
            values.fill(
                UnsafeMutableRawBufferPointer(rebasing: buffer[place..<place + count]), shard.tensors[index],
                from: block.offset)
            place += count
        }
        try file.write(
            UnsafeRawBufferPointer(rebasing: buffer[..<place]), at: shard.offsets[block.tensors.lowerBound] + block.offset)
    }
}

/// A new file that is being written; closed at the latest when nobody holds it.
final class OutputFile: Sendable {
    private let path: String
    private let descriptor: Mutex<Int32>

    /// Creates the file; it must not be there yet.
    init(_ path: String) throws(Failure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure("cannot create \(path)", errno: errno) }
        self.path = path
        self.descriptor = Mutex(descriptor)
    }

    deinit { descriptor.withLock { if $0 >= 0 { _ = Glibc.close($0) } } }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(Failure) {
        let descriptor = descriptor.withLock { $0 }
        var done = 0
        while done < bytes.count {
            // Safe because `done` stays below the count.
            let written = pwrite(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, offset + done)
            if written < 0 {
                if errno == EINTR { continue }
                throw Failure("cannot write \(path)", errno: errno)
            }
            done += written
        }
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(Failure) {
        let result = bytes.withUnsafeBytes { buffer in Result { () throws(Failure) in try write(buffer, at: offset) } }
        try result.get()
    }

    func resize(to size: Int) throws(Failure) {
        guard ftruncate(descriptor.withLock { $0 }, size) == 0 else {
            throw Failure(
                "cannot give \(path) its size of \(Units.bytes(size))", errno: errno,
                next: "Choose a file system and a limit (ulimit -f) that allow files of that size, or more --shards.")
        }
    }

    /// Closes the file; a late write error shows here.
    func close() throws(Failure) {
        let result = descriptor.withLock { descriptor in
            defer { descriptor = -1 }
            return descriptor >= 0 ? Glibc.close(descriptor) : 0
        }
        guard result == 0 else { throw Failure("cannot finish \(path)", errno: errno) }
    }
}
