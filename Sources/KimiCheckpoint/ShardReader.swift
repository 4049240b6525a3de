import CKimiSystem
import Glibc
import KimiCore

/// Reads parts of tensors while its owner goes on: many at once, past the page cache where the file system allows it, so that memory
/// holds one copy only and a file that changed is found out.
///
/// For one thread at a time; the memory that is read into must live until the request has ended or the reader is gone. Allocates
/// nothing after init but for errors.
package final class ShardReader {
    /// How reads are made.
    package enum Backend: Int32, Sendable {
        case best = 0
        /// io_uring.
        case ring = 1
        /// pread on threads of the reader's own.
        case threads = 2
    }

    private let checkpoint: Checkpoint
    private let reader: OpaquePointer
    /// For each shard the descriptor to read by, and whether it is one of ours, past the page cache.
    private let descriptors: [(number: Int32, isDirect: Bool)]

    private struct Request {
        var tag: UInt64 = 0
        var tensor: TensorInfo?
    }
    /// What has not ended, and the entries that are free.
    private var requests: [Request]
    private var vacant: [Int32]
    private let ends: UnsafeMutablePointer<cks_read_end>
    private static let endCount = 64

    /// What offsets, lengths and addresses of reads are multiples of.
    package static let block = 4096

    /// - Parameter requests: how many may be under way or waiting, 1 to 2^20.
    /// - Throws: `outOfMemory`, or `unsupported` if the system does not allow the backend that is asked for.
    package init(_ checkpoint: Checkpoint, requests: Int, backend: Backend = .best) throws(KimiError) {
        guard let reader = cks_reader_create(requests, backend.rawValue) else {
            throw backend == .ring
                ? KimiError(.unsupported, "this system does not allow io_uring", subject: "backend")
                : KimiError(.outOfMemory, "the system gave no memory or threads for reading")
        }
        self.checkpoint = checkpoint
        self.reader = reader
        self.requests = .init(repeating: Request(), count: requests)
        vacant = (0..<Int32(clamping: requests)).reversed()
        ends = .allocate(capacity: Self.endCount)
        descriptors = checkpoint.shards.map { shard in
            var block = 0
            let descriptor = cks_file_open_direct(shard.file.path, &block)
            guard descriptor >= 0 else { return (shard.file.descriptor, false) }
            // The path may name another file by now: then the one that was opened first is read.
            guard block == Self.block, cks_file_is_same(descriptor, shard.file.descriptor) == 1 else {
                cks_file_close(descriptor)
                return (shard.file.descriptor, false)
            }
            return (descriptor, true)
        }
    }

    deinit {
        cks_reader_destroy(reader)
        for descriptor in descriptors where descriptor.isDirect { cks_file_close(descriptor.number) }
        ends.deallocate()
    }

    /// How reads are made.
    package var backend: Backend { Backend(rawValue: cks_reader_backend(reader)) ?? .best }
    /// Whether all shards are read past the page cache.
    package var isDirect: Bool { descriptors.allSatisfy(\.isDirect) }
    /// Whether the shard of a tensor is.
    package func isDirect(_ tensor: TensorInfo) -> Bool {
        descriptors.indices.contains(Int(tensor.shard)) && descriptors[Int(tensor.shard)].isDirect
    }
    /// Bytes that have come in, whole blocks counted.
    package var bytesRead: Int { Int(clamping: cks_reader_bytes(reader)) }
    /// Pieces that were read once more.
    package var retries: Int { Int(clamping: cks_reader_retries(reader)) }
    /// Requests that have not been told as ended.
    package var pending: Int { cks_reader_pending(reader) }

    /// How many bytes before a place of a file a read begins.
    package static func lead(_ offset: Int) -> Int { offset % block }

    /// Room for a read of so many bytes from anywhere.
    package static func room(for bytes: Int) -> Int { (bytes + 2 * block - 2) / block * block }

    /// Begins to read `count` bytes of a tensor from byte `begin` on. The first of them will be at `memory + lead(tensor.offset + begin)`.
    ///
    /// - Parameters:
    ///   - memory: `room(for: count)` bytes at a multiple of `block`.
    ///   - tag: comes back with the end; several requests may have the same.
    /// - Returns: false if too many requests have not ended.
    /// - Throws: `invalidArgument` if the tensor has no such bytes.
    package func request(
        _ tensor: TensorInfo, from begin: Int, count: Int, into memory: UnsafeMutableRawPointer, tag: UInt64
    ) throws(KimiError) -> Bool {
        guard checkpoint.shards.indices.contains(Int(tensor.shard)), begin >= 0, count >= 0, count <= tensor.byteCount - begin else {
            throw KimiError(
                .invalidArgument, "\(count) bytes from \(begin) on, of a tensor of \(tensor.byteCount)",
                subject: checkpoint.name(of: tensor))
        }
        guard let number = vacant.last else { return false }
        // Safe from overflow: the shard holds the tensor whole.
        let offset = tensor.offset + begin
        let lead = Self.lead(offset)
        var read = cks_read(
            descriptor: descriptors[Int(tensor.shard)].number, reserved: 0, offset: Int64(offset - lead), to: memory,
            count: (lead + count + Self.block - 1) / Self.block * Self.block, needed: lead + count, tag: UInt64(number))
        guard cks_reader_submit(reader, &read) == 1 else { return false }
        vacant.removeLast()
        requests[Int(number)] = Request(tag: tag, tensor: tensor)
        return true
    }

    /// Tells `body` which requests have ended, with an error if what they wanted is not there; waits for the first at most so many
    /// milliseconds.
    ///
    /// - Returns: how many were told.
    package func wait(milliseconds: Int, _ body: (_ tag: UInt64, _ error: KimiError?) -> Void) -> Int {
        let count = cks_reader_wait(reader, Int32(clamping: milliseconds), ends, Self.endCount)
        for index in 0..<count {
            let number = Int(ends[index].tag)
            let request = requests[number]
            requests[number].tensor = nil
            vacant.append(Int32(truncatingIfNeeded: number))
            body(request.tag, request.tensor.flatMap { fault($0, result: ends[index].result) })
        }
        return count
    }

    /// What is wrong with a read that has ended.
    private func fault(_ tensor: TensorInfo, result: Int64) -> KimiError? {
        let shard = checkpoint.shards[Int(tensor.shard)]
        if shard.hasChanged { return Checkpoint.changed(shard, subject: checkpoint.name(of: tensor)) }
        guard result < 0 else { return nil }
        if result == -Int64(ENODATA) {
            return KimiError(.io, "the file ended within the tensor", file: shard.file.path, subject: checkpoint.name(of: tensor))
        }
        return OpenFile.error(
            "cannot be read", errno: Int32(clamping: -result), path: shard.file.path, subject: checkpoint.name(of: tensor))
    }

    /// For tests: what reads are to have given; see `cks_reader_set_fault`.
    package func setFault(_ fault: cks_read_fault?, _ context: UnsafeMutableRawPointer?) {
        cks_reader_set_fault(reader, fault, context)
    }
}
