import CKimiKernels
import Glibc
import KimiCore
import KimiTopology

/// How fast this machine reads memory with the threads of a model, doing nothing else: the limit of decoding.
///
/// Neighbours on a shared machine move it by more than half within an hour, so it is taken before and after each figure that is
/// judged by it.
struct ReadBandwidth {
    private let memory: MappedMemory

    /// Larger than any last-level cache in sight, smaller than any machine's memory.
    private static let size = 512 << 20

    private struct Job {
        let base: UnsafeRawPointer
        let sink: UnsafeMutablePointer<UInt64>
    }

    init() throws(KimiError) {
        memory = try MappedMemory(byteCount: Self.size, what: "memory to measure with")
        // Written once: untouched pages are all one page of zeros.
        memset(memory.base, 0x5A, Self.size)
    }

    /// Bytes a second, the best of three passes.
    func measure(_ pool: WorkerPool) -> Double {
        var best = 0.0
        var sink: UInt64 = 0
        for _ in 0..<3 {
            let begin = monotonicSeconds()
            withUnsafeMutablePointer(to: &sink) { sink in
                var job = Job(base: UnsafeRawPointer(memory.base), sink: sink)
                pool.run(readPiece, &job, count: Self.size / Self.piece, grain: 1)
            }
            best = max(best, Double(Self.size) / (monotonicSeconds() - begin))
        }
        return best
    }

    private static let piece = 1 << 20

    /// One MiB of the memory an item.
    private let readPiece: @convention(c) (UnsafeMutableRawPointer?, Int, Int, Int) -> Void = { context, begin, end, _ in
        // Safe because `measure` passes exactly this type and waits for the job.
        guard let job = context?.assumingMemoryBound(to: Job.self).pointee else { return }
        let sum = ck_read(job.base + begin * ReadBandwidth.piece, (end - begin) * ReadBandwidth.piece)
        // Never so, which the compiler cannot know: the reading must not be optimised away.
        if sum == 1 { job.sink.pointee = sum }
    }
}
