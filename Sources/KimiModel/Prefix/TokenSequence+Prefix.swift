extension TokenSequence {
    /// Takes over what the tree has of the tokens that are to follow, in whole blocks and at last the beginning of one, which is copied
    /// before it is written to; the last token is left to be evaluated.
    ///
    /// - Parameters:
    ///   - more: what is to follow. With `spans`, places counted from its first token.
    ///   - exactly: take over only what was computed exactly.
    ///   - counting: whether it is the first time that these tokens are asked for.
    /// - Returns: how many tokens the sequence has more.
    package func adopt(
        from tree: PrefixTree, _ more: UnsafeBufferPointer<Int32>, spans: [MediaSpan] = [], exactly: Bool, counting: Bool
    ) -> Int {
        guard foreignCount == 0, cached == count, more.count > 1 else { return 0 }
        return adopt(from: tree, PrefixText(self, more: more, spans: spans), exactly: exactly, counting: counting)
    }

    /// As above, for a whole prompt that begins with what is held.
    package func adopt(from tree: PrefixTree, prompt ids: [Int32], media: [MediaMark], exactly: Bool) -> Int {
        guard foreignCount == 0, cached == count, ids.count > count + 1 else { return 0 }
        return ids.withUnsafeBufferPointer { ids in
            let text = PrefixText(held: tokens, more: UnsafeBufferPointer(rebasing: ids[count...]), media: media)
            return adopt(from: tree, text, exactly: exactly, counting: false)
        }
    }

    private func adopt(from tree: PrefixTree, _ text: PrefixText, exactly: Bool, counting: Bool) -> Int {
        let first = count / BlockPool.blockTokens
        let end = min(text.count - 1, contextLimit)
        let known = first == sharedBlocks ? sharedPlace : nil
        // Its blocks have been dropped: what follows them is not there either.
        if first == sharedBlocks && first > 0 && known == nil { return 0 }
        let found = tree.find(text, from: first, after: known, to: end, exactly: exactly, counting: counting)
        guard let node = found.node else { return 0 }
        let held = count
        drop(to: first)
        for (index, id) in found.blocks.enumerated() {
            blockIDs[first + index] = id
            blocks[first + index] = pool.base(of: id)
        }
        blockCount = first + found.blocks.count
        let whole = blockCount - (found.part > 0 ? 1 : 0)
        let new = whole * BlockPool.blockTokens + found.part
        for place in held..<new { tokenTable[place] = text.id(at: place) }
        // A part of the last block that was held is the same by its ids, but these are the latents now.
        runs.cut(to: first * BlockPool.blockTokens)
        runs.add(found.exact * BlockPool.blockTokens, .exact)
        runs.add((whole - first - found.exact) * BlockPool.blockTokens, .fast)
        runs.add(found.part, found.partIsExact ? .exact : .fast)
        (count, cached) = (new, new)
        media = text.media.filter { $0.start < new }.map {
            MediaMark(start: $0.start, count: min($0.end, new) - $0.start, digest: $0.digest)
        }
        (sharedBlocks, sharedPlace) = (whole, node)
        return new - held
    }

    /// Offers the tree the beginning of a block that a prompt ends in, for others that go on from there. What is written next is written to
    /// a copy, so this is for prompts and not for each token.
    package func offerPart(to tree: PrefixTree) {
        let full = count / BlockPool.blockTokens
        guard full > 0, full == sharedBlocks, let place = sharedPlace, full < blockCount, cached == count, foreignCount == 0 else { return }
        let ids = PrefixText(self).plain(full, to: count)
        guard ids.count == count % BlockPool.blockTokens, ids.count >= PrefixNode.leastShared else { return }
        tree.take(
            PrefixContent(ids: ids, media: []), block: blockIDs[full], after: place, exact: runs.exactBeginning >= count)
    }

    /// Offers the tree the blocks that have become full.
    package func offer(to tree: PrefixTree) {
        let full = count / BlockPool.blockTokens
        guard full > sharedBlocks, cached == count, foreignCount == 0, sharedBlocks == 0 || sharedPlace != nil else { return }
        sharedPlace = tree.take(
            PrefixText(self), blocks: blockIDs, from: sharedBlocks, after: sharedPlace, to: full,
            exact: runs.exactBeginning / BlockPool.blockTokens)
        sharedBlocks = full
    }

    /// Says that this sequence evaluates the tokens that follow, for others to wait for it.
    package func claim(
        in tree: PrefixTree, _ more: UnsafeBufferPointer<Int32>, spans: [MediaSpan] = []
    ) -> PrefixClaim {
        let first = count / BlockPool.blockTokens
        let end = (count + more.count) / BlockPool.blockTokens
        // A token by itself is no prompt, and allocates nothing.
        guard end > first, more.count > 1, foreignCount == 0 else { return .nothing }
        let text = PrefixText(self, more: more, spans: spans)
        guard first == 0 || first != sharedBlocks || sharedPlace != nil,
            let place = tree.place(of: text, blocks: first, known: first == sharedBlocks ? sharedPlace : nil)
        else { return .nothing }
        return tree.claims.claim((first..<end).map(text.content), after: place)
    }
}
