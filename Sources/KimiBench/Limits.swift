import CKimiKernels
import KimiCore
import KimiTopology
import KimiVision

/// What this machine can do at a moment with the threads of a model, doing nothing else.
package struct Limits: Sendable {
    /// Bytes a second of plain reading: the limit of decoding.
    package let read: Double
    /// Multiply-adds a second in registers alone: the limit of prompts and large batches.
    package let f32: Double
    /// With bfloat16 pairs; nil where the processor has no such instruction.
    package let bf16: Double?
    /// With bytes; nil where the processor has no such instruction.
    package let int8: Double?
    /// With tiles of bfloat16; nil where the processor has none.
    package let tiles: Double?

    package init(read: Double, f32: Double, bf16: Double?, int8: Double?, tiles: Double? = nil) {
        self.read = read
        self.f32 = f32
        self.bf16 = bf16
        self.int8 = int8
        self.tiles = tiles
    }

    /// What arithmetic is judged by: bfloat16, the precision of the weights, where there is an instruction for it.
    package var arithmetic: Double { bf16 ?? f32 }

    /// What a way to multiply is judged by. 16-bit integers are multiplied by twos, as bfloat16 is where there is an instruction for that.
    package func peak(of path: TowerPath) -> Double {
        switch path {
        case .floats: f32
        case .integers: bf16 ?? f32
        case .pairs, .bf16: tiles ?? bf16 ?? f32
        }
    }

    /// Whether this processor multiplies pairs of bfloat16.
    package static let hasBF16 = ck_multiply(Int32(CK_MULTIPLY_BF16), 1) > 0
}

/// Measures the limits, again and again: neighbours on a shared machine move them by more than half within an hour.
package final class LimitMeter {
    private let pool: WorkerPool
    private let memory: StreamMemory
    /// Where each worker is in its own part of the memory, one cache line each.
    private let places: MappedMemory
    private let partBytes: Int

    /// Bytes of one item of a reading job.
    private static let piece = 1 << 20
    /// Rounds of one item of a multiplying job: about a tenth of a millisecond.
    private static let rounds = 20_000
    private static let passes = 3
    private static let glanceRounds = 1000

    package init(pool: WorkerPool, memory: StreamMemory) throws(KimiError) {
        self.pool = pool
        self.memory = memory
        partBytes = max(memory.byteCount / pool.threads / Self.piece, 1) * Self.piece
        places = try MappedMemory(byteCount: pool.threads * 64, what: "memory to measure with")
    }

    /// Takes about a tenth of a second.
    package func measure() -> Limits {
        // Which way to read is the fastest changes with the neighbours: the best way, each by the median of its passes.
        let read = (0..<Int32(CK_READ_COUNT)).map { way in
            Spread((0..<Self.passes).map { _ in readOnce(way) }).median
        }
        return Limits(
            read: read.max() ?? 0, f32: multiply(Int32(CK_MULTIPLY_F32)) ?? 0, bf16: multiply(Int32(CK_MULTIPLY_BF16)),
            int8: multiply(Int32(CK_MULTIPLY_INT8)), tiles: multiply(Int32(CK_MULTIPLY_TILES)))
    }

    /// Multiply-adds a second that a path is judged by, in half a millisecond: between two parts of some work.
    package func glance(at path: TowerPath) -> Double {
        let kind = switch path {
        case .floats: CK_MULTIPLY_F32
        case .integers: CK_MULTIPLY_BF16
        case .pairs, .bf16: CK_MULTIPLY_TILES
        }
        func look(_ kind: Int) -> Double? { multiply(Int32(kind), rounds: Self.glanceRounds, passes: 1) }
        return look(kind) ?? look(CK_MULTIPLY_F32) ?? 0
    }

    // MARK: Reading

    private struct ReadJob {
        let base: UnsafeRawPointer
        let places: UnsafeMutablePointer<Int>
        let partBytes: Int
        let parts: Int
        let way: Int32
    }

    /// Bytes a second of reading as many bytes as the memory has.
    private func readOnce(_ way: Int32) -> Double {
        var job = ReadJob(
            base: memory.base, places: places.pointer(to: Int.self), partBytes: partBytes,
            parts: max(1, memory.byteCount / partBytes), way: way)
        let items = memory.byteCount / Self.piece
        let begin = monotonicSeconds()
        pool.run(readPiece, &job, count: items, grain: 1)
        return Double(items * Self.piece) / (monotonicSeconds() - begin)
    }

    /// An item is the next piece of the worker's own part, so that each thread streams on, and one that is slow reads less.
    private let readPiece: @convention(c) (UnsafeMutableRawPointer?, Int, Int, Int) -> Void = { context, begin, end, worker in
        // Safe because `readOnce` passes exactly this type and waits for the job.
        guard let job = context?.assumingMemoryBound(to: ReadJob.self).pointee else { return }
        let place = job.places + worker * 8
        let part = job.base + worker % job.parts * job.partBytes
        for _ in begin..<end {
            let sum = ck_read(part + place.pointee % job.partBytes, LimitMeter.piece, job.way)
            // Used, however improbably: the reading must not be optimised away.
            place.pointee = (place.pointee + LimitMeter.piece) % job.partBytes &+ (sum == 1 ? LimitMeter.piece : 0)
        }
    }

    // MARK: Multiplying

    private struct MultiplyJob {
        let kind: Int32
        let rounds: Int
        let done: UnsafeMutablePointer<Int>
    }

    /// Multiply-adds a second, the best of the passes: unlike reading it has a ceiling that neighbours can only lower.
    private func multiply(_ kind: Int32, rounds: Int = LimitMeter.rounds, passes: Int = LimitMeter.passes) -> Double? {
        guard ck_multiply(kind, 1) > 0 else { return nil }
        let counts = places.pointer(to: Int.self)
        var best = 0.0
        for _ in 0..<passes {
            var job = MultiplyJob(kind: kind, rounds: rounds, done: counts)
            for worker in 0..<pool.threads { counts[worker * 8] = 0 }
            let begin = monotonicSeconds()
            pool.run(multiplyPiece, &job, count: pool.threads * 16, grain: 1)
            let seconds = monotonicSeconds() - begin
            let done = (0..<pool.threads).reduce(0) { $0 + counts[$1 * 8] }
            best = max(best, Double(done) / seconds)
        }
        for worker in 0..<pool.threads { counts[worker * 8] = 0 }
        return best
    }

    private let multiplyPiece: @convention(c) (UnsafeMutableRawPointer?, Int, Int, Int) -> Void = { context, begin, end, worker in
        // Safe because `multiply` passes exactly this type and waits for the job.
        guard let job = context?.assumingMemoryBound(to: MultiplyJob.self).pointee else { return }
        for _ in begin..<end {
            job.done[worker * 8] &+= Int(clamping: ck_multiply(job.kind, job.rounds))
        }
    }
}
