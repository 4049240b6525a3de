import CKimiKernels
import KimiCheckpoint

/// Queries, keys and values of all heads, rotated, as attention reads them: of each picture, from its first row's place on, head
/// after head, group of `TowerBatch.unit` rows after group.
///
/// In floats queries lie side by side by sixteens (ck_pack_queries), keys and values row after row; for tiles see ck_tiles.h.
struct TowerHeads {
    private let query: UnsafeMutableRawPointer
    private let key: UnsafeMutableRawPointer
    private let value: UnsafeMutableRawPointer
    private let kernels: UnsafePointer<ck_kernels>
    private let tiles: UnsafePointer<ck_tiles>?
    private let heads: Int
    private let size: Int
    private let sizes: (query: Int, value: Int)

    init(
        query: UnsafeMutableRawPointer, key: UnsafeMutableRawPointer, value: UnsafeMutableRawPointer, _ config: VisionConfig,
        _ arithmetic: TowerArithmetic
    ) {
        (self.query, self.key, self.value) = (query, key, value)
        (kernels, tiles) = (arithmetic.kernels, arithmetic.tiles)
        (heads, size) = (config.headCount, config.headSize)
        sizes = Self.groupBytes(config, halves: arithmetic.halves)
    }

    /// Bytes of a head's queries, or keys, and of its values, of a group of rows.
    ///
    /// - Parameter halves: of numbers in tiles; 0: there are no tiles.
    static func groupBytes(_ config: VisionConfig, halves: Int) -> (query: Int, value: Int) {
        let rows = TowerBatch.unit
        guard halves > 0 else { return (rows * config.headSize * 4, rows * config.headSize * 4) }
        return (rows / TowerRows.blockRows * ck_query_bytes(config.headSize, halves), ck_value_bytes(config.headSize, halves))
    }

    /// Groups in front of a head's row: a multiple of `TowerBatch.unit`, or of a block within a group.
    private func groups(_ picture: TowerPicture, _ head: Int, _ row: Int) -> Int {
        picture.firstRow / TowerBatch.unit * heads + picture.paddedRows / TowerBatch.unit * head + row / TowerBatch.unit
    }
    private func query(_ picture: TowerPicture, _ head: Int, _ row: Int) -> UnsafeMutableRawPointer {
        query + groups(picture, head, row) * sizes.query
    }
    private func key(_ picture: TowerPicture, _ head: Int, _ row: Int) -> UnsafeMutableRawPointer {
        key + groups(picture, head, row) * sizes.query
    }
    private func value(_ picture: TowerPicture, _ head: Int, _ row: Int) -> UnsafeMutableRawPointer {
        value + groups(picture, head, row) * sizes.value
    }

    /// Attention's scores are multiplied by this.
    private var scale: Float { Float(1 / Double(size).squareRoot()) }

    // MARK: Making

    /// Stores a head of a group of rows.
    ///
    /// - Parameters:
    ///   - from: the head's query of the first row, rotated; its key, rotated, and its value lie `width` and twice `width` floats
    ///     behind it, and the next row's query three times `width`.
    ///   - row: the first, counted from the picture's first.
    func store(_ from: UnsafePointer<Float>, width: Int, _ picture: TowerPicture, head: Int, row: Int) {
        let (query, key, value) = (query(picture, head, row), key(picture, head, row), value(picture, head, row))
        let stride = 3 * width
        guard let tiles else {
            ck_pack_queries(query.assumingMemoryBound(to: Float.self), from, stride, TowerBatch.unit, size)
            let (keys, values) = (key.assumingMemoryBound(to: Float.self), value.assumingMemoryBound(to: Float.self))
            for index in 0..<TowerBatch.unit {
                (keys + index * size).update(from: from + index * stride + width, count: size)
                (values + index * size).update(from: from + index * stride + 2 * width, count: size)
            }
            return
        }
        let block = TowerRows.blockRows
        // Rows that are no patches are none here either: no weight may meet what they hold.
        let count = min(TowerBatch.unit, picture.rows - row)
        for first in Swift.stride(from: 0, to: TowerBatch.unit, by: block) {
            tiles.pointee.pack_queries(
                query + first / block * ck_query_bytes(size, tiles.pointee.halves), from + first * stride, stride,
                max(0, min(block, count - first)), size, scale)
        }
        tiles.pointee.pack_keys(key, from + width, stride, count, size)
        tiles.pointee.pack_values(value, from + 2 * width, stride, count, size)
    }

    // MARK: Attending

    /// The attention of a head's rows from `first` on, a multiple of `TowerBatch.unit`, to all rows of its picture.
    ///
    /// - Parameters:
    ///   - y: where the first of these rows of this head goes; `width` floats to the next row. Rows that are no patches, behind the
    ///     picture's last, may be written, too.
    ///   - rows: at most `TowerAttention.band`.
    func attend(
        _ picture: TowerPicture, head: Int, first: Int, rows: Int, into y: UnsafeMutablePointer<Float>, width: Int,
        _ scratch: TowerWorkerScratch
    ) {
        let query = query(picture, head, first)
        if let tiles {
            let block = TowerRows.blockRows
            tiles.pointee.attention(
                y, width, query, (rows + block - 1) / block, key(picture, head, 0), value(picture, head, 0), picture.rows, size,
                scratch.attention)
            return
        }
        let (keys, values) = (
            key(picture, head, 0).assumingMemoryBound(to: Float.self), value(picture, head, 0).assumingMemoryBound(to: Float.self)
        )
        let most = Int(CK_CACHE_BLOCK)
        for start in stride(from: 0, to: picture.rows, by: most) {
            let count = min(most, picture.rows - start)
            // Every row sees all tokens: the first as if it were behind them.
            var block = ck_expanded_block(
                keys: keys + start * size, values: values + start * size, stride: size, key: size, value: size, start: start,
                count: count, tokens: picture.rows, rows: rows, scale: scale, ahead: nil, ahead_bytes: 0)
            if start + count < picture.rows {
                block.ahead = UnsafeRawPointer(keys + (start + count) * size)
                block.ahead_bytes = min(most, picture.rows - start - count) * size * MemoryLayout<Float>.stride
            }
            kernels.pointee.expanded_attention(scratch.sums, scratch.state, query.assumingMemoryBound(to: Float.self), &block)
        }
        kernels.pointee.attention_finish(y, width, scratch.sums, scratch.state, rows, size)
    }
}
