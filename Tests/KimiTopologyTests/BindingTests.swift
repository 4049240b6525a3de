import Foundation
import KimiTopology
import Testing

/// Where the threads of a pool run.
struct BindingTests {
    @Test("each thread of its own has a core, the surplus has none", arguments: [1, 2, 3, 9])
    func bound(_ threads: Int) throws {
        let topology = try Topology.current()
        let pool = try WorkerPool(threads: threads, topology: topology)
        #expect(pool.threads == threads)
        #expect(pool.boundThreads == min(threads, topology.cores.count) - 1)
    }

    @Test("a pool for a machine of one core binds nothing, and works")
    func oneCore() throws {
        let topology = try Topology.current()
        let one = Topology(cores: Array(topology.cores.prefix(1)))
        let pool = try WorkerPool(threads: 3, topology: one)
        #expect(pool.boundThreads == 0)
        var sum = 0
        pool.run({ context, begin, end, _ in context?.assumingMemoryBound(to: Int.self).pointee += end - begin }, &sum, count: 100, grain: 100)
        #expect(sum == 100)
    }

    @Test("a core that does not exist is a thread that is not bound, not an error")
    func missingCore() throws {
        let topology = try Topology.current()
        let odd = Topology(cores: topology.cores.prefix(1) + [.init(processor: 100_000, node: 0)])
        #expect(try WorkerPool(threads: 2, topology: odd).boundThreads == 0)
    }

    @Test("nodes of cores exist, and the processor has a name")
    func nodes() throws {
        let topology = try Topology.current()
        #expect(topology.cores.allSatisfy { (0..<max(topology.nodeCount, 1)).contains($0.node) || topology.nodeCount == 1 })
        let info = try String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)
        if let line = info.split(separator: "\n").first(where: { $0.hasPrefix("model name") }) {
            #expect(line.contains(topology.processorModel) && !topology.processorModel.isEmpty)
        }
    }
}
