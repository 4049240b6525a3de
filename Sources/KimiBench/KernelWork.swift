import CKimiKernels
import KimiCore
import KimiModel
import KimiTopology

/// Runs kernels alone on all threads, over memory that goes round far beyond the caches.
package final class KernelWork {
    private let pool: WorkerPool
    private let memory: StreamMemory
    /// The activations, then each worker's room for results.
    private let room: MappedMemory
    /// Where in the memory the next item begins.
    private var place = 0

    /// Room for activations of an item, and for its results.
    static let roomBytes = 16 << 20
    /// Items begin at whole pages.
    private static let alignment = 4096
    /// How long a repeat should last.
    private static let span = 0.04

    package init(pool: WorkerPool, memory: StreamMemory) throws(KimiError) {
        self.pool = pool
        self.memory = memory
        room = try MappedMemory(byteCount: (pool.threads + 1) * Self.roomBytes, what: "room to measure with")
        // The same harmless numbers that weights are made of.
        room.base.copyMemory(from: memory.base, byteCount: min(Self.roomBytes, memory.byteCount))
    }

    /// The instruction-set levels to measure, from the plainest to `most`, or to the best there is.
    package static func levels(upTo most: Int32?) -> [Int32] {
        (0..<Int32(CK_ISA_COUNT)).filter { ck_kernels_for($0) != nil && $0 <= most ?? .max }
    }

    package static func name(ofLevel level: Int32) -> String {
        ck_kernels_for(level).map { String(cString: $0.pointee.name) } ?? ""
    }

    /// Measures one kernel at one level; nil if the level has no such kernel.
    package func measure(
        _ kernel: KernelCase, level: Int32, repeats: Int, meter: LimitMeter, advance: () throws -> Void = {}
    ) throws -> Measurement? {
        guard let kernels = ck_kernels_for(level), kernel.isThere(kernels.pointee) else { return nil }
        // As many items as a repeat's time has room for, and every thread some.
        var items = pool.threads
        while items < 1 << 20 {
            let begin = monotonicSeconds()
            run(kernel, kernels.pointee, items: items)
            let seconds = monotonicSeconds() - begin
            if seconds >= Self.span { break }
            items = min(items * 8, Int(Double(items) * Self.span * 1.2 / max(seconds, 1e-6)) + pool.threads)
        }
        return try Measurement.take(tokens: items, repeats: repeats, meter: meter, advance: advance) {
            run(kernel, kernels.pointee, items: items)
            return WorkCount(bytes: items * kernel.count.bytes, multiplyAdds: items * kernel.count.multiplyAdds)
        }
    }

    /// What the workers need. A class, so that a job carries one pointer.
    private final class Job {
        let kernel: KernelCase
        let kernels: ck_kernels
        let memory: StreamMemory
        let room: UnsafeMutableRawPointer
        let first: Int
        let step: Int

        init(
            _ kernel: KernelCase, _ kernels: ck_kernels, _ memory: StreamMemory, _ room: UnsafeMutableRawPointer, first: Int,
            step: Int
        ) {
            self.kernel = kernel
            self.kernels = kernels
            self.memory = memory
            self.room = room
            self.first = first
            self.step = step
        }

        /// The item's place in the memory, from its beginning again when it is used up.
        func data(_ item: Int) -> UnsafeRawPointer {
            let places = max(1, memory.byteCount / step)
            return memory.base + (first + item) % places * step
        }
    }

    private func run(_ kernel: KernelCase, _ kernels: ck_kernels, items: Int) {
        let step = (kernel.count.bytes + Self.alignment - 1) / Self.alignment * Self.alignment
        let job = Job(kernel, kernels, memory, room.base, first: place, step: step)
        place = (place + items) % max(1, memory.byteCount / step)
        var context = Unmanaged.passUnretained(job)
        // Several pieces a thread, each a stream of its own.
        withExtendedLifetime(job) {
            pool.run(runItems, &context, count: items, grain: max(1, items / (pool.threads * 8)))
        }
    }

    private let runItems: @convention(c) (UnsafeMutableRawPointer?, Int, Int, Int) -> Void = { context, begin, end, worker in
        // Safe because `run` passes exactly this type, keeps the object alive and waits for the job.
        guard let job = context?.assumingMemoryBound(to: Unmanaged<Job>.self).pointee.takeUnretainedValue() else { return }
        let output = job.room + (worker + 1) * KernelWork.roomBytes
        for item in begin..<end {
            job.kernel.run(KernelCase.Item(
                kernels: job.kernels, data: job.data(item), input: UnsafePointer(job.room.assumingMemoryBound(to: Float.self)),
                output: output.assumingMemoryBound(to: Float.self)))
        }
    }
}
