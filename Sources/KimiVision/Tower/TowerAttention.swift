import CKimiKernels
import KimiCheckpoint
import KimiModel

/// Queries, keys and values of all heads, rotated, as attention reads them: of each picture, from its first row's place on, head
/// after head. Queries lie side by side by sixteens (ck_pack_queries), keys and values row after row.
struct TowerHeads {
    let query: UnsafeMutablePointer<Float>
    let key: UnsafeMutablePointer<Float>
    let value: UnsafeMutablePointer<Float>
    /// Of a head.
    let size: Int

    /// Where a picture's head begins, in each of the three.
    func offset(_ picture: TowerPicture, head: Int, heads: Int) -> Int {
        (picture.firstRow * heads + picture.paddedRows * head) * size
    }
}

/// Full attention among the patches of each picture, or of all frames of a chunk: an online softmax over blocks of keys, for a band
/// of rows of one head at a time, so that no more scores exist at once than those of a band and a block.
struct TowerAttention {
    let kernels: UnsafePointer<ck_kernels>
    let config: VisionConfig
    let batch: TowerBatch
    let work: TowerWork

    /// Rows of an item.
    static let band = 128
    /// Multiply-adds of one turn, for each thread: some tenths of a second at most.
    private static let turnWork = 8_000_000_000

    static func bands(rows: Int) -> Int { (rows + band - 1) / band }

    /// The items from `first` on that make up one turn.
    func turn(from first: Int, threads: Int) -> Range<Int> {
        var end = first
        var left = Self.turnWork &* threads
        var index = batch.picture(of: first, by: \.firstItem)
        while end < batch.items, left > 0, index < batch.pictures.count {
            let picture = batch.pictures[index]
            let last = index + 1 < batch.pictures.count ? batch.pictures[index + 1].firstItem : batch.items
            // Safe from overflow because a picture has at most 2^20 rows.
            let cost = max(1, min(Self.band, picture.rows) * picture.rows * config.headSize * 2)
            let taken = min(last - end, left / cost + 1)
            end += taken
            left -= taken * cost
            index += 1
        }
        return first..<max(end, first + 1)
    }

    /// Multiply-adds of one layer.
    static func multiplyAdds(rows: Int, _ config: VisionConfig) -> Int { rows &* rows &* config.hiddenSize &* 2 }

    /// One item: a head of some rows of a picture, into `attended`.
    func attend(_ item: Int, worker: Int) {
        let picture = batch.pictures[batch.picture(of: item, by: \.firstItem)]
        let (head, number) = (item - picture.firstItem).quotientAndRemainder(dividingBy: Self.bands(rows: picture.rows))
        let first = number * Self.band
        let rows = min(Self.band, picture.rows - first)
        let size = config.headSize
        let offset = work.heads.offset(picture, head: head, heads: config.headCount)
        let scratch = work.scratch(worker: worker, config)
        for start in stride(from: 0, to: picture.rows, by: Int(CK_CACHE_BLOCK)) {
            let count = min(Int(CK_CACHE_BLOCK), picture.rows - start)
            let keys = work.heads.key + offset + start * size
            // Every row sees all tokens: the first as if it were behind them.
            var block = ck_expanded_block(
                keys: keys, values: work.heads.value + offset + start * size, stride: size, key: size, value: size, start: start,
                count: count, tokens: picture.rows, rows: rows, scale: scale, ahead: nil, ahead_bytes: 0)
            if start + count < picture.rows {
                block.ahead = UnsafeRawPointer(keys + count * size)
                block.ahead_bytes = min(Int(CK_CACHE_BLOCK), picture.rows - start - count) * size * MemoryLayout<Float>.stride
            }
            kernels.pointee.expanded_attention(scratch.sums, scratch.state, work.heads.query + offset + first * size, &block)
        }
        let width = config.hiddenSize
        kernels.pointee.attention_finish(
            work.attended + (picture.firstRow + first) * width + head * size, width, scratch.sums, scratch.state, rows, size)
    }

    private var scale: Float { Float(1 / Double(config.headSize).squareRoot()) }
}
