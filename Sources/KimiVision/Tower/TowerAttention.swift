import KimiCheckpoint
import KimiModel

/// Full attention among the patches of each picture, or of all frames of a chunk: an online softmax over blocks of keys, for a band
/// of rows of one head at a time, so that no more scores exist at once than those of some rows and a block.
struct TowerAttention {
    let config: VisionConfig
    let batch: TowerBatch
    let work: TowerWork

    /// Rows of an item.
    static let band = 256
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
        let width = config.hiddenSize
        work.heads.attend(
            picture, head: head, first: first, rows: rows,
            into: work.attended + (picture.firstRow + first) * width + head * config.headSize, width: width,
            work.scratch(worker: worker, config))
    }
}
