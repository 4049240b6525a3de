import KimiCore
import KimiModel
import KimiVision

/// The vision tower of a checkpoint by itself, on pictures of noise.
package final class VisionWork {
    private let tower: VisionTower
    private let cancellation: Cancellation
    private var number = 0

    package init(tower: VisionTower, cancellation: Cancellation) { (self.tower, self.cancellation) = (tower, cancellation) }

    /// Encodes one picture. Counts what the processor multiplied, which where numbers are pairs is more than one for a weight and row.
    package func encode(_ grid: PatchGrid) throws(KimiError) -> WorkCount {
        number += 1
        let bytes = withUnsafeBytes(of: number) { Array($0) }
        let noise = Noise(grid: grid, patch: tower.config.patchElements, seed: UInt64(number))
        _ = try tower.encode(noise, digest: MediaDigest(bytes), cancellation: cancellation)
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
