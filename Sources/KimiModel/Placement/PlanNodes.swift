import KimiCore
import KimiTopology

/// The nodes of a topology as a plan uses them: those that compute, and those of memory alone.
struct PlanNodes {
    struct Computing {
        /// In `Topology.nodes`.
        let index: Int
        let workers: Int
        let package: Int
        /// Bytes that may be used of its memory.
        let capacity: Int
    }
    struct Far {
        let index: Int
        let capacity: Int
    }

    let computing: [Computing]
    let far: [Far]
    let notes: [String]

    /// The part of a node's memory that is left to the system, if no limit is given: one in so many.
    static let systemShare = 64
    /// What stands for memory of unknown size.
    private static let unknown = 1 << 50

    var packages: Int { Set(computing.map(\.package)).count }
    /// Nodes of the package of node k.
    func neighbours(of k: Int) -> Int { computing.count { $0.package == computing[k].package } }

    init(_ topology: Topology, _ options: PlanOptions, packages: Int? = nil) throws(KimiError) {
        var notes: [String] = []
        var chosen = topology.nodes.indices.filter { topology.nodes[$0].coreCount > 0 }
        // A machine whose firmware tells of no nodes.
        if chosen.isEmpty { chosen = [0] }
        let all = chosen.count
        if let packages {
            let first = Set(chosen.map { topology.nodes[$0].package }.uniqued().prefix(packages))
            chosen = chosen.filter { first.contains(topology.nodes[$0].package) }
        }
        chosen = Array(chosen.prefix(min(options.nodes ?? Placement.mostNodes, Placement.mostNodes, options.threads ?? .max)))
        if chosen.count < all, packages == nil { notes.append("\(chosen.count) of \(all) nodes with cores are used") }
        guard !chosen.isEmpty else { throw KimiError(.invalidArgument, "a machine without memory nodes", subject: "topology") }

        let cores = chosen.map { max(1, topology.nodes[$0].coreCount) }
        let workers = Self.deal(options.threads, cores: cores)
        if let threads = options.threads, threads > cores.reduce(0, +) {
            notes.append("\(threads) threads on \(cores.reduce(0, +)) cores")
        }
        func whole(_ index: Int) -> Int {
            let bytes = topology.nodes[index].memoryBytes
            return bytes > 0 ? min(bytes, Self.unknown) : Self.unknown
        }
        var capacities = chosen.map { whole($0) - (options.memoryLimit == nil ? whole($0) / Self.systemShare : 0) }
        if chosen.contains(where: { topology.nodes[$0].memoryBytes == 0 }), options.memoryLimit == nil {
            notes.append("how much memory the nodes have is not known; all is taken to fit")
        }
        if chosen.contains(where: { topology.nodes[$0].coreCount == 0 }) { notes.append("no node has cores of its own; node 0 stands for all") }
        let sum = capacities.reduce(0, +)
        if let limit = options.memoryLimit, limit < sum {
            // Safe because both are far below 2^63, and the quotient is at most the first factor.
            capacities = capacities.map { Int(Double($0) * (Double(limit) / Double(sum))) }
        }
        computing = chosen.indices.map {
            Computing(
                index: chosen[$0], workers: workers[$0], package: topology.nodes[chosen[$0]].package, capacity: capacities[$0])
        }
        // A limit is for all memory; what is far has none of its own then.
        let rest = max(0, (options.memoryLimit ?? .max) - capacities.reduce(0, +))
        var left = rest
        far = topology.nodes.indices.filter { topology.nodes[$0].coreCount == 0 && !chosen.contains($0) }.compactMap { index in
            let bytes = topology.nodes[index].memoryBytes
            let usable = min(bytes - bytes / Self.systemShare, left)
            left -= max(0, usable)
            return usable > 0 && index < 256 ? Far(index: index, capacity: usable) : nil
        }
        self.notes = notes
    }

    /// Threads for each node, in proportion to its cores, at least one.
    private static func deal(_ threads: Int?, cores: [Int]) -> [Int] {
        guard let threads else { return cores }
        let total = cores.reduce(0, +)
        var workers = cores.map { max(1, threads * $0 / total) }
        while workers.reduce(0, +) < threads {
            guard let next = workers.indices.min(by: { workers[$0] * cores[$1] < workers[$1] * cores[$0] }) else { break }
            workers[next] += 1
        }
        while workers.reduce(0, +) > threads {
            guard let most = workers.indices.max(by: { workers[$0] < workers[$1] }), workers[most] > 1 else { break }
            workers[most] -= 1
        }
        return workers
    }
}

extension Array where Element: Hashable {
    /// Each element once, where it is first.
    fileprivate func uniqued() -> [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
