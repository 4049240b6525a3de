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
        /// Bytes to ask the system for at first.
        var expected: Int
    }
    private var stores: [Store]
    /// Bytes that were taken.
    private(set) var byteCount = 0

    /// - Parameter expected: for each node the bytes that will probably be taken; what is not touched takes no memory.
    init(expected: [Int]) { stores = expected.map { Store(expected: $0) } }

    /// Room for `count` bytes on a node, not touched yet.
    func take(_ count: Int, on node: Int) throws(KimiError) -> UnsafeMutableRawPointer {
        guard let size = Checked.roundUp(count, to: Self.alignment) else {
            throw KimiError(.outOfMemory, "weights of \(count) bytes are beyond any memory")
        }
        if stores[node].blocks.last.map({ $0.byteCount - stores[node].used < size }) ?? true {
            let block = try MappedMemory(
                byteCount: max(size, stores[node].expected, Self.growth), what: "weights", isFilled: true)
            stores[node].expected = 0
            stores[node].blocks.append(block)
            stores[node].used = 0
        }
        guard let block = stores[node].blocks.last else { throw KimiError(.internal, "no memory for weights") }
        let place = block.base + stores[node].used
        stores[node].used += size
        byteCount += size
        return place
    }
}
