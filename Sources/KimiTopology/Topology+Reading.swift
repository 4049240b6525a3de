import CHwloc
import Glibc
import KimiCore

extension Topology {
    /// Processors that a description may have, in all.
    package static let mostProcessors = 8192
    /// Memory nodes that a machine may have.
    package static let mostNodes = 256
    /// Bytes of a synthetic description.
    private static let mostText = 4096
    /// Above the highest number that a description may give a processor or node.
    private static let highestIndex = 65_536

    /// Reads the machine that this process runs on, or what the environment describes in its place: `HWLOC_XMLFILE` (a file that hwloc's
    /// tools wrote), `HWLOC_SYNTHETIC` (a string of hwloc's). Takes some milliseconds.
    ///
    /// - Throws: `invalidArgument` for a description that is none; `internal` if hwloc cannot read the machine, or the process may run
    ///   nowhere.
    package static func current() throws(KimiError) -> Topology {
        if let path = environment("HWLOC_XMLFILE") {
            do { return try file(path, subject: "HWLOC_XMLFILE") } catch {
                throw KimiError(.invalidArgument, error.message, file: path, subject: "HWLOC_XMLFILE")
            }
        }
        if let text = environment("HWLOC_SYNTHETIC") { return try synthetic(text, subject: "HWLOC_SYNTHETIC") }
        return try read(.machine, subject: "cpuset") { _ throws(KimiError) in }
    }

    /// The machine that a string of hwloc's synthetic form describes, such as `pack:2 [numa(memory=512GB)] core:48 pu:1`.
    ///
    /// - Parameter subject: what to call it in errors.
    package static func synthetic(_ text: String, subject: String = "synthetic") throws(KimiError) -> Topology {
        func fault(_ what: String) -> KimiError {
            KimiError(
                .invalidArgument,
                "\"\(text.prefix(100))\" \(what); a description of a machine is like \"pack:2 [numa(memory=512GB)] core:48 pu:1\"",
                subject: subject)
        }
        guard text.utf8.count <= mostText else { throw fault("is longer than \(mostText) bytes") }
        guard let description = SyntheticDescription(text) else { throw fault("is no description of a machine") }
        guard description.processors <= mostProcessors else { throw fault("has more than \(mostProcessors) processors") }
        guard description.nodes <= mostNodes else { throw fault("has more than \(mostNodes) memory nodes") }
        guard description.highestIndex < highestIndex else { throw fault("numbers something \(highestIndex) or higher") }
        return try read(.synthetic(text), subject: subject) { topology throws(KimiError) in
            guard hwloc_topology_set_synthetic(topology, text) == 0 else { throw fault("is no description of a machine") }
        }
    }

