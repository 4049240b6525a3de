import KimiCore
import KimiModel

/// A video as the model gets it: some of its frames, in chunks that the tower takes together.
package struct Clip: Sendable {
    /// Pixels of the video's frames, upright, before they were made smaller.
    package let width: Int
    package let height: Int
    /// At least one.
    package let chunks: [ClipChunk]

    /// In the prompt, without what stands around the chunks.
    package var tokens: Int { chunks.reduce(0) { $0 + $1.plan.tokens } }
    package var frameCount: Int { chunks.reduce(0) { $0 + $1.frames.count } }
}

/// Frames of a video that the tower takes together.
package struct ClipChunk: Sendable {
    /// Of the first frame, in seconds from the beginning of the video.
    package let time: Double
    /// The same as the prompt has it.
    package let timestamp: String
    package let plan: SizePlan
    /// From 1 to the frames of a chunk, of the plan's size.
    package let frames: [Picture]
    /// What it is known by. The time is no part of it: it stands in the prompt.
    package let digest: MediaDigest

    init(time: Double, timestamp: String, plan: SizePlan, frames: [Picture]) throws(KimiError) {
        (self.time, self.timestamp, self.plan, self.frames) = (time, timestamp, plan, frames)
        var hash = try PixelHash("chunk", [plan.width, plan.height, frames.count])
        for frame in frames { hash.add(frame) }
        digest = hash.finish()
    }
}

/// Puts a clip together from its frames, one after the other.
struct ClipAssembly {
    private let config: MediaConfig
    private let width: Int
    private let height: Int
    private let sampling: FrameSampling
    private var chunks: [ClipChunk] = []
    private var frames: [Picture] = []
    private var done = 0

    init(_ sampling: FrameSampling, width: Int, height: Int, config: MediaConfig) {
        (self.sampling, self.width, self.height, self.config) = (sampling, width, height, config)
    }

    /// The number of the frame that is wanted next, or nil if there are all.
    var next: Int? { done < sampling.indices.count ? sampling.indices[done] : nil }

    /// The size of the frames of the chunk that the next frame belongs to.
    private var plan: SizePlan {
        let first = done - done % config.framesPerChunk
        let count = min(config.framesPerChunk, sampling.indices.count - first)
        return config.chunkPlan(width: width, height: height, frames: count)
    }

    /// Takes the frame with a number, as often as it is wanted.
    mutating func add(_ frame: Picture, number: Int) throws(KimiError) {
        while next == number {
            let plan = plan
            // A frame that is shown for long is made smaller once.
            if let last = frames.last, sampling.indices[done - 1] == number, last.width == plan.width, last.height == plan.height {
                frames.append(last)
            } else {
                frames.append(try frame.resized(width: plan.width, height: plan.height))
            }
            done += 1
            if frames.count == plan.frames {
                let time = sampling.times[done - frames.count]
                chunks.append(try ClipChunk(time: time, timestamp: config.timestampForm.text(time), plan: plan, frames: frames))
                frames = []
            }
        }
    }

    func finish() -> Clip { Clip(width: width, height: height, chunks: chunks) }
}
