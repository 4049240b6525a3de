import CKimiKernels
import Testing

/// Attention to the expanded keys and values of a sequence, block by block.
@Suite struct ExpandedAttentionTests {
    struct Case {
        var rows: Int, tokens: Int, key: Int, value: Int
        var mood = Mood.ordinary
        var scale: Float = 0.3
        /// Floats between a token's value and the next token's key.
        var gap = 0

        var stride: Int { key + value + gap }
        /// Tokens that row r sees: the last row sees all.
        func seen(_ row: Int) -> Int { tokens - rows + 1 + row }
    }

    struct Tokens {
        var keys: [[Float]], values: [[Float]]

        init(_ c: Case, _ random: inout Random) {
            keys = (0..<c.tokens).map { _ in floats(c.key, c.mood, &random) }
            values = (0..<c.tokens).map { _ in floats(c.value, c.mood, &random) }
        }

        /// Results and states of some rows, [rows, value] and [rows, 2], after all blocks.
        func attend(_ level: Level, _ c: Case, q: [[Float]], rows: Range<Int>) -> (out: [Float], state: [Float]) {
            let packed = Int(CK_PACKED_ROWS)
            let room = (rows.count + packed - 1) / packed * packed
            var queries = [Float](repeating: 7, count: room * c.key)
            ck_pack_queries(&queries, q[rows].flatMap { $0 }, c.key, rows.count, c.key)
            var out = [Float](repeating: 7, count: room * c.value)
            var state = [Float](repeating: 7, count: room * 2)
            let seen = c.seen(rows.upperBound - 1)
            for start in stride(from: 0, to: seen, by: 64) {
                let count = min(64, seen - start)
                let memory = (start..<start + count).flatMap {
                    keys[$0] + values[$0] + [Float](repeating: .nan, count: c.gap)
                }
                memory.withUnsafeBufferPointer { memory in
                    var block = ck_expanded_block(
                        keys: memory.baseAddress, values: memory.baseAddress.map { $0 + c.key }, stride: c.stride, key: c.key,
                        value: c.value, start: start, count: count, tokens: c.seen(rows.lowerBound), rows: rows.count,
                        scale: c.scale, ahead: UnsafeRawPointer(memory.baseAddress), ahead_bytes: start % 3 * 1000)
                    level.kernels.expanded_attention(&out, &state, queries, &block)
                }
            }
            return (Array(out[0..<rows.count * c.value]), Array(state[0..<rows.count * 2]))
        }

        func right(_ c: Case, q: [[Float]]) -> (out: [Float], state: [Float]) {
            var result = (out: [Float](), state: [Float]())
            for row in 0..<c.rows {
                let seen = c.seen(row)
                let sum = Contract.expandedAttention(
                    q[row], keys: Array(keys[0..<seen]), values: Array(values[0..<seen]), scale: c.scale, size: c.value)
                result.out += sum.out
                result.state += [sum.m, sum.l]
            }
            return result
        }
    }

    static func queries(_ c: Case, _ random: inout Random) -> [[Float]] {
        (0..<c.rows).map { _ in floats(c.key, c.mood, &random) }
    }

    @Test("Bits are those of the contract: odd sizes, few and many rows and tokens, all kinds of numbers", arguments: Level.available)
    func contract(level: Level) {
        var random = Random(40)
        for round in 0..<120 {
            let rows = [1, 2, 7, 15, 16, 17, 31, 32, 33, 50, 70][random.below(11)]
            let c = Case(
                rows: rows, tokens: rows + [0, 1, 5, 30, 63, 64, 65, 128, 150][random.below(9)],
                key: [1, 8, 15, 17, 24, 40, 48][random.below(7)], value: [1, 8, 15, 16, 17, 24, 32, 33, 40, 65][random.below(10)],
                mood: Mood.allCases[round % Mood.allCases.count], scale: round % 3 == 0 ? 3 : 0.1, gap: random.below(3))
            let tokens = Tokens(c, &random)
            let q = Self.queries(c, &random)
            let found = tokens.attend(level, c, q: q, rows: 0..<c.rows)
            let right = tokens.right(c, q: q)
            let difference = firstDifference(found.out, right.out) ?? firstDifference(found.state, right.state)
            #expect(difference == nil, "\(c)")
        }
    }

    @Test("K2.5's own sizes", arguments: Level.available)
    func large(level: Level) {
        var random = Random(41)
        let c = Case(rows: 83, tokens: 200, key: 192, value: 128, scale: 0.07)
        let tokens = Tokens(c, &random)
        let q = Self.queries(c, &random)
        let found = tokens.attend(level, c, q: q, rows: 0..<c.rows)
        let right = tokens.right(c, q: q)
        #expect(firstDifference(found.out, right.out) == nil)
        #expect(firstDifference(found.state, right.state) == nil)
    }

    @Test("Which rows are computed together does not matter", arguments: Level.available, [1, 5, 16, 48])
    func bands(level: Level, band: Int) {
        var random = Random(42)
        let c = Case(rows: 75, tokens: 190, key: 24, value: 40)
        let tokens = Tokens(c, &random)
        let q = Self.queries(c, &random)
        let whole = tokens.attend(level, c, q: q, rows: 0..<c.rows)
        let parts = stride(from: 0, to: c.rows, by: band).map {
            tokens.attend(level, c, q: q, rows: $0..<min($0 + band, c.rows))
        }
        #expect(firstDifference(parts.flatMap(\.out), whole.out) == nil)
        #expect(firstDifference(parts.flatMap(\.state), whole.state) == nil)
    }

