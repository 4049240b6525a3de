import CHwloc
import KimiCore

/// The machine as this process may use it: cores and memory nodes inside its cpuset, read once through hwloc.
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

    /// One entry a physical core, in the order of the topology, never empty.
    package let cores: [Core]
    /// Memory nodes inside the cpuset, at least 1.
    package let nodeCount: Int
    /// The processor's name as the system reports it, or "".
    package let processorModel: String
    /// Bytes of all last-level caches inside the cpuset together, 0 if hwloc knows none.
    package let lastLevelCacheBytes: Int

    /// A machine that is described, not read.
    package init(cores: [Core], nodeCount: Int, processorModel: String, lastLevelCacheBytes: Int = 0) {
        self.cores = cores
        self.nodeCount = nodeCount
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
            cores: cores,
            nodeCount: max(1, Int(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE))),
            processorModel: modelName(topology), lastLevelCacheBytes: lastLevelCaches(topology))
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
