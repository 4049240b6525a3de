import KimiCore
import KimiModel
import KimiVision
import Testing

@Suite("Pictures")
struct PictureTests {
    @Test(
        "A picture of no pixels, or of more than any memory, is refused",
        arguments: [(0, 1), (1, 0), (-1, 5), (Int.max, 2), (1 << 40, 1 << 40)])
    func size(width: Int, height: Int) {
        #expect(throws: KimiError.self) { _ = try Picture(width: width, height: height) }
    }

    @Test("A digest gives back its bytes, and differs by any of them")
    func digest() {
        let bytes = (0..<32).map { UInt8($0 * 7 + 1) }
        #expect(MediaDigest(bytes).bytes == bytes)
        for index in bytes.indices {
            var other = bytes
            other[index] ^= 1
            #expect(MediaDigest(other) != MediaDigest(bytes))
        }
    }
}
