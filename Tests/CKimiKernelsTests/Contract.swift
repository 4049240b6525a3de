import CKimiKernels

/// What CKimiKernels.h says, written down once more in Swift without a look at the kernels: slow, and in the stated
/// order. Every level, the scalar one too, must give these bits.
enum Contract {
    /// lane[i % 16] = fma(x[i], w[i], lane[i % 16]); then the lanes are added in halves.
    static func dot(_ x: some Collection<Float>, _ w: some Collection<Float>) -> Float {
        var lane = [Float](repeating: 0, count: 16)
        for (i, (a, b)) in zip(x, w).enumerated() { lane[i % 16] = lane[i % 16].addingProduct(a, b) }
        return sum(&lane)
    }

    static func sum(_ lane: inout [Float]) -> Float {
        for j in 0..<8 { lane[j] += lane[j + 8] }
        for j in 0..<4 { lane[j] += lane[j + 4] }
        for j in 0..<2 { lane[j] += lane[j + 2] }
        return lane[0] + lane[1]
    }

    static func combineRows(_ a: [Float], _ rows: [[Float]], columns: Int) -> [Float] {
        var y = [Float](repeating: 0, count: columns)
        for (factor, row) in zip(a, rows) { for c in 0..<columns { y[c] = y[c].addingProduct(factor, row[c]) } }
        return y
    }

    static func rmsNorm(_ x: [Float], _ w: [Float], eps: Float) -> [Float] {
        let r = 1 / (dot(x, x) / Float(x.count) + eps).squareRoot()
        return zip(x, w).map { ($0 * r) * $1 }
    }

    static func rope(_ x: [Float], _ angles: [Float]) -> [Float] {
        let pairs = angles.count / 2
        return (0..<pairs).flatMap { i -> [Float] in
            let (a, b, cosine, sine) = (x[2 * i], x[2 * i + 1], angles[i], angles[pairs + i])
            return [a * cosine - b * sine, b * cosine + a * sine]
        }
    }

    static func swiglu(_ gate: [Float], _ up: [Float]) -> [Float] {
        zip(gate, up).map { g, u in (g / (1 + ck_exp(-g))) * u }
    }

    static func roundBF16(_ x: Float) -> UInt16 {
        if x.isNaN { return UInt16(x.bitPattern >> 16) | 0x40 }
        let below = x.bitPattern >> 16
        let rest = x.bitPattern & 0xffff
        let up = rest > 0x8000 || (rest == 0x8000 && below & 1 == 1)
        return UInt16(below + (up ? 1 : 0))
    }

    /// How long the spans of a row are that sees `tokens` tokens: at least 512, a power of two, at most 16 of them.
    static func span(_ tokens: Int) -> Int {
        let least = (tokens + 15) / 16
        return (9...60).lazy.map { 1 << $0 }.first { $0 >= least } ?? 0
    }

    /// One query's attention over some tokens, folded from spans; `attend` is the attention over one span.
    static func attention(
        tokens: Int, span: Int, attend: (Range<Int>) -> (out: [Float], m: Float, l: Float)
    ) -> [Float] {
        var sum: (out: [Float], m: Float, l: Float)?
        for start in stride(from: 0, to: tokens, by: span) {
            let part = attend(start..<min(start + span, tokens))
            guard let before = sum else {
                sum = part
                continue
            }
            let top = part.m > before.m ? part.m : before.m
            let (a, b) = (ck_exp(before.m - top), ck_exp(part.m - top))
            let out = zip(before.out, part.out).map { old, new in (old * a).addingProduct(new, b) }
            sum = (out, top, before.l * a + part.l * b)
        }
        guard let sum else { return [] }
        let inverse = 1 / sum.l
        return sum.out.map { $0 * inverse }
    }

    /// The same over tokens of latent + rope values each.
    static func attention(_ q: [Float], _ tokens: [[Float]], latent: Int, scale: Float, span: Int) -> [Float] {
        attention(tokens: tokens.count, span: span) {
            attentionSpan(q, Array(tokens[$0]), latent: latent, scale: scale)
        }
    }

    // MARK: An int8 cache

    /// x as integers up to `limit` and their step.
    static func integers(_ x: [Float], limit: Float) -> (q: [Int], step: Float) {
        guard x.allSatisfy(\.isFinite) else { return (x.map { _ in 0 }, .nan) }
        let most = x.map(abs).max() ?? 0
        guard most >= 0x1p-100 else { return (x.map { _ in 0 }, 0) }
        let factor = limit / most
        return (x.map { Int(($0 * factor).rounded(.toNearestOrEven)) }, most * (1 / limit))
    }

