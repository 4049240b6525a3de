import CKimiKernels
import Foundation
import Testing

/// Products of tiles: the twin against sums in double precision, and the tiles themselves against the twin, bit for bit.
struct TilesTests {
    private static let hasTiles = ck_tiles_for(Int32(CK_ISA_AMX)) != nil

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

    private func tiles(_ isa: Int) throws -> ck_tiles { try #require(ck_tiles_for(Int32(isa))).pointee }

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
        let pairs = Block(rowBlocks * ck_pair_bytes(columns)), packed = Block(columnBlocks * ck_pair_bytes(columns) / 2)
        for row in 0..<rowBlocks * 16 {
            let block = pairs.base + row / 16 * ck_pair_bytes(columns)
            let values = row < rows ? Array(x[row * columns..<(row + 1) * columns]) : [Float](repeating: 0, count: columns)
            // In two parts, as workers may do it.
            let cut = columns / 64 * 32
            values.withUnsafeBufferPointer { buffer in
                guard let base = buffer.baseAddress else { return }
                tiles.split_pairs(block, row % 16, base + cut, cut, columns - cut)
                if cut > 0 { tiles.split_pairs(block, row % 16, base, 0, cut) }
            }
        }
        var y = [Float](repeating: .nan, count: rowBlocks * 16 * columnBlocks * 16)
        weights.withUnsafeBufferPointer { buffer in
            var matrix = ck_matrix()
            matrix.data = UnsafeRawPointer(buffer.baseAddress)
            (matrix.rows, matrix.columns, matrix.type) = (outputs, columns, Int32(CK_BF16))
            tiles.pack_weights(packed.base, &matrix, 0, outputs)
        }
        tiles.matmul_pairs(&y, columnBlocks * 16, pairs.base, rowBlocks, packed.base, columnBlocks, columns)
        return (y, [pairs.bytes, packed.bytes])
    }

    @Test(
        "A product of pairs is that of the floats to 2^-16 of its terms, with tiles as with the twin",
        arguments: [(1, 1, 1), (3, 31, 5), (16, 32, 16), (17, 33, 17), (40, 96, 50), (35, 1200, 33), (150, 64, 20)])
    func products(rows: Int, columns: Int, outputs: Int) throws {
        var random = Random(rows * 1000 + columns)
        let x = (0..<rows * columns).map { _ in Float.random(in: -4...4, using: &random) }
        let (words, values) = weights(outputs, columns, &random)
        let (y, parts) = product(try tiles(CK_ISA_SCALAR), x, rows: rows, columns: columns, weights: words, outputs: outputs)
        let stride = (outputs + 15) / 16 * 16
        for row in 0..<rows {
            for output in 0..<outputs {
                var (sum, size) = (0.0, 0.0)
                for c in 0..<columns {
                    let term = Double(x[row * columns + c]) * Double(values[output * columns + c])
                    sum += term
                    size += abs(term)
                }
                #expect(abs(Double(y[row * stride + output]) - sum) <= size / 65536 + 1e-30)
            }
        }
        guard Self.hasTiles else { return }
        let fast = product(try tiles(CK_ISA_AMX), x, rows: rows, columns: columns, weights: words, outputs: outputs)
        #expect(fast.parts == parts)
        #expect(fast.y.map(\.bitPattern) == y.map(\.bitPattern))
    }

