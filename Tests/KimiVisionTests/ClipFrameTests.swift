import KimiCore
import KimiVision
import Testing

@Suite("Clips from frames")
struct ClipFrameTests {
    private func frames(_ count: Int) throws -> [Picture] { try (0..<count).map { try Picture.filled(28, 28, UInt8($0)) } }
    private func values(_ clip: Clip) -> [Int] { clip.chunks.flatMap { $0.frames.map { Int($0.pixels[0]) } } }

    @Test("Frames as dense as the model takes them, or sparser, all stay with their times")
    func sparse() throws {
        let clip = try Clip(frames: frames(5), timestamps: [3, 7, 7, 100, 3600.5], config: MediaConfig())
        #expect(values(clip) == [0, 1, 2, 3, 4])
        #expect(clip.chunks.map(\.timestamp) == ["00:00:03.000", "01:00:00.500"])
        #expect(try values(Clip(frames: frames(7), config: MediaConfig())) == Array(0..<7))
        #expect(try values(Clip(frames: frames(1), timestamps: [9], config: MediaConfig())) == [0])
    }

    @Test("Frames of an uneven rate: at each moment the one that was shown then")
    func uneven() throws {
        // Twenty frames in the first two seconds, then none until the eighth.
        let times = (0..<20).map { Double($0) / 10 } + [8]
        let clip = try Clip(frames: frames(21), timestamps: times, config: MediaConfig())
        // 21 frames at 2.5 a second: 17 moments half a second apart.
        #expect(values(clip) == [0, 5, 10, 15] + Array(repeating: 19, count: 12) + [20])
    }

    @Test(
        "A frame at fault is named",
        arguments: [
            ([0, .nan, 1], "video.timestamps[1]"), ([0, 1, -0.5], "video.timestamps[2]"), ([0, 2, 1], "video.timestamps[2]"),
            ([-1, 0, 1], "video.timestamps[0]"),
            ([0, 1, .infinity], "video.timestamps[2]"), ([0, 1], "video.timestamps"), ([0, 1, 2, 3], "video.timestamps"),
            ([0, 1, 1e300], "video.timestamps[2]"),
        ] as [([Double], String)])
    func times(times: [Double], subject: String) throws {
        let frames = try frames(3)
        let error = failure { _ = try Clip(frames: frames, timestamps: times, config: MediaConfig()) }
        #expect(error?.status == .invalidArgument && error?.subject == subject)
    }

    @Test("No frames, and frames of two sizes, are refused")
    func sizes() throws {
        #expect(failure { _ = try Clip(frames: [], config: MediaConfig()) }?.subject == "video")
        let mixed = try [Picture.filled(28, 28, 0), .filled(28, 29, 0)]
        #expect(failure { _ = try Clip(frames: mixed, config: MediaConfig()) }?.subject == "video.frames[1]")
    }

    @Test("Chunks with equal pixels have one digest, whenever they are shown")
    func digests() throws {
        let clip = try Clip(frames: frames(4) + frames(4), config: MediaConfig())
        #expect(clip.chunks[0].digest == clip.chunks[1].digest)
        let shorter = try Clip(frames: frames(3), config: MediaConfig())
        #expect(shorter.chunks[0].digest != clip.chunks[0].digest)
        #expect(try Clip(frames: frames(1), config: MediaConfig()).chunks[0].digest != frames(1)[0].digest())
    }

    @Test("Large frames are made as small as the tower takes them")
    func large() throws {
        let frame = try Picture.random(width: 1500, height: 900, seed: 5)
        let clip = try Clip(frames: [frame, frame], config: MediaConfig())
        let plan = clip.chunks[0].plan
        #expect(plan.width < 1500 && clip.chunks[0].frames[0].width == plan.width && clip.width == 1500)
        #expect(clip.chunks[0].frames[0].bytes == (try frame.resized(width: plan.width, height: plan.height).bytes))
    }
}
