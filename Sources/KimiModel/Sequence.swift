import Glibc
import KimiCore

/// The tokens of one session and where their latents lie.
///
/// Forking shares all blocks; a block that is shared is copied before the first token is written into it. One thread at a time.
package final class TokenSequence: @unchecked Sendable {
    // Safe because the pointers lead into `memory`, which lives as long as the sequence, and every index is below
    // `contextLimit` or the block count derived from it.
    private let memory: MappedMemory
    let tokenTable: UnsafeMutablePointer<Int32>
    let blockIDs: UnsafeMutablePointer<BlockPool.BlockID>
    /// Base address of each block, in the form the attention kernel wants.
    let blocks: UnsafeMutablePointer<UnsafeRawPointer?>
    var blockCount = 0
    let pool: BlockPool

    /// The most tokens this sequence may hold.
    package let contextLimit: Int
    /// Tokens that were evaluated.
    package internal(set) var count = 0
    /// Those of them, from the first on, whose latents are in the cache: all, unless it was let go for the memory.
    package internal(set) var cached = 0
    /// Which of them are pictures, in rising order. The last may be held in part.
    package internal(set) var media: [MediaMark] = []
    /// How they were computed, run by run.
    var runs = PrecisionRuns()
    /// Tokens, from the first on, whose latents came from elsewhere; see `markForeign`.
    private(set) var foreignCount = 0
    /// Blocks that a tree of prefixes has, and the node of the last of them; nil with blocks: it has dropped them.
    var sharedBlocks = 0
    var sharedPlace: PrefixNode?
    /// Where the tree had the blocks that were let go.
    var left: [LeftBlock] = []

    package init(pool: BlockPool, contextLimit: Int) throws(KimiError) {
        self.pool = pool
        self.contextLimit = contextLimit
        let most = Self.blocks(for: contextLimit)
        // 16 bytes a block and 4 a token; contextLimit was checked against the model's, so no overflow is near.
        let blockTableBytes = most * MemoryLayout<UnsafeRawPointer?>.stride
        let idTableBytes = (most * MemoryLayout<BlockPool.BlockID>.stride + 7) / 8 * 8
        memory = try MappedMemory(
            byteCount: blockTableBytes + idTableBytes + contextLimit * MemoryLayout<Int32>.stride, what: "token table")
        blocks = memory.pointer(to: UnsafeRawPointer?.self)
        blockIDs = memory.pointer(to: BlockPool.BlockID.self, at: blockTableBytes)
        tokenTable = memory.pointer(to: Int32.self, at: blockTableBytes + idTableBytes)
        pool.promise(most)
    }

    deinit {
        for index in 0..<blockCount { pool.release(blockIDs[index]) }
        pool.release(promise: Self.blocks(for: contextLimit))
    }

    static func blocks(for tokens: Int) -> Int {
        (tokens + BlockPool.blockTokens - 1) / BlockPool.blockTokens
    }

    /// A sequence with the same past, sharing its blocks.
    package func fork() throws(KimiError) -> TokenSequence {
        let copy = try TokenSequence(pool: pool, contextLimit: contextLimit)
        let used = Self.blocks(for: cached)
        for index in 0..<used {
            pool.retain(blockIDs[index])
            copy.blockIDs[index] = blockIDs[index]
            copy.blocks[index] = blocks[index]
        }
        copy.blockCount = used
        copy.tokenTable.update(from: tokenTable, count: count)
        (copy.count, copy.cached) = (count, cached)
        copy.media = media
        (copy.runs, copy.foreignCount) = (runs, foreignCount)
        (copy.sharedBlocks, copy.sharedPlace, copy.left) = (sharedBlocks, sharedPlace, left)
        return copy
    }

    /// Bytes of cache held, shared blocks included.
    package var cacheBytes: Int { blockCount * pool.blockBytes }

    package var tokens: UnsafeBufferPointer<Int32> { UnsafeBufferPointer(start: tokenTable, count: count) }

    /// Whether the last token is one of a picture. It cannot be evaluated anew then: its row is not kept.
    package var endsInMedia: Bool { media.last.map { $0.end == count } ?? false }

    /// Keeps the first `length` tokens; 0 ... count. Of a picture in the midst of which that is, the first rows stay.
    package func truncate(to length: Int) {
        guard length >= 0 && length < count else { return }
        drop(to: Self.blocks(for: min(cached, length)))
        (count, cached, foreignCount) = (length, min(cached, length), min(foreignCount, length))
        runs.cut(to: length)
        left = Array(left.prefix(length / BlockPool.blockTokens))
        // The node of an earlier block is found again from the root on.
        if length / BlockPool.blockTokens < sharedBlocks { (sharedBlocks, sharedPlace) = (0, nil) }
        while let last = media.last, last.end > length {
            media.removeLast()
            if last.start < length { media.append(MediaMark(start: last.start, count: length - last.start, digest: last.digest)) }
        }
    }

    /// Whether there is memory for `more` tokens after the present ones, at this moment.
    ///
    /// - Throws: `outOfMemory` with what is missing.
    package func checkRoom(for more: Int) throws(KimiError) {
        guard more <= contextLimit - count else { return }
        let first = cached / BlockPool.blockTokens
        let copied = first < blockCount && pool.isShared(blockIDs[first]) ? 1 : 0
        let missing = Self.blocks(for: count + more) - blockCount + copied
        guard missing > 0 else { return }
        do throws(KimiError) {
            try pool.check(missing, beside: blockCount)
        } catch {
            // What shared the block may have given way to it.
            guard copied > 0, !pool.isShared(blockIDs[first]) else { throw error }
            if missing > 1 { try pool.check(missing - 1, beside: blockCount) }
        }
    }

    /// Makes the cache writable for `more` tokens after those that are in it. On an error nothing has changed.
    package func prepare(_ more: Int) throws(KimiError) {
        guard more <= contextLimit - cached else {
            throw KimiError(
                .contextFull,
                "\(count) tokens are held and \(more) more would pass the context limit of \(contextLimit)")
        }
        let first = cached / BlockPool.blockTokens
        if first < blockCount, pool.isShared(blockIDs[first]) {
            do throws(KimiError) {
                try copyBlock(first)
            } catch {
                // What shared it may have given way to the copy.
                if pool.isShared(blockIDs[first]) { throw error }
            }
        }
        let needed = Self.blocks(for: cached + more)
        let held = blockCount
        do throws(KimiError) {
            while blockCount < needed {
                let block = try pool.take(beside: blockCount)
                blockIDs[blockCount] = block.id
                blocks[blockCount] = UnsafeRawPointer(block.base)
                blockCount += 1
            }
        } catch {
            // Others may have use for them.
            drop(to: held)
            throw error
        }
    }

    func drop(to used: Int) {
        while blockCount > used {
            blockCount -= 1
            pool.release(blockIDs[blockCount])
            blocks[blockCount] = nil
        }
    }

    /// Replaces a shared block by a copy of our own; only the tokens that are in use are copied.
    private func copyBlock(_ index: Int) throws(KimiError) {
        guard let source = blocks[index] else { return }
        let block = try pool.take(beside: blockCount)
        let bytes = cached % BlockPool.blockTokens * pool.tokenBytes
        for layer in 0..<pool.layerCount {
            let offset = layer * pool.layerBytes
            memcpy(block.base + offset, source + offset, bytes)
        }
        pool.release(blockIDs[index])
        blockIDs[index] = block.id
        blocks[index] = UnsafeRawPointer(block.base)
    }

    /// Says that all tokens held came from elsewhere, with latents that nobody else is to go on from.
    package func markForeign() { foreignCount = count }

    /// Notes tokens whose latents a step has written after `prepare`.
    ///
    /// - Parameter precision: that of the step.
    package func append(_ ids: UnsafeBufferPointer<Int32>, _ precision: Precision = .exact) {
        guard let base = ids.baseAddress, ids.count <= contextLimit - count else { return }
        (tokenTable + count).update(from: base, count: ids.count)
        runs.add(ids.count, precision)
        count += ids.count
        cached = count
    }

    /// Notes that tokens which were appended are rows of a picture.
    ///
    /// - Parameters:
    ///   - start: the place of the first of them in the sequence, behind all that is noted already.
    ///   - continues: whether they are the next rows of the picture that was noted last, and not the first of another.
    package func note(media digest: MediaDigest, start: Int, count more: Int, continues: Bool) {
        if continues, let last = media.last, last.digest == digest, last.end == start {
            media[media.count - 1].count += more
        } else {
            media.append(MediaMark(start: start, count: more, digest: digest))
        }
    }

    /// Where the latent of the token at `position`, which must be prepared, is to be written in `layer`.
    @inline(__always)
    func slot(position: Int, layer: Int) -> UnsafeMutableRawPointer? {
        guard let base = blocks[position / BlockPool.blockTokens] else { return nil }
        let offset = layer * pool.layerBytes
            + position % BlockPool.blockTokens * pool.tokenBytes
        return UnsafeMutableRawPointer(mutating: base) + offset
    }

    // MARK: Saving

    /// Bytes that `withCacheBytes` passes in all for the present tokens.
    package var savedByteCount: Int { count * pool.layerCount * pool.tokenBytes }

    /// The cache of the present tokens as runs of bytes: block after block, in it layer after layer.
    package func forEachCacheRun(
        _ body: (UnsafeMutableRawBufferPointer) throws(KimiError) -> Void
    ) throws(KimiError) {
        for index in 0..<Self.blocks(for: count) {
            guard let base = blocks[index] else { continue }
            let tokens = min(BlockPool.blockTokens, count - index * BlockPool.blockTokens)
            for layer in 0..<pool.layerCount {
                try body(UnsafeMutableRawBufferPointer(
                    start: UnsafeMutableRawPointer(mutating: base) + layer * pool.layerBytes,
                    count: tokens * pool.tokenBytes))
            }
        }
    }
}
