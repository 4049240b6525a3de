import CKimiKernels

extension Contract {
    /// A power of two, within the range of normal floats.
    static func power(_ exponent: Int) -> Float { Float(sign: .plus, exponent: exponent, significand: 1) }

    /// A row of activations as `narrow` is said to make it: in each group of 32 integers and their scale. Integers past the
    /// last column are zeros.
    struct NarrowRow {
        let bits: Int32
        var q: [Int] = []
        var scale: [Float] = []

        init(_ x: [Float], bits: Int32) {
            self.bits = bits
            let limit: Float = bits == 16 ? 32767 : 127
            for start in stride(from: 0, to: x.count, by: 32) {
                let group = x[start..<min(start + 32, x.count)]
                let most = group.map(\.magnitude).max() ?? 0
                if group.contains(where: { !$0.isFinite }) {
                    q += Array(repeating: 0, count: 32)
                    scale.append(.nan)
                    continue
                }
                if most < 0x1p-100 {
                    q += Array(repeating: 0, count: 32)
                    scale.append(0)
                    continue
                }
                let factor = limit / most
                var u = group.map { $0 * factor }
                var step = most * (1 / limit)
                if bits == 16 {
                    let root = dot(u, u).squareRoot()
                    let r = root > 65000 ? root : 65000
                    let shrink = 65000 / r
                    u = u.map { $0 * shrink }
                    step *= r / 65000
                }
                q += u.map { Int($0.rounded(.toNearestOrEven)) } + Array(repeating: 0, count: 32 - u.count)
                scale.append(step)
            }
        }

        /// Which of 8 columns lie one after another: the order in which stored nibbles come apart, as words of two 16-bit
        /// integers or of four bytes.
        static func order(bits: Int32) -> [Int] { bits == 16 ? [0, 4, 1, 5, 2, 6, 3, 7] : [0, 2, 4, 6, 1, 3, 5, 7] }

        /// The row in memory: of 16 groups the integers, what stored nibbles count too much, and the scales. Groups past the last
        /// column keep what was there, `fill`.
        func bytes(fill: UInt8) -> [UInt8] {
            let size = 64 * Int(bits) + 128
            let order = Self.order(bits: bits)
            var bytes = [UInt8](repeating: fill, count: (scale.count + 15) / 16 * size)
            func write(_ value: some FixedWidthInteger, at place: Int) {
                withUnsafeBytes(of: value.littleEndian) { for (i, byte) in $0.enumerated() { bytes[place + i] = byte } }
            }
            for g in scale.indices {
                let block = g / 16 * size
                let group = Array(q[32 * g..<32 * g + 32])
                for place in 0..<32 {
                    let value = group[place / 8 * 8 + order[place % 8]]
                    if bits == 16 {
                        write(Int16(value), at: block + g % 16 * 64 + 2 * place)
                    } else {
                        write(Int8(value), at: block + g % 16 * 32 + place)
                    }
                }
                write(Int32(-8 * group.reduce(0, +)), at: block + 64 * Int(bits) + 4 * (g % 16))
                write(scale[g].bitPattern, at: block + 64 * Int(bits) + 64 + 4 * (g % 16))
            }
            return bytes
        }
    }

    /// A row of bf16 weights as the integers that meet 16-bit activations, and each group's scale.
    struct NarrowWeights {
        var q: [Int] = []
        var scale: [Float] = []
        /// By how many bits the integers are smaller than the largest alone would let them be.
        var drop: [Int] = []

        init(_ w: [Float]) {
            let limit: Float = 0x1.ff8p29
            for start in stride(from: 0, to: w.count, by: 32) {
                let group = w[start..<min(start + 32, w.count)]
                let most = group.map(\.magnitude).max() ?? 0
                let bad = group.contains { !$0.isFinite }
                if bad || most < 0x1p-100 {
                    q += Array(repeating: 0, count: 32)
                    scale.append(bad ? .nan : 0)
                    drop.append(0)
                    continue
                }
                let e = Int(most.exponent)
                var part = [Float](repeating: 0, count: 4)
                for (i, weight) in group.enumerated() {
                    let scaled = weight * power(14 - e)
                    part[i % 4] = part[i % 4].addingProduct(scaled, scaled)
                }
                let squares = (part[0] + part[2]) + (part[1] + part[3])
                let d = [limit, 4 * limit, 16 * limit].count { squares > $0 }
                let k = 14 - e - d
                q += group.map { Int(($0 * power(k)).rounded(.toNearestOrEven)) } + Array(repeating: 0, count: 32 - group.count)
                scale.append(power(-k))
                drop.append(d)
            }
        }
    }

    /// The sum of products of group g's integers, exactly.
    static func groupSum(_ x: NarrowRow, _ weights: [Int], _ g: Int) -> Int {
        var sum = 0
        for i in 32 * g..<32 * g + 32 { sum += x.q[i] * weights[i] }
        return sum
    }

    /// The product of a row of narrow integers and a row of integer weights, one fma a group.
    static func narrowDot(_ x: NarrowRow, _ weights: [Int], scales: [Float]) -> Float {
        var y: Float = 0
        for g in scales.indices { y = y.addingProduct(Float(groupSum(x, weights, g)), x.scale[g] * scales[g]) }
        return y
    }
}
