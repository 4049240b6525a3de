import CKimiKernels
import Testing

/// Absorbed attention over a blocked cache.
@Suite struct AttentionTests {
    /// The types a cache may have, as test arguments.
    enum CacheKind: Int32, CaseIterable {
        case bf16 = 0
        case f32 = 2
        case int8 = 4
    }

    struct Case {
        var heads: Int, tokens: Int, latent: Int, rope: Int
        var cache: CacheKind
        var rows = 1
        var span = 128
        var mood = Mood.ordinary
        var offset = 0
        var scale: Float = 0.3

        var size: Int { latent + rope }
        /// Tokens that row r sees: the last row sees all.
        func seen(_ row: Int) -> Int { tokens - rows + 1 + row }
    }

    /// A cache of random tokens: its blocks, and the values they hold.
    struct Cache {
        var blocks: [[UInt8]] = []
        var tokens: [[Float]] = []

        /// The same for an int8 cache, of which `tokens` are what was stored.
        var int8: [Contract.Int8Token] = []

        init(_ c: Case, _ random: inout Random) {
            for start in stride(from: 0, to: c.tokens, by: 64) {
                let count = min(64, c.tokens - start)
                let skipped = [UInt8](repeating: 0xff, count: c.offset)
                if c.cache == .int8 {
                    let values = (0..<count).map { _ in floats(c.size, c.mood, &random) }
                    let stored = values.map { Contract.Int8Token($0, latent: c.latent) }
                    blocks.append(skipped + stored.flatMap(\.bytes))
                    tokens += values
                    int8 += stored
                    continue
                }
                let w = StoredMatrix(
                    c.cache == .bf16 ? .bf16 : .f32, rows: count, columns: c.size, mood: c.mood, &random)
                blocks.append(skipped + w.data)
                tokens += w.values
            }
        }

        /// All spans folded and finished, for some of the rows and heads: [rows, heads, latent]. Rows that begin within one span
        /// are computed together, and those that do not see a span are left out of it, as the model does.
        func attend(_ level: Level, _ c: Case, q: [Float], rows: Range<Int>, heads: Range<Int>) -> [Float] {
            let pointers = blocks.map { block in
                let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: block.count)
                copy.initialize(from: block, count: block.count)
                return UnsafeRawPointer(copy) as UnsafeRawPointer?
            }
            defer { for pointer in pointers { pointer?.deallocate() } }
            let count = rows.count * heads.count
            var q = q
            if c.cache == .int8 { level.kernels.query_int8(&q, c.size, q.count / c.size, c.latent) }
            var out = [Float](repeating: 7, count: count * c.latent)
            var state = [Float](repeating: 7, count: count * 2)
            for begin in stride(from: 0, to: c.seen(rows.upperBound - 1), by: c.span) {
                let first = rows.first { c.seen($0) > begin } ?? rows.lowerBound
                let skipped = (first - rows.lowerBound) * heads.count
                var part = [Float](repeating: 7, count: (count - skipped) * c.latent)
                var partState = [Float](repeating: 7, count: (count - skipped) * 2)
                pointers.withUnsafeBufferPointer { pointers in
                    var a = ck_attention(
                        blocks: pointers.baseAddress, layer_offset: c.offset, cache_type: c.cache.rawValue, scale: c.scale,
                        tokens: c.seen(first), begin: begin, end: begin + c.span, rows: rows.upperBound - first,
                        heads: heads.count, query_stride: c.heads * c.size, latent: c.latent, rope: c.rope)
                    q.withUnsafeBufferPointer { q in
                        // Safe because rows and heads are within the case's.
                        let query = q.baseAddress.map { $0 + (first * c.heads + heads.lowerBound) * c.size }
                        level.kernels.attention(&part, &partState, query, &a)
                    }
                }
                if begin == 0 {
                    (out, state) = (part, partState)
                } else {
                    out.withUnsafeMutableBufferPointer { out in
                        state.withUnsafeMutableBufferPointer { state in
                            level.kernels.attention_fold(
                                out.baseAddress.map { $0 + skipped * c.latent }, state.baseAddress.map { $0 + skipped * 2 },
                                part, partState, count - skipped, c.latent)
                        }
                    }
                }
            }
            var y = [Float](repeating: 7, count: count * (c.latent + 3))
            level.kernels.attention_finish(&y, c.latent + 3, out, state, count, c.latent)
            return (0..<count).flatMap { y[$0 * (c.latent + 3)..<$0 * (c.latent + 3) + c.latent] }
        }

