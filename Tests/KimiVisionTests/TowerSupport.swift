import CKimiKernels
import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import KimiVision

/// Patches that are there already.
struct MadePatches: PatchSource {
    let grid: PatchGrid
    let width: Int
    let floats: [Float]

    /// Random ones, between -1 and 1.
    init(_ grid: PatchGrid, width: Int = 588, seed: UInt64) {
        var random = SplitMix(seed)
        (self.grid, self.width) = (grid, width)
        floats = (0..<grid.count * width).map { _ in Float(Int64(bitPattern: random.next()) >> 40) / Float(1 << 23) }
    }

    init(_ grid: PatchGrid, floats: [Float]) {
        (self.grid, self.width, self.floats) = (grid, floats.count / max(grid.count, 1), floats)
    }

    func fill(_ patches: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        floats.withUnsafeBufferPointer { source in
            guard let base = source.baseAddress else { return }
            target.update(from: base + patches.lowerBound * width, count: patches.count * width)
        }
    }

    var digest: MediaDigest { MediaDigest([UInt8(truncatingIfNeeded: grid.count), UInt8(truncatingIfNeeded: floats.count)]) }
}

/// A tower of a folder.
func tower(
    _ folder: String, isa: Int32 = ck_isa_best(), threads: Int = 2, policy: LoadPolicy = .map, exact: Bool = true,
    vision: VisionArithmetic = .full, memory: MemoryOptions = MemoryOptions()
) throws -> (tower: VisionTower, text: TextModel) {
    var options = TextModel.Options()
    options.isa = isa
    options.threads = threads
    options.loadPolicy = policy
    options.exact = exact
    options.maxRows = 16
    options.memory = memory
    let text = try TextModel(checkpoint: Checkpoint(folder: folder), topology: try Topology.current(), options: options)
    return (try VisionTower(text: text, vision), text)
}

extension VisionTower {
    func rows(_ source: some PatchSource) throws -> [Float] {
        try encode(source, digest: MediaDigest([]), cancellation: Cancellation()).array
    }
}

extension MediaFeatures {
    var array: [Float] { Array(UnsafeBufferPointer(start: rows, count: tokens * width)) }
}

/// The instruction sets of this machine.
let levels: [Int32] = (0..<Int32(CK_ISA_COUNT)).filter { ck_kernels_for($0) != nil }

/// The largest difference of two lists, as a share of the largest number of the second.
func relativeDifference(_ a: [Float], _ b: [Float]) -> Float {
    guard a.count == b.count, !a.isEmpty else { return .infinity }
    let scale = b.reduce(0) { max($0, abs($1)) }
    // NaN compares false, so it must not slip through a max.
    return zip(a, b).reduce(0) { most, pair in
        let difference = abs(pair.0 - pair.1)
        return difference.isNaN ? .infinity : max(most, difference)
    } / scale
}

/// Not `==` inside #expect, which would look for the difference of two long lists for ever.
func identical(_ a: [Float], _ b: [Float]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern }
}
