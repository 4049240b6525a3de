import CKimiKernels
import Glibc
import Testing

/// What the vision tower needs besides products and attention.
@Suite struct LayerNormTests {
    static let sizes = Array(1...34) + [63, 64, 96, 100, 1152, 4304]

    static func contract(_ x: [Float], _ w: [Float], _ b: [Float], eps: Float) -> [Float] {
        let n = Float(x.count)
        let mean = Contract.dot(x, [Float](repeating: 1, count: x.count)) / n
        let d = x.map { $0 - mean }
        let r = 1 / (Contract.dot(d, d) / n + eps).squareRoot()
        return d.indices.map { b[$0].addingProduct(d[$0] * r, w[$0]) }
    }

    @Test("Layer norm has the bits of the contract, in place too", arguments: Level.available)
    func bits(level: Level) {
        var random = Random(60)
        for (round, n) in Self.sizes.enumerated() {
            let mood = Mood.allCases[round % Mood.allCases.count]
            let (x, w, b) = (floats(n, mood, &random), floats(n, mood, &random), floats(n, .ordinary, &random))
            var y = [Float](repeating: 7, count: n)
            var z = x
            level.kernels.layer_norm(&y, x, w, b, n, 1e-5)
            z.withUnsafeMutableBufferPointer { level.kernels.layer_norm($0.baseAddress, $0.baseAddress, w, b, n, 1e-5) }
            let right = Self.contract(x, w, b, eps: 1e-5)
            let difference = firstDifference(y, right) ?? firstDifference(z, right)
            #expect(difference == nil, "\(mood), n \(n)")
        }
    }

    @Test("Layer norm against double precision, far from zero too", arguments: [Float(0), 1, 100])
    func accuracy(offset: Float) {
        var random = Random(61)
        for n in [96, 1152] {
            let x = floats(n, .ordinary, &random).map { $0 + offset }
            let (w, b) = (floats(n, .ordinary, &random), floats(n, .ordinary, &random))
            var y = [Float](repeating: 0, count: n)
            Level.scalar.kernels.layer_norm(&y, x, w, b, n, 1e-5)
            let mean = x.reduce(0.0) { $0 + Double($1) } / Double(n)
            let variance = x.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(n)
            for i in 0..<n {
                let exact = (Double(x[i]) - mean) / (variance + 1e-5).squareRoot() * Double(w[i]) + Double(b[i])
                #expect(abs(Double(y[i]) - exact) <= 1e-6 * (1 + Double(offset)))
            }
        }
    }

    @Test("Layer norm and the linear units stay inside", arguments: Level.available)
    func guarded(level: Level) {
        var random = Random(62)
        for end in Guarded.End.allCases {
            for n in [1, 15, 16, 17, 31, 33, 96] {
                let parts = (0..<3).map { _ in Guarded(floats(n, .ordinary, &random), against: end) }
                let y = Guarded(bytes: n * 4, against: end)
                let (x, w, b) = (parts[0].array(Float.self, n), parts[1].array(Float.self, n), parts[2].array(Float.self, n))
                withExtendedLifetime((parts, y)) {
                    let p = parts.map { $0.base.assumingMemoryBound(to: Float.self) }
                    let out = y.base.assumingMemoryBound(to: Float.self)
                    level.kernels.layer_norm(out, p[0], p[1], p[2], n, 1e-5)
                    #expect(firstDifference(y.array(Float.self, n), Self.contract(x, w, b, eps: 1e-5)) == nil)
                    level.kernels.gelu_tanh(out, p[0], p[1], n)
                    #expect(firstDifference(y.array(Float.self, n), zip(x, w).map { GeluTests.byTanh($0 + $1) }) == nil)
                    level.kernels.gelu_erf(out, p[0], p[1], n)
                    #expect(firstDifference(y.array(Float.self, n), zip(x, w).map { GeluTests.byErf($0 + $1) }) == nil)
                }
            }
        }
    }
}

@Suite struct GeluTests {
    // MARK: The operations that gelu.h states, written down once more.

    static func byTanh(_ t: Float) -> Float {
        let linear: Float = 0x1.988454p+0, cubic: Float = 0x1.2444f2p-4
        return t / (1 + ck_exp(-(t * linear.addingProduct(t * t, cubic))))
    }

