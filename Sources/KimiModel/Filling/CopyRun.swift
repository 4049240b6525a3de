import CKimiKernels
import CKimiSystem
import KimiCheckpoint
import KimiCore
import KimiTopology

/// Fills memory with weights on all threads, each of them that of its own node, as fast as the page cache or the device gives them.
///
/// A piece is read from the page cache straight to where it belongs, if it is there. If not, it is read past the page cache into
/// memory in between, up to 64 MiB under way at once, and copied or converted from there by the workers; where a file system does
/// not allow that, or there is no room for it, workers read the file in the usual way. Work goes in waves, one job of the pool
/// each: between them the calling thread keeps reads under way, tells progress, and may stop. For one thread, one `run`.
package final class CopyRun {
    /// How files are read.
    package enum Way: Sendable, CaseIterable {
        case best
        /// Past the page cache where that is allowed, also what is in it.
        case direct
        /// Through the page cache.
        case buffered
    }

    private let checkpoint: Checkpoint
    private let pool: WorkerPool
    private let kernels: UnsafePointer<ck_kernels>
    private let room: BufferRoom
    private let way: Way
    private var pieces: CopyPieces
    private let buffers: MappedMemory?
    private let workerBytes: Int

    private var bounce: BounceReader?
    /// Whether it was tried to have one.
    private var isBounceSettled: Bool
    /// What the page cache has not got: to be read past it, and in the usual way.
    private var forReader: [CopyPiece] = []
    private var forWorkers: [CopyPiece] = []
    private var wave = CopyWave()
    /// Bytes of a wave that are read by workers: what takes them about `waveNanoseconds`.
    private var waveBytes: Int

    private static let waveNanoseconds = 40_000_000
    /// What wakes the caller up while nothing comes from the device, in milliseconds.
    private static let patience = 50
    /// Progress is told after so many bytes, or nanoseconds.
    private static let reportBytes = 32 << 20
    private static let reportNanoseconds = 50_000_000

    /// For tests: what direct reads are to have given; see `cks_reader_set_fault`.
    package var fault: (function: cks_read_fault, context: UnsafeMutableRawPointer?)?

    /// - Parameters:
    ///   - room: for buffers.
    ///   - fillings: groups below the pool's count of them; memory that nobody else uses meanwhile.
    /// - Throws: `outOfMemory` if there is no room for the buffers of rows that are converted.
    package init(
        _ checkpoint: Checkpoint, pool: WorkerPool, kernels: UnsafePointer<ck_kernels>, room: BufferRoom, fillings: [Filling],
        way: Way = .best
    ) throws(KimiError) {
        self.checkpoint = checkpoint
        self.pool = pool
        self.kernels = kernels
        self.room = room
        self.way = way
        pieces = CopyPieces(fillings)
        workerBytes = pieces.workerBytes
        if workerBytes > 0 {
            guard let bytes = Checked.product(workerBytes, pool.threads) else {
                throw KimiError(.outOfMemory, "rows of \(workerBytes) bytes are too long for \(pool.threads) threads' buffers")
            }
            try room.take(bytes, what: "buffers for weights that are converted")
            buffers = try MappedMemory(byteCount: bytes, what: "weights being converted")
        } else {
            buffers = nil
        }
        isBounceSettled = way == .buffered
        waveBytes = pool.threads * CopyPieces.most
    }

    /// Fills all.
    ///
    /// - Parameter progress: bytes done and in all, never fewer than before; told before the first, after the last, and meanwhile
    ///   every 32 MiB or twentieth of a second at least. On the calling thread; what it throws ends the run and comes out.
    /// - Throws: `.io` naming file and tensor, also for a file that was cut or written to.
    package func run(_ progress: (Int, Int) throws(KimiError) -> Void) throws(KimiError) {
        let total = pieces.byteCount
        let step = min(Self.reportBytes, total / 64)
        var (done, told, time) = (0, 0, monotonicNanoseconds())
        try progress(0, total)
        while done < total {
            try gather()
            if !wave.items.isEmpty { done += try fill() }
            let now = monotonicNanoseconds()
            guard done < total, done - told >= max(step, 1) || now - time >= Self.reportNanoseconds else { continue }
            try progress(done, total)
            (told, time) = (done, now)
        }
        try progress(total, total)
    }

    // MARK: A wave

    /// Collects what workers can do now, and keeps reads under way.
    private func gather() throws(KimiError) {
        wave.removeAll()
        try request()
        var bytes = 0
        while bytes < waveBytes, let (piece, source) = nextForWorkers() {
            wave.append(piece, from: source)
            bytes += piece.count * piece.fillings.count
        }
        guard let bounce else { return }
        try bounce.wait(milliseconds: wave.items.isEmpty ? Self.patience : 0) { piece, slot in
            let filling = pieces.fillings[piece.fillings.lowerBound]
            let offset = filling.tensor.offset + filling.begin + piece.begin
            wave.append(piece, from: .memory(bounce.bytes(slot, offset: offset)), slot: slot)
        }
    }

    /// A piece that a worker is to read, and from where; nil if there is none, or the reader has enough to do.
    private func nextForWorkers() -> (CopyPiece, CopyWave.Source)? {
        if let piece = forWorkers.popLast() { return (piece, .file) }
        while forReader.count < BounceReader.mostSlots, let piece = pieces.next() {
            if isBounceSettled, !isDirect(piece) { return (piece, .file) }
            guard way == .direct else { return (piece, .cache) }
            leave(piece)
            if let piece = forWorkers.popLast() { return (piece, .file) }
        }
        return nil
    }

    private func isDirect(_ piece: CopyPiece) -> Bool {
        bounce?.isDirect(pieces.fillings[piece.fillings.lowerBound].tensor) ?? false
    }

    /// Has a piece read that is not in the page cache.
    private func leave(_ piece: CopyPiece) {
        if !isBounceSettled {
            isBounceSettled = true
            // Without it workers read: that is no worse than slower.
            let slots = room.take(BounceReader.mostSlots, of: ShardReader.room(for: pieces.largest))
            if slots > 0 { bounce = try? BounceReader(checkpoint, slots: slots, pieceBytes: pieces.largest) }
            if let fault { bounce?.setFault(fault.function, fault.context) }
        }
        if isDirect(piece) { forReader.append(piece) } else { forWorkers.append(piece) }
    }

    /// Begins as many reads as there are slots for.
    private func request() throws(KimiError) {
        guard let bounce, bounce.hasRoom, !forReader.isEmpty else { return }
        var next = 0
        while bounce.hasRoom, next < forReader.count {
            let piece = forReader[next]
            let filling = pieces.fillings[piece.fillings.lowerBound]
            try bounce.request(piece, of: filling.tensor, from: filling.begin + piece.begin)
            next += 1
        }
        forReader.removeFirst(next)
    }

    /// Has the workers do the wave; returns how many bytes it filled.
    private func fill() throws(KimiError) -> Int {
        let begin = monotonicNanoseconds()
        try wave.run(
            checkpoint, fillings: pieces.fillings, pool: pool, kernels: kernels, buffers: buffers?.base, bufferBytes: workerBytes)
        var isLeft = [Bool](repeating: false, count: wave.pieces.count)
        for item in wave.items where item.isLeft { isLeft[item.piece] = true }
        var left = 0
        for (index, (piece, slot)) in wave.pieces.enumerated() {
            if let slot { bounce?.release(slot) }
            guard isLeft[index] else { continue }
            left += piece.count * piece.fillings.count
            leave(piece)
        }
        adapt(filled: wave.bytes - left, in: monotonicNanoseconds() - begin)
        return wave.bytes - left
    }

    /// Makes the next wave as large as the time allows.
    private func adapt(filled bytes: Int, in nanoseconds: Int) {
        guard bytes >= waveBytes / 2 else { return }
        let wanted = Double(bytes) * Double(Self.waveNanoseconds) / Double(max(nanoseconds, 1))
        let most = min(2 * waveBytes, max(Self.reportBytes, pool.threads * 4 * CopyPieces.most))
        waveBytes = max(CopyPieces.most, min(Int(min(wanted, 1e15)), most))
    }
}
