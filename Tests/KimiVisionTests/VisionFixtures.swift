import CKimiMedia
import Foundation
import KimiCore
import KimiModel
import KimiTestSupport
import KimiVision

/// `Tests/Fixtures/vision/pictures.json`: files, and what Pillow and NumPy say that they show.
struct PictureFixture: Decodable, Sendable {
    let file: Data
    let width: Int
    let height: Int
    let rgb: Data
    /// Of a GIF: how long each frame is shown, in hundredths of a second, and its pixels.
    let delays: [Int]?
    let frames: [Data]?

    static let all = try! Fixtures.decode([String: PictureFixture].self, "vision/pictures.json")
    static func names(_ prefix: String) -> [String] { all.keys.filter { $0.hasPrefix(prefix) }.sorted() }
    static func named(_ name: String) throws -> PictureFixture {
        guard let fixture = all[name] else { throw Missing(name: name) }
        return fixture
    }

    struct Missing: Error { let name: String }

    func decode(limits: MediaLimits = MediaLimits()) throws -> Picture {
        try file.withUnsafeBytes { try Picture.decode($0, limits: limits) }
    }
}

extension Picture {
    var bytes: [UInt8] { Array(UnsafeBufferPointer(start: pixels, count: byteCount)) }

    /// The largest difference of a channel of a pixel, and in how many channels there is one.
    func difference(_ expected: Data) -> (most: Int, count: Int) {
        guard expected.count == byteCount else { return (256, byteCount) }
        let pairs = zip(bytes, expected).map { abs(Int($0) - Int($1)) }
        return (pairs.max() ?? 0, pairs.count { $0 > 0 })
    }

    static func decode(_ bytes: some Sequence<UInt8>, limits: MediaLimits = MediaLimits()) throws -> Picture {
        try Array(bytes).withUnsafeBytes { try Picture.decode($0, limits: limits) }
    }

    /// Pixels that depend on a seed.
    static func random(width: Int, height: Int, seed: UInt32) throws -> Picture {
        let picture = try Picture(width: width, height: height)
        var state = seed
        for index in 0..<picture.byteCount {
            state = state &* 1_664_525 &+ 1_013_904_223
            picture.pixels[index] = UInt8(state >> 24)
        }
        return picture
    }

    static func filled(_ width: Int, _ height: Int, _ value: UInt8) throws -> Picture {
        let picture = try Picture(width: width, height: height)
        for index in 0..<picture.byteCount { picture.pixels[index] = value }
        return picture
    }
}

extension MediaSource {
    static func fixture(_ name: String) -> MediaSource { .file(Fixtures.path("vision/clips/\(name)")) }
    static func bytes(of name: String) throws -> MediaSource { .bytes(try media(Fixtures.bytes("vision/clips/\(name)"))) }
    static func media(_ bytes: [UInt8]) throws -> MediaBytes { try bytes.withUnsafeBytes { try MediaBytes($0) } }
}

/// The error of a call that must have one.
func failure(_ body: () throws -> Void) -> KimiError? {
    do {
        try body()
        return nil
    } catch {
        return error as? KimiError
    }
}

func sha256(_ bytes: UnsafeRawBufferPointer) -> String {
    var digest = [UInt8](repeating: 0, count: 32)
    let state = ckm_digest_create()
    ckm_digest_update(state, bytes.baseAddress, bytes.count)
    ckm_digest_finish(state, &digest)
    ckm_digest_destroy(state)
    return digest.map { String(format: "%02x", $0) }.joined()
}

/// The number that a frame of the test clips shows.
func shownNumber(_ frame: Picture) -> Int {
    let side = frame.width / 5
    return (0..<10).reduce(0) { number, bit in
        let (x, y) = (bit % 5 * side + side / 2, bit / 5 * side + side / 2)
        return number | (frame.pixels[3 * (y * frame.width + x)] > 128 ? 1 << bit : 0)
    }
}

extension Clip {
    var shownNumbers: [Int] { chunks.flatMap { $0.frames.map(shownNumber) } }
}
