import CKimiKernels

extension Contract {
    /// A row of activations as `split` is said to make it: in each group of 32 integers and their scale.
    struct IntegerRow {
        var q: [Int] = []
        var scale: [Float] = []

        init(_ x: [Float]) {
            let limit: Float = 8_355_000
            for start in stride(from: 0, to: x.count, by: 32) {
                let group = x[start..<start + 32]
                let most = group.map(\.magnitude).max() ?? 0
                if group.contains(where: { !$0.isFinite }) {
                    q += Array(repeating: 0, count: 32)
                    scale.append(.nan)
                } else if most < 0x1p-100 {
                    q += Array(repeating: 0, count: 32)
                    scale.append(0)
                } else {
                    let factor = limit / most
                    q += group.map { Int(($0 * factor).rounded(.toNearestOrEven)) }
                    scale.append(most * (1 / limit))
                }
            }
        }

        /// The values that the integers stand for, in double precision.
        var values: [Double] { q.indices.map { Double(q[$0]) * Double(scale[$0 / 32]) } }
    }

    /// The product of a row of integers and a row of integer weights with bf16 scales, in the stated order.
    static func integerDot(_ x: IntegerRow, _ weights: [Int], scales: [Float]) -> Float {
        var lane = [Float](repeating: 0, count: 16)
        let groups = scales.count
        for g in 0..<(groups + 15) / 16 * 16 {
            let l = 4 * (g % 4) + g % 16 / 4
            guard g < groups else {
                // An absent group adds 0 times 0, which makes -0 of no lane that is not -0 already.
                lane[l] = lane[l].addingProduct(0, 0)
                continue
            }
            var lower = 0
            var top = 0
            for i in 32 * g..<32 * g + 32 {
                // The parts are signed bytes: the lowest byte is in -128 ... 127, and so on.
                let low = Int(Int8(truncatingIfNeeded: x.q[i]))
                let rest = (x.q[i] - low) >> 8
                let high = Int(Int8(truncatingIfNeeded: rest))
                lower += weights[i] * (256 * high + low)
                top += weights[i] * ((rest - high) >> 8)
            }
            let s = Float(lower).addingProduct(65536, Float(top))
            lane[l] = lane[l].addingProduct(s, x.scale[g] * scales[g])
        }
        return sum(&lane)
    }
}
