import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// Beginnings that are written to a file and taken in by another model.
@Suite("Files of prefixes")
struct PrefixFileTests {
    /// A file in a folder of its own, which goes away with it.
    private struct Saved {
        let folder: TemporaryFolder
        var path: String { folder.url.appending(path: "prefixes").path }
        var bytes: [UInt8]

        init(_ model: Model) throws {
            folder = try TemporaryFolder()
            bytes = []
            try model.savePrefixes(to: path)
            bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        }

        func load(_ other: [UInt8]? = nil, into model: Model) throws {
            if let other { try folder.rewrite("prefixes", other) }
            try model.loadPrefixes(from: path)
        }
    }

    private static func evaluated(_ ids: [Int32], on model: Model, media: [MediaSpan] = []) throws -> (logits: [Float], reused: Int) {
        let session = try Session(model: model)
        let logits = try media.isEmpty ? session.evaluate(ids) : session.evaluate(ids, media: media)
        return (logits, try session.snapshot().counts.reusedTokens)
    }

    @Test("what one model left another goes on from, to the same bits", arguments: CacheType.allCases)
    func roundTrip(_ cache: CacheType) throws {
        func open() throws -> Model { try Tiny.open { ($0.exact, $0.cacheType, $0.prefixBytes) = (true, cache, 1 << 30) } }
        let first = try open()
        let prompts = [Tiny.ids(0, to: 200), Tiny.ids(0, to: 70) + Tiny.ids(1000, to: 1100), Tiny.ids(2000, to: 2064)]
        for prompt in prompts { try Session(model: first).evaluate(prompt) }
        let saved = try Saved(first)
        let second = try open()
        try saved.load(into: second)
        #expect(second.prefixes?.report.blocks == first.prefixes?.report.blocks)
        #expect(second.prefixes?.report.bytes == first.prefixes?.report.bytes)
        for prompt in prompts {
            let more = prompt + Tiny.ids(3000, to: 3020)
            let found = try Self.evaluated(more, on: second)
            #expect(found.reused == Self.common(prompt.count))
            #expect(try found.logits == Session(model: open()).evaluate(more))
        }
        // Again: nothing is there twice, and a file of what was taken in holds as much.
        let before = second.prefixes?.report.blocks
        try saved.load(into: second)
        #expect(second.prefixes?.report.blocks == before)
        #expect(try Saved(first).bytes == saved.bytes)
    }

    /// Whole blocks, and the rest if it is worth a copy.
    private static func common(_ count: Int) -> Int { count % 64 >= 16 ? count : count / 64 * 64 }

    @Test("a long prompt's blocks stay on the fast path: an exact one takes nothing from them")
    func fast() throws {
        func open() throws -> Model { try PrefixTests.open(exact: false, chunk: 512) }
        let first = try open()
        let prompt = Tiny.ids(0, to: 400)
        try Session(model: first).evaluate(prompt)
        let second = try open()
        try Saved(first).load(into: second)
        #expect(try Self.evaluated(Array(prompt[..<100]), on: second).reused == 0)
        #expect(try Self.evaluated(prompt + Tiny.ids(1000, to: 1300), on: second).reused >= 384)
    }

    @Test("pictures are known by what they show")
    func media() throws {
        let first = try PrefixTests.open()
        let fixture = try VisionFixture("wide", on: first)
        let prompt = fixture.ids + Tiny.ids(0, to: 140)
        try Session(model: first).evaluate(prompt, media: fixture.media)
        let second = try PrefixTests.open()
        try Saved(first).load(into: second)
        let found = try Self.evaluated(prompt, on: second, media: VisionFixture("wide", on: second).media)
        #expect(found.reused >= (prompt.count - 1) / 64 * 64)
        let alone = try Session(model: Tiny.exactModel)
        #expect(try found.logits == alone.evaluate(prompt, media: VisionFixture("wide", on: Tiny.exactModel).media))
        let other = fixture.marks.map { MediaMark(start: $0.start, count: $0.count, digest: VisionFixture.digest("another")) }
        #expect(try Session(model: second).kept(prompt, other) <= fixture.media[0].start)
    }

