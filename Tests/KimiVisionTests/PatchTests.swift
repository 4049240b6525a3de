import Foundation
import KimiCore
import KimiTestSupport
import KimiVision
import Testing

@Suite("Patches")
struct PatchTests {
    struct Facts: Decodable { let width, height, tokens, in_patch_limit: Int; let resized_hw, grid_thw: [Int] }
    struct File: Decodable { let wide, small, tall, big: Facts }

    private static let folder = "tiny-kimi-expected/vision"

    @Test("Patches of the published implementation", arguments: ["wide", "small", "tall", "big"])
    func published(name: String) throws {
        let all = try Fixtures.decode(File.self, "\(Self.folder)/vision.json")
        let facts = ["wide": all.wide, "small": all.small, "tall": all.tall, "big": all.big][name]!
        var config = try MediaConfig(folder: Fixtures.path("tiny-kimi"))
        config.patchLimit = facts.in_patch_limit
        let picture = try Picture.decode(Fixtures.bytes("\(Self.folder)/\(name).png"))
        #expect(picture.width == facts.width && picture.height == facts.height)
        let patches = try Patches(picture, config: config)
        #expect([patches.plan.height, patches.plan.width] == facts.resized_hw)
        #expect([patches.plan.frames, patches.plan.rows, patches.plan.columns] == facts.grid_thw)
        #expect(patches.plan.tokens == facts.tokens)
        guard name != "big" else { return }
        let expected = try NPY("\(Self.folder)/\(name).patches.npy")
        #expect(expected.shape == [patches.count, 3, 14, 14])
        #expect(patches.all() == (try expected.floats()))
    }

    @Test("The clip of the fixtures: chunks of 4 and 2 frames")
    func clip() throws {
        let frames = try (0..<6).map { try Picture.decode(Fixtures.bytes("\(Self.folder)/clip.\($0).png")) }
        let clip = try Clip(frames: frames, config: MediaConfig())
        #expect(clip.chunks.map(\.timestamp) == ["00:00:00.000", "00:00:02.000"])
        let grids = clip.chunks.map { [$0.plan.frames, $0.plan.rows, $0.plan.columns] }
        #expect(grids == [[4, 6, 8], [2, 6, 8]])
        #expect(clip.chunks.map(\.plan.tokens) == [12, 12])
        // Frame after frame: the second frame's first patch is the 49th.
        let patches = Patches(clip.chunks[0], config: MediaConfig())
        let second = Array(patches.all()[48 * patches.width..<49 * patches.width])
        #expect(second == Array(try Patches(frames[1], config: MediaConfig()).all().prefix(patches.width)))
    }

    @Test(
        "Any range gives the same numbers, and padding is black before it is normalised",
        arguments: [(30, 29), (28, 13), (1, 1), (57, 100)])
    func ranges(width: Int, height: Int) throws {
        var config = MediaConfig()
        config.mean = [0.5, 0.25, 0]
        config.deviation = [0.5, 1, 2]
        let picture = try Picture.random(width: width, height: height, seed: 3)
        let patches = try Patches(picture, config: config)
        let all = patches.all()
        for channel in 0..<3 {
            for (y, x) in [
                (0, 0), (height - 1, width - 1), (patches.plan.rows * 14 - 1, 0), (height - 1, patches.plan.columns * 14 - 1),
            ] {
                let place = (y / 14 * patches.plan.columns + x / 14) * patches.width + channel * 196 + y % 14 * 14 + x % 14
                let byte = x < width && y < height ? picture.pixels[3 * (y * width + x) + channel] : 0
                #expect(
                    abs(all[place] - (Float(byte) / 255 - Float(config.mean[channel])) / Float(config.deviation[channel])) < 1e-6)
            }
        }
        for range in [0..<1, patches.count - 1..<patches.count, 1..<patches.count, patches.count / 2..<patches.count / 2] {
            var part = [Float](repeating: .nan, count: range.count * patches.width)
            part.withUnsafeMutableBufferPointer { buffer in
                if let base = buffer.baseAddress { patches.fill(range, into: base) }
            }
            #expect(part == Array(all[range.lowerBound * patches.width..<range.upperBound * patches.width]))
        }
    }

    @Test("PNG, WebP and memory with the same pixels have the same patches")
    func formats() throws {
        let fixture = try PictureFixture.named("webp-lossless")
        let raw = try fixture.rgb.withUnsafeBytes { try Picture.raw($0, width: fixture.width, height: fixture.height) }
        #expect(try Patches(fixture.decode(), config: MediaConfig()).all() == Patches(raw, config: MediaConfig()).all())
    }
}
