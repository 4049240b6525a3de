import CHwloc
import KimiCore

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

    /// Reads the machine that this process runs on. Takes some milliseconds.
    ///
    /// - Throws: `Status.internal` if hwloc cannot read the machine at all.
    package static func current() throws(KimiError) -> Topology {
        var handle: hwloc_topology_t?
        guard hwloc_topology_init(&handle) == 0, let topology = handle else {
            throw KimiError(.outOfMemory, "hwloc could not be initialised")
        }
        defer { hwloc_topology_destroy(topology) }
        guard hwloc_topology_load(topology) == 0 else {
            throw KimiError(.internal, "hwloc could not read this machine's topology")
        }
        restrictToProcess(topology)

        var cores: [Core] = []
        let coreCount = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE)
        for index in 0..<max(coreCount, 0) {
            guard let core = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, UInt32(index)),
                let cpuset = core.pointee.cpuset
            else { continue }
            let first = hwloc_bitmap_first(cpuset)
            guard first >= 0 else { continue }
            cores.append(Core(processor: UInt32(first), node: nearestNode(core)))
        }
        if cores.isEmpty {
            // Containers may hide cores; the hardware threads are then all there is.
            let unitCount = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU)
            for index in 0..<max(unitCount, 0) {
                guard let unit = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, UInt32(index)) else { continue }
                cores.append(Core(processor: unit.pointee.os_index, node: nearestNode(unit)))
            }
        }
        if cores.isEmpty { cores = [Core(processor: 0, node: 0)] }
        return Topology(
            cores: cores, nodes: nodes(topology, cores: cores),
            packageCount: max(1, Int(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE))),
            processorModel: modelName(topology), lastLevelCacheBytes: lastLevelCaches(topology))
    }

    private static func nodes(_ topology: hwloc_topology_t, cores: [Core]) -> [Node]? {
        var nodes: [Node] = []
        for index in 0..<max(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE), 0) {
            guard let node = hwloc_get_obj_by_type(topology, HWLOC_OBJ_NUMANODE, UInt32(index)) else { continue }
            let place = nodes.count
            nodes.append(Node(
                number: node.pointee.os_index, memoryBytes: Int(clamping: node.pointee.attr.pointee.numanode.local_memory),
                package: 0, coreCount: cores.count { $0.node == place }))
        }
        return nodes.isEmpty ? nil : nodes
    }

    /// The caches of the highest level that is there at all.
    private static func lastLevelCaches(_ topology: hwloc_topology_t) -> Int {
        for type in [HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L2CACHE] {
            var bytes = 0
            for index in 0..<max(hwloc_get_nbobjs_by_type(topology, type), 0) {
                guard let cache = hwloc_get_obj_by_type(topology, type, UInt32(index)) else { continue }
                bytes &+= Int(clamping: cache.pointee.attr.pointee.cache.size)
            }
            if bytes > 0 { return bytes }
        }
        return 0
    }

    /// hwloc sees the cgroup's cpuset by itself, not the process's affinity.
    private static func restrictToProcess(_ topology: hwloc_topology_t) {
        guard let allowed = hwloc_bitmap_alloc() else { return }
        defer { hwloc_bitmap_free(allowed) }
        guard hwloc_get_cpubind(topology, allowed, Int32(HWLOC_CPUBIND_PROCESS.rawValue)) == 0 else { return }
        _ = hwloc_topology_restrict(topology, allowed, 0)
    }

    private static func nearestNode(_ object: hwloc_obj_t) -> Int {
        guard let nodes = object.pointee.nodeset else { return 0 }
        return max(0, Int(hwloc_bitmap_first(nodes)))
    }

    private static func modelName(_ topology: hwloc_topology_t) -> String {
        guard let root = hwloc_get_obj_by_depth(topology, 0, 0) else { return "" }
        // The name is on the package where there is one, on the machine otherwise.
        for object in [hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0), root] {
            if let object, let text = hwloc_obj_get_info_by_name(object, "CPUModel") { return String(cString: text) }
        }
        return ""
    }
}