    @Test("no more is taken in than the limit: what was used last")
    func limit() throws {
        let first = try PrefixTests.open()
        for start in [0, 1000, 2000] { try Session(model: first).evaluate(Tiny.ids(start, to: start + 128)) }
        let saved = try Saved(first)
        let second = try PrefixTests.open(3 * first.text.cache.blockBytes)
        try saved.load(into: second)
        #expect(second.prefixes?.report.blocks == 3)
        // In the order of use: what gives way to another block is the second prompt's first one, not the third prompt's last.
        try Session(model: second).evaluate(Tiny.ids(3000, to: 3064))
        #expect(second.prefixes?.report.blocks == 3)
        #expect(try Self.evaluated(Tiny.ids(2000, to: 2200), on: second).reused == 128)
        let third = try PrefixTests.open(3 * first.text.cache.blockBytes)
        try saved.load(into: third)
        #expect(try Self.evaluated(Tiny.ids(1000, to: 1200), on: third).reused == 64)
        #expect(try Self.evaluated(Tiny.ids(0, to: 100), on: third).reused == 0)
    }

    @Test("sessions that hold a block and go on in it leave what is being written as it was")
    func whileComputing() throws {
        let model = try PrefixTests.open()
        let prompt = Tiny.ids(0, to: 150)
        let session = try Session(model: model)
        try session.evaluate(prompt)
        let snapshot = try #require(model.prefixes).snapshot()
        // The last block is a part that the session wrote; it and others write on, and cut, behind the snapshot's back.
        try session.evaluate(Tiny.ids(1000, to: 1100))
        try session.truncate(to: 140)
        try session.evaluate(Tiny.ids(2000, to: 2100))
        let other = try PrefixTests.open()
        let taken = try #require(other.prefixes).emptySnapshot()
        for (index, entry) in snapshot.entries.enumerated() {
            let number = try taken.append(entry.content, isExact: entry.isExact, parent: entry.parent)
            var runs: [[UInt8]] = []
            try snapshot.forEachCacheRun(of: index) { runs.append([UInt8]($0)) }
            try taken.forEachCacheRun(of: number) { $0.copyBytes(from: runs.removeFirst()) }
        }
        other.prefixes?.take(taken)
        let found = try Self.evaluated(prompt + Tiny.ids(3000, to: 3030), on: other)
        #expect(found.reused == 150)
        #expect(try found.logits == PrefixTests.alone(prompt + Tiny.ids(3000, to: 3030)))
    }

    // MARK: What is refused

