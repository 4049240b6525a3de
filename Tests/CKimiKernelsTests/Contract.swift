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

    /// One head's attention over tokens of latent + rope values each.
    static func attention(_ q: [Float], _ tokens: [[Float]], latent: Int, scale: Float) -> [Float] {
        var out = [Float](repeating: 0, count: latent)
        var m = -Float.infinity
        var l: Float = 0
        for start in stride(from: 0, to: tokens.count, by: 64) {
            let block = tokens[start..<min(start + 64, tokens.count)]
            let s = block.map { dot(q, $0) * scale }
            var top = m
            for value in s where value > top { top = value }
            let c: Float = start == 0 ? 0 : ck_exp(m - top)
            let p = s.map { ck_exp($0 - top) }
            l = l * c + dot(p, [Float](repeating: 1, count: p.count))
            for i in 0..<latent { out[i] = start == 0 ? 0 : out[i] * c }
            for (weight, token) in zip(p, block) {
                for i in 0..<latent { out[i] = out[i].addingProduct(weight, token[i]) }
            }
            m = top
        }
        let inverse = 1 / l
        return out.map { $0 * inverse }
    }
}
