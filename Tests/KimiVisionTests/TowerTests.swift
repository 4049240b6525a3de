import CKimiKernels
import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import KimiVision
import Testing

/// The tower against the public implementation's features, and against the same maths in double precision.
@Suite("Vision tower")
struct TowerTests {
    struct Published: Sendable, CustomTestStringConvertible {
        let name: String
        let grid: PatchGrid
        var testDescription: String { name }
    }

    static let published = [
        Published(name: "small", grid: PatchGrid(frames: 1, rows: 2, columns: 2)),
        Published(name: "wide", grid: PatchGrid(frames: 1, rows: 10, columns: 16)),
        Published(name: "tall", grid: PatchGrid(frames: 1, rows: 30, columns: 8)),
    ]
    static let folder = Fixtures.path("tiny-kimi")

    static func patches(_ image: Published) throws -> MadePatches {
        MadePatches(image.grid, floats: try NPY("tiny-kimi-expected/vision/\(image.name).patches.npy").floats())
    }

    @Test("The published features, exactly and fast, at every instruction set", arguments: published, levels)
    func features(image: Published, isa: Int32) throws {
        let expected = try NPY("tiny-kimi-expected/vision/\(image.name).projected.npy").floats()
        for (exact, tolerance) in [(true, Float(1e-5)), (false, 3e-4)] {
            let found = try tower(Self.folder, isa: isa, exact: exact).tower.rows(Self.patches(image))
            #expect(relativeDifference(found, expected) < tolerance, "\(exact ? "exact" : "fast")")
        }
    }

    @Test(
        "The published features with bfloat16: near them, and the same as without it where there are no tiles",
        arguments: published, levels)
    func bfloat16(image: Published, isa: Int32) throws {
        let expected = try NPY("tiny-kimi-expected/vision/\(image.name).projected.npy").floats()
        let eyes = try tower(Self.folder, isa: isa, exact: false, vision: .bf16).tower
        let found = try eyes.rows(Self.patches(image))
        let full = try tower(Self.folder, isa: isa, exact: false).tower
        let other = try full.rows(Self.patches(image))
        if isa == Int32(CK_ISA_AMX) {
            let difference = relativeDifference(found, expected)
            #expect(difference < 8e-3 && difference > 5e-4)
            #expect(eyes.path == .bf16 && full.path == .pairs)
        } else {
            #expect(identical(found, other))
            #expect(eyes.path == full.path)
        }
    }

