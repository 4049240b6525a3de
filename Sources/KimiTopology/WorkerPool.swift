import CHwloc
import CKimiSystem
import KimiCore

/// The threads of one model: the caller's and `threads - 1` of its own, each of those bound to a core of the process's cpuset.
///
/// Work is given as a C function and a context, not as a closure: a closure that crosses to another thread would allocate,
/// and a decode step must not.
package final class WorkerPool: @unchecked Sendable {
    // Safe because the pool is made in init, freed in deinit, and the C side is written for several threads; that only one
    // thread at a time calls `run` is the promise of TextModel's step lock.
    private let pool: OpaquePointer
    /// How many threads compute, the caller's included.
    package let threads: Int
    /// How many of the pool's own threads could be bound to a core; fewer than `threads - 1` if the system refused.
    package let boundThreads: Int

    /// - Parameter threads: 1 to 4096. More than there are cores is allowed, and leaves the surplus unbound.
    /// - Throws: `Status.invalidArgument`, or `Status.outOfMemory` if the system gives no more threads.
    package init(threads: Int, topology: Topology) throws(KimiError) {
        guard (1...4096).contains(threads) else {
            throw KimiError(.invalidArgument, "threads is \(threads); it must be 1 to 4096", subject: "threads")
        }
        guard let pool = cks_pool_create(threads) else {
            throw KimiError(.outOfMemory, "the system gave no \(threads - 1) worker threads", subject: "threads")
        }
        self.pool = pool
        self.threads = threads
        boundThreads = Self.bind(pool, threads: threads, topology: topology)
    }

    deinit { cks_pool_destroy(pool) }

    /// Binds worker i to core i; core 0 is left to the caller, whose binding is the host's business.
    private static func bind(_ pool: OpaquePointer, threads: Int, topology: Topology) -> Int {
        var handle: hwloc_topology_t?
        guard threads > 1, hwloc_topology_init(&handle) == 0, let machine = handle else { return 0 }
        defer { hwloc_topology_destroy(machine) }
        guard hwloc_topology_load(machine) == 0, let set = hwloc_bitmap_alloc() else { return 0 }
        defer { hwloc_bitmap_free(set) }
        var bound = 0
        for worker in 1..<threads where worker < topology.cores.count {
            hwloc_bitmap_only(set, topology.cores[worker].processor)
            let thread = cks_pool_thread(pool, worker)
            if hwloc_set_thread_cpubind(machine, thread, set, 0) == 0 { bound += 1 }
        }
        return bound
    }

    /// Runs `task` on the items `0 ..< count` in pieces of `grain` or a multiple of it on all threads and waits for the end.
    ///
    /// `context` must live and stay unchanged during the call. Not for two threads at once.
    @inline(__always)
    package func run<Context>(
        _ task: cks_task, _ context: UnsafeMutablePointer<Context>, count: Int, grain: Int
    ) {
        guard count > 0 else { return }
        cks_pool_run(pool, task, context, count, max(grain, 1))
    }
}