    @Test("Zeros, denormal numbers, infinities and huge numbers, with tiles as with the twin", .enabled(if: hasTiles))
    func extremes() throws {
        let specials: [Float] = [
            0, -0.0, 1e-40, -1e-39, .leastNormalMagnitude, .infinity, -.infinity, .greatestFiniteMagnitude, 1e38, -3e38, 1, -1, 1e-30,
        ]
        var random = Random(5)
        let x = (0..<32 * 64).map { _ in Bool.random(using: &random) ? specials.randomElement(using: &random) ?? 0 : 1.5 }
        let words = (0..<16 * 64).map { _ in
            UInt16(truncatingIfNeeded: (Int.random(in: 0..<8, using: &random) == 0
                ? specials.randomElement(using: &random) ?? 0 : Float(0.25)).bitPattern >> 16)
        }
        let twin = product(try tiles(CK_ISA_SCALAR), x, rows: 32, columns: 64, weights: words, outputs: 16)
        let fast = product(try tiles(CK_ISA_AMX), x, rows: 32, columns: 64, weights: words, outputs: 16)
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
        let q = Block(queryBlocks * ck_query_bytes(size)), k = Block(pairs * ck_key_bytes(size))
        let v = Block(pairs * ck_value_bytes(size)), scratch = Block(ck_attention_scratch(size))
        func rows(_ block: Int, of count: Int) -> Int { max(0, min(16, count - block * 16)) }
        heads.q.withUnsafeBufferPointer { x in
            for block in 0..<queryBlocks {
                tiles.pack_queries(
                    q.base + block * ck_query_bytes(size), x.baseAddress! + block * 16 * size, size, rows(block, of: heads.rows), size,
                    1 / Float(size).squareRoot())
            }
        }
        for group in 0..<pairs {
            let count = min(32, tokens - group * 32), start = group * 32 * size
            heads.k.withUnsafeBufferPointer {
                tiles.pack_keys(k.base + group * ck_key_bytes(size), $0.baseAddress! + start, size, count, size)
            }
            heads.v.withUnsafeBufferPointer {
                tiles.pack_values(v.base + group * ck_value_bytes(size), $0.baseAddress! + start, size, count, size)
            }
        }
        var y = [Float](repeating: .nan, count: queryBlocks * 16 * size)
        tiles.attention(&y, size, q.base, queryBlocks, k.base, v.base, tokens, size, scratch.base)
        return Array(y.prefix(heads.rows * size))
    }

    @Test(
        "Attention of pairs is that of the floats to 2e-5, with tiles as with the twin",
        arguments: [(1, 1, 8), (4, 4, 24), (16, 16, 72), (20, 33, 24), (50, 300, 72), (33, 600, 20), (17, 129, 16), (250, 1100, 8), (40, 1030, 72), (20, 70, 64), (33, 1040, 96)], [1, 6] as [Float])
    func attention(_ shape: (Int, Int, Int), spread: Float) throws {
        var random = Random(shape.0 * 7 + shape.1)
        let (rows, tokens, size) = shape
        func floats(_ count: Int, _ most: Float) -> [Float] { (0..<count).map { _ in Float.random(in: -most...most, using: &random) } }
        // The last keys have the largest scores, so that sums are scaled on the way.
        var k = floats(tokens * size, spread)
        for index in tokens / 2 * size..<tokens * size { k[index] *= 3 }
        let heads = Heads(
            rows: rows, tokens: tokens, size: size, q: floats(rows * size, 2 * spread), k: k, v: floats(tokens * size, 1))
        let y = attend(try tiles(CK_ISA_SCALAR), heads)
        for row in 0..<rows {
            let scores = (0..<tokens).map { t in
                (0..<size).reduce(0.0) { $0 + Double(heads.q[row * size + $1]) * Double(heads.k[t * size + $1]) }
                    / Double(size).squareRoot()
            }
            let most = scores.max() ?? 0
            let weights = scores.map { exp($0 - most) }
            let total = weights.reduce(0, +)
            // Of scores with a spread of hundreds 2^-16 is lost.
            let tolerance = 2e-5 + Double(spread * spread) * 2e-4
            for d in 0..<size {
                let expected = (0..<tokens).reduce(0.0) { $0 + weights[$1] * Double(heads.v[$1 * size + d]) } / total
                // Of many, weights have one half: 2^-9 of each, and as much of the total, whose common part goes away.
                let apart = (0..<tokens).reduce(0.0) { $0 + weights[$1] * abs(Double(heads.v[$1 * size + d]) - expected) } / total
                let rounding = tokens < Int(CK_TILE_AVERAGED) ? 0 : apart / 256
                #expect(abs(Double(y[row * size + d]) - expected) < tolerance + rounding)
            }
        }
        guard Self.hasTiles else { return }
        #expect(attend(try tiles(CK_ISA_AMX), heads).map(\.bitPattern) == y.map(\.bitPattern))
    }
}