    /// A cached token: signed bytes of the latent, their scale, and the rope key.
    struct Int8Token {
        var latent: [Int], scale: Float, key: [UInt16]

        init(_ x: [Float], latent count: Int) {
            (latent, scale) = Contract.integers(Array(x[0..<count]), limit: 127)
            key = x[count...].map(Contract.roundBF16)
        }

        var bytes: [UInt8] {
            var bytes = latent.map { UInt8(bitPattern: Int8($0)) }
            for word in key { bytes += [UInt8(word & 0xff), UInt8(word >> 8)] }
            for shift in [0, 8, 16, 24] { bytes.append(UInt8(scale.bitPattern >> UInt32(shift) & 0xff)) }
            return bytes + [UInt8](repeating: 0, count: (16 - bytes.count % 16) % 16)
        }
    }

    static func attentionSpan(
        _ q: [Float], _ tokens: [Int8Token], latent: Int, scale: Float
    ) -> (out: [Float], m: Float, l: Float) {
        let (query, step) = integers(Array(q[0..<latent]), limit: 32767)
        func score(_ token: Int8Token) -> Float {
            var sum: Float = 0
            for run in stride(from: 0, to: latent, by: 512) {
                let exact = (run..<min(run + 512, latent)).reduce(0) { $0 + query[$1] * token.latent[$1] }
                sum = run == 0 ? Float(exact) : sum + Float(exact)
            }
            let key = dot(q[latent...], token.key.map { Float(bitPattern: UInt32($0) << 16) })
            return key.addingProduct(sum, step * token.scale) * scale
        }
        return attentionSpan(tokens.count, latent: latent, score: { score(tokens[$0]) }) { out, p, start in
            let block = tokens[start..<start + p.count]
            let (w, step) = integers(zip(p, block).map { $0 * $1.scale }, limit: 32767)
            for i in 0..<latent {
                let exact = zip(w, block).reduce(0) { $0 + $1.0 * $1.1.latent[i] }
                out[i] = out[i].addingProduct(Float(exact), step)
            }
        }
    }

    // MARK: Spans

    static func attentionSpan(_ q: [Float], _ tokens: [[Float]], latent: Int, scale: Float) -> (out: [Float], m: Float, l: Float) {
        attentionSpan(tokens.count, latent: latent, score: { dot(q, tokens[$0]) * scale }) { out, p, start in
            for (t, weight) in p.enumerated() {
                for i in 0..<latent { out[i] = out[i].addingProduct(weight, tokens[start + t][i]) }
            }
        }
    }

    /// One span, without the division by the sum of weights; `add` adds the weighted latents of a block.
    private static func attentionSpan(
        _ count: Int, latent: Int, score: (Int) -> Float, add: (inout [Float], [Float], Int) -> Void
    ) -> (out: [Float], m: Float, l: Float) {
        var out = [Float](repeating: 0, count: latent)
        var m = -Float.infinity
        var l: Float = 0
        for start in stride(from: 0, to: count, by: 64) {
            let s = (start..<min(start + 64, count)).map(score)
            var top = m
            for value in s where value > top { top = value }
            let c: Float = start == 0 ? 0 : ck_exp(m - top)
            let p = s.map { ck_exp($0 - top) }
            l = l * c + dot(p, [Float](repeating: 1, count: p.count))
            for i in 0..<latent { out[i] = start == 0 ? 0 : out[i] * c }
            add(&out, p, start)
            m = top
        }
        return (out, m, l)
    }

    // MARK: Expanded

    /// One query over all tokens it sees, block by block, without the division by the sum of weights.
    static func expandedAttention(
        _ q: [Float], keys: [[Float]], values: [[Float]], scale: Float, size: Int
    ) -> (out: [Float], m: Float, l: Float) {
        var out = [Float](repeating: 0, count: size)
        var m = -Float.infinity
        var l: Float = 0
        for start in stride(from: 0, to: keys.count, by: 64) {
            let block = start..<min(start + 64, keys.count)
            let s = block.map { t in zip(q, keys[t]).reduce(Float(0)) { $0.addingProduct($1.0, $1.1) } * scale }
            var top = m
            for value in s where value > top { top = value }
            let c: Float = start == 0 ? 0 : ck_exp(m - top)
            let p = s.map { ck_exp($0 - top) }
            l = (start == 0 ? 0 : l * c) + p.reduce(0, +)
            for i in 0..<size { out[i] = start == 0 ? 0 : out[i] * c }
            for (t, weight) in zip(block, p) { for i in 0..<size { out[i] = out[i].addingProduct(weight, values[t][i]) } }
            m = top
        }
        return (out, m, l)
    }
}
