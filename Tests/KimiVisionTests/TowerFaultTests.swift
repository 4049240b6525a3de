import CKimiKernels
import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import KimiVision
import Synchronization
import Testing

/// What may go wrong with a tower: broken checkpoints, impossible grids, no memory, a wish to stop.
@Suite("Vision tower: faults")
struct TowerFaultTests {
    static let folder = Fixtures.path("tiny-kimi")

    static func error(_ body: () throws -> Void) -> KimiError? {
        do { try body() } catch { return error as? KimiError }
        return nil
    }

    @Test("A checkpoint without a tower says so", arguments: [nil, TinyTower()])
    func blind(configured: TinyTower?) throws {
        let folder = try TemporaryFolder()
        let checkpoint = TinyCheckpoint()
        var seeing = checkpoint
        seeing.tower = configured
        try checkpoint.write(to: folder) { $0 = seeing.config() }
        let error = Self.error { _ = try tower(folder.path) }
        #expect(error?.status == .unsupported)
        #expect(error?.file == folder.path)
        #expect(error?.message.contains("cannot see") == true)
        #expect(!VisionTower.exists(in: try Checkpoint(folder: folder.path)))
    }

    @Test("What a tower will take is known from its files, and from its configuration")
    func size() throws {
        let checkpoint = try Checkpoint(folder: Self.folder)
        let config = try #require(checkpoint.config.vision)
        let copied = VisionTower.memoryBytes(of: checkpoint, isMapped: false)
        #expect(try VisionTower.memoryBytes(of: config) == copied)
        #expect(try tower(Self.folder, policy: .copy).tower.weightBytes == copied)
        #expect(try tower(Self.folder, policy: .map).tower.weightBytes == VisionTower.memoryBytes(of: checkpoint, isMapped: true))
    }

    @Test("Every tensor that is missing, of another shape or type, is named", arguments: LoadPolicy.allCases)
    func tensors(policy: LoadPolicy) throws {
        var checkpoint = TinyCheckpoint()
        checkpoint.tower = TinyTower()
        let all = checkpoint.tensors()
        let vision = all.indices.filter { all[$0].name.hasPrefix("vision_tower.") || all[$0].name.hasPrefix("mm_projector.") }
        #expect(vision.count == 3 + 2 * 12 + 2 + 2 + 4)
        let folder = try TemporaryFolder()
        try checkpoint.write(to: folder)
        for index in vision {
            for change in 0..<3 {
                var tensors = all
                let tensor = tensors[index]
                switch change {
                case 0: tensors.remove(at: index)
                case 1: tensors[index].shape = [1] + tensor.shape.dropLast() + [tensor.shape.last ?? 1]
                default: tensors[index].dtype = "I16"
                }
                try SafetensorsWriter.write(tensors, to: folder, shards: 1)
                let error = Self.error { _ = try tower(folder.path, policy: policy) }
                #expect(error?.subject == tensor.name, "\(change)")
                #expect(error?.status == (change == 2 ? .unsupported : .format))
            }
        }
    }

    @Test(
        "A grid that no tower takes is refused before anything is asked for",
        arguments: [
            PatchGrid(frames: 1, rows: 0, columns: 2), PatchGrid(frames: 1, rows: 2, columns: 3),
            PatchGrid(frames: 0, rows: 2, columns: 2), PatchGrid(frames: 5, rows: 2, columns: 2),
            PatchGrid(frames: 1, rows: -2, columns: 2), PatchGrid(frames: 1, rows: 2, columns: .max - 1),
            PatchGrid(frames: 1, rows: 1 << 40, columns: 1 << 40), PatchGrid(frames: 1, rows: 1024, columns: 1026),
        ])
    func grid(grid: PatchGrid) throws {
        struct Impossible: PatchSource {
            let grid: PatchGrid
            func fill(_ patches: Range<Int>, into floats: UnsafeMutablePointer<Float>) { Issue.record("asked for patches") }
        }
        let eyes = try tower(Self.folder).tower
        for attempt in [
            { _ = try eyes.tokens(of: grid) },
            { _ = try eyes.encode(Impossible(grid: grid), digest: MediaDigest([]), cancellation: Cancellation()) },
        ] {
            let error = Self.error(attempt)
            #expect(error?.status == .invalidArgument)
            #expect(error?.subject == "grid")
        }
    }

    @Test("Patches that hold NaN are an error, and the next picture is well")
    func notFinite() throws {
        let grid = PatchGrid(frames: 1, rows: 2, columns: 4)
        let good = MadePatches(grid, seed: 1)
        var floats = good.floats
        floats[700] = .nan
        let eyes = try tower(Self.folder).tower
        let right = try eyes.rows(good)
        #expect(Self.error { _ = try eyes.rows(MadePatches(grid, floats: floats)) }?.status == .numeric)
        let again = try eyes.rows(good)
        #expect(identical(again, right))
    }

    // MARK: Stopping

    /// Asks for a stop when its patches are asked for.
    struct Stopping: PatchSource {
        let grid = PatchGrid(frames: 1, rows: 30, columns: 30)
        let cancellation: Cancellation
        func fill(_ patches: Range<Int>, into floats: UnsafeMutablePointer<Float>) {
            floats.update(repeating: 0.5, count: patches.count * 588)
            cancellation.request()
        }
    }

