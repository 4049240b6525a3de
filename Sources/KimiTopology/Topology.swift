/// A machine as this process may use it: packages, memory nodes and cores inside its cpuset, read once through hwloc; or one that
/// is described and need not exist.
package struct Topology: Sendable {
    /// A core that threads may be bound to.
    package struct Core: Sendable, Equatable {
        /// The operating system's number of the core's first allowed hardware thread.
        package let processor: UInt32
        /// The index of the nearest memory node, or 0 if hwloc knows none.
        package let node: Int

        package init(processor: UInt32, node: Int) {
            self.processor = processor
            self.node = node
        }
    }

    /// Memory with one way to it.
    package struct Node: Sendable, Equatable {
        /// The operating system's number, which memory is bound by.
        package let number: UInt32
        /// All of its memory in bytes; 0 if it is not known.
        package let memoryBytes: Int
        /// The package it belongs to, or is nearest to.
        package let package: Int
        /// Cores of the process that are nearest to it. None: a node of memory alone, such as memory behind CXL.
        package let coreCount: Int

        package init(number: UInt32, memoryBytes: Int, package: Int, coreCount: Int) {
            self.number = number
            self.memoryBytes = memoryBytes
            self.package = package
            self.coreCount = coreCount
        }
    }

    /// Where a topology comes from.
    package enum Source: Sendable, Equatable {
        /// The machine that this process runs on.
        case machine
        /// A string of hwloc's synthetic form, given or in `HWLOC_SYNTHETIC`.
        case synthetic(String)
        /// An XML file of hwloc's, given or in `HWLOC_XMLFILE`.
        case file(String)
    }

    /// One entry a physical core, in the order of the topology, never empty.
    package let cores: [Core]
    /// Never empty; in the order of the topology.
    package let nodes: [Node]
    /// Relative times from node to node as the firmware tells them, 10 within a node; empty if it tells none.
    package let distances: [[Int]]
    package let packageCount: Int
    package let source: Source
    /// The processor's name as the system reports it, or "".
    package let processorModel: String
    /// Bytes of all last-level caches inside the cpuset together, 0 if hwloc knows none.
    package let lastLevelCacheBytes: Int

    /// Memory nodes, at least 1.
    package var nodeCount: Int { nodes.count }

    /// In a few words: "2 packages, 3 nodes, 96 cores".
    package var words: String {
        func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
        return [count(packageCount, "package"), count(nodeCount, "node"), count(cores.count, "core")].joined(separator: ", ")
    }

    /// A machine that is described, not read.
    ///
    /// - Parameter nodes: nil for a single one of unknown size.
    package init(
        cores: [Core], nodes: [Node]? = nil, distances: [[Int]] = [], packageCount: Int = 1, source: Source = .machine,
        processorModel: String = "", lastLevelCacheBytes: Int = 0
    ) {
        self.cores = cores
        self.nodes = nodes ?? [Node(number: 0, memoryBytes: 0, package: 0, coreCount: cores.count)]
        self.distances = distances
        self.packageCount = packageCount
        self.source = source
        self.processorModel = processorModel
        self.lastLevelCacheBytes = lastLevelCacheBytes
    }
}
