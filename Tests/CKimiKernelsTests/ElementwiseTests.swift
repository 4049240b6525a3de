import CKimiKernels
import Testing

/// The kernels that go element by element, and the norm.
@Suite struct ElementwiseTests {
    static let sizes = Array(1...34) + [63, 64, 100, 512, 1030, 7168]

    @Test("RMS norm has the bits of the contract, in place too", arguments: Level.available)
    func norm(level: Level) {
        var random = Random(6)
        for (round, n) in Self.sizes.enumerated() {
            let mood = Mood.allCases[round % Mood.allCases.count]
            let x = floats(n, mood, &random)
            let w = floats(n, mood, &random)
            let eps: Float = round % 2 == 0 ? 1e-5 : 1e-6
            var y = [Float](repeating: 7, count: n)
            var z = x
            level.kernels.rms_norm(&y, x, w, n, eps)
            z.withUnsafeMutableBufferPointer { z in level.kernels.rms_norm(z.baseAddress, z.baseAddress, w, n, eps) }
            let right = Contract.rmsNorm(x, w, eps: eps)
            let difference = firstDifference(y, right) ?? firstDifference(z, right)
            #expect(difference == nil, "\(mood), n \(n)")
        }
    }

    @Test("RMS norm against double precision: a few roundings and the error of the dot product")
    func normAccuracy() {
        var random = Random(7)
        for n in [64, 1536, 7168] {
            let x = floats(n, .ordinary, &random)
            let w = floats(n, .ordinary, &random)
            var y = [Float](repeating: 0, count: n)
            Level.scalar.kernels.rms_norm(&y, x, w, n, 1e-5)
            let mean = x.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(n)
            let r = 1 / (mean + Double(Float(1e-5))).squareRoot()
            let bound = (Double(n) / 32 + 8) * 0x1p-24
            for i in 0..<n {
                let exact = Double(x[i]) * r * Double(w[i])
                #expect(abs(Double(y[i]) - exact) <= bound * abs(exact))
            }
        }
    }

    @Test("Rotation by pairs, also in place", arguments: Level.available)
    func rope(level: Level) {
        var random = Random(14)
        for pairs in Array(1...20) + [32, 37] {
            for mood in Mood.allCases {
                let x = floats(2 * pairs, mood, &random)
                let angles = floats(2 * pairs, .ordinary, &random)
                var y = [Float](repeating: 7, count: 2 * pairs)
                var same = x
                level.kernels.rope(&y, x, angles, pairs)
                same.withUnsafeMutableBufferPointer { level.kernels.rope($0.baseAddress, $0.baseAddress, angles, pairs) }
                let right = Contract.rope(x, angles)
                let difference = firstDifference(y, right) ?? firstDifference(same, right)
                #expect(difference == nil, "\(mood), \(pairs) pairs")
            }
        }
    }

    @Test("The gated activation has the bits of the contract, in place too", arguments: Level.available)
    func swiglu(level: Level) {
        var random = Random(8)
        for (round, n) in Self.sizes.enumerated() {
            let mood = Mood.allCases[round % Mood.allCases.count]
            let gate = floats(n, mood, &random).map { $0 * 30 }
            let up = floats(n, mood, &random)
            var y = [Float](repeating: 7, count: n)
            var z = gate
            var v = up
            level.kernels.swiglu(&y, gate, up, n)
            z.withUnsafeMutableBufferPointer { level.kernels.swiglu($0.baseAddress, $0.baseAddress, up, n) }
            v.withUnsafeMutableBufferPointer { level.kernels.swiglu($0.baseAddress, gate, $0.baseAddress, n) }
            let right = Contract.swiglu(gate, up)
            let difference = firstDifference(y, right) ?? firstDifference(z, right) ?? firstDifference(v, right)
            #expect(difference == nil, "\(mood), n \(n)")
        }
    }

    @Test("The gated activation over all of the float line", arguments: Level.available)
    func swigluEverywhere(level: Level) {
        let gate = stride(from: 0, to: UInt64(UInt32.max), by: 20_011).map { Float(bitPattern: UInt32($0)) }
        let up = [Float](repeating: 1, count: gate.count)
        var y = up
        level.kernels.swiglu(&y, gate, up, gate.count)
        let difference = firstDifference(y, Contract.swiglu(gate, up))
        #expect(difference == nil)
    }

    @Test("silu against double precision, to 4 units in the last place")
    func siluAccuracy() {
        let gate = stride(from: Float(-85), through: 100, by: 0.0137).map { $0 }
        var y = gate
        Level.scalar.kernels.swiglu(&y, gate, [Float](repeating: 1, count: gate.count), gate.count)
        for (g, value) in zip(gate, y) {
            let exact = Double(g) / (1 + exponential(-Double(g)))
            #expect(abs(Double(value) - exact) <= 4 * Double(Float(exact).ulp), "silu(\(g)) = \(value), not \(exact)")
        }
    }

    @Test("Scaled addition has the bits of the contract", arguments: Level.available)
    func addScaled(level: Level) {
        var random = Random(9)
        for (round, n) in Self.sizes.enumerated() {
            let mood = Mood.allCases[round % Mood.allCases.count]
            let x = floats(n, mood, &random)
            let a = mood.float(&random)
            var y = floats(n, mood, &random)
            let right = zip(x, y).map { $1.addingProduct(a, $0) }
            level.kernels.add_scaled(&y, a, x, n)
            let difference = firstDifference(y, right)
            #expect(difference == nil, "\(mood), n \(n)")
        }
    }

    @Test("One bad value anywhere is found, and no good one is called bad", arguments: Level.available)
    func allFinite(level: Level) {
        for n in Array(1...35) + [100, 163] {
            var x = (0..<n).map { $0 % 3 == 0 ? Float.greatestFiniteMagnitude : $0 % 3 == 1 ? -0x1p-149 : 0 }
            #expect(level.kernels.all_finite(x, n) == 1)
            for i in 0..<n {
                for bad in [Float.infinity, -.infinity, .nan, -.nan, Float(bitPattern: 0x7f80_0001)] {
                    let good = x[i]
                    x[i] = bad
                    #expect(level.kernels.all_finite(x, n) == 0, "\(bad) at \(i) of \(n)")
                    x[i] = good
                }
            }
        }
        #expect(level.kernels.all_finite([], 0) == 1)
    }
}