    static func byErf(_ t: Float) -> Float {
        let p: [Float] = [
            0x1.46e80ep+0, -0x1.7bf6p-4, -0x1.54082cp-3, 0x1.4ffb44p-3, -0x1.bc103p-5, -0x1.07b7e6p-7, 0x1.1b4292p-7,
            0x1.5158bap-10, -0x1.49520ep-10, -0x1.901650p-12, 0x1.359c3ap-16,
        ]
        let a = abs(t) > 14 ? 14 : abs(t)
        let square = a * a
        let rest = (-square).addingProduct(a, a)
        var e = ck_exp(-0.5 * square)
        e = e.addingProduct(-(e * 0.5), rest)
        let z = a * 0x1.6a09e6p-1
        let q = (z - 2) / (z + 2)
        let c = p.dropLast().reversed().reduce(p[10]) { $1.addingProduct($0, q) } / Float(1).addingProduct(2, z)
        return (t > 0 ? t : 0).addingProduct(-abs(t), e * 0.5 * c)
    }

    /// Numbers between -20 and 20 and of all sizes.
    static let inputs = stride(from: Float(-20), through: 20, by: 0.0037).map { $0 }
        + stride(from: UInt64(0), to: UInt64(UInt32.max), by: 90_001).map { Float(bitPattern: UInt32($0)) }

    @Test("The bits are those of the stated operations, in place too, all over the float line", arguments: Level.available)
    func bits(level: Level) {
        var random = Random(63)
        let x = Self.inputs
        let bias = x.indices.map { $0 % 3 == 0 ? 0 : random.unit() }
        let right = [Self.byTanh, Self.byErf].map { f in zip(x, bias).map { f($0 + $1) } }
        for (kind, right) in zip([level.kernels.gelu_tanh, level.kernels.gelu_erf], right) {
            for n in Array(1...40) + [x.count] {
                var y = [Float](repeating: 7, count: n)
                var z = Array(x[0..<n])
                kind?(&y, x, bias, n)
                z.withUnsafeMutableBufferPointer { kind?($0.baseAddress, $0.baseAddress, bias, n) }
                let difference = firstDifference(y, Array(right[0..<n])) ?? firstDifference(z, Array(right[0..<n]))
                #expect(difference == nil, "n \(n)")
            }
        }
    }

    @Test("By tanh, against double precision")
    func tanhAccuracy() {
        let x = Self.inputs.filter { abs($0) < 1e10 }
        var y = x
        Level.scalar.kernels.gelu_tanh(&y, x, [Float](repeating: 0, count: x.count), x.count)
        for (t, value) in zip(x, y) {
            let d = Double(t)
            let exact = d / (1 + exponential(-2 * (2 / Double.pi).squareRoot() * (d + 0.044715 * d * d * d)))
            #expect(abs(Double(value) - exact) <= 0x1p-22 * abs(d) + 0x1p-149, "gelu(\(t)) = \(value), not \(exact)")
        }
    }

    @Test("By erf, against double precision: also the small values far left")
    func erfAccuracy() {
        let x = Self.inputs.filter { abs($0) < 1e10 }
        var y = x
        Level.scalar.kernels.gelu_erf(&y, x, [Float](repeating: 0, count: x.count), x.count)
        for (t, value) in zip(x, y) {
            let exact = Double(t) * 0.5 * erfc(-Double(t) * 0.5.squareRoot())
            #expect(abs(Double(value) - exact) <= 0x1p-22 * abs(Double(t)) + 0x1p-149, "gelu(\(t)) = \(value), not \(exact)")
            if abs(t) <= 13, t.isNormal {
                #expect(abs(Double(value) - exact) <= 8 * Double(Float(exact).ulp), "gelu(\(t)) = \(value), not \(exact)")
            }
        }
    }

    @Test("NaN stays NaN", arguments: Level.available)
    func notANumber(level: Level) {
        var y = [Float](repeating: 0, count: 17)
        let (x, bias) = ([Float](repeating: .nan, count: 17), [Float](repeating: 1, count: 17))
        level.kernels.gelu_tanh(&y, x, bias, 17)
        #expect(y.allSatisfy { $0.isNaN })
        level.kernels.gelu_erf(&y, x, bias, 17)
        #expect(y.allSatisfy { $0.isNaN })
    }
}
