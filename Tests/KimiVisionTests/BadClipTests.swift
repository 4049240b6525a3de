import Foundation
import KimiCore
import KimiTestSupport
import KimiVision
import Testing

@Suite("Clips that are none")
struct BadClipTests {
    private func error(_ bytes: [UInt8], limits: MediaLimits = MediaLimits()) throws -> KimiError? {
        let source = MediaSource.bytes(try MediaSource.media(bytes))
        return failure { _ = try Clip.decode(source, config: MediaConfig(), limits: limits) }
    }

    @Test("Sound without pictures")
    func sound() {
        let error = failure { _ = try Clip.decode(.fixture("sound.mp4"), config: MediaConfig()) }
        #expect(error?.status == .format && error?.message.contains("only sound") == true)
        #expect(error?.file?.hasSuffix("sound.mp4") == true)
    }

    @Test(
        "Bytes that are no video",
        arguments: [
            "", "hello", "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "ffconcat version 1.0\nfile /etc/passwd\n",
            "<?xml version=\"1.0\"?><MPD/>",
        ])
    func unknown(text: String) throws {
        let error = try error(Array(text.utf8))
        #expect(error?.status == .format && error?.message.contains("MP4, MOV, WebM, MKV or GIF") == true)
    }

    @Test("A file that is cut in the middle of its index, or has no frames left")
    func cut() throws {
        let bytes = try Fixtures.bytes("vision/clips/recording.mp4")
        for count in [10, 40, 1000, 30000] { #expect(try error(Array(bytes.prefix(count)))?.status == .format) }
    }

    @Test("Damage in what is decoded is an error, not a grey frame")
    func damaged() throws {
        var bytes = try Fixtures.bytes("vision/clips/recording.mp4")
        let data = try #require(bytes.indices.dropLast(4).first { bytes[$0...].starts(with: "mdat".utf8) })
        for place in stride(from: data + 2000, to: data + 4000, by: 7) { bytes[place] ^= 0x5A }
        #expect(try error(bytes)?.status == .format)
    }

    @Test("Limits hold for frames, files and their number")
    func limits() throws {
        let bytes = try Fixtures.bytes("vision/clips/recording.mp4")
        var limits = MediaLimits()
        limits.framePixels = 80 * 48 - 1
        #expect(try error(bytes, limits: limits)?.message.contains("80 x 48") == true)
        limits = MediaLimits()
        limits.videoFrames = 899
        #expect(try error(bytes, limits: limits)?.message.contains("more than 899 frames") == true)
        limits = MediaLimits()
        limits.videoBytes = bytes.count - 1
        #expect(try error(bytes, limits: limits)?.status == .invalidArgument)
        #expect(
            failure { _ = try Clip.decode(.fixture("recording.mp4"), config: MediaConfig(), limits: limits) }?.status
                == .invalidArgument)
    }

    @Test("GIF bombs end by their frames and sizes", arguments: ["frames", "size"])
    func gifBomb(kind: String) throws {
        let fixture = Array(try PictureFixture.named("gif-animated").file)
        var limits = MediaLimits()
        if kind == "frames" { limits.videoFrames = 5 } else { limits.framePixels = 41 * 27 - 1 }
        #expect(try error(fixture, limits: limits)?.status == .invalidArgument)
        #expect(try error(Array(fixture.dropLast(200)))?.status == .format)
    }
}
