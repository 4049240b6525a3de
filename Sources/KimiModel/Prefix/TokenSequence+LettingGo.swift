/// A block that a sequence let go of, which the tree had at that time.
struct LeftBlock {
    let node: PrefixNode
    let id: BlockPool.BlockID
}

/// Giving up latents for the memory, and getting them back: what the tree still has is taken over, the rest evaluated again.
extension TokenSequence {
    /// Gives up the latents of all tokens that could be evaluated again: not those up to the last picture, whose rows are not
    /// kept, nor what came from elsewhere. Tokens stay.
    ///
    /// - Returns: whether that gave up a block.
    @discardableResult
    package func letGo(to tree: PrefixTree?) -> Bool {
        let kept = max(foreignCount, media.last?.end ?? 0)
        let keptBlocks = Self.blocks(for: min(kept, cached))
        guard blockCount > keptBlocks else { return false }
        if cached == count {
            if let tree { offer(to: tree) }
            left = tree?.left(by: self) ?? []
        }
        drop(to: keptBlocks)
        cached = min(kept, cached)
        return true
    }

    /// Takes back what the tree still has of the blocks that were let go. What was computed on the fast path is taken back as a whole or
    /// not at all: what is missing of it could be too short for that path, which gives other bits then.
    package func takeBack(from tree: PrefixTree) {
        let first = cached / BlockPool.blockTokens
        let before = cached
        guard cached < count, first < left.count else { return }
        let taken = tree.retain(left[first...])
        guard taken > 0 else { return }
        drop(to: first)
        for block in left[first..<first + taken] {
            blockIDs[blockCount] = block.id
            blocks[blockCount] = pool.base(of: block.id)
            blockCount += 1
        }
        cached = blockCount * BlockPool.blockTokens
        guard cached < count, let run = runs.run(at: cached), run.precision == .fast, run.places.lowerBound < cached else { return }
        cached = max(run.places.lowerBound, before)
        drop(to: Self.blocks(for: cached))
        left = Array(left.prefix(cached / BlockPool.blockTokens))
    }

    /// The next tokens that are to be evaluated again, and how they were evaluated before; nil: all latents are there.
    package var lost: (ids: UnsafeBufferPointer<Int32>, precision: Precision)? {
        guard cached < count else { return nil }
        let run = runs.run(at: cached) ?? (cached..<count, .exact)
        return (UnsafeBufferPointer(rebasing: tokens[cached..<min(run.places.upperBound, count)]), run.precision)
    }

    /// Notes lost tokens whose latents a step has written after `prepare`.
    package func restore(_ more: Int) {
        cached = min(count, cached + more)
        guard cached == count else { return }
        // Where the tree has them it is asked from the root on.
        (sharedBlocks, sharedPlace, left) = (0, nil, [])
    }

    /// Blocks in use, shared ones included. The cache's, not the tokens'.
    package var heldBlocks: Int { blockCount }
}
