import KimiCore
import KimiTestSupport
import KimiVision
import Testing

@Suite("Decoding of pictures")
struct PictureDecodingTests {
    @Test("PNG of every kind of pixel shows what NumPy says", arguments: PictureFixture.names("png-"))
    func png(name: String) throws { try checkExact(name) }

    @Test("JPEG shows what Pillow shows, upright and in ink too", arguments: PictureFixture.names("jpeg-"))
    func jpeg(name: String) throws { try checkExact(name) }

    @Test("WebP shows what Pillow shows, on white", arguments: PictureFixture.names("webp-"))
    func webp(name: String) throws { try checkExact(name) }

    @Test("GIF shows its first frame", arguments: PictureFixture.names("gif-"))
    func gif(name: String) throws { try checkExact(name) }

    private func checkExact(_ name: String) throws {
        let fixture = try PictureFixture.named(name)
        let picture = try fixture.decode()
        #expect(picture.width == fixture.width && picture.height == fixture.height)
        let difference = picture.difference(fixture.rgb)
        #expect(difference.most == 0, "\(difference.count) channels differ")
    }

    @Test("The longest and the smallest picture go all the way")
    func extremes() throws {
        let line = try Picture.decode(.file(Fixtures.path("vision/line.png")))
        #expect(line.width == 1 && line.height == 100_000 && line.bytes.allSatisfy { $0 == 0x40 })
        let patches = try Patches(line, config: MediaConfig())
        #expect(patches.plan.width == 1 && patches.plan.height == 7167 && patches.plan.tokens == 256)
        #expect(patches.all()[13 * 14] == Float(0x40) / 255 * 2 - 1)
        let dot = try line.resized(width: 1, height: 1)
        #expect(dot.bytes == [0x40, 0x40, 0x40])
        #expect(try Patches(dot, config: MediaConfig()).plan.tokens == 1)
    }

    @Test("The same pixels in PNG, WebP and memory have one digest, others have others")
    func digests() throws {
        let fixture = try PictureFixture.named("webp-lossless")
        let webp = try fixture.decode()
        let raw = try fixture.rgb.withUnsafeBytes { try Picture.raw($0, width: fixture.width, height: fixture.height) }
        #expect(try webp.digest() == raw.digest())
        let turned = try fixture.rgb.withUnsafeBytes { try Picture.raw($0, width: fixture.height, height: fixture.width) }
        #expect(try turned.digest() != raw.digest())
        let other = try fixture.rgb.withUnsafeBytes { try Picture.raw($0, width: fixture.width, height: fixture.height) }
        other.pixels[700] ^= 1
        #expect(try other.digest() != raw.digest())
    }

    @Test("Rows of memory may have gaps, and opacity is composed on white")
    func raw() throws {
        let bytes: [UInt8] = [1, 2, 3, 255, 4, 5, 6, 0, 9, 9, 9, 10, 20, 30, 128, 255, 0, 7, 254]
        let picture = try bytes.withUnsafeBytes { try Picture.raw($0, width: 2, height: 2, stride: 11, hasAlpha: true) }
        #expect(picture.bytes == [1, 2, 3, 255, 255, 255, 132, 137, 142, 255, 1, 8])
        let rows: [UInt8] = [1, 2, 3, 0, 4, 5, 6]
        #expect(try rows.withUnsafeBytes { try Picture.raw($0, width: 1, height: 2, stride: 4) }.bytes == [1, 2, 3, 4, 5, 6])
    }

    @Test(
        "Memory that is too small for what it is said to hold is refused",
        arguments: [
            (1, 3, 4, 10), (2, 1, 5, 6), (2, 1, nil, 5), (0, 1, nil, 9), (1, -1, nil, 9), (1, Int.max, nil, 9),
            (Int.max, 1, nil, 9), (2, 2, Int.max, 30),
        ]
            as [(Int, Int, Int?, Int)])
    func rawTooSmall(width: Int, height: Int, stride: Int?, count: Int) {
        let bytes = [UInt8](repeating: 0, count: count)
        #expect(
            failure { _ = try bytes.withUnsafeBytes { try Picture.raw($0, width: width, height: height, stride: stride) } }?.subject
                == "image")
    }

    @Test("A picture read from a path is named by it in errors")
    func path() throws {
        let folder = try TemporaryFolder()
        let fixture = try PictureFixture.named("jpeg-420")
        try folder.write("wrong.png", fixture.file)
        #expect(try Picture.decode(.file(folder.path + "/wrong.png")).difference(fixture.rgb).most == 0)
        try folder.write("empty.png", [])
        #expect(failure { _ = try Picture.decode(.file(folder.path + "/empty.png")) }?.file == folder.path + "/empty.png")
        #expect(failure { _ = try Picture.decode(.file(folder.path + "/none.png")) }?.status == .io)
        #expect(failure { _ = try Picture.decode(.file(folder.path)) }?.status == .io)
    }
}
