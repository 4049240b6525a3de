import KimiCore
import Synchronization

/// Blocks of the cache by the tokens that lead to them: a prompt that begins as another sequence did finds its latents here and
/// need not evaluate them again.
///
/// A node is a whole block of 64 tokens after those of its ancestors. Sequences share its block by reference count; nothing is copied.
/// Sequences offer their blocks as they fill them. Beyond the limit the leaf goes that was not used for the longest time, and where
/// the budget runs short those go that no sequence holds. Any thread.
package final class PrefixTree: Sendable {
    package struct Report: Sendable {
        /// Blocks that are kept, and their bytes, those included that sequences hold as well.
        package fileprivate(set) var blocks = 0
        package fileprivate(set) var bytes = 0
        /// Prompts of a block or more that found the first of their blocks here, and those that did not, and tokens found in all.
        package fileprivate(set) var hits = 0
        package fileprivate(set) var misses = 0
        package fileprivate(set) var reusedTokens = 0
        package fileprivate(set) var evictions = 0
    }

    /// What a sequence finds.
    struct Found {
        /// With a reference each, which is the finder's now.
        var blocks: [BlockPool.BlockID] = []
        /// How many of them, from the first on, were computed exactly, and all before them.
        var exact = 0
        /// The node of the last of them, or the one that was begun from.
        var node: PrefixNode?
        /// Tokens of a further block, the last of `blocks`, of which only so many are the same.
        var part = 0
        var partIsExact = false
    }

    struct State: ~Copyable {
        let root = PrefixNode()
        /// From the most to the least recently used. A node is used with all its ancestors, which come before it: the last is a leaf.
        var order = PrefixOrder()
        var report = Report()
    }

    let state = Mutex(State())
    let pool: BlockPool
    /// Who computes what at this moment.
    package let claims = PrefixClaims()
    /// The most bytes of blocks that are kept.
    package let limit: Int

    /// - Parameter limit: in bytes.
    package init(pool: BlockPool, limit: Int) {
        self.pool = pool
        self.limit = max(0, limit)
        pool.budget.onShortage { [weak self] missing in self?.giveUp(missing) }
    }

    deinit {
        // One after another: a chain of owners would be freed by recursion.
        state.withLock { state in while let last = state.order.last { drop(last, &state) } }
    }

    package var report: Report { state.withLock { $0.report } }

    // MARK: Finding

    /// The blocks from number `first` on that follow a sequence's first `first` blocks in `text`.
    ///
    /// - Parameters:
    ///   - place: the node of the block before, if the sequence knows it.
    ///   - end: the number of tokens of `text` that may be taken.
    ///   - exactly: take none that was computed on the fast path, or after such a one.
    ///   - counting: whether this is a prompt's first question.
    func find(
        _ text: PrefixText, from first: Int, after place: PrefixNode?, to end: Int, exactly: Bool, counting: Bool
    ) -> Found {
        state.withLock { state in
            let whole = end / BlockPool.blockTokens
            var found = Found()
            guard var node = self.node(of: text, blocks: first, place, state.root) else { return found }
            for block in first..<max(first, whole) {
                guard let next = node.children[text.content(block)], next.isExact || !exactly else { break }
                pool.retain(next.block)
                found.blocks.append(next.block)
                if next.isExact { found.exact += 1 }
                node = next
            }
            var used = node
            let wholeTokens = (first + found.blocks.count) * BlockPool.blockTokens
            // Of the next block the beginning, if it is enough more than what is held of it. Not of the first one: short prompts that begin
            // alike gain nothing by it.
            if !node.isRoot, let (child, count) = node.longest(text.plain(first + found.blocks.count, to: end), exactly: exactly),
                wholeTokens + count >= text.held.count + PrefixNode.leastShared
            {
                pool.retain(child.block)
                found.blocks.append(child.block)
                (found.part, found.partIsExact) = (count, child.isExact)
                used = child
            }
            if counting && (whole > first || found.part > 0) {
                if found.blocks.isEmpty { state.report.misses += 1 } else { state.report.hits += 1 }
            }
            guard !found.blocks.isEmpty else { return found }
            state.report.reusedTokens += wholeTokens - first * BlockPool.blockTokens + found.part
            state.order.use(used)
            found.node = node
            return found
        }
    }

    /// The node after a number of blocks; nil if it is not here.
    ///
    /// - Parameter known: the node, if somebody noted it; it may have been dropped since.
    func place(of text: PrefixText, blocks: Int, known: PrefixNode?) -> PrefixNode? {
        state.withLock { node(of: text, blocks: blocks, known, $0.root) }
    }

    private func node(of text: PrefixText, blocks: Int, _ known: PrefixNode?, _ root: PrefixNode) -> PrefixNode? {
        if let known { return known.isHere ? known : nil }
        var node = root
        for block in 0..<blocks {
            guard let next = node.children[text.content(block)] else { return nil }
            node = next
        }
        return node
    }

    // MARK: Offering

    /// Takes in blocks of a sequence: number `first` to `end`.
    ///
    /// - Parameters:
    ///   - place: the node of the block before `first`; nil if that is 0.
    ///   - exact: how many blocks of the sequence, from its first, were computed exactly.
    /// - Returns: the node of the last of them; nil if the place is not here any more.
    func take(
        _ text: PrefixText, blocks ids: UnsafePointer<BlockPool.BlockID>, from first: Int, after place: PrefixNode?, to end: Int,
        exact: Int
    ) -> PrefixNode? {
        // Only numbers cross into the lock.
        let blocks = (first..<end).map { ids[$0] }
        return state.withLock { state in
            guard var node = first == 0 ? state.root : place, node.isHere else { return nil }
            for block in first..<end {
                let content = text.content(block)
                let id = blocks[block - first]
                // Of what is after a block that was computed on the fast path nothing is exact.
                let isExact = block < exact && node.isExact
                node = child(of: node, content, block: id, isExact: isExact, &state)
            }
            state.order.use(node)
            keepToLimit(&state)
            return node
        }
    }

    /// Takes in the beginning of a sequence's last block, which the sequence then copies before it writes on.
    ///
    /// - Parameters:
    ///   - node: that of the block before.
    ///   - exact: whether the whole sequence was computed exactly.
    func take(_ part: PrefixContent, block id: BlockPool.BlockID, after node: PrefixNode, exact: Bool) {
        state.withLock { state in
            let isExact = exact && node.isExact
            guard node.isHere, (node.longest(part.ids, exactly: isExact)?.count ?? 0) < part.ids.count,
                isExact || node.children[part] == nil
            else { return }
            state.order.use(add(id, part, isExact: isExact, to: node, &state))
            keepToLimit(&state)
        }
    }

    /// The child with this content: a new one, or the one that is there, which takes the block if that is exact and its own is not.
    func child(
        of node: PrefixNode, _ content: PrefixContent, block id: BlockPool.BlockID, isExact: Bool, _ state: inout State
    ) -> PrefixNode {
        guard let known = node.children[content] else { return add(id, content, isExact: isExact, to: node, &state) }
        guard isExact, !known.isExact else { return known }
        if known.block != id {
            pool.retain(id)
            pool.release(known.block)
            known.block = id
        }
        known.isExact = true
        return known
    }

    /// Adds a child, in the place of those that have no more than its beginning, unless they are exact and it is not.
    private func add(
        _ id: BlockPool.BlockID, _ content: PrefixContent, isExact: Bool, to node: PrefixNode, _ state: inout State
    ) -> PrefixNode {
        pool.retain(id)
        for part in node.parts(of: content) where isExact || !part.isExact { drop(part, &state) }
        let new = PrefixNode(id, isExact: isExact, content: content, parent: node)
        node.add(new, content)
        state.report.blocks += 1
        return new
    }

    /// Drops what was not used for the longest time, as long as there is more than the limit.
    func keepToLimit(_ state: inout State) {
        while state.report.blocks * pool.blockBytes > limit, let last = state.order.last {
            drop(last, &state)
            state.report.evictions += 1
        }
        state.report.bytes = state.report.blocks * pool.blockBytes
    }

    // MARK: Letting go and taking back

    /// The nodes of a sequence's blocks, from the first on, as far as they have its bits.
    func left(by sequence: TokenSequence) -> [LeftBlock] {
        let exact = sequence.runs.exactBeginning / BlockPool.blockTokens
        let own = (0..<sequence.sharedBlocks).map { sequence.blockIDs[$0] }
        let last = sequence.sharedPlace
        return state.withLock { _ in
            var path: [PrefixNode] = []
            var next = last
            while let node = next, node.isHere, !node.isRoot {
                path.append(node)
                next = node.parent
            }
            path.reverse()
            guard path.count == own.count else { return [] }
            let same = path.indices.prefix { path[$0].block == own[$0] || (path[$0].isExact && $0 < exact) }
            return same.map { LeftBlock(node: path[$0], id: path[$0].block) }
        }
    }

    /// References to blocks that were left here, as many from the first on as are still here and have the same bits.
    func retain(_ left: ArraySlice<LeftBlock>) -> Int {
        state.withLock { state in
            var taken = 0
            for block in left {
                guard block.node.isHere, block.node.block == block.id else { break }
                pool.retain(block.id)
                taken += 1
            }
            if taken > 0 {
                state.order.use(left[left.startIndex + taken - 1].node)
                state.report.reusedTokens += taken * BlockPool.blockTokens
            }
            return taken
        }
    }

    // MARK: Giving up

    /// Lets go of blocks that no sequence holds, as many as are missing, those first that were not used for the longest time.
    private func giveUp(_ missing: Int) {
        state.withLock { state in
            var given = 0
            var next = state.order.last
            while given < missing, let node = next {
                next = node.newer
                // A leaf, or it has become one: those behind it were its descendants and are gone.
                // A part gives way in any case: the sequence whose block it is need not copy it then.
                let isHeld = pool.isShared(node.block)
                guard node.children.isEmpty, !isHeld || node.isPart else { continue }
                drop(node, &state)
                state.report.evictions += 1
                if !isHeld { given += pool.blockBytes }
            }
            state.report.bytes = state.report.blocks * pool.blockBytes
        }
        pool.giveUpIdle()
    }

    /// Drops a leaf.
    private func drop(_ node: PrefixNode, _ state: inout State) {
        state.order.remove(node)
        node.leave()
        pool.release(node.block)
        state.report.blocks -= 1
    }
}
