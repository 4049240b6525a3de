import KimiCore

/// Blocks of a tree of prefixes by themselves, to be written down or to be taken in: from the most to the least recently used, each after
/// the block that it follows. Holds a reference to each. One thread.
package final class PrefixSnapshot {
    package struct Entry: Sendable {
        package let content: PrefixContent
        /// Whether it and all before it were computed exactly.
        package let isExact: Bool
        /// The number of the entry that it follows; nil: it is a sequence's first block.
        package let parent: Int?
        let block: BlockPool.BlockID
    }

    package private(set) var entries: [Entry]
    private let pool: BlockPool

    /// - Parameter entries: with a reference to each block, which is this object's from here on.
    init(_ entries: [Entry] = [], pool: BlockPool) { (self.entries, self.pool) = (entries, pool) }

    deinit { for entry in entries { pool.release(entry.block) } }

    /// Adds a block whose latents are yet to be written, memory for it included.
    ///
    /// - Returns: its number.
    package func append(_ content: PrefixContent, isExact: Bool, parent: Int?) throws(KimiError) -> Int {
        entries.append(Entry(content: content, isExact: isExact, parent: parent, block: try pool.take(beside: entries.count).id))
        return entries.count - 1
    }

    /// Whether others can follow the block of this number; nil: there is none.
    package func isWhole(_ number: Int) -> Bool? { entries.indices.contains(number) ? !entries[number].content.isPart : nil }

    /// The latents of an entry, as runs of bytes: layer after layer those of its tokens.
    package func forEachCacheRun(
        of entry: Int, _ body: (UnsafeMutableRawBufferPointer) throws(KimiError) -> Void
    ) throws(KimiError) {
        // Safe because the block is referred to by this object, so it stays, and nobody writes to a block that is shared.
        guard let base = UnsafeMutableRawPointer(mutating: pool.base(of: entries[entry].block)) else { return }
        let count = entries[entry].content.ids.count * pool.tokenBytes
        for layer in 0..<pool.layerCount {
            try body(UnsafeMutableRawBufferPointer(start: base + layer * pool.layerBytes, count: count))
        }
    }
}

extension PrefixTree {
    /// One without blocks, to be filled and taken in.
    package func emptySnapshot() -> PrefixSnapshot { PrefixSnapshot(pool: pool) }

    /// What is kept at this moment; it stays as it is, whatever sessions do.
    package func snapshot() -> PrefixSnapshot {
        let entries = state.withLock { state in
            var entries: [PrefixSnapshot.Entry] = []
            var numbers: [ObjectIdentifier: Int] = [:]
            var next = state.order.first
            while let node = next {
                next = node.older
                guard let content = node.content, let parent = node.parent else { continue }
                pool.retain(node.block)
                numbers[ObjectIdentifier(node)] = entries.count
                let before = parent.isRoot ? nil : numbers[ObjectIdentifier(parent)]
                entries.append(.init(content: content, isExact: node.isExact, parent: before, block: node.block))
            }
            return entries
        }
        return PrefixSnapshot(entries, pool: pool)
    }

    /// Takes in what is not here yet, as if it had been used now in its order; beyond the limit goes what was not used for the longest
    /// time.
    package func take(_ snapshot: PrefixSnapshot) {
        // Only values cross into the lock; the snapshot keeps its references meanwhile.
        let entries = snapshot.entries
        state.withLock { state in
            var nodes: [PrefixNode?] = []
            nodes.reserveCapacity(entries.count)
            for entry in entries {
                let parent = entry.parent.map { nodes[$0] } ?? state.root
                nodes.append(parent.flatMap { $0.isHere ? take(entry, after: $0, &state) : nil })
            }
            for case let node? in nodes.reversed() where node.isHere { state.order.use(node) }
            keepToLimit(&state)
        }
    }

    private func take(_ entry: PrefixSnapshot.Entry, after parent: PrefixNode, _ state: inout State) -> PrefixNode? {
        let (content, isExact) = (entry.content, entry.isExact && parent.isExact)
        // Of a beginning that another child has as well nothing is kept.
        if content.isPart, parent.children[content] == nil,
            parent.longest(content.ids, exactly: isExact)?.count ?? 0 >= content.ids.count
        {
            return nil
        }
        return child(of: parent, content, block: entry.block, isExact: isExact, &state)
    }
}
