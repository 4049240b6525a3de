import CHwloc
import CKimiSystem
import KimiCore

/// The threads of one model: the caller's and `threads - 1` of its own, each of those bound to a core of the process's cpuset. They
/// belong to memory nodes, or all to one.
///
/// Work is given as a C function and a context, not as a closure: a closure that crosses to another thread would allocate,
/// and a decode step must not.
package final class WorkerPool: @unchecked Sendable {
    // Safe because the pool is made in init, freed in deinit, and the C side is written for several threads; that only one
    // thread at a time calls `run` is the promise of TextModel's step lock.
    private let pool: OpaquePointer
    /// How many threads compute, the caller's included.
    package let threads: Int
    /// Groups of workers: memory nodes, or one group for all.
    package let groupCount: Int
    /// The group of each worker; lives as long as the pool.
    package let groupOfWorker: UnsafePointer<UInt8>
    /// For each worker the processor that it was planned for, nil for the surplus where there are more threads than cores; and
    /// whether it is bound there. The caller's, worker 0, is bound during steps only, and only where there are several groups.
    package let bindings: [(processor: UInt32?, isBound: Bool)]

    /// How many of the pool's own threads could be bound to a core; fewer than `threads - 1` if the system refused.
    package var boundThreads: Int { bindings.dropFirst().count { $0.isBound } }

    /// A pool of one group: worker i on core i, wherever that is.
    ///
    /// - Parameter threads: 1 to 4096. More than there are cores is allowed, and leaves the surplus unbound.
    /// - Throws: `Status.invalidArgument`, or `Status.outOfMemory` if the system gives no more threads.
    package convenience init(threads: Int, topology: Topology) throws(KimiError) {
        try self.init(groups: [threads], cores: topology.cores.map(\.processor), topology: topology)
    }

    /// A pool with a group for each of some nodes.
    ///
    /// - Parameter nodes: indices in `topology.nodes`, and how many workers each is to have: 1 at least, the surplus over its cores stays
    ///   unbound.
    package convenience init(nodes: [(node: Int, workers: Int)], topology: Topology) throws(KimiError) {
        var planned: [UInt32?] = []
        for (node, workers) in nodes {
            let cores = topology.cores.filter { $0.node == node }.map { Optional($0.processor) }
            planned += cores.prefix(workers) + [UInt32?](repeating: nil, count: max(0, workers - cores.count))
        }
        try self.init(groups: nodes.map(\.workers), cores: planned, topology: topology)
    }

    private init(groups: [Int], cores: [UInt32?], topology: Topology) throws(KimiError) {
        let threads = groups.reduce(0) { Checked.sum($0, $1) ?? .max }
        guard (1...4096).contains(threads), groups.allSatisfy({ $0 > 0 }) else {
            throw KimiError(.invalidArgument, "threads is \(threads); it must be 1 to 4096", subject: "threads")
        }
        guard let pool = cks_pool_create(groups, groups.count), let groupOfWorker = cks_pool_nodes(pool) else {
            throw KimiError(.outOfMemory, "the system gave no \(threads - 1) worker threads", subject: "threads")
        }
        self.pool = pool
        self.threads = threads
        self.groupOfWorker = groupOfWorker
        groupCount = groups.count
        bindings = Self.bind(pool, threads: threads, cores: cores, topology: topology)
    }

    deinit { cks_pool_destroy(pool) }

    /// Binds the workers but the first, whose binding is the host's business, to their cores, if those are this machine's.
    private static func bind(
        _ pool: OpaquePointer, threads: Int, cores: [UInt32?], topology: Topology
    ) -> [(processor: UInt32?, isBound: Bool)] {
        var bindings = (0..<threads).map { (processor: $0 < cores.count ? cores[$0] : nil, isBound: false) }
        var handle: hwloc_topology_t?
        guard threads > 1, topology.source == .machine, hwloc_topology_init(&handle) == 0, let machine = handle
        else { return bindings }
        defer { hwloc_topology_destroy(machine) }
        guard hwloc_topology_load(machine) == 0, let set = hwloc_bitmap_alloc() else { return bindings }
        defer { hwloc_bitmap_free(set) }
        for worker in 1..<threads {
            guard let processor = bindings[worker].processor else { continue }
            hwloc_bitmap_only(set, processor)
            bindings[worker].isBound = hwloc_set_thread_cpubind(machine, cks_pool_thread(pool, worker), set, 0) == 0
        }
        return bindings
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

    /// Runs `task` on the items `0 ..< counts[k]` of each group k, on its own workers, and waits for the end of all.
    ///
    /// - Parameter counts: `groupCount` numbers, none negative.
    @inline(__always)
    package func run<Context>(
        _ task: cks_node_task, _ context: UnsafeMutablePointer<Context>, counts: UnsafePointer<Int>, grain: Int
    ) {
        cks_pool_run_nodes(pool, task, context, counts, max(grain, 1))
    }

    // MARK: The caller's thread

    /// Binds the calling thread to the core that its place in the pool is planned for, if workers belong to several nodes: it works on
    /// the weights of the first. Returns what `release` puts back.
    package func bindCaller() -> cks_affinity {
        var before = cks_affinity()
        if groupCount > 1, let processor = bindings[0].processor, threads > 1, bindings.dropFirst().contains(where: \.isBound) {
            cks_affinity_bind(processor, &before)
        }
        return before
    }

    /// Gives the calling thread the cores that it had.
    package func release(_ before: cks_affinity) {
        var before = before
        cks_affinity_restore(&before)
    }
}