    @Test("A wish to stop is followed in the midst of a picture, and memory comes back")
    func cancelled() throws {
        let (eyes, text) = try tower(Self.folder)
        let before = text.budget.used(.features)
        let cancellation = Cancellation()
        let source = Stopping(cancellation: cancellation)
        let encode = { _ = try eyes.encode(source, digest: MediaDigest([]), cancellation: cancellation) }
        #expect(Self.error(encode)?.status == .cancelled)
        // Only the first stage was computed.
        #expect(eyes.times.seconds(.patches) > 0 && eyes.times.seconds(.heads) == 0)
        #expect(text.budget.used(.features) == before)
        #expect(Self.error(encode)?.status == .cancelled)
    }

    @Test("Steps of the text model go on between the turns of an encode")
    func turns() throws {
        let (eyes, text) = try tower(Self.folder)
        let source = MadePatches(PatchGrid(frames: 1, rows: 60, columns: 60), seed: 5)
        let right = try eyes.rows(source)
        let done = Atomic(false)
        let steps = Atomic(0)
        let ended = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            while !done.load(ordering: .relaxed) {
                try? text.withStep { () throws(KimiError) in _ = steps.wrappingAdd(1, ordering: .relaxed) }
            }
            ended.signal()
        }
        while steps.load(ordering: .relaxed) == 0 { usleep(100) }
        let before = steps.load(ordering: .relaxed)
        let found = try eyes.rows(source)
        let between = steps.load(ordering: .relaxed) - before
        done.store(true, ordering: .relaxed)
        ended.wait()
        #expect(identical(found, right))
        // Three blocks of three stages, of several turns each.
        #expect(between >= 9)
    }

    @Test("Several threads at once get the features of each alone")
    func threads() throws {
        let eyes = try tower(Self.folder).tower
        let sources = (0..<6).map { MadePatches(PatchGrid(frames: 1, rows: 4 + 2 * $0, columns: 6), seed: UInt64($0)) }
        let right = try sources.map { try eyes.rows($0) }
        let found = Mutex<[Int: [Float]]>([:])
        DispatchQueue.concurrentPerform(iterations: sources.count) { index in
            guard let rows = try? eyes.rows(sources[index]) else { return }
            found.withLock { $0[index] = rows }
        }
        let all = found.withLock { $0 }
        for index in sources.indices { #expect(identical(all[index] ?? [], right[index])) }
    }

    // MARK: Memory

    @Test("Copied weights are charged and outlive the folder")
    func copied() throws {
        let folder = try TemporaryFolder()
        try folder.copyFixture("tiny-kimi")
        let source = MadePatches(PatchGrid(frames: 1, rows: 6, columns: 4), seed: 2)
        let (mapped, mappedText) = try tower(folder.path)
        let right = try mapped.rows(source)
        let (eyes, text) = try tower(folder.path, policy: .copy)
        #expect(text.budget.used(.weights) - mappedText.budget.used(.weights) > 900_000)
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) where name.hasSuffix(".safetensors") {
            let handle = try FileHandle(forWritingTo: folder.url.appending(path: name))
            try handle.truncate(atOffset: 100)
            try handle.close()
        }
        let found = try eyes.rows(source)
        #expect(identical(found, right))
        #expect(Self.error { _ = try mapped.rows(source) }?.status == .io)
    }

    @Test("Too little memory is an error that names the tower, and nothing stays charged")
    func memory() throws {
        let source = MadePatches(PatchGrid(frames: 1, rows: 64, columns: 64), seed: 2)
        let needed = try tower(Self.folder).text.budget.used
        var memory = MemoryOptions()
        memory.limit = needed + (2 << 20)
        let (eyes, text) = try tower(Self.folder, memory: memory)
        let before = text.budget.used
        let error = Self.error { _ = try eyes.rows(source) }
        #expect(error?.status == .outOfMemory)
        #expect(error?.message.contains("4096 patches") == true)
        #expect(text.budget.used == before)
        memory.limit = needed - 1
        #expect(Self.error { _ = try tower(Self.folder, memory: memory) }?.status == .outOfMemory)
    }

    @Test("Work memory of 16,384 patches of the published tower stays under a gigabyte")
    func workMemory() throws {
        // A configuration that says nothing of its tower has that of Kimi K2.5.
        var checkpoint = TinyCheckpoint()
        checkpoint.hidden = 7168
        var members = checkpoint.config()
        members["vision_config"] = [String: Any]()
        let folder = try TemporaryFolder()
        try folder.write("config.json", [UInt8](try JSONSerialization.data(withJSONObject: members)))
        let config = try #require(try ModelConfig(folder: folder.path).vision)
        #expect(config.hiddenSize == 1152 && config.layerCount == 27 && config.intermediateSize == 4304)
        #expect(config.headSize == 72 && config.mergedSize == 4608 && config.textHiddenSize == 7168)
        for grid in [PatchGrid(frames: 1, rows: 128, columns: 128), PatchGrid(frames: 4, rows: 64, columns: 64)] {
            for halves in 0...2 {
                let bytes = try #require(VisionTower.workBytes(of: grid, config, halves: halves, threads: 16))
                #expect(bytes > 5 * 16_384 * 1152 * 4 && bytes < 1_000_000_000, "\(halves) halves")
            }
        }
    }
}