    /// The machine in an XML file of hwloc's.
    package static func file(_ path: String, subject: String = "topology") throws(KimiError) -> Topology {
        let bytes = try TopologyFile.bytes(path, subject: subject)
        return try read(.file(path), subject: subject) { topology throws(KimiError) in
            let result = bytes.withUnsafeBytes {
                hwloc_topology_set_xmlbuffer(topology, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count))
            }
            guard result == 0 else {
                throw KimiError(.format, "is no XML file of hwloc's (lstopo --of xml writes one)", file: path, subject: subject)
            }
        }
    }

    private static func environment(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }

    // MARK: From hwloc's terms to ours

    private static func read(
        _ source: Source, subject: String, _ describe: (hwloc_topology_t) throws(KimiError) -> Void
    ) throws(KimiError) -> Topology {
        var handle: hwloc_topology_t?
        guard hwloc_topology_init(&handle) == 0, let topology = handle else {
            throw KimiError(.outOfMemory, "hwloc could not be initialised")
        }
        defer { hwloc_topology_destroy(topology) }
        try describe(topology)
        // What is wrong with a machine is its describer's, or this machine's.
        func fault(_ what: String) -> KimiError {
            switch source {
            case .machine: KimiError(.internal, "this machine has \(what)", subject: subject)
            case .synthetic(let text):
                KimiError(.invalidArgument, "\"\(text.prefix(100))\" describes a machine with \(what)", subject: subject)
            case .file(let path): KimiError(.format, "holds a machine with \(what)", file: path, subject: subject)
            }
        }
        guard hwloc_topology_load(topology) == 0 else { throw fault("nothing that hwloc can read") }
        if source == .machine, !restrictToProcess(topology) {
            throw KimiError(.internal, "the process may run on no processor of this machine: its cpuset is empty", subject: subject)
        }
        let nodeCount = objects(topology, HWLOC_OBJ_NUMANODE).count
        guard nodeCount <= mostNodes else { throw fault("\(nodeCount) memory nodes; at most \(mostNodes) are supported") }
        let found = cores(topology)
        guard !found.isEmpty else { throw fault("no processor") }
        guard found.count <= mostProcessors else { throw fault("\(found.count) cores; at most \(mostProcessors) are supported") }
        return assemble(topology, found, source)
    }

    /// A core, and the memory node, as hwloc counts them, that is its own.
    private typealias FoundCore = (processor: UInt32, node: UInt32)

    private static func cores(_ topology: hwloc_topology_t) -> [FoundCore] {
        // Containers may hide cores; the hardware threads are then all there is.
        for type in [HWLOC_OBJ_CORE, HWLOC_OBJ_PU] {
            var cores: [FoundCore] = []
            for object in objects(topology, type) {
                guard let cpuset = object.pointee.cpuset, case let first = hwloc_bitmap_first(cpuset), first >= 0 else { continue }
                cores.append((UInt32(first), ownNode(topology, of: cpuset)))
            }
            if !cores.isEmpty { return cores }
        }
        return []
    }

    /// Of the nodes that are local to a core the one with the fewest processors, and of several such the first: memory behind a link of
    /// its own is local to more of the machine, or has a higher number.
    private static func ownNode(_ topology: hwloc_topology_t, of cpuset: hwloc_cpuset_t) -> UInt32 {
        var best: (weight: Int32, index: UInt32)?
        for node in objects(topology, HWLOC_OBJ_NUMANODE) {
            guard let set = node.pointee.cpuset, hwloc_bitmap_isincluded(cpuset, set) == 1 else { continue }
            let weight = hwloc_bitmap_weight(set)
            if best.map({ weight < $0.weight }) ?? true { best = (weight, node.pointee.logical_index) }
        }
        return best?.index ?? 0
    }

    private static func assemble(_ topology: hwloc_topology_t, _ found: [FoundCore], _ source: Source) -> Topology {
        let all = objects(topology, HWLOC_OBJ_NUMANODE)
        func memory(_ node: hwloc_obj_t) -> Int { Int(clamping: node.pointee.attr?.pointee.numanode.local_memory ?? 0) }
        func package(_ node: hwloc_obj_t) -> Int {
            Int(hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, node)?.pointee.logical_index ?? 0)
        }
        let distances = distances(topology, all.count)
        // Sockets without modules have nodes without memory: their cores use what is nearest. Where no node tells its memory, all stay.
        let kept = all.contains { memory($0) > 0 } ? all.indices.filter { memory(all[$0]) > 0 } : Array(all.indices)
        let place = all.indices.map { node in
            kept.firstIndex(of: node) ?? kept.indices.min {
                func cost(_ other: Int) -> (Int, Int) {
                    (distances.isEmpty ? 0 : distances[node][other], package(all[other]) == package(all[node]) ? 0 : 1)
                }
                return cost(kept[$0]) < cost(kept[$1])
            } ?? 0
        }
        let cores = found.map { core in
            Core(processor: core.processor, node: place.indices.contains(Int(core.node)) ? place[Int(core.node)] : 0)
        }
        let nodes = kept.enumerated().map { index, node in
            Node(
                number: all[node].pointee.os_index, memoryBytes: memory(all[node]), package: package(all[node]),
                coreCount: cores.count { $0.node == index })
        }
        return Topology(
            cores: cores, nodes: nodes.isEmpty ? nil : nodes,
            distances: distances.isEmpty ? [] : kept.map { row in kept.map { distances[row][$0] } },
            packageCount: max(1, objects(topology, HWLOC_OBJ_PACKAGE).count), source: source,
            processorModel: modelName(topology), lastLevelCacheBytes: lastLevelCaches(topology))
    }

    private static func objects(_ topology: hwloc_topology_t, _ type: hwloc_obj_type_t) -> [hwloc_obj_t] {
        (0..<max(hwloc_get_nbobjs_by_type(topology, type), 0)).compactMap { hwloc_get_obj_by_type(topology, type, UInt32($0)) }
    }

    /// The firmware's table, if it is about all nodes.
    private static func distances(_ topology: hwloc_topology_t, _ count: Int) -> [[Int]] {
        var number: UInt32 = 1
        var table: UnsafeMutablePointer<hwloc_distances_s>?
        guard count > 1,
            hwloc_distances_get_by_type(
                topology, HWLOC_OBJ_NUMANODE, &number, &table, UInt(HWLOC_DISTANCES_KIND_MEANS_LATENCY.rawValue), 0) == 0,
            number > 0, let table
        else { return [] }
        defer { hwloc_distances_release(topology, table) }
        guard Int(table.pointee.nbobjs) == count, let objects = table.pointee.objs, let values = table.pointee.values else { return [] }
        var distances = [[Int]](repeating: [Int](repeating: 0, count: count), count: count)
        for row in 0..<count {
            for column in 0..<count {
                guard let from = objects[row], let to = objects[column],
                    case let (a, b) = (Int(from.pointee.logical_index), Int(to.pointee.logical_index)), a < count, b < count
                else { return [] }
                distances[a][b] = Int(clamping: values[row * count + column])
            }
        }
        return distances
    }

    /// The caches of the highest level that is there at all.
    private static func lastLevelCaches(_ topology: hwloc_topology_t) -> Int {
        for type in [HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L2CACHE] {
            let bytes = objects(topology, type).reduce(0) {
                $0 &+ Int(clamping: $1.pointee.attr?.pointee.cache.size ?? 0)
            }
            if bytes > 0 { return bytes }
        }
        return 0
    }

    /// hwloc sees the cgroup's cpuset by itself, not the process's affinity. Nodes that lose all their cores keep their memory.
    ///
    /// - Returns: false if nothing is left. hwloc then leaves the topology as it was.
    private static func restrictToProcess(_ topology: hwloc_topology_t) -> Bool {
        guard let allowed = hwloc_bitmap_alloc() else { return true }
        defer { hwloc_bitmap_free(allowed) }
        // A system that does not tell the affinity sets none.
        guard hwloc_get_cpubind(topology, allowed, Int32(HWLOC_CPUBIND_PROCESS.rawValue)) == 0 else { return true }
        return hwloc_topology_restrict(topology, allowed, 0) == 0
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
