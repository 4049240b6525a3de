import Foundation
import KimiCore
import KimiTestSupport
import KimiVision
import Testing

@Suite("Sizes, samplings and times")
struct SizePlanTests {
    struct Size: Decodable, Sendable { let size, picture, small, frame, thirds: [Int] }
    struct Sampling: Decodable, Sendable {
        let count: Int
        let rate: Double
        let indices: [Int]
    }
    struct Time: Decodable, Sendable {
        let time: Double
        let text: String
    }
    struct Numbers: Decodable, Sendable {
        let sizes: [Size]
        let samplings: [Sampling]
        let times: [Time]
    }

    static let numbers = try! Fixtures.decode(Numbers.self, "vision/numbers.json")

    private static func list(_ plan: SizePlan) -> [Int] { [plan.width, plan.height, plan.columns, plan.rows, plan.tokens] }

    @Test("Sizes are the reference's")
    func sizes() throws {
        let config = MediaConfig()
        var small = config
        small.patchLimit = 1024
        var shared = config
        shared.chunkLimit = 10000
        for item in Self.numbers.sizes {
            let (width, height) = (item.size[0], item.size[1])
            #expect(Self.list(config.plan(width: width, height: height)) == item.picture, "\(item.size)")
            #expect(Self.list(small.plan(width: width, height: height)) == item.small, "\(item.size)")
            #expect(Self.list(config.chunkPlan(width: width, height: height, frames: 4)) == item.frame, "\(item.size)")
            #expect(Self.list(shared.chunkPlan(width: width, height: height, frames: 3)) == item.thirds, "\(item.size)")
            #expect(try config.tokens(width: width, height: height) == item.picture[4])
        }
    }

    @Test(
        "Frames of a constant rate are sampled as NumPy's linspace does it, and a video's cost is told before",
        arguments: numbers.samplings)
    func sampling(_ item: Sampling) throws {
        let frame = try Picture.filled(28, 28, 7)
        let clip = try Clip(
            frames: Array(repeating: frame, count: item.count), timestamps: (0..<item.count).map { Double($0) / item.rate },
            config: MediaConfig())
        let starts = stride(from: 0, to: item.indices.count, by: 4).map { Double(item.indices[$0]) / item.rate }
        #expect(clip.frameCount == item.indices.count)
        #expect(clip.chunks.map(\.time) == starts)
        let cost = try MediaConfig().videoTokens(seconds: Double(item.count) / item.rate, rate: item.rate, width: 28, height: 28)
        #expect(cost.chunks == clip.chunks.count && cost.tokens == clip.tokens)
    }

    @Test("Times are written as the reference writes them", arguments: numbers.times)
    func times(_ item: Time) {
        #expect(TimestampForm.full.text(item.time) == item.text)
        #expect(TimestampForm.minutes.text(item.time) == String(item.text.dropFirst(3)))
        #expect(TimestampForm.wholeSeconds.text(item.time) == String(item.text.dropFirst(3).dropLast(4)))
    }

    @Test(
        "Numbers that no video has are refused by name",
        arguments: [
            (-1, 30, 10, 10, "seconds"), (.nan, 30, 10, 10, "seconds"), (.infinity, 30, 10, 10, "seconds"), (1, 0, 10, 10, "fps"),
            (1, .nan, 10, 10, "fps"),
            (1, -5, 10, 10, "fps"), (1, 30, 0, 10, "width"), (1, 30, 10, Int.max, "height"),
        ] as [(Double, Double, Int, Int, String)])
    func badNumbers(seconds: Double, rate: Double, width: Int, height: Int, subject: String) {
        #expect(
            failure { _ = try MediaConfig().videoTokens(seconds: seconds, rate: rate, width: width, height: height) }?.subject
                == subject)
    }

    @Test("Two hours are thinned to the frames that are kept")
    func long() throws {
        var limits = MediaLimits()
        #expect(try MediaConfig().videoTokens(seconds: 7200, rate: 30, width: 320, height: 240, limits: limits).chunks == 1024)
        limits.keptBytes = 100 * 28 * 28 * 3
        #expect(try MediaConfig().videoTokens(seconds: 7200, rate: 30, width: 28, height: 28, limits: limits).tokens == 25)
        var config = MediaConfig()
        config.frameCountLimit = 9
        #expect(try config.videoTokens(seconds: 7200, rate: 30, width: 28, height: 28).tokens == 3)
    }
}
