import KimiCore

/// The size in which a picture, or each frame of a chunk, goes to the tower.
package struct SizePlan: Sendable, Equatable {
    /// Pixels after resizing.
    package let width: Int
    package let height: Int
    /// Patches after padding: a row, and rows.
    package let columns: Int
    package let rows: Int
    /// 1 for a picture.
    package let frames: Int
    /// What it takes in the prompt. Frames of a chunk are averaged, so they take what one takes.
    package let tokens: Int

    /// Of all frames.
    package var patches: Int { frames * rows * columns }
}

extension MediaConfig {
    /// - Parameters: pixels; each at least 1, else they are taken for 1.
    package func plan(width: Int, height: Int) -> SizePlan { plan(width, height, limit: patchLimit, frames: 1) }

    /// - Parameter frames: of the chunk, from 1 to `framesPerChunk`.
    package func chunkPlan(width: Int, height: Int, frames: Int) -> SizePlan {
        var limit = frameLimit ?? patchLimit
        if let chunkLimit {
            limit = min(limit, Int((Double(chunkLimit) / Double(max(1, frames))).rounded(.toNearestOrEven)))
        }
        return plan(width, height, limit: limit, frames: max(1, frames))
    }

    /// Never larger than it is; no more patches than `limit`, and no side longer than its limit.
    private func plan(_ width: Int, _ height: Int, limit: Int, frames: Int) -> SizePlan {
        let (width, height) = (max(1, width), max(1, height))
        let longest = sideLimit * patchSize
        let all = max(1, Double(width / patchSize)) * max(1, Double(height / patchSize))
        let scale = min(1, (Double(limit) / all).squareRoot(), Double(longest) / Double(width), Double(longest) / Double(height))
        // Scaled sides are no longer than sides were, so they fit an Int.
        let newWidth = min(max(1, Int(Double(width) * scale)), longest)
        let newHeight = min(max(1, Int(Double(height) * scale)), longest)
        let (across, down) = ((newWidth + tokenSize - 1) / tokenSize, (newHeight + tokenSize - 1) / tokenSize)
        return SizePlan(
            width: newWidth, height: newHeight, columns: across * mergeSize, rows: down * mergeSize, frames: frames,
            tokens: across * down)
    }

    /// The tokens that a picture will take, without what the prompt has around them.
    ///
    /// - Throws: `invalidArgument` for a size that no picture has.
    package func tokens(width: Int, height: Int) throws(KimiError) -> Int {
        try Self.check(width, height)
        return plan(width: width, height: height).tokens
    }

    /// The chunks of a video of a constant rate, and the tokens that they will take, without what the prompt has around them.
    ///
    /// - Parameters:
    ///   - seconds: its length.
    ///   - rate: frames a second.
    /// - Throws: `invalidArgument`, naming the number at fault.
    package func videoTokens(
        seconds: Double, rate: Double, width: Int, height: Int, limits: MediaLimits = MediaLimits()
    ) throws(KimiError) -> (chunks: Int, tokens: Int) {
        try Self.check(width, height)
        guard seconds.isFinite, seconds >= 0, seconds <= 1e9 else {
            throw KimiError(.invalidArgument, "\(seconds); seconds from 0 to 1e9 must be here", subject: "seconds")
        }
        guard rate.isFinite, rate > 0, rate <= 1e6 else {
            throw KimiError(.invalidArgument, "\(rate); frames a second from above 0 to 1e6 must be here", subject: "fps")
        }
        // A product of 1e15 at most.
        let count = max(1, Int((seconds * rate).rounded(.toNearestOrEven)))
        let taken = sampledCount(of: count, rate: rate, width: width, height: height, limits: limits)
        let (whole, rest) = (taken / framesPerChunk, taken % framesPerChunk)
        let full = chunkPlan(width: width, height: height, frames: framesPerChunk).tokens
        let last = rest > 0 ? chunkPlan(width: width, height: height, frames: rest).tokens : 0
        return (whole + (rest > 0 ? 1 : 0), whole * full + last)
    }

    private static func check(_ width: Int, _ height: Int) throws(KimiError) {
        for (name, side) in [("width", width), ("height", height)] where side < 1 || side > 1 << 31 {
            throw KimiError(.invalidArgument, "\(side); pixels from 1 to \(1 << 31) must be here", subject: name)
        }
    }
}
