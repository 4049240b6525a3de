import KimiCore
import KimiModel
import KimiTopology
import KimiVision

/// The vision tower of a checkpoint by itself, on pictures of noise.
package final class VisionWork {
    private let tower: VisionTower
    private let meter: LimitMeter
    private let cancellation: Cancellation
    private var number = 0
    /// Of the last encode.
    package private(set) var pauses = Pauses()

    /// Seconds of work between two looks at what the machine can do: neighbours on a shared machine change that within a second.
    private static let interval = 0.05

    package init(tower: VisionTower, meter: LimitMeter, cancellation: Cancellation) {
        (self.tower, self.meter, self.cancellation) = (tower, meter, cancellation)
    }

    /// Encodes one picture, with pauses between its turns. Counts what the processor multiplied, which where numbers are pairs is more than one for a weight and row.
    package func encode(_ grid: PatchGrid) throws(KimiError) -> WorkCount {
        number += 1
        let bytes = withUnsafeBytes(of: number) { Array($0) }
        let noise = Noise(grid: grid, patch: tower.config.patchElements, seed: UInt64(number))
        var pauses = Pauses()
        var last = monotonicSeconds()
        _ = try tower.encode(noise, digest: MediaDigest(bytes), cancellation: cancellation) { [meter, tower] in
            let begin = monotonicSeconds()
            guard begin - last > Self.interval else { return }
            let peak = meter.glance(at: tower.path)
            last = monotonicSeconds()
            pauses.add(seconds: last - begin, peak: peak)
        }
        self.pauses = pauses
        return WorkCount(multiplyAdds: tower.executedMultiplyAdds(of: grid))
    }

    /// Patches of even noise from -1 to 1.
    private struct Noise: PatchSource {
        let grid: PatchGrid
        let patch: Int
        let seed: UInt64

        func fill(_ patches: Range<Int>, into floats: UnsafeMutablePointer<Float>) {
            var state = (seed &+ UInt64(patches.lowerBound)) &* 0x9e37_79b9_7f4a_7c15 | 1
            for index in 0..<patches.count * patch {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                floats[index] = Float(state >> 40) / 8_388_608 - 1
            }
        }
    }
}
