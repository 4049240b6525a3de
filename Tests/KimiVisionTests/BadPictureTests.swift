import Foundation
import KimiCore
import KimiVision
import Testing

@Suite("Pictures that are none")
struct BadPictureTests {
    @Test(
        "A file that is cut anywhere is an error, never half a picture",
        arguments: [
            "png-rgb8", "png-rgba8-interlaced", "jpeg-420", "jpeg-progressive", "jpeg-cmyk", "webp-lossy", "webp-lossless-alpha",
            "gif-plain",
        ])
    func truncated(name: String) throws {
        let fixture = try PictureFixture.named(name)
        // Behind the last pixel a GIF has two bytes, WebP a byte of padding at most.
        for count in 0..<fixture.file.count - 3 {
            let error = failure { _ = try Picture.decode(fixture.file.prefix(count)) }
            #expect(error != nil, "\(count) of \(fixture.file.count) bytes")
            guard let error else { return }
            #expect(error.status == .format || (error.status == .unsupported && count < 12))
            #expect(error.message.contains("PNG, JPEG, WebP or GIF") && error.subject == "image")
        }
    }

    @Test(
        "What is no picture is named as such",
        arguments: ["", "\u{0}", "hello", "<svg/>", "BM......", "RIFF....WAVE", "%PDF-1.4", "GIF90a......."])
    func unknown(text: String) {
        let error = failure { _ = try Picture.decode(text.utf8) }
        #expect(error?.status == (text.isEmpty ? .format : .unsupported))
    }

    /// A PNG's header with a size, and no pixels.
    private static func header(_ width: UInt32, _ height: UInt32) -> [UInt8] {
        func word(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
        let body = Array("IHDR".utf8) + word(width) + word(height) + [8, 2, 0, 0, 0]
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in body {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        let text: [UInt8] = [0, 0, 0, 0, 0x49, 0x44, 0x41, 0x54, 0x35, 0xAF, 0x06, 0x1E]
        return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13] + body + word(~crc) + text
    }

    @Test(
        "Sizes of nothing and sizes beyond any use are refused by the header alone",
        arguments: [
            (0, 0, Status.format), (0, 5, .format), (100_000, 100_000, .invalidArgument), (1, 100_001, .invalidArgument),
            (16_385, 16_385, .invalidArgument),
            (0x7FFF_FFFF, 0x7FFF_FFFF, .invalidArgument), (1, 100_000, .format),
        ])
    func size(width: UInt32, height: UInt32, status: Status) {
        let error = failure { _ = try Picture.decode(Self.header(width, height)) }
        #expect(error?.status == status)
    }

    @Test("Limits of the host hold")
    func limits() throws {
        let fixture = try PictureFixture.named("jpeg-420")
        let pixels = fixture.width * fixture.height
        var limits = MediaLimits()
        limits.pixels = pixels
        #expect(throws: Never.self) { _ = try fixture.decode(limits: limits) }
        limits.pixels = pixels - 1
        #expect(
            failure { _ = try fixture.decode(limits: limits) }?.message.contains("37 x 26 pixels; at most \(pixels - 1) pixels")
                == true)
        limits = MediaLimits()
        limits.side = 36
        #expect(failure { _ = try fixture.decode(limits: limits) }?.status == .invalidArgument)
        limits = MediaLimits()
        limits.encodedBytes = fixture.file.count - 1
        #expect(failure { _ = try fixture.decode(limits: limits) }?.status == .invalidArgument)
        limits = MediaLimits()
        limits.workBytes = 100
        for name in ["png-rgba8-interlaced", "webp-lossy-alpha"] {
            let fixture = try PictureFixture.named(name)
            #expect(failure { _ = try fixture.decode(limits: limits) } != nil, "\(name)")
        }
    }

    @Test("A JPEG with scans without end ends soon")
    func scans() throws {
        // The picture's first scan, which changes nothing when it comes again.
        let bytes = Array(try PictureFixture.named("jpeg-progressive").file)
        let start = try #require(bytes.indices.dropLast().first { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xDA })
        let end = try #require(bytes.indices[(start + 14)...].first { bytes[$0] == 0xFF && bytes[$0 + 1] != 0 })
        let bomb = bytes[..<end] + Array(repeating: bytes[start..<end], count: 2000).joined() + bytes[end...]
        let error = failure { _ = try Picture.decode(bomb) }
        #expect(error?.status == .invalidArgument, "\(String(describing: error))")
    }

    @Test("Damage in the middle of a JPEG's data is an error where the decoder sees it")
    func damaged() throws {
        let fixture = try PictureFixture.named("jpeg-restarts")
        var bytes = Array(fixture.file)
        let middle = bytes.count * 3 / 4
        bytes.removeSubrange(middle..<middle + 20)
        #expect(failure { _ = try Picture.decode(bytes) }?.status == .format)
    }
}