    @Test("A token that is no number spoils the rows that see it, and no other", arguments: Level.available, [Float.nan, .infinity])
    func damaged(level: Level, value: Float) {
        var random = Random(43)
        let c = Case(rows: 90, tokens: 90, key: 24, value: 40)
        var tokens = Tokens(c, &random)
        let q = Self.queries(c, &random)
        let before = tokens.attend(level, c, q: q, rows: 0..<c.rows)
        for token in [21, 70] {
            tokens.keys[token] = tokens.keys[token].map { _ in value }
            tokens.values[token] = tokens.values[token].map { _ in value }
        }
        let after = tokens.attend(level, c, q: q, rows: 0..<c.rows)
        for row in 0..<c.rows {
            let place = row * c.value..<(row + 1) * c.value
            if row < 21 {
                #expect(firstDifference(Array(after.out[place]), Array(before.out[place])) == nil, "row \(row)")
            } else {
                #expect(after.out[place].allSatisfy { !$0.isFinite }, "row \(row)")
            }
        }
        // A query that is no number spoils its own row alone.
        tokens = Tokens(c, &random)
        var spoiled = q
        spoiled[33][5] = value
        let (alone, right) = (tokens.attend(level, c, q: spoiled, rows: 0..<c.rows), tokens.attend(level, c, q: q, rows: 0..<c.rows))
        for row in 0..<c.rows where row != 33 {
            let place = row * c.value..<(row + 1) * c.value
            #expect(firstDifference(Array(alone.out[place]), Array(right.out[place])) == nil, "row \(row)")
        }
    }

    /// Plain softmax in double precision. A score of size S is off by at most (n + 2) 2^-24 S, which exp makes a relative error of
    /// the weight; the sums over tokens add tokens * 2^-24, rescaling and exp a few more. |value| <= 1, so a relative error of the
    /// weights is an absolute one of the mean; it comes once above the line and once below.
    @Test("Every level against a plain softmax in double precision", arguments: Level.available)
    func accuracy(level: Level) {
        var random = Random(44)
        let c = Case(rows: 40, tokens: 300, key: 192, value: 128, scale: 0.2)
        let tokens = Tokens(c, &random)
        let q = Self.queries(c, &random)
        let found = tokens.attend(level, c, q: q, rows: 0..<c.rows)
        var y = [Float](repeating: 7, count: c.rows * c.value)
        level.kernels.attention_finish(&y, c.value, found.out, found.state, c.rows, c.value)
        for row in 0..<c.rows {
            var (total, largest) = (0.0, 0.0)
            var right = [Double](repeating: 0, count: c.value)
            for t in 0..<c.seen(row) {
                let products = zip(q[row], tokens.keys[t]).map { Double($0) * Double($1) * Double(c.scale) }
                largest = max(largest, products.reduce(0) { $0 + abs($1) })
                let p = exponential(products.reduce(0, +))
                total += p
                for i in 0..<c.value { right[i] += p * Double(tokens.values[t][i]) }
            }
            let bound = 2 * ((Double(c.key) + 2) * largest + Double(c.tokens) + 16) * 0x1p-24
            for i in 0..<c.value { #expect(abs(Double(y[row * c.value + i]) - right[i] / total) <= bound) }
        }
    }

    @Test("Queries lie side by side, sixteen rows at a time")
    func pack() {
        var random = Random(45)
        for (n, size, ldq) in [(1, 1, 1), (15, 3, 5), (16, 8, 8), (17, 24, 30), (40, 192, 192)] {
            let q = floats((n - 1) * ldq + size, .ordinary, &random)
            let room = (n + 15) / 16 * 16
            var packed = [Float](repeating: 7, count: room * size)
            ck_pack_queries(&packed, q, ldq, n, size)
            var right = [Float](repeating: 0, count: room * size)
            for r in 0..<n { for d in 0..<size { right[(r / 16 * size + d) * 16 + r % 16] = q[r * ldq + d] } }
            #expect(packed == right, "\(n) x \(size)")
        }
    }

    @Test("A token comes back from each cache as it was written", arguments: Level.available, Mood.allCases)
    func widen(level: Level, mood: Mood) {
        var random = Random(46)
        for (latent, rope) in [(2, 0), (15, 1), (16, 16), (33, 7), (512, 64)] {
            let x = floats(latent + rope, mood, &random)
            let stored = Contract.Int8Token(x, latent: latent)
            let words = x.map(Contract.roundBF16)
            func widened(_ words: some Sequence<UInt16>) -> [Float] { words.map { Float(bitPattern: UInt32($0) << 16) } }
            let cases: [(AttentionTests.CacheKind, [UInt8], [Float])] = [
                (.f32, x.flatMap { value in (0..<4).map { UInt8(value.bitPattern >> (8 * UInt32($0)) & 0xff) } }, x),
                (.bf16, words.flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }, widened(words)),
                (.int8, stored.bytes, stored.latent.map { Float($0) * stored.scale } + widened(stored.key)),
            ]
            for (kind, bytes, right) in cases {
                var y = [Float](repeating: 7, count: latent + rope + 1)
                level.kernels.widen_token(&y, bytes, latent, rope, kind.rawValue)
                let difference = firstDifference(y, right + [7])
                #expect(difference == nil, "\(kind), \(latent) + \(rope)")
            }
        }
    }
}
