import Glibc

/// xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64: equal seeds give equal draws on every machine.
package struct Random {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    package init(seed: UInt64) {
        var mixer = seed
        func next() -> UInt64 {
            mixer &+= 0x9E37_79B9_7F4A_7C15
            var z = mixer
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
        state = (next(), next(), next(), next())
    }

    /// A seed from the system's entropy; never 0, which means "random" in the C interface.
    package static func entropySeed() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return max(1, generator.next())
    }

    package mutating func next() -> UInt64 {
        func rotated(_ x: UInt64, _ by: UInt64) -> UInt64 { x << by | x >> (64 - by) }
        let result = rotated(state.1 &* 5, 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotated(state.3, 45)
        return result
    }

    /// Evenly drawn from [0, 1).
    package mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