        func right(_ c: Case, q: [Float]) -> [Float] {
            (0..<c.rows).flatMap { row in
                (0..<c.heads).flatMap { head in
                    let query = Array(q[(row * c.heads + head) * c.size..<(row * c.heads + head + 1) * c.size])
                    return Contract.attention(tokens: c.seen(row), span: c.span) { span in
                        c.cache == .int8
                            ? Contract.attentionSpan(query, Array(int8[span]), latent: c.latent, scale: c.scale)
                            : Contract.attentionSpan(query, Array(tokens[span]), latent: c.latent, scale: c.scale)
                    }
                }
            }
        }
    }

    static func query(_ c: Case, _ random: inout Random) -> [Float] {
        floats(c.rows * c.heads * c.size, c.mood, &random)
    }

    @Test(
        "Bits are those of the contract: odd sizes, all cache types, several rows and spans, all kinds of numbers",
        arguments: Level.available, CacheKind.allCases)
    func contract(level: Level, cache kind: CacheKind) {
        var random = Random(20)
        for round in 0..<60 {
            var c = Case(
                heads: [1, 2, 3, 4, 5, 8, 9, 16, 17, 21][round % 10],
                tokens: [1, 2, 15, 16, 17, 63, 64, 65, 130, 200][random.below(10)],
                latent: [kind == .int8 ? 2 : 1, 8, 15, 16, 17, 32, 40, 64, 100][random.below(9)],
                rope: [0, 1, 4, 8, 16, 19][random.below(6)], cache: kind, span: [64, 128, 512][random.below(3)],
                mood: Mood.allCases[round % Mood.allCases.count], offset: 4 * random.below(9),
                scale: round % 3 == 0 ? 3 : 0.1)
            c.rows = min(c.tokens, [1, 1, 2, 3, 5, 70][random.below(6)])
            let cache = Cache(c, &random)
            let q = Self.query(c, &random)
            let out = cache.attend(level, c, q: q, rows: 0..<c.rows, heads: 0..<c.heads)
            let difference = firstDifference(out, cache.right(c, q: q))
            #expect(difference == nil, "\(c)")
        }
    }

    @Test("More heads than go through a block together, and K2.5's own sizes", arguments: Level.available)
    func large(level: Level) {
        var random = Random(21)
        for c in [
            Case(heads: 150, tokens: 70, latent: 24, rope: 8, cache: .bf16, rows: 2),
            Case(heads: 130, tokens: 70, latent: 24, rope: 8, cache: .int8, rows: 2),
            Case(heads: 3, tokens: 150, latent: 512, rope: 64, cache: .bf16),
            Case(heads: 9, tokens: 150, latent: 512, rope: 64, cache: .int8),
            Case(heads: 2, tokens: 70, latent: 2050, rope: 0, cache: .f32),
            Case(heads: 2, tokens: 70, latent: 2050, rope: 0, cache: .int8),
            Case(heads: 2, tokens: 1100, latent: 32, rope: 16, cache: .f32, rows: 40, span: 512),
        ] {
            let cache = Cache(c, &random)
            let q = Self.query(c, &random)
            let out = cache.attend(level, c, q: q, rows: 0..<c.rows, heads: 0..<c.heads)
            let difference = firstDifference(out, cache.right(c, q: q))
            #expect(difference == nil, "\(c)")
        }
    }

    @Test("Which heads and rows are computed together does not matter", arguments: Level.available, CacheKind.allCases)
    func split(level: Level, cache kind: CacheKind) {
        var random = Random(22)
        let c = Case(heads: 19, tokens: 140, latent: 80, rope: 16, cache: kind, rows: 7)
        let cache = Cache(c, &random)
        let q = Self.query(c, &random)
        let whole = cache.attend(level, c, q: q, rows: 0..<c.rows, heads: 0..<c.heads)
        for (heads, rows) in [(1, 1), (2, 7), (3, 2), (7, 4), (16, 3), (19, 1)] {
            var out = whole.map { _ in Float.zero }
            for h in stride(from: 0, to: c.heads, by: heads) {
                for r in stride(from: 0, to: c.rows, by: rows) {
                    let group = h..<min(h + heads, c.heads), band = r..<min(r + rows, c.rows)
                    let part = cache.attend(level, c, q: q, rows: band, heads: group)
                    for (index, row) in band.enumerated() {
                        let count = group.count * c.latent
                        let at = (row * c.heads + h) * c.latent
                        out.replaceSubrange(at..<at + count, with: part[index * count..<(index + 1) * count])
                    }
                }
            }
            let difference = firstDifference(out, whole)
            #expect(difference == nil, "\(heads) heads and \(rows) rows at a time")
        }
    }

    @Test("Spans are at least 512 tokens and at most 16 in number")
    func spans() {
        for tokens in [1, 511, 512, 513, 8_192, 8_193, 16_384, 16_385, 262_144, 262_145, 1 << 40] {
            #expect(ck_attention_span(tokens) == Contract.span(tokens), "\(tokens)")
        }
    }

    @Test("A token is written to each cache as the contract says", arguments: Level.available, Mood.allCases)
    func write(level: Level, mood: Mood) {
        var random = Random(24)
        for (latent, rope) in [(2, 0), (15, 1), (16, 16), (33, 7), (512, 64)] {
            let x = floats(latent + rope, mood, &random)
            let right: [CacheKind: [UInt8]] = [
                .f32: x.flatMap { value in (0..<4).map { UInt8(value.bitPattern >> (8 * UInt32($0)) & 0xff) } },
                .bf16: x.map(Contract.roundBF16).flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] },
                .int8: Contract.Int8Token(x, latent: latent).bytes,
            ]
            for kind in CacheKind.allCases {
                let size = ck_cache_token_bytes(kind.rawValue, latent, rope)
                var bytes = [UInt8](repeating: 7, count: size + 1)
                level.kernels.cache_token(&bytes, x, latent, rope, kind.rawValue)
                #expect(bytes == (right[kind] ?? []) + [7], "\(kind), \(latent) + \(rope)")
            }
        }
        #expect(ck_cache_token_bytes(Int32(CK_INT4), 512, 64) == 0)
    }

    @Test("A bf16 cache rounds to the nearest, ties to even, NaN stays NaN", arguments: Level.available)
    func roundBF16(level: Level) {
        // Around every tie of every exponent, and a sweep of the rest.
        var x = [Float]()
        for high in stride(from: UInt32(0), to: 0xffff, by: 37) {
            for low: UInt32 in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] { x.append(Float(bitPattern: high << 16 | low)) }
        }
        x += [
            Float.infinity, -.infinity, .nan, Float(bitPattern: 0x7f80_0001), Float(bitPattern: 0xff80_0001),
            .greatestFiniteMagnitude, 0, -0.0,
        ]
        for n in [x.count] + Array(1...33) {
            var y = [UInt16](repeating: 7, count: n)
            level.kernels.cache_token(&y, x, n, 0, Int32(CK_BF16))
            #expect(y == x[0..<n].map(Contract.roundBF16))
        }
    }

    /// Plain softmax in double precision. A score of size S is off by at most (n / 16 + 6) 2^-24 S, which exp makes a
    /// relative error of the weight; the sums over tokens add tokens * 2^-24, rescaling and exp a few more. An int8 latent of
    /// magnitude up to 1 is off by half a step of 1 / 127, and its score by that times the query's magnitudes.
    @Test("The scalar level against a plain softmax in double precision", arguments: CacheKind.allCases)
    func accuracy(_ kind: CacheKind) {
        var random = Random(23)
        let c = Case(heads: 4, tokens: 300, latent: 128, rope: 32, cache: kind, scale: 0.2)
        let cache = Cache(c, &random)
        let q = Self.query(c, &random)
        let out = cache.attend(.scalar, c, q: q, rows: 0..<1, heads: 0..<c.heads)
        for h in 0..<c.heads {
            let query = q[h * c.size..<(h + 1) * c.size].map(Double.init)
            var total = 0.0
            var largest = 0.0
            var right = [Double](repeating: 0, count: c.latent)
            for token in cache.tokens {
                let products = zip(query, token).map { $0 * Double($1) * Double(c.scale) }
                largest = max(largest, products.reduce(0) { $0 + abs($1) })
                let p = exponential(products.reduce(0, +))
                total += p
                for i in 0..<c.latent { right[i] += p * Double(token[i]) }
            }
            var bound = 2 * ((Double(c.size) / 16 + 6) * largest + Double(c.tokens) + 16) * 0x1p-24
            if kind == .int8 {
                // Rounding errors of a score are as good as random: six times their standard deviation, step / sqrt 12.
                let norm = query.reduce(0) { $0 + $1 * $1 }.squareRoot()
                bound += 0.5 / 127 + 6 * norm * Double(c.scale) / 127 / 3.4641 + 0.01
            }
            for i in 0..<c.latent {
                // |value| <= 1, so a relative error of the weights is an absolute one of the mean.
                #expect(abs(Double(out[h * c.latent + i]) - right[i] / total) <= bound)
            }
        }
    }
}
