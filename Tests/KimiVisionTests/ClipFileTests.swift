import Foundation
import KimiCore
import KimiTestSupport
import KimiVision
import Testing

@Suite("Clips from files")
struct ClipFileTests {
    private let config = MediaConfig()

    @Test("90 seconds of a screen: two frames a second, each the one that is wanted", arguments: [true, false])
    func recording(fromBytes: Bool) throws {
        let clip = try Clip.decode(fromBytes ? .bytes(of: "recording.mp4") : .fixture("recording.mp4"), config: config)
        #expect(clip.width == 80 && clip.height == 48)
        // numpy.linspace(0, 899, 180).round()
        #expect(clip.shownNumbers == (0..<180).map { Int((Double($0) * 899 / 179).rounded(.toNearestOrEven)) })
        #expect(clip.chunks.count == 45)
        #expect(clip.chunks[1].timestamp == "00:00:02.000" && clip.chunks[44].timestamp == "00:01:28.400")
        #expect(clip.tokens == (try config.videoTokens(seconds: 90, rate: 10, width: 80, height: 48)).tokens)
    }

    @Test("Codecs and containers", arguments: ["vp9.webm", "vp8.webm", "open.mkv"])
    func codecs(name: String) throws {
        let clip = try Clip.decode(.fixture(name), config: config)
        // numpy.linspace(0, 74, 6).round()
        #expect(clip.shownNumbers == [0, 15, 30, 44, 59, 74])
        #expect(clip.chunks.map(\.timestamp) == ["00:00:00.000", "00:00:02.359"])
    }

