/// Frames of a video as they were sampled for the model: pictures of one size, each with its time.
package struct Clip: Sendable {
    /// At least one.
    package let frames: [Picture]
    /// Seconds from the beginning of the video, finite, not negative, rising or equal; one for each frame.
    package let timestamps: [Double]

    package init(frames: [Picture], timestamps: [Double]) {
        self.frames = frames
        self.timestamps = timestamps
    }
}
