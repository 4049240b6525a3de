import CKimiKernels
import Foundation
import Testing

/// Products of tiles: the twin against sums in double precision, and the tiles themselves against the twin, bit for bit.
struct TilesTests {
    private static let hasTiles = ck_tiles_for(Int32(CK_ISA_AMX), 2) != nil

    /// Memory aligned as tiles want it, filled so that what must be written shows.
    private final class Block {
        let base: UnsafeMutableRawPointer
        let count: Int

        init(_ count: Int) {
            self.count = count
            base = .allocate(byteCount: max(count, 64), alignment: 64)
            memset(base, 0xab, max(count, 64))
        }

        deinit { base.deallocate() }

        var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: base, count: count)) }
    }

    private func tiles(_ isa: Int, _ halves: Int) throws -> ck_tiles { try #require(ck_tiles_for(Int32(isa), halves)).pointee }

    /// bfloat16 weights and what they stand for.
    private func weights(_ rows: Int, _ columns: Int, _ random: inout Random) -> (words: [UInt16], values: [Float]) {
        let words = (0..<rows * columns).map { _ in
            UInt16(truncatingIfNeeded: Float.random(in: -1...1, using: &random).bitPattern >> 16)
        }
        return (words, words.map { Float(bitPattern: UInt32($0) << 16) })
    }

    private func product(
        _ tiles: ck_tiles, _ x: [Float], rows: Int, columns: Int, weights: [UInt16], outputs: Int
    ) -> (y: [Float], parts: [[UInt8]]) {
        let rowBlocks = (rows + 15) / 16, columnBlocks = (outputs + 15) / 16
        let blockBytes = ck_block_bytes(columns, tiles.halves)
        let split = Block(rowBlocks * blockBytes), packed = Block(columnBlocks * ck_block_bytes(columns, 1))
        for row in 0..<rowBlocks * 16 {
            let block = split.base + row / 16 * blockBytes
            let values = row < rows ? Array(x[row * columns..<(row + 1) * columns]) : [Float](repeating: 0, count: columns)
            // In two parts, as workers may do it.
            let cut = columns / 64 * 32
            values.withUnsafeBufferPointer { buffer in
                guard let base = buffer.baseAddress else { return }
                tiles.split_rows(block, row % 16, base + cut, cut, columns - cut)
                if cut > 0 { tiles.split_rows(block, row % 16, base, 0, cut) }
            }
        }
        var y = [Float](repeating: .nan, count: rowBlocks * 16 * columnBlocks * 16)
        weights.withUnsafeBufferPointer { buffer in
            var matrix = ck_matrix()
            matrix.data = UnsafeRawPointer(buffer.baseAddress)
            (matrix.rows, matrix.columns, matrix.type) = (outputs, columns, Int32(CK_BF16))
            tiles.pack_weights(packed.base, &matrix, 0, outputs)
        }
        tiles.matmul(&y, columnBlocks * 16, split.base, rowBlocks, packed.base, columnBlocks, columns)
        return (y, [split.bytes, packed.bytes])
    }

    @Test(
        "A product of pairs is that of the floats to 2^-16 of its terms, one of halves to 2^-8, with tiles as with the twin",
        arguments: [(1, 1, 1), (3, 31, 5), (16, 32, 16), (17, 33, 17), (40, 96, 50), (35, 1200, 33), (150, 64, 20)], [1, 2])
    func products(_ shape: (rows: Int, columns: Int, outputs: Int), halves: Int) throws {
        let (rows, columns, outputs) = shape
        var random = Random(rows * 1000 + columns)
        let x = (0..<rows * columns).map { _ in Float.random(in: -4...4, using: &random) }
        let (words, values) = weights(outputs, columns, &random)
        let twin = try tiles(CK_ISA_SCALAR, halves)
        let (y, parts) = product(twin, x, rows: rows, columns: columns, weights: words, outputs: outputs)
        let stride = (outputs + 15) / 16 * 16
        for row in 0..<rows {
            for output in 0..<outputs {
                var (sum, size) = (0.0, 0.0)
                for c in 0..<columns {
                    let term = Double(x[row * columns + c]) * Double(values[output * columns + c])
                    sum += term
                    size += abs(term)
                }
                #expect(abs(Double(y[row * stride + output]) - sum) <= size / (halves == 2 ? 65536 : 256) + 1e-30)
            }
        }
        guard Self.hasTiles else { return }
        let fast = product(try tiles(CK_ISA_AMX, halves), x, rows: rows, columns: columns, weights: words, outputs: outputs)
        #expect(fast.parts == parts)
        #expect(fast.y.map(\.bitPattern) == y.map(\.bitPattern))
    }

    @Test(
        "Zeros, denormal numbers, infinities and huge numbers, with tiles as with the twin", .enabled(if: hasTiles),
        arguments: [1, 2])
    func extremes(halves: Int) throws {
        let specials: [Float] = [
            0, -0.0, 1e-40, -1e-39, .leastNormalMagnitude, .infinity, -.infinity, .greatestFiniteMagnitude, 1e38, -3e38, 1, -1, 1e-30,
        ]
        var random = Random(5)
        let x = (0..<32 * 64).map { _ in Bool.random(using: &random) ? specials.randomElement(using: &random) ?? 0 : 1.5 }
        let words = (0..<16 * 64).map { _ in
            UInt16(truncatingIfNeeded: (Int.random(in: 0..<8, using: &random) == 0
                ? specials.randomElement(using: &random) ?? 0 : Float(0.25)).bitPattern >> 16)
        }
        let twin = product(try tiles(CK_ISA_SCALAR, halves), x, rows: 32, columns: 64, weights: words, outputs: 16)
        let fast = product(try tiles(CK_ISA_AMX, halves), x, rows: 32, columns: 64, weights: words, outputs: 16)
        #expect(fast.parts == twin.parts)
        for (a, b) in zip(fast.y, twin.y) { #expect(a.bitPattern == b.bitPattern || a.isNaN && b.isNaN) }
    }

    // MARK: Attention

    private struct Heads {
        let rows, tokens, size: Int
        let q, k, v: [Float]
    }

    private func attend(_ tiles: ck_tiles, _ heads: Heads) -> [Float] {
        let (size, tokens) = (heads.size, heads.tokens)
        let queryBlocks = (heads.rows + 15) / 16, pairs = (tokens + 31) / 32
        let halves = tiles.halves
        let q = Block(queryBlocks * ck_query_bytes(size, halves)), k = Block(pairs * ck_key_bytes(size, halves))
        let v = Block(pairs * ck_value_bytes(size, halves)), scratch = Block(ck_attention_scratch(size, halves))
        func rows(_ block: Int, of count: Int) -> Int { max(0, min(16, count - block * 16)) }
        heads.q.withUnsafeBufferPointer { x in
            for block in 0..<queryBlocks {
                tiles.pack_queries(
                    q.base + block * ck_query_bytes(size, halves), x.baseAddress! + block * 16 * size, size,
                    rows(block, of: heads.rows), size, 1 / Float(size).squareRoot())
            }
        }
        for group in 0..<pairs {
            let count = min(32, tokens - group * 32), start = group * 32 * size
            heads.k.withUnsafeBufferPointer {
                tiles.pack_keys(k.base + group * ck_key_bytes(size, halves), $0.baseAddress! + start, size, count, size)
            }
            heads.v.withUnsafeBufferPointer {
                tiles.pack_values(v.base + group * ck_value_bytes(size, halves), $0.baseAddress! + start, size, count, size)
            }
        }
        var y = [Float](repeating: .nan, count: queryBlocks * 16 * size)
        tiles.attention(&y, size, q.base, queryBlocks, k.base, v.base, tokens, size, scratch.base)
        return Array(y.prefix(heads.rows * size))
    }

    private static let shapes = [
        (1, 1, 8), (4, 4, 24), (16, 16, 72), (20, 33, 24), (50, 300, 72), (33, 600, 20), (17, 129, 16), (250, 1100, 8),
        (40, 1030, 72), (20, 70, 64), (33, 1040, 96),
    ]

    private func heads(_ shape: (rows: Int, tokens: Int, size: Int), spread: Float) -> Heads {
        var random = Random(shape.rows * 7 + shape.tokens)
        let (rows, tokens, size) = shape
        func floats(_ count: Int, _ most: Float) -> [Float] { (0..<count).map { _ in Float.random(in: -most...most, using: &random) } }
        // The last keys have the largest scores, so that sums are scaled on the way.
        var k = floats(tokens * size, spread)
        for index in tokens / 2 * size..<tokens * size { k[index] *= 3 }
        return Heads(rows: rows, tokens: tokens, size: size, q: floats(rows * size, 2 * spread), k: k, v: floats(tokens * size, 1))
    }

    /// A row's shares of all tokens, and what becomes of the value, in double precision.
    private func expected(_ heads: Heads, row: Int) -> (weights: [Double], values: [Double]) {
        let (size, tokens) = (heads.size, heads.tokens)
        let scores = (0..<tokens).map { t in
            (0..<size).reduce(0.0) { $0 + Double(heads.q[row * size + $1]) * Double(heads.k[t * size + $1]) }
                / Double(size).squareRoot()
        }
        let most = scores.max() ?? 0
        let powers = scores.map { exp($0 - most) }
        let total = powers.reduce(0, +)
        let weights = powers.map { $0 / total }
        return (weights, (0..<size).map { d in (0..<tokens).reduce(0.0) { $0 + weights[$1] * Double(heads.v[$1 * size + d]) } })
    }

    @Test("Attention of pairs is that of the floats to 2e-5, with tiles as with the twin", arguments: shapes, [1, 6] as [Float])
    func attention(_ shape: (Int, Int, Int), spread: Float) throws {
        let heads = heads(shape, spread: spread)
        let (rows, tokens, size) = shape
        let y = attend(try tiles(CK_ISA_SCALAR, 2), heads)
        for row in 0..<rows {
            let (weights, values) = expected(heads, row: row)
            // Of scores with a spread of hundreds 2^-16 is lost.
            let tolerance = 2e-5 + Double(spread * spread) * 2e-4
            for d in 0..<size {
                // Of many, weights have one half: 2^-9 of each, and as much of the total, whose common part goes away.
                let apart = (0..<tokens).reduce(0.0) { $0 + weights[$1] * abs(Double(heads.v[$1 * size + d]) - values[d]) }
                let rounding = tokens < Int(CK_TILE_AVERAGED) ? 0 : apart / 256
                #expect(abs(Double(y[row * size + d]) - values[d]) < tolerance + rounding)
            }
        }
        guard Self.hasTiles else { return }
        #expect(attend(try tiles(CK_ISA_AMX, 2), heads).map(\.bitPattern) == y.map(\.bitPattern))
    }

    @Test(
        "Attention of halves is that of what they hold, but for its weights' halves, with tiles as with the twin",
        arguments: shapes, [0.5, 6] as [Float])
    func attentionOfHalves(_ shape: (Int, Int, Int), spread: Float) throws {
        var heads = heads(shape, spread: spread)
        let (rows, tokens, size) = shape
        let y = attend(try tiles(CK_ISA_SCALAR, 1), heads)
        if Self.hasTiles {
            #expect(attend(try tiles(CK_ISA_AMX, 1), heads).map(\.bitPattern) == y.map(\.bitPattern))
        }
        func half(_ x: Float) -> Float {
            let bits = x.bitPattern
            return Float(bitPattern: (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
        }
        // Queries are rounded with the factors of scores, which both are no powers of two.
        let scale = (1 / Float(size).squareRoot()) * 1.44269504
        let q = heads.q.map { half($0 * scale) / scale }
        heads = Heads(rows: rows, tokens: tokens, size: size, q: q, k: heads.k.map(half), v: heads.v.map(half))
        for row in 0..<rows {
            let (weights, values) = expected(heads, row: row)
            for d in 0..<size {
                // A weight is off by 6.3e-3 at most, by the table and by cutting, and so is the total.
                let apart = (0..<tokens).reduce(0.0) { $0 + weights[$1] * abs(Double(heads.v[$1 * size + d]) - values[d]) }
                let tolerance = 1e-5 + Double(spread * spread) * 1e-4
                #expect(abs(Double(y[row * size + d]) - values[d]) < tolerance + apart * 0.013)
            }
        }
    }

    @Test(
        "What is no number, or infinite, is seen in every row that meets it, with halves too",
        arguments: [1, 2], [CK_ISA_SCALAR, CK_ISA_AMX])
    func bad(halves: Int, isa: Int) throws {
        guard isa == CK_ISA_SCALAR || Self.hasTiles else { return }
        let sound = heads((20, 300, 72), spread: 1)
        for (place, number) in [(0, Float.nan), (299, .nan), (40, .infinity), (270, .infinity)] {
            var k = sound.k, v = sound.v
            k[place * 72 + 5] = number
            v[place * 72 + 7] = number
            let y = attend(try tiles(isa, halves), Heads(rows: 20, tokens: 300, size: 72, q: sound.q, k: k, v: sound.v))
            // An infinite key pushes the rows away whose query points away from it.
            let away = number.isNaN ? [] : (0..<20).filter { sound.q[$0 * 72 + 5] < 0 }
            for row in 0..<20 where !away.contains(row) { #expect(!y[row * 72].isFinite, "\(place), \(number), row \(row)") }
            let other = attend(try tiles(isa, halves), Heads(rows: 20, tokens: 300, size: 72, q: sound.q, k: sound.k, v: v))
            for row in 0..<20 {
                #expect(!other[row * 72 + 7].isFinite)
                #expect(other[row * 72 + 8].isFinite)
            }
        }
    }
}
