import KimiCore

/// Which frames of a video go to the model, and what times they stand for.
package struct FrameSampling: Sendable, Equatable {
    /// Numbers of frames, rising; one may come more than once, where it was shown for long.
    package let indices: [Int]
    /// Seconds from the beginning, rising or equal; one for each index.
    package let times: [Double]

    /// Of frames that follow each other at a constant rate, as the reference takes them: evenly from the first to the last, each
    /// with the time that its number tells.
    ///
    /// - Parameters:
    ///   - count: frames, at least 1.
    ///   - rate: frames a second, above 0.
    ///   - taken: how many to take, from 1 to `count`.
    static func even(count: Int, rate: Double, taken: Int) -> FrameSampling {
        let indices = spread(count, taken)
        return FrameSampling(indices: indices, times: indices.map { Double($0) / rate })
    }

    /// Of frames with times of their own: evenly in time, at each moment the frame that was shown then. Where that is all of
    /// them, each with its own time.
    ///
    /// - Parameters:
    ///   - times: seconds, rising or equal, the first 0; at least one.
    ///   - taken: how many to take, at least 1.
    static func byTime(_ times: [Double], taken: Int) -> FrameSampling {
        guard taken < times.count, let last = times.last else { return FrameSampling(indices: Array(times.indices), times: times) }
        var (indices, moments, place) = ([Int](), [Double](), 0)
        for step in 0..<taken {
            let moment = taken == 1 ? 0 : last * Double(step) / Double(taken - 1)
            // A hair's breadth, for times that were computed in two ways.
            while place + 1 < times.count, times[place + 1] <= moment + 1e-6 { place += 1 }
            indices.append(place)
            moments.append(moment)
        }
        return FrameSampling(indices: indices, times: moments)
    }

    /// `numpy.linspace(0, count - 1, taken).round()`.
    static func spread(_ count: Int, _ taken: Int) -> [Int] {
        guard taken > 1 else { return [0] }
        let last = Double(count - 1)
        let step = last / Double(taken - 1)
        return (0..<taken).map { $0 == taken - 1 ? count - 1 : min(count - 1, Int((Double($0) * step).rounded(.toNearestOrEven))) }
    }
}

extension MediaConfig {
    /// How many of a video's frames the model gets: `sampleRate` a second, where there are so many, and no more than the limits
    /// allow.
    ///
    /// - Parameters:
    ///   - count: frames, at least 1.
    ///   - rate: frames a second, above 0; infinite where all are shown at once.
    func sampledCount(of count: Int, rate: Double, width: Int, height: Int, limits: MediaLimits) -> Int {
        var taken = count
        if rate > sampleRate { taken = max(1, Int((Double(count) * sampleRate / rate).rounded(.toNearestOrEven))) }
        if let frameCountLimit { taken = min(taken, frameCountLimit) }
        let plan = chunkPlan(width: width, height: height, frames: framesPerChunk)
        let kept = max(1, limits.keptBytes / max(1, plan.width * plan.height * 3))
        return max(1, min(taken, count, kept, limits.keptFrames))
    }

    /// Which frames of a video file go to the model.
    ///
    /// - Parameters:
    ///   - times: when each frame is shown, in seconds after the first, rising or equal; nil where the file does not say.
    ///   - count: frames, at least 1.
    ///   - rate: frames a second as the file has it, or 0.
    func sampling(
        times: UnsafeBufferPointer<Double>?, count: Int, rate: Double, width: Int, height: Int, limits: MediaLimits
    ) -> FrameSampling {
        // Without any word about time the frames are taken for what the model would take.
        var rate = rate.isFinite && rate > 0 ? rate : 0
        if let times, let last = times.last, last.isFinite, last > 0 {
            let measured = Double(count - 1) / last
            for candidate in [rate, measured] where candidate > 0 && Self.isConstant(times, candidate) {
                let taken = sampledCount(of: count, rate: candidate, width: width, height: height, limits: limits)
                return .even(count: count, rate: candidate, taken: taken)
            }
            // Frames come and go as they please. One is shown until the next, the last as long as one is on average.
            let taken = sampledCount(of: count, rate: measured, width: width, height: height, limits: limits)
            return .byTime(Array(times), taken: taken)
        }
        if rate == 0 { rate = sampleRate }
        return .even(
            count: count, rate: rate, taken: sampledCount(of: count, rate: rate, width: width, height: height, limits: limits))
    }

    /// Whether each frame is where its number and the rate say, but for what containers round: their ticks may be as coarse as
    /// milliseconds.
    private static func isConstant(_ times: UnsafeBufferPointer<Double>, _ rate: Double) -> Bool {
        let slack = max(0.3 / rate, 0.0015)
        return times.indices.allSatisfy { abs(times[$0] - Double($0) / rate) <= slack }
    }
}
