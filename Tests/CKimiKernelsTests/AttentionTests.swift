import CKimiKernels
import Testing

/// Absorbed attention over a blocked cache.
@Suite struct AttentionTests {
    struct Case {
        var heads: Int, tokens: Int, latent: Int, rope: Int
        var bf16: Bool
        var mood = Mood.ordinary
        var offset = 0
        var scale: Float = 0.3
    }

    /// A cache of random tokens: its blocks, and the values they hold.
    struct Cache {
        var blocks: [[UInt8]] = []
        var tokens: [[Float]] = []

        init(_ c: Case, _ random: inout Random) {
            let size = c.latent + c.rope
            for start in stride(from: 0, to: c.tokens, by: 64) {
                let w = StoredMatrix(
                    c.bf16 ? .bf16 : .f32, rows: min(64, c.tokens - start), columns: size, mood: c.mood, &random)
                blocks.append([UInt8](repeating: 0xff, count: c.offset) + w.data)
                tokens += w.values
            }
        }

        func attend(_ level: Level, _ c: Case, q: [Float], heads: Range<Int>, tokens: Int) -> [Float] {
            let pointers = blocks.map { block in
                let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: block.count)
                copy.initialize(from: block, count: block.count)
                return UnsafeRawPointer(copy) as UnsafeRawPointer?
            }
            defer { for pointer in pointers { pointer?.deallocate() } }
            var out = [Float](repeating: 7, count: heads.count * c.latent)
            let part = Array(q[heads.lowerBound * (c.latent + c.rope)..<heads.upperBound * (c.latent + c.rope)])
            pointers.withUnsafeBufferPointer { pointers in
                var a = ck_attention(
                    blocks: pointers.baseAddress, layer_offset: c.offset, cache_type: c.bf16 ? 0 : 2, reserved: 0,
                    tokens: tokens, latent: c.latent, rope: c.rope, scale: c.scale)
                level.kernels.attention(&out, part, heads.count, &a)
            }
            return out
        }
    }

    static func query(_ c: Case, _ random: inout Random) -> [Float] {
        floats(c.heads * (c.latent + c.rope), c.mood, &random)
    }

    @Test(
        "Bits are those of the contract: odd sizes, both cache types, all kinds of numbers", arguments: Level.available,
        [false, true])
    func contract(level: Level, bf16: Bool) {
        var random = Random(20)
        for round in 0..<50 {
            let c = Case(
                heads: [1, 2, 3, 4, 5, 8, 9, 16, 17, 21][round % 10],
                tokens: [1, 2, 15, 16, 17, 63, 64, 65, 130, 200][random.below(10)],
                latent: [1, 8, 15, 16, 17, 32, 40, 64, 100][random.below(9)],
                rope: [0, 1, 4, 8, 16, 19][random.below(6)], bf16: bf16,
                mood: Mood.allCases[round % Mood.allCases.count], offset: 4 * random.below(9),
                scale: round % 3 == 0 ? 3 : 0.1)
            let cache = Cache(c, &random)
            let q = Self.query(c, &random)
            let out = cache.attend(level, c, q: q, heads: 0..<c.heads, tokens: c.tokens)
            let size = c.latent + c.rope
            var right = [Float]()
            for h in 0..<c.heads {
                right += Contract.attention(
                    Array(q[h * size..<(h + 1) * size]), cache.tokens, latent: c.latent, scale: c.scale)
            }
            let difference = firstDifference(out, right)
            #expect(difference == nil, "\(c)")
        }
    }

    @Test(
        "More heads than are kept at once, and K2.5's own sizes, with fewer tokens than are there",
        arguments: Level.available)
    func large(level: Level) {
        var random = Random(21)
        for c in [
            Case(heads: 300, tokens: 70, latent: 24, rope: 8, bf16: true),
            Case(heads: 3, tokens: 150, latent: 512, rope: 64, bf16: true),
            Case(heads: 2, tokens: 70, latent: 2050, rope: 0, bf16: false),
        ] {
            let cache = Cache(c, &random)
            let q = Self.query(c, &random)
            let seen = c.tokens - 5
            let size = c.latent + c.rope
            let out = cache.attend(level, c, q: q, heads: 0..<c.heads, tokens: seen)
            var right = [Float]()
            for h in 0..<c.heads {
                right += Contract.attention(
                    Array(q[h * size..<(h + 1) * size]), Array(cache.tokens[0..<seen]), latent: c.latent, scale: c.scale
                )
            }
            let difference = firstDifference(out, right)
            #expect(difference == nil, "\(c)")
        }
    }

    @Test("Which heads are computed together does not matter", arguments: Level.available, [false, true])
    func split(level: Level, bf16: Bool) {
        var random = Random(22)
        let c = Case(heads: 19, tokens: 140, latent: 80, rope: 16, bf16: bf16)
        let cache = Cache(c, &random)
        let q = Self.query(c, &random)
        let whole = cache.attend(level, c, q: q, heads: 0..<c.heads, tokens: c.tokens)
        for step in [1, 2, 3, 7, 16] {
            var out = [Float]()
            for h in stride(from: 0, to: c.heads, by: step) {
                out += cache.attend(level, c, q: q, heads: h..<min(h + step, c.heads), tokens: c.tokens)
            }
            let difference = firstDifference(out, whole)
            #expect(difference == nil, "\(step) heads at a time")
        }
    }

    /// Plain softmax in double precision. A score of size S is off by at most (n / 16 + 6) 2^-24 S, which exp makes a
    /// relative error of the weight; the sums over tokens add tokens * 2^-24, rescaling and exp a few more.
    @Test("The scalar level against a plain softmax in double precision", arguments: [false, true])
    func accuracy(bf16: Bool) {
        var random = Random(23)
        let c = Case(heads: 4, tokens: 300, latent: 128, rope: 32, bf16: bf16, scale: 0.2)
        let cache = Cache(c, &random)
        let q = Self.query(c, &random)
        let out = cache.attend(.scalar, c, q: q, heads: 0..<c.heads, tokens: c.tokens)
        let size = c.latent + c.rope
        for h in 0..<c.heads {
            let query = q[h * size..<(h + 1) * size].map(Double.init)
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
            let bound = 2 * ((Double(size) / 16 + 6) * largest + Double(c.tokens) + 16) * 0x1p-24
            for i in 0..<c.latent {
                // |value| <= 1, so a relative error of the weights is an absolute one of the mean.
                #expect(abs(Double(out[h * c.latent + i]) - right[i] / total) <= bound)
            }
        }
    }
}
