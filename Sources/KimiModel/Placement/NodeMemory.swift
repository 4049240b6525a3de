import CKimiSystem
import Glibc
import KimiCore
import KimiTopology
import Synchronization

/// Makes memory on the nodes of a placement, and notes what could not be had.
///
/// With one node memory comes from wherever the system takes it: near the thread that touches it first.
final class NodeMemory: Sendable {
    /// Something that was asked for and could not be had; the model works all the same.
    package enum Shortfall: Hashable, Sendable {
        /// Memory could not be bound to a node, for a reason of the system's (errno).
        case binding(errno: Int32)
        /// The pool of huge pages that is set apart has not enough of them.
        case hugePages
    }

    /// The system's numbers of the nodes that compute, and then of those of memory alone that are used; empty where memory is not bound.
    private let numbers: [UInt32]
    /// Nodes that compute.
    let count: Int
    /// Indices in `Topology.nodes` of nodes of memory alone that are used.
    private let far: [Int]
    private let placement: Placement
    private let pages: MappedMemory.Pages
    private let found = Mutex<Set<Shortfall>>([])

    /// - Parameter topology: that of this machine, or a described one, whose memory is nowhere in particular.
    init(_ placement: Placement, topology: Topology, pages: MemoryOptions.Pages) {
        self.placement = placement
        count = placement.nodes.count
        let own = placement.nodes.map(\.node)
        far = Set(placement.distant.flatMap { $0 }.map { Int($0) }).subtracting(own).sorted()
        let all = own + far
        let isBound = all.count > 1 && topology.source == .machine && all.allSatisfy(topology.nodes.indices.contains)
        numbers = isBound ? all.map { topology.nodes[$0].number } : []
        self.pages = switch pages {
        case .transparent: .transparent
        case .small: .small
        case .huge: .huge
        }
    }

    /// Nodes that have memory for weights.
    var storeCount: Int { count + far.count }

    /// Where a node's part of an expert lies: on the node itself, or on one of memory alone.
    func store(of node: Int, expert key: Int) -> Int {
        guard node < placement.distant.count, key < placement.distant[node].count,
            let place = far.firstIndex(of: Int(placement.distant[node][key]))
        else { return node }
        return count + place
    }

    /// Whether memory is bound to nodes.
    var isBound: Bool { !numbers.isEmpty }
    /// The system's number of a node; nil where memory is not bound.
    func number(of node: Int) -> UInt32? { numbers.isEmpty ? nil : numbers[node] }
    var shortfalls: [Shortfall] { found.withLock { Array($0) } }

    /// Memory on a node that will be filled; not touched yet.
    func memory(byteCount: Int, on node: Int, what: String) throws(KimiError) -> MappedMemory {
        let memory = try MappedMemory(byteCount: byteCount, what: what, pages: pages)
        if pages == .huge, !memory.isHuge, byteCount > 0 { note(.hugePages) }
        keepSmall(memory.base, memory.byteCount)
        if isBound { bind(memory.base, memory.byteCount, to: node) }
        return memory
    }

    /// Where small pages are asked for, and the system makes them huge without being asked, it is asked not to. Whole pages.
    func keepSmall(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
        if pages == .small { madvise(base, byteCount, MADV_NOHUGEPAGE) }
    }

    /// Has memory that is not touched yet come from a node.
    func bind(_ base: UnsafeMutableRawPointer, _ byteCount: Int, to node: Int) {
        guard isBound else { return }
        let result = cks_memory_prefer(base, byteCount, numbers[node])
        if result != 0 { note(.binding(errno: -result)) }
    }

    /// Has memory that all nodes use come from them in turn, page by page; not touched yet.
    func interleave(_ memory: MappedMemory) {
        keepSmall(memory.base, memory.byteCount)
        guard isBound else { return }
        var mask = [UInt64](repeating: 0, count: 16)
        for number in numbers.prefix(count) where number < 1024 { mask[Int(number / 64)] |= 1 << UInt64(number % 64) }
        let result = cks_memory_interleave(memory.base, memory.byteCount, mask)
        if result != 0 { note(.binding(errno: -result)) }
    }

    func note(_ shortfall: Shortfall) { found.withLock { _ = $0.insert(shortfall) } }
}

extension NodeMemory.Shortfall {
    /// In a sentence.
    package var words: String {
        switch self {
        case .binding(let errno):
            "memory could not be bound to its node (\(String(cString: strerror(errno)))): it lies where the system put it"
        case .hugePages: "there are not enough huge pages set apart: memory is in pages of the system's choice"
        }
    }
}
