import Glibc
import KimiCore
import KimiTopology
import Synchronization

// Pages of the pool that is set apart are had before they are written to: where a cgroup limits them, mapping such memory succeeds,
// and the first write ends the process.

extension NodeMemory {
    /// The first bytes of some memory, which will be used.
    struct Part {
        let memory: MappedMemory
        let byteCount: Int
        let node: Int
    }

    /// Has all huge pages of the pool there, each node's by its own workers; where there are none, ordinary pages take their place,
    /// and that is noted. Nothing to do for other memory. Before anything is written to it, after it was charged.
    ///
    /// - Parameter between: called many times a second; what it throws ends it.
    func populate(
        _ parts: [Part], pool: WorkerPool, between: () throws(KimiError) -> Void = {}
    ) throws(KimiError) {
        var chunks = [[Population.Chunk]](repeating: [], count: pool.groupCount)
        for part in parts where part.memory.isHuge {
            let end = min(part.memory.byteCount, Checked.roundUp(part.byteCount, to: MappedMemory.hugePage) ?? .max)
            for begin in stride(from: 0, to: end, by: Population.chunkBytes) {
                // Memory that has no workers of its own is dealt out.
                let group = part.node < pool.groupCount
                    ? part.node : chunks.indices.min { chunks[$0].count < chunks[$1].count } ?? 0
                chunks[group].append(.init(
                    memory: part.memory, range: begin..<min(end, begin + Population.chunkBytes), node: part.node))
            }
        }
        // A few for each worker at a time, so that `between` is called.
        let share = 4 * pool.threads
        for first in stride(from: 0, to: chunks.reduce(0) { max($0, $1.count) }, by: share) {
            let population = Population(nodes: self, chunks: chunks.map { Array($0.dropFirst(first).prefix(share)) })
            population.run(pool)
            if population.hasFailed {
                throw KimiError(.outOfMemory, "the system gave neither huge pages nor others in their place", subject: "huge_pages")
            }
            try between()
        }
    }
}

/// One job of the workers.
private final class Population: Sendable {
    struct Chunk: Sendable {
        let memory: MappedMemory
        let range: Range<Int>
        let node: Int
    }

    /// What a worker has cleared in some milliseconds.
    static let chunkBytes = 32 << 20

    private let nodes: NodeMemory
    private let chunks: [[Chunk]]
    private let failed = Atomic(false)

    init(nodes: NodeMemory, chunks: [[Chunk]]) {
        self.nodes = nodes
        self.chunks = chunks
    }

    /// Whether there is memory that may not be written to.
    var hasFailed: Bool { failed.load(ordering: .relaxed) }

    func run(_ pool: WorkerPool) {
        var context = Unmanaged.passUnretained(self)
        let counts = chunks.map(\.count)
        let before = pool.bindCaller()
        pool.run(populateChunks, &context, counts: counts, grain: 1)
        pool.release(before)
    }

    func populate(_ group: Int, _ index: Int) {
        let chunk = chunks[group][index]
        let error = chunk.memory.populate(chunk.range)
        // A system that does not know of this maps and hopes, as ever.
        guard error != 0, error != EINVAL else { return }
        nodes.note(.hugePages)
        guard chunk.memory.replace(chunk.range) else { return failed.store(true, ordering: .relaxed) }
        nodes.bind(chunk.memory.base + chunk.range.lowerBound, chunk.range.count, to: chunk.node)
    }
}

private func populateChunks(_ context: UnsafeMutableRawPointer?, _ group: Int, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `run` passes exactly this type and waits for the job.
    guard let context else { return }
    let population = context.assumingMemoryBound(to: Unmanaged<Population>.self).pointee.takeUnretainedValue()
    for index in begin..<end { population.populate(group, index) }
}
