import KimiCore

extension Clip {
    /// A clip from a host's own frames.
    ///
    /// Frames that follow each other faster than the model takes them are thinned as the reference thins a video; slower ones all
    /// stay.
    ///
    /// - Parameters:
    ///   - frames: at least one, all of one size.
    ///   - timestamps: seconds from the beginning of the video, finite, not negative, rising or equal, one for each frame; nil
    ///     means frames as the model takes them, `sampleRate` a second.
    /// - Throws: `invalidArgument`, naming the frame or the time at fault; `outOfMemory`.
    package init(
        frames: [Picture], timestamps: [Double]? = nil, config: MediaConfig, limits: MediaLimits = MediaLimits(),
        subject: String = "video"
    ) throws(KimiError) {
        guard let first = frames.first else {
            throw KimiError(.invalidArgument, "no frames; at least one must be here", subject: subject)
        }
        for (index, frame) in frames.enumerated() where frame.width != first.width || frame.height != first.height {
            throw KimiError(
                .invalidArgument,
                "\(frame.width) x \(frame.height) pixels; all must have the \(first.width) x \(first.height) of frame 0",
                subject: "\(subject).frames[\(index)]")
        }
        if let timestamps { try Self.check(timestamps, frames.count, subject) }
        let sampling = config.sampling(frames.count, timestamps, first, limits)
        var assembly = ClipAssembly(sampling, width: first.width, height: first.height, config: config)
        while let number = assembly.next { try assembly.add(frames[number], number: number) }
        self = assembly.finish()
    }

    private static func check(_ timestamps: [Double], _ count: Int, _ subject: String) throws(KimiError) {
        guard timestamps.count == count else {
            throw KimiError(
                .invalidArgument, "\(timestamps.count) times for \(count) frames; one for each must be here",
                subject: "\(subject).timestamps")
        }
        var before = 0.0
        for (index, time) in timestamps.enumerated() {
            let place = "\(subject).timestamps[\(index)]"
            guard time.isFinite, time >= 0, time <= 1e9 else {
                throw KimiError(.invalidArgument, "\(time); seconds from 0 to 1e9 must be here", subject: place)
            }
            guard time >= before else {
                throw KimiError(.invalidArgument, "\(time) after \(before); times must rise or be equal", subject: place)
            }
            before = time
        }
    }
}

extension MediaConfig {
    fileprivate func sampling(_ count: Int, _ timestamps: [Double]?, _ first: Picture, _ limits: MediaLimits) -> FrameSampling {
        guard let timestamps, let start = timestamps.first else {
            return sampling(times: nil, count: count, rate: sampleRate, width: first.width, height: first.height, limits: limits)
        }
        let chosen = timestamps.map { $0 - start }.withUnsafeBufferPointer {
            sampling(times: $0, count: count, rate: 0, width: first.width, height: first.height, limits: limits)
        }
        // Each frame with the time that the host gave it.
        return FrameSampling(indices: chosen.indices, times: chosen.indices.map { timestamps[$0] })
    }
}
