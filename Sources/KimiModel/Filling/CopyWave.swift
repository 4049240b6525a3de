import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiTopology
import Synchronization

/// What one job of the workers does: some pieces, each from where its bytes are.
struct CopyWave {
    enum Source {
        /// The page cache, if it has them.
        case cache
        /// The file.
        case file
        /// Memory that they were read into.
        case memory(UnsafeRawPointer)
    }

    struct Item {
        let filling: Int
        /// Counted from where the filling begins.
        let begin: Int
        let count: Int
        let source: Source
        /// The piece's index among those of the wave.
        let piece: Int
        /// Set if the page cache has not got it.
        var isLeft = false
    }

    /// Pieces of the wave, and for each the slot of the reader that it occupies.
    private(set) var pieces: [(piece: CopyPiece, slot: Int?)] = []
    private(set) var items: [Item] = []
    /// Bytes that the items write, counted as stored.
    private(set) var bytes = 0

    mutating func removeAll() {
        pieces.removeAll(keepingCapacity: true)
        items.removeAll(keepingCapacity: true)
        bytes = 0
    }

    mutating func append(_ piece: CopyPiece, from source: Source, slot: Int? = nil) {
        for filling in piece.fillings {
            items.append(Item(filling: filling, begin: piece.begin, count: piece.count, source: source, piece: pieces.count))
        }
        pieces.append((piece, slot))
        bytes += piece.count * piece.fillings.count
    }

    /// Has each group's workers fill what is theirs, and waits for the end.
    ///
    /// - Parameter buffers: `bufferBytes` for each worker.
    mutating func run(
        _ checkpoint: Checkpoint, fillings: [Filling], pool: WorkerPool, kernels: UnsafePointer<ck_kernels>,
        buffers: UnsafeMutableRawPointer?, bufferBytes: Int
    ) throws(KimiError) {
        // By group, in the order of the files within.
        var counts = [Int](repeating: 0, count: pool.groupCount)
        for item in items { counts[fillings[item.filling].group] += 1 }
        var begins = [0]
        for count in counts { begins.append(begins[begins.count - 1] + count) }
        var next = begins
        var sorted = items
        for item in items {
            let group = fillings[item.filling].group
            sorted[next[group]] = item
            next[group] += 1
        }
        let failure = FirstFailure()
        sorted.withUnsafeMutableBufferPointer { items in
            fillings.withUnsafeBufferPointer { fillings in
                begins.withUnsafeBufferPointer { begins in
                    guard let items = items.baseAddress, let fillings = fillings.baseAddress, let begins = begins.baseAddress
                    else { return }
                    var job = CopyJob(
                        checkpoint: checkpoint, failure: failure, kernels: kernels, fillings: fillings, items: items,
                        begins: begins, buffers: buffers, bufferBytes: bufferBytes)
                    // Bound during the job only: the host's callbacks run in between.
                    let before = pool.bindCaller()
                    pool.run(fillItems, &job, counts: counts, grain: 1)
                    pool.release(before)
                }
            }
        }
        items = sorted
        if let error = failure.error { throw error }
    }
}

/// What the workers need. The classes are alive during the job: its caller has them.
private struct CopyJob {
    unowned(unsafe) let checkpoint: Checkpoint
    unowned(unsafe) let failure: FirstFailure
    let kernels: UnsafePointer<ck_kernels>
    let fillings: UnsafePointer<Filling>
    /// Those of the first group, of the second, and so on.
    let items: UnsafeMutablePointer<CopyWave.Item>
    /// Where each group's begin.
    let begins: UnsafePointer<Int>
    let buffers: UnsafeMutableRawPointer?
    let bufferBytes: Int

    func fill(_ item: UnsafeMutablePointer<CopyWave.Item>, worker: Int) throws(KimiError) {
        let filling = fillings[item.pointee.filling]
        switch filling.target {
        case .copy(let base):
            let place = UnsafeMutableRawBufferPointer(start: base + item.pointee.begin, count: item.pointee.count)
            item.pointee.isLeft = try !read(item.pointee, filling, at: 0, into: place)
        case .int8(let matrix, let first, let type):
            guard let buffers, let rowBytes = filling.convertedRowBytes, rowBytes > 0 else { return }
            let buffer = buffers + worker * bufferBytes
            let rows = item.pointee.count / rowBytes
            let step = CopyPieces.bufferRows(rowBytes)
            for begin in stride(from: 0, to: rows, by: step) {
                let count = min(step, rows - begin)
                var data = UnsafeRawPointer(buffer)
                if case .memory(let bytes) = item.pointee.source, Int(bitPattern: bytes) & 3 == 0, rowBytes & 3 == 0 {
                    data = bytes + begin * rowBytes
                } else {
                    let place = UnsafeMutableRawBufferPointer(start: buffer, count: count * rowBytes)
                    guard try read(item.pointee, filling, at: begin * rowBytes, into: place) else {
                        return item.pointee.isLeft = true
                    }
                }
                var stored = ck_matrix(data: data, scales: nil, rows: count, columns: matrix.columns, type: type, reserved: 0)
                let target = matrix.rows(first + item.pointee.begin / rowBytes + begin, count)
                // Safe to write to because the loader made this memory, and each piece has rows of its own.
                kernels.pointee.quantize_rows(
                    UnsafeMutableRawPointer(mutating: target.data), UnsafeMutablePointer(mutating: target.scales), &stored)
            }
        }
    }

    /// Bytes of an item from `offset` on; false if they are to be had otherwise.
    private func read(
        _ item: CopyWave.Item, _ filling: Filling, at offset: Int, into place: UnsafeMutableRawBufferPointer
    ) throws(KimiError) -> Bool {
        let begin = filling.begin + item.begin + offset
        switch item.source {
        case .cache: return try checkpoint.readCached(filling.tensor, from: begin, into: place)
        case .file: try checkpoint.readIntact(filling.tensor, from: begin, into: place)
        case .memory(let bytes): place.copyMemory(from: UnsafeRawBufferPointer(start: bytes + offset, count: place.count))
        }
        return true
    }
}

/// The first error of any worker.
private final class FirstFailure: Sendable {
    private let found = Mutex<KimiError?>(nil)

    var error: KimiError? { found.withLock { $0 } }

    func note(_ error: KimiError) { found.withLock { if $0 == nil { $0 = error } } }
}

private func fillItems(_ context: UnsafeMutableRawPointer?, _ group: Int, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `run` passes exactly this type and waits for the job.
    guard let job = context?.assumingMemoryBound(to: CopyJob.self).pointee else { return }
    for index in begin..<end where job.failure.error == nil {
        do throws(KimiError) {
            try job.fill(job.items + (job.begins[group] + index), worker: worker)
        } catch {
            return job.failure.note(error)
        }
    }
}
