import CKimiMedia
import KimiCore
import KimiModel

/// What the tower takes: the patches of a picture or of a chunk, normalised when they are asked for.
package struct Patches: PatchSource {
    package let plan: SizePlan
    package let digest: MediaDigest
    /// Of the plan's size.
    private let frames: [Picture]
    private let patchSize: Int
    /// [3][256], what each byte of each channel becomes.
    private let table: [Float]

    /// A picture, made smaller if it is too large.
    package init(_ picture: Picture, config: MediaConfig) throws(KimiError) {
        let plan = config.plan(width: picture.width, height: picture.height)
        try self.init(plan, [picture.resized(width: plan.width, height: plan.height)], try picture.digest(), config)
    }

    package init(_ chunk: ClipChunk, config: MediaConfig) { self.init(chunk.plan, chunk.frames, chunk.digest, config) }

    private init(_ plan: SizePlan, _ frames: [Picture], _ digest: MediaDigest, _ config: MediaConfig) {
        (self.plan, self.frames, self.digest, patchSize) = (plan, frames, digest, config.patchSize)
        table = config.normalised
    }

    package var grid: PatchGrid { PatchGrid(frames: plan.frames, rows: plan.rows, columns: plan.columns) }
    /// How many there are.
    package var count: Int { plan.patches }
    /// Floats of one: [3, patch, patch].
    package var width: Int { 3 * patchSize * patchSize }

    /// Writes some patches, in the order of the reference: frame after frame, in each row after row.
    ///
    /// - Parameters:
    ///   - range: within 0 and `count`.
    ///   - floats: room for `range.count * width` floats.
    package func fill(_ range: Range<Int>, into floats: UnsafeMutablePointer<Float>) {
        let each = plan.rows * plan.columns
        var to = floats
        for (index, frame) in frames.enumerated() {
            let part = range.clamped(to: index * each..<(index + 1) * each)
            guard !part.isEmpty else { continue }
            let begin = part.lowerBound - index * each
            ckm_patches(to, begin, begin + part.count, frame.pixels, plan.width, plan.height, plan.columns, patchSize, table)
            to += part.count * width
        }
    }

    /// All of them, for tests and small pictures.
    package func all() -> [Float] {
        [Float](unsafeUninitializedCapacity: count * width) { buffer, filled in
            if let base = buffer.baseAddress { fill(0..<count, into: base) }
            filled = count * width
        }
    }
}

extension MediaConfig {
    /// [3][256]. In single precision, step by step as the reference does it: x / 255, less the mean, times the inverse of the
    /// deviation.
    fileprivate var normalised: [Float] {
        zip(mean, deviation).flatMap { mean, deviation in
            (0..<256).map { byte in
                let centred = Float(Double(Float(Double(byte) / 255)) - mean)
                return Float(Double(centred) * (1 / deviation))
            }
        }
    }
}