    @Test(
        "Groups of frames in which nothing is wanted are stepped over, with the same result",
        arguments: ["recording.mp4", "open.mkv", "vp9.webm"], [1, 2, 3, 5])
    func thinned(name: String, count: Int) throws {
        var few = config
        few.frameCountLimit = count
        let clip = try Clip.decode(.fixture(name), config: few)
        let last = name == "recording.mp4" ? 899.0 : 74
        #expect(
            clip.shownNumbers
                == (0..<count).map { count == 1 ? 0 : Int((Double($0) * last / Double(count - 1)).rounded(.toNearestOrEven)) })
    }

    @Test("Without loss, a file gives the digests of the host's own frames")
    func lossless() throws {
        let clip = try Clip.decode(.fixture("lossless.mkv"), config: config)
        #expect(clip.shownNumbers == Array(0..<6))
        let frames = try (0..<6).map { number in
            let frame = try Picture.filled(80, 48, 90)
            for y in 0..<48 {
                for x in 0..<80 {
                    let at = frame.pixels + 3 * (80 * y + x)
                    if y < 32 { (0..<3).forEach { at[$0] = number >> (y / 16 * 5 + x / 16) & 1 == 1 ? 235 : 16 } }
                    if y >= 32, x >= number * 3, x < number * 3 + 6 { (at[0], at[1], at[2]) = (200, 60, 40) }
                }
            }
            return frame
        }
        #expect(try clip.chunks.map(\.digest) == Clip(frames: frames, config: config).chunks.map(\.digest))
    }

    @Test("A clip of one frame")
    func one() throws {
        let clip = try Clip.decode(.fixture("one.mp4"), config: config)
        #expect(clip.shownNumbers == [0] && clip.chunks[0].plan.frames == 1 && clip.chunks[0].timestamp == "00:00:00.000")
    }

    @Test("A rate that changes: what was shown at each moment")
    func uneven() throws {
        let clip = try Clip.decode(.fixture("uneven.mkv"), config: config)
        // 46 frames in 17 seconds are 45 / 17 a second: round(46 * 34 / 45) = 35 moments, half a second apart.
        let expected = (0..<35).map { step in
            let time = 17 * Double(step) / 34
            return time < 2 ? Int(time / 0.05 + 0.01) : 40 + Int((time - 2) / 3 + 0.001)
        }
        #expect(clip.shownNumbers == expected)
        #expect(clip.chunks[1].timestamp == "00:00:02.000")
    }

    @Test("Films that lie or stand on their heads are turned", arguments: [0, 90, 180, 270])
    func turned(angle: Int) throws {
        let clip = try Clip.decode(.fixture(angle == 0 ? "turned0.mp4" : "turned\(angle).mov"), config: config)
        let upright = try Clip.decode(.fixture("turned0.mp4"), config: config)
        #expect(angle % 180 == 0 ? clip.width == 80 && clip.height == 48 : clip.width == 48 && clip.height == 80)
        let (frame, right) = (clip.chunks[0].frames[1], upright.chunks[0].frames[1])
        #expect(shownNumber(right) == 1)
        for y in 0..<48 {
            for x in 0..<80 {
                // The angle says by how much the picture is turned to the left to be shown (as `ffmpeg` itself shows these files).
                let place = [0: (x, y), 90: (y, 79 - x), 180: (79 - x, 47 - y), 270: (47 - y, x)][angle]!
                for c in 0..<3 {
                    guard frame.pixels[3 * (place.1 * frame.width + place.0) + c] != right.pixels[3 * (y * 80 + x) + c] else {
                        continue
                    }
                    Issue.record("pixel \(x), \(y)")
                    return
                }
            }
        }
    }

    @Test(
        "Colours come out as they were, whatever matrix and range a file has",
        arguments: ["bars601.mkv", "bars709.mkv", "barsfull.mkv"])
    func colours(name: String) throws {
        let frame = try Clip.decode(.fixture(name), config: config).chunks[0].frames[0]
        for (bar, colour) in [[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [40, 90, 160]].enumerated() {
            for c in 0..<3 { #expect(abs(Int(frame.pixels[3 * (80 * 20 + 16 * bar + 8) + c]) - colour[c]) <= 3, "\(colour)") }
        }
    }

    @Test("Two hours, thinned to what is kept")
    func long() throws {
        var limits = MediaLimits()
        limits.keptFrames = 100
        let clip = try Clip.decode(.fixture("long.mp4"), config: config, limits: limits)
        #expect(clip.frameCount == 100 && clip.chunks.count == 25)
        #expect(clip.shownNumbers == (0..<100).map { Int((Double($0) * 3599 / 99).rounded(.toNearestOrEven)) / 16 })
        #expect(clip.chunks[24].timestamp == "01:56:20.000")
    }

    @Test("Animated GIF: every frame as it is seen, at its time", arguments: PictureFixture.names("gif-"))
    func gif(name: String) throws {
        let fixture = try PictureFixture.named(name)
        let clip = try Clip.decode(.bytes(try MediaSource.media(Array(fixture.file))), config: config)
        let (frames, delays) = (try #require(fixture.frames), try #require(fixture.delays))
        let seen = clip.chunks.flatMap(\.frames)
        #expect(clip.width == fixture.width)
        // At half a second a frame or slower all stay; the faster one is sampled by time.
        if name == "gif-animated" {
            // Starts at 0, 0.1, 0.3, 0.6, 1.0 and 1.5 s: 5 frames of 1.5 s, so round(6 * 2 / (5 / 1.5)) = 4 moments.
            #expect(delays == [10, 20, 30, 40, 50, 60] && seen.count == 4)
            for (frame, number) in zip(seen, [0, 2, 4, 5]) { #expect(frame.difference(frames[number]).most == 0, "\(number)") }
        } else {
            #expect(seen.count == frames.count)
            for (number, frame) in seen.enumerated() { #expect(frame.difference(frames[number]).most == 0, "\(number)") }
        }
    }

    @Test("Cancelling ends the decoding", arguments: ["recording.mp4", "gif"])
    func cancelled(name: String) throws {
        let gif = try MediaSource.media(Array(try PictureFixture.named("gif-animated").file))
        let source = name == "gif" ? MediaSource.bytes(gif) : .fixture(name)
        for limit in [0, 3] {
            var asked = 0
            let error = failure {
                _ = try Clip.decode(source, config: config) {
                    asked += 1
                    return asked > limit
                }
            }
            #expect(error?.status == .cancelled)
        }
    }
}