    /// Nothing is taken in, and the model is as before.
    private func refuses(
        _ saved: Saved, _ statuses: [Status], bytes: [UInt8]? = nil, subject: String? = nil, into model: Model,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let blocks = model.prefixes?.report.blocks
        let error = failure { try saved.load(bytes, into: model) }
        #expect(error.map { statuses.contains($0.status) } == true, "\(String(describing: error))", sourceLocation: sourceLocation)
        if let subject { #expect(error?.subject == subject, "\(String(describing: error))", sourceLocation: sourceLocation) }
        #expect(model.prefixes?.report.blocks == blocks, sourceLocation: sourceLocation)
    }

    @Test("latents that have other bits are refused, with the reason")
    func otherOptions() throws {
        let first = try PrefixTests.open(exact: false)
        try Session(model: first).evaluate(Tiny.ids(0, to: 70))
        let saved = try Saved(first)
        let changes: [(inout Model.Options) -> Void] = [
            { $0.cacheType = .bf16 }, { $0.dense = .int8 }, { $0.decodeBits = .eight }, { $0.vision = .bf16 },
        ]
        for change in changes {
            let other = try Tiny.open {
                $0.prefixBytes = 1 << 30
                change(&$0)
            }
            refuses(saved, [.mismatch], subject: "options", into: other)
        }
        if first.text.addsInTiles { try refuses(saved, [.mismatch], subject: "options", into: PrefixTests.open()) }
        try saved.load(into: Tiny.open { ($0.threads, $0.prefixBytes) = (1, 1 << 30) })
        // None are kept, to be saved or to be loaded.
        let without = try PrefixTests.open(-1)
        refuses(saved, [.unsupported], subject: "prefix_limit", into: without)
        #expect(failure { try without.savePrefixes(to: saved.path) }?.subject == "prefix_limit")
        // No memory for what it holds.
        let small = try PrefixTests.open(exact: false, memory: 1 << 30)
        try small.text.budget.charge((small.text.budget.available ?? 0) - 4096, for: .weights, what: "nearly all there is")
        refuses(saved, [.outOfMemory], into: small)
    }

    @Test("a file that is not there, or cannot be written")
    func files() throws {
        let model = try PrefixTests.open()
        let folder = try TemporaryFolder()
        let nowhere = folder.url.appending(path: "no/prefixes").path
        #expect(failure { try model.loadPrefixes(from: nowhere) }?.status == .io)
        #expect(failure { try model.savePrefixes(to: nowhere) }?.status == .io)
        #expect(failure { try model.savePrefixes(to: "") }?.status == .invalidArgument)
        // Of a tree without blocks, too.
        let path = folder.url.appending(path: "empty").path
        try model.savePrefixes(to: path)
        try model.loadPrefixes(from: path)
        #expect(model.prefixes?.report.blocks == 0)
    }

    @Test("any flipped bit, and any end but the file's own, is noticed")
    func damaged() throws {
        let first = try PrefixTests.open()
        try Session(model: first).evaluate(Tiny.ids(0, to: 90))
        let saved = try Saved(first)
        let model = try PrefixTests.open()
        var random = SplitMix(1)
        let data = saved.bytes.count
        for place in Array(0..<700) + (0..<200).map({ _ in Int.random(in: 700..<data, using: &random) }) {
            var bytes = saved.bytes
            bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            refuses(saved, [.format, .unsupported, .mismatch], bytes: bytes, into: model)
        }
        for end in [0, 7, 8, 103, 104, 120, 121, 135, 136, data / 2, data - 17, data - 16, data - 1] {
            var cut = SavedSession(Array(saved.bytes[..<end]))
            refuses(saved, [.format], bytes: cut.bytes, into: model)
            cut.seal()
            refuses(saved, [.format], bytes: cut.bytes, into: model)
        }
        var longer = SavedSession(saved.bytes + [0])
        longer.seal()
        refuses(saved, [.format], bytes: longer.bytes, subject: "size", into: model)
        try saved.load(saved.bytes, into: model)
        #expect(try Self.evaluated(Tiny.ids(0, to: 100), on: model).logits == PrefixTests.alone(Tiny.ids(0, to: 100)))
    }

    /// Whoever writes a file can give it a checksum that fits.
    @Test("wrong numbers under a right checksum are refused by what they are, or are somebody's tokens")
    func hostile() throws {
        let first = try PrefixTests.open()
        let fixture = try VisionFixture("wide", on: first)
        try Session(model: first).evaluate(fixture.ids + Tiny.ids(0, to: 90), media: fixture.media)
        let saved = try Saved(first)
        let model = try PrefixTests.open(8 * first.text.cache.blockBytes)
        // Offsets in the first block's description, and what may not stand there.
        let wrong: [(offset: Int, value: Int32, subject: String)] = [
            (12, 100_000_000, "blocks"), (12, -1, "blocks"), (104, 0, "blocks"), (104, 5, "blocks"), (104, -2, "blocks"),
            (108, 2, "blocks"), (112, 0, "blocks"), (112, 65, "blocks"), (112, 63, "blocks"), (112, -1, "blocks"), (116, 65, "blocks"), (120, -1, "ids"),
            (120, 1 << 30, "ids"),
        ]
        for (offset, value, subject) in wrong {
            var file = SavedSession(saved.bytes)
            file.set(offset, value)
            file.seal()
            refuses(saved, [.format], bytes: file.bytes, subject: subject, into: model)
        }
        var random = SplitMix(2)
        for round in 0..<300 {
            var file = SavedSession(saved.bytes)
            for _ in 0...round % 3 {
                let place = Int.random(in: 0..<2 * 104, using: &random) + (Bool.random(using: &random) ? 0 : 300)
                file.bytes[place] = UInt8.random(in: 0...255, using: &random)
            }
            file.seal()
            let error = failure { try saved.load(file.bytes, into: model) }
            #expect(error == nil || [.format, .unsupported, .mismatch].contains(error?.status), "\(String(describing: error))")
            #expect((model.prefixes?.report.blocks ?? 0) <= 8)
            if round % 25 == 0 { try Session(model: model).evaluate(Tiny.ids(round, to: round + 130)) }
        }
    }
}
