import KimiCore

/// Memory for weights, a growing store for each node; given back with the last reference.
final class WeightMemory {
    /// Cache-line alignment for everything that is ours to place.
    static let alignment = 64
    /// A store grows by so much at least, if it was not told enough at first.
    private static let growth = 16 << 20

    private struct Store {
        var blocks: [MappedMemory] = []
        var used = 0
        /// Bytes that were taken, of all blocks.
        var taken = 0
        /// Bytes to ask the system for at first.
        var expected: Int
    }
    let nodes: NodeMemory
    private var stores: [Store]
    /// - Parameter expected: the bytes that will probably be taken on each node; what is not touched takes no memory.
    init(_ nodes: NodeMemory, expected: Int) {
        self.nodes = nodes
        stores = .init(repeating: Store(expected: expected), count: nodes.storeCount)
    }

    /// Bytes that were taken on a node.
    func used(on node: Int) -> Int { stores[node].taken }

    /// The blocks of a node's store.
    func blocks(of node: Int) -> [MappedMemory] { stores[node].blocks }

    /// What was taken so far, block by block.
    var parts: [NodeMemory.Part] {
        stores.indices.flatMap { node in
            stores[node].blocks.enumerated().map { index, block in
                NodeMemory.Part(
                    memory: block, byteCount: index + 1 < stores[node].blocks.count ? block.byteCount : stores[node].used, node: node)
            }
        }
    }

    /// Room for `count` bytes on a node (or one of memory alone, behind those that compute), not touched yet.
    func take(_ count: Int, on node: Int) throws(KimiError) -> UnsafeMutableRawPointer {
        guard let size = Checked.roundUp(count, to: Self.alignment) else {
            throw KimiError(.outOfMemory, "weights of \(count) bytes are beyond any memory")
        }
        if stores[node].blocks.last.map({ $0.byteCount - stores[node].used < size }) ?? true {
            let block = try nodes.memory(byteCount: max(size, stores[node].expected, Self.growth), on: node, what: "weights")
            stores[node].expected = 0
            stores[node].blocks.append(block)
            stores[node].used = 0
        }
        guard let block = stores[node].blocks.last else { throw KimiError(.internal, "no memory for weights") }
        let place = block.base + stores[node].used
        stores[node].used += size
        stores[node].taken += size
        return place
    }
}