    @Test("With bfloat16, too, bits depend on neither threads nor company", .enabled(if: levels.contains(Int32(CK_ISA_AMX))))
    func bfloat16Bits() throws {
        let sizes = [(2, 12, 22), (1, 36, 32), (1, 2, 2), (1, 50, 42)]
        let sources = sizes.map { MadePatches(PatchGrid(frames: $0, rows: $1, columns: $2), seed: UInt64($1)) }
        let one = try tower(Self.folder, threads: 1, exact: false, vision: .bf16).tower
        let right = try sources.map { try one.rows($0) }
        for (source, rows) in zip(sources, right) {
            let exact = try tower(Self.folder).tower.rows(source)
            #expect(relativeDifference(rows, exact) < 8e-3)
        }
        for threads in [1, 2, 3] {
            let eyes = try tower(Self.folder, threads: threads, exact: false, vision: .bf16).tower
            let together = try eyes.encode(sources.map { (source: $0, digest: $0.digest) }, cancellation: Cancellation())
            for (features, rows) in zip(together, right) { #expect(identical(features.array, rows), "\(threads) threads") }
        }
    }

    static func picture(_ name: String) throws -> Picture {
        try Picture.decode(.file(Fixtures.path("tiny-kimi-expected/vision/\(name).png")))
    }

    @Test("A picture that is made smaller, from its file on", arguments: [true, false])
    func big(exact: Bool) throws {
        var config = MediaConfig()
        config.patchLimit = 1024
        let patches = try Patches(Self.picture("big"), config: config)
        let expected = try NPY("tiny-kimi-expected/vision/big.projected.npy").floats()
        let found = try tower(Self.folder, exact: exact).tower.rows(patches)
        // One pixel in a thousand may be off by one.
        #expect(relativeDifference(found, expected) < 1e-3)
    }

    @Test("A clip in chunks of four frames and of two", arguments: [true, false], levels)
    func clip(exact: Bool, isa: Int32) throws {
        let clip = try Clip(frames: (0..<6).map { try Self.picture("clip.\($0)") }, config: MediaConfig())
        #expect(clip.chunks.map(\.plan.frames) == [4, 2])
        let sources: [(source: any PatchSource, digest: MediaDigest)] = clip.chunks.map {
            (Patches($0, config: MediaConfig()), $0.digest)
        }
        let features = try tower(Self.folder, isa: isa, exact: exact).tower.encode(sources, cancellation: Cancellation())
        let expected = try NPY("tiny-kimi-expected/vision/clip.projected.npy").floats()
        #expect(relativeDifference(features.flatMap(\.array), expected) < (exact ? 1e-5 : 3e-4))
    }

    @Test("Exact features have the same bits at every instruction set, and with any number of threads")
    func bits() throws {
        for image in Self.published {
            let right = try tower(Self.folder, isa: 0, threads: 1).tower.rows(Self.patches(image))
            for isa in levels {
                for threads in [1, 2, 3] {
                    let found = try tower(Self.folder, isa: isa, threads: threads).tower.rows(Self.patches(image))
                    #expect(identical(found, right), "\(image.name), level \(isa), \(threads) threads")
                }
            }
        }
    }

    @Test("Fast features have the same bits with any number of threads", arguments: levels)
    func fastBits(isa: Int32) throws {
        let source = MadePatches(PatchGrid(frames: 2, rows: 12, columns: 22), seed: 3)
        let right = try tower(Self.folder, isa: isa, threads: 1, exact: false).tower.rows(source)
        for threads in [2, 3] {
            let found = try tower(Self.folder, isa: isa, threads: threads, exact: false).tower.rows(source)
            #expect(identical(found, right))
        }
    }

    // So many that a thread takes some rows through all steps of a stage; three threads share each step of as many.
    @Test("Over a thousand patches: near the exact features, with the same bits with any number of threads", arguments: levels)
    func many(isa: Int32) throws {
        let source = MadePatches(PatchGrid(frames: 1, rows: 36, columns: 32), seed: 4)
        let exact = try tower(Self.folder, isa: isa).tower.rows(source)
        let right = try tower(Self.folder, isa: isa, threads: 1, exact: false).tower.rows(source)
        #expect(relativeDifference(right, exact) < 4e-4)
        for threads in [2, 3] {
            let found = try tower(Self.folder, isa: isa, threads: threads, exact: false).tower.rows(source)
            #expect(identical(found, right), "\(threads) threads")
        }
    }

    @Test(
        "Grids of all kinds, pictures and chunks of clips, against double precision",
        arguments: [
            PatchGrid(frames: 4, rows: 6, columns: 8), PatchGrid(frames: 2, rows: 6, columns: 8),
            PatchGrid(frames: 3, rows: 2, columns: 4), PatchGrid(frames: 1, rows: 16, columns: 16),
            PatchGrid(frames: 1, rows: 16, columns: 4), PatchGrid(frames: 1, rows: 2, columns: 34),
            PatchGrid(frames: 1, rows: 24, columns: 20),
        ])
    func grids(grid: PatchGrid) throws {
        let source = MadePatches(grid, seed: UInt64(grid.count))
        let expected = try ReferenceTower(Checkpoint(folder: Self.folder)).encode(source.floats, grid)
        for (exact, tolerance) in [(true, Float(1e-5)), (false, 3e-4)] {
            let found = try tower(Self.folder, exact: exact).tower.rows(source)
            #expect(relativeDifference(found, expected) < tolerance)
        }
    }

    struct Shape: Sendable {
        var type = "BF16"
        var hidden = 24, heads = 2, intermediate = 40, patch = 4
        var merge = (rows: 2, columns: 2)

        func write(to folder: TemporaryFolder) throws {
            var made = TinyTower()
            (made.hidden, made.heads, made.intermediate, made.patch, made.merge) = (hidden, heads, intermediate, patch, merge)
            var checkpoint = TinyCheckpoint()
            checkpoint.plainType = type
            checkpoint.tower = made
            try checkpoint.write(to: folder)
        }
    }

    @Test(
        "Towers of other shapes and types, against double precision",
        arguments: [
            Shape(type: "BF16"), Shape(type: "F16"), Shape(type: "F32"), Shape(hidden: 60, heads: 5, intermediate: 33, patch: 3),
            Shape(hidden: 144, heads: 2, intermediate: 300), Shape(hidden: 16, heads: 4, merge: (rows: 1, columns: 3)),
            Shape(intermediate: 1300), Shape(hidden: 64, heads: 1, intermediate: 513, patch: 1, merge: (rows: 1, columns: 1)),
        ])
    func shapes(shape: Shape) throws {
        let folder = try TemporaryFolder()
        try shape.write(to: folder)
        let grid = PatchGrid(frames: 2, rows: 4 * shape.merge.rows, columns: 3 * shape.merge.columns)
        let source = MadePatches(grid, width: 3 * shape.patch * shape.patch, seed: 9)
        let expected = try ReferenceTower(Checkpoint(folder: folder.path)).encode(source.floats, grid)
        for policy in LoadPolicy.allCases {
            for (exact, tolerance) in [(true, Float(1e-5)), (false, 5e-4)] {
                let found = try tower(folder.path, policy: policy, exact: exact).tower.rows(source)
                #expect(relativeDifference(found, expected) < tolerance, "\(policy)")
            }
        }
        let rounded = try tower(folder.path, exact: false, vision: .bf16).tower.rows(source)
        #expect(relativeDifference(rounded, expected) < 2e-2)
    }

    @Test("Pictures that are encoded together have the bits of each alone", arguments: [true, false])
    func batches(exact: Bool) throws {
        let eyes = try tower(Self.folder, exact: exact).tower
        let sizes = [(1, 2, 2), (4, 6, 8), (1, 30, 8), (1, 2, 2), (2, 2, 6), (1, 40, 34), (1, 10, 16)]
        let sources = sizes.map { frames, rows, columns in
            MadePatches(PatchGrid(frames: frames, rows: rows, columns: columns), seed: UInt64(rows * columns))
        }
        let together = try eyes.encode(sources.map { (source: $0, digest: $0.digest) }, cancellation: Cancellation())
        #expect(together.count == sources.count)
        for (source, features) in zip(sources, together) {
            #expect(features.digest == source.digest)
            #expect(features.tokens == source.grid.rows * source.grid.columns / 4)
            let alone = try eyes.rows(source)
            #expect(identical(features.array, alone))
        }
        let none = try eyes.encode([], cancellation: Cancellation())
        #expect(none.isEmpty)
    }
}
