import Foundation
import KimiCore
import KimiTestSupport
import KimiVision
import Testing

@Suite("Resizing")
struct ResizeTests {
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        let from: [Int]
        let to: [Int]
        let seed: UInt32
        let sha256: String
        let head: [UInt8]
        var testDescription: String { "\(from) to \(to)" }
    }

    static let cases = try! Fixtures.decode([Case].self, "vision/resize.json")

    @Test("Resizing gives Pillow's bits", arguments: cases)
    func pillow(_ item: Case) throws {
        let picture = try Picture.random(width: item.from[0], height: item.from[1], seed: item.seed)
        let result = try picture.resized(width: item.to[0], height: item.to[1])
        #expect(Array(result.bytes.prefix(24)) == item.head)
        #expect(sha256(UnsafeRawBufferPointer(start: result.pixels, count: result.byteCount)) == item.sha256)
    }

    @Test("A picture of the wanted size stays the same object")
    func same() throws {
        let picture = try Picture.random(width: 9, height: 5, seed: 1)
        #expect(try picture.resized(width: 9, height: 5) === picture)
    }
}
