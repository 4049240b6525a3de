/// How pictures and clips are made ready for the tower: `preprocessor_config.json`, or what was published where that is silent.
package struct MediaConfig: Sendable, Equatable {
    /// The most patches of a picture, before padding.
    package var patchLimit = 16384
    /// Pixels of a patch's side.
    package var patchSize = 14
    /// Of each channel, of values from 0 to 1.
    package var mean: [Double] = [0.5, 0.5, 0.5]
    package var deviation: [Double] = [0.5, 0.5, 0.5]
    /// Patches of a token's side.
    package var mergeSize = 2
    /// The most patches of a picture's side.
    package var sideLimit = 512
    /// The most patches of a frame; nil means as for pictures.
    package var frameLimit: Int? = 4096
    /// The most patches of the frames of a chunk together; nil means no more than of each.
    package var chunkLimit: Int?
    /// Frames taken of a second of video.
    package var sampleRate = 2.0
    /// The most frames of a video; nil means no such limit.
    package var frameCountLimit: Int?
    /// Frames that the tower takes together.
    package var framesPerChunk = 4
    package var timestampForm = TimestampForm.full

    package init() {}

    /// Pixels of a token's side.
    package var tokenSize: Int { patchSize * mergeSize }
}

/// How a time is written in the prompt.
package enum TimestampForm: String, Sendable, CaseIterable {
    case full = "hh:mm:ss.fff"
    case minutes = "mm:ss.fff"
    case wholeSeconds = "mm:ss"

    /// A time as the reference writes it: whole seconds after rounding to a millionth, and the thousandths cut off, not rounded.
    /// Hours begin anew after a day.
    ///
    /// - Parameter seconds: finite and not negative; what is not is taken for 0.
    package func text(_ seconds: Double) -> String {
        let time = seconds.isFinite && seconds >= 0 ? min(seconds, 1e9) : 0
        let whole = Int((time * 1e6).rounded(.toNearestOrEven)) / 1_000_000
        let thousandths = Int(time.truncatingRemainder(dividingBy: 1) * 1000)
        let clock = "\(Self.two(whole / 60 % 60)):\(Self.two(whole % 60))"
        let fraction = "." + String(String(1000 + thousandths).dropFirst())
        return switch self {
        case .full: "\(Self.two(whole / 3600 % 24)):\(clock)\(fraction)"
        case .minutes: clock + fraction
        case .wholeSeconds: clock
        }
    }

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
