import CKimiSystem
import KimiCore
import KimiTopology

/// What became of a placement: asked of the system, not remembered.
package struct PlacementReport: Sendable {
    /// A node that computes, or one of memory alone, which has no workers.
    package struct Node: Sendable {
        /// The system's number of it; nil where memory is bound to no node.
        package let number: UInt32?
        package let workers: Int
        /// Workers that are bound to its cores; the caller's thread is bound during steps.
        package let boundWorkers: Int
        /// Bytes of weights and of room for experts.
        package let bytes: Int
        /// Of those the pages that were asked about: on the node, elsewhere, and not touched yet.
        package let pagesHere: Int
        package let pagesElsewhere: Int
        package let pagesAbsent: Int
    }

    package let policy: PlacementPolicy
    package let nodes: [Node]
    /// Whether the system told where pages lie.
    package let isVerified: Bool
    /// Bytes of weights and of room for experts in huge pages; nil if the system does not tell.
    package let hugeBytes: Int?
    /// What could not be had, each in a sentence.
    package let shortfalls: [String]

    /// Pages of a block of memory that are asked about.
    static let mostPages = 16_384
}

extension TextModel {
    /// Asks the system where weights lie and which threads are bound. Takes some milliseconds.
    package var placementReport: PlacementReport {
        var nodes: [PlacementReport.Node] = []
        var ranges: [Range<UInt>] = []
        var isVerified = nodeMemory.isBound
        for node in 0..<nodeMemory.storeCount {
            var blocks = memory.blocks(of: node)
            if let store, node < placement.nodes.count { blocks.append(store.memory(of: node)) }
            var (here, elsewhere, absent) = (0, 0, 0)
            for block in blocks where block.byteCount > 0 {
                let begin = UInt(bitPattern: block.base)
                ranges.append(begin..<begin + UInt(block.byteCount))
                guard let number = nodeMemory.number(of: node) else { continue }
                let result = cks_memory_where(
                    block.base, block.byteCount, number, PlacementReport.mostPages, &here, &elsewhere, &absent)
                if result != 0 { isVerified = false }
            }
            let workers = (0..<pool.threads).filter { Int(pool.groupOfWorker[$0]) == node }
            nodes.append(PlacementReport.Node(
                number: nodeMemory.number(of: node), workers: workers.count,
                boundWorkers: workers.count { pool.bindings[$0].isBound }, bytes: memory.used(on: node) + (node < placement.nodes.count ? store?.bytes(on: node) ?? 0 : 0),
                pagesHere: here, pagesElsewhere: elsewhere, pagesAbsent: absent))
        }
        var shortfalls = shortfalls
        if nodeMemory.isBound, !isVerified {
            shortfalls.append("the system does not tell where pages lie, so that they are on their nodes is not verified")
        }
        let (here, elsewhere) = nodes.reduce((0, 0)) { ($0.0 + $1.pagesHere, $0.1 + $1.pagesElsewhere) }
        if elsewhere > (here + elsewhere) / 100 {
            shortfalls.append("\(elsewhere) of \(here + elsewhere) pages that were asked about lie on another node than planned")
        }
        return PlacementReport(
            policy: placement.policy, nodes: nodes, isVerified: isVerified,
            hugeBytes: ranges.isEmpty ? 0 : HugePages.bytes(in: ranges), shortfalls: shortfalls)
    }

    /// What was asked for and is known not to have been had, without asking where pages lie.
    private var shortfalls: [String] {
        var found = nodeMemory.shortfalls.map(\.words).sorted()
        let unbound = pool.threads - 1 - pool.boundThreads
        if unbound > 0 { found.append("\(unbound) of \(pool.threads) threads are not bound to a core") }
        if placement.nodes.count > 1, loadPolicy == .map {
            found.append("mapped weights lie where the page cache has them: load_policy copy puts them on their nodes")
        }
        return found
    }
}
