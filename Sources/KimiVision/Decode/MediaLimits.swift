/// The most that media may have, looked at before memory of that size is taken. A host lowers them where it takes media from
/// strangers.
package struct MediaLimits: Sendable, Equatable {
    /// Bytes of a picture's file.
    package var encodedBytes = 256 << 20
    /// Pixels of a picture.
    package var pixels = 1 << 28
    /// The longest side of a picture or a frame, in pixels.
    package var side = 100_000
    /// Bytes that a decoder may take beside the pixels that it gives: interlaced, progressive and transparent pictures are kept in
    /// another form until they are whole.
    package var workBytes = 2 << 30
    /// Bytes of a video's file. It is read piece by piece.
    package var videoBytes = 64 << 30
    /// Pixels of a frame of a video.
    package var framePixels = 1 << 26
    /// Frames of a video before any are chosen: 38 hours at 60 a second.
    package var videoFrames = 1 << 23
    /// Frames of a video that go to the model; longer clips are thinned evenly.
    package var keptFrames = 4096
    /// Bytes of pixels of those frames, after they are made smaller for the model; more are thinned, too.
    package var keptBytes = 4 << 30

    package init() {}
}
