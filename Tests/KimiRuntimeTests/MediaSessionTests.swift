import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// Pictures in the tokens of a session.
struct MediaSessionTests {
    @Test("logits after a picture are the reference's, however steps cut it", arguments: VisionFixture.all, [1, 7, 48, 512])
    func reference(_ name: String, chunk: Int) throws {
        let model = try Tiny.open { ($0.chunkSize, $0.exact) = (chunk, true) }
        let fixture = try VisionFixture(name, on: model)
        let session = try Session(model: model)
        let found = try session.evaluate(fixture.ids, media: fixture.media)
        #expect(distance(found, fixture.logits) < 5e-3)
        #expect(try session.ids() == fixture.ids)
        #expect(try session.snapshot().counts.mediaTokens == fixture.marks.reduce(0) { $0 + $1.count })
        // Without its features it is another prompt.
        let blind = try Session(model: model).evaluate(fixture.ids)
        #expect(distance(blind, fixture.logits) > 0.1)
    }

    @Test("a prompt in two calls, cut in its picture, gives the same bits", arguments: ["tall", "clip"])
    func twoCalls(_ name: String) throws {
        let model = try Tiny.model
        let fixture = try VisionFixture(name, on: model)
        let whole = try Tiny.session().evaluate(fixture.ids, media: fixture.media)
        for cut in [1, fixture.media[0].start, fixture.media[0].start + 1, fixture.media[0].range.upperBound - 1, fixture.ids.count - 1] {
            let session = try Tiny.session()
            try session.evaluate(Array(fixture.ids[..<cut]), media: fixture.media.cut(to: 0..<cut))
            // What is held is found by digest, up to the cut.
            #expect(try session.kept(fixture.ids, fixture.marks) == cut)
            let rest = try session.evaluate(Array(fixture.ids[cut...]), media: fixture.media.cut(to: cut..<fixture.ids.count))
            #expect(rest == whole, "\(cut)")
            #expect(try session.kept(fixture.ids, fixture.marks) == fixture.ids.count)
        }
    }

    @Test("another picture of the same size does not match, nor does text of the same ids")
    func digestIsPartOfTheKey() throws {
        let fixture = try VisionFixture("wide", on: Tiny.model)
        let session = try Tiny.session()
        let other = fixture.marks.map { MediaMark(start: $0.start, count: $0.count, digest: VisionFixture.digest("another")) }
        try session.evaluate(fixture.ids, media: fixture.media)
        #expect(try session.kept(fixture.ids, other) == fixture.media[0].start)
        try session.reset()
        try session.evaluate(fixture.ids, media: fixture.media)
        #expect(try session.kept(fixture.ids, []) == fixture.media[0].start)
        try session.reset()
        try session.evaluate(fixture.ids)
        #expect(try session.kept(fixture.ids, fixture.marks) == fixture.media[0].start)
        #expect(try session.ids() == Array(fixture.ids[..<fixture.media[0].start]))
    }

    /// Marks of two sequences over 100 equal ids, and how many of those are the same.
    static let pairs: [(a: [(Int, Int, String)], b: [(Int, Int, String)], same: Int)] = [
        ([], [], 100), ([(10, 5, "x")], [(10, 5, "x")], 100), ([(10, 5, "x")], [(10, 5, "y")], 10), ([(10, 5, "x")], [(11, 5, "x")], 10),
        ([(10, 5, "x")], [], 10), ([], [(20, 5, "x")], 20), ([(10, 5, "x")], [(10, 9, "x")], 15), ([(95, 5, "x")], [(95, 50, "x")], 100),
        ([(10, 5, "x"), (15, 5, "y")], [(10, 5, "x"), (15, 5, "y")], 100), ([(10, 5, "x"), (15, 5, "y")], [(10, 5, "x"), (15, 5, "x")], 15),
        ([(10, 5, "x")], [(10, 5, "x"), (100, 5, "y")], 100), ([(10, 5, "x")], [(10, 5, "x"), (40, 5, "y")], 40), ([(200, 5, "x")], [], 100),
    ]

    @Test("how far two prompts are the same", arguments: pairs.indices)
    func commonPrefix(_ index: Int) {
        let (a, b, same) = Self.pairs[index]
        func marks(_ list: [(Int, Int, String)]) -> [MediaMark] {
            list.map { MediaMark(start: $0.0, count: $0.1, digest: VisionFixture.digest($0.2)) }
        }
        #expect(MediaMark.commonPrefix(marks(a), marks(b), of: 100) == same)
        #expect(MediaMark.commonPrefix(marks(b), marks(a), of: 100) == same)
    }

    @Test("a fork has the pictures, and truncation cuts them; what is missing can be evaluated again")
    func forkAndTruncate() throws {
        let fixture = try VisionFixture("tall", on: Tiny.model)
        let session = try Tiny.session()
        let whole = try session.evaluate(fixture.ids, media: fixture.media)
        let (start, end) = (fixture.media[0].start, fixture.media[0].range.upperBound)
        for cut in [0, start, start + 1, end - 1, end, end + 1] {
            let fork = try session.fork()
            try fork.truncate(to: cut)
            #expect(fork.position == cut)
            if cut > start && cut <= end {
                // In a picture, or right behind it, there are no logits, and the session says why.
                let error = failure { try fork.events() }
                #expect(error?.status == .invalidArgument && error?.subject == "position", "\(cut): \(String(describing: error))")
            }
            #expect(try fork.kept(fixture.ids, fixture.marks) == cut)
            let rest = fixture.media.cut(to: cut..<fixture.ids.count)
            #expect(try fork.evaluate(Array(fixture.ids[cut...]), media: rest) == whole, "\(cut)")
        }
        #expect(try session.kept(fixture.ids, fixture.marks) == fixture.ids.count)
        // Text behind half a picture parts from the whole one where the half ends.
        try session.truncate(to: start + 7)
        try session.evaluate([VisionFixture.pad, VisionFixture.pad])
        #expect(try session.kept(fixture.ids, fixture.marks) == start + 7)
    }

    @Test("features that do not fit are refused before anything is computed")
    func refused() throws {
        let model = try Tiny.model
        let fixture = try VisionFixture("wide", on: model)
        let features = fixture.media[0].features
        let narrow = try MediaFeatures(digest: VisionFixture.digest("n"), tokens: 2, width: 7, on: model.text.budget)
        let wrong: [[MediaSpan]] = [
            [MediaSpan(start: -1, features: features)], [MediaSpan(start: fixture.ids.count - 39, features: features)],
            [MediaSpan(start: 0, features: features), MediaSpan(start: 39, features: features)], [MediaSpan(start: 0, features: narrow)],
            [MediaSpan(start: 0, features: features, rows: 3..<3)], [MediaSpan(start: 0, features: features, rows: 1..<9)],
            [MediaSpan(start: 5, features: features), MediaSpan(start: 0, features: features, rows: 0..<2)],
        ]
        for spans in wrong {
            let session = try Tiny.session()
            let error = failure { try session.evaluate(fixture.ids, media: spans) }
            #expect(error?.status == .invalidArgument && error?.subject == "media", "\(String(describing: error))")
            #expect(session.position == 0)
        }
        // The rows that are missing must be those that the session has.
        let session = try Tiny.session()
        try session.evaluate(Array(repeating: VisionFixture.pad, count: 4), media: [MediaSpan(start: 0, features: features, rows: 0..<4)])
        let gap = failure { try session.evaluate([1, 1], media: [MediaSpan(start: 0, features: features, rows: 5..<7)]) }
        #expect(gap?.subject == "media")
        try session.evaluate([1, 1], media: [MediaSpan(start: 0, features: features, rows: 4..<6)])
        #expect(session.position == 6)
    }

    @Test("the repetition penalty counts what was written, not pictures")
    func penalty() throws {
        var options = GenerationOptions()
        options.repetitionPenalty = 2
        var sampler = try Sampler(options: options, vocabulary: 4)
        let past: [Int32] = [3, 3, 3, 1]
        let marks = [MediaMark(start: 0, count: 3, digest: VisionFixture.digest("x"))]
        let logits: [Float] = [0, 2, 2, 2]
        let found = past.withUnsafeBufferPointer { past in
            logits.withUnsafeBufferPointer { logits in
                logits.baseAddress.map { sampler.distribution($0, past: past, media: marks) } ?? []
            }
        }
        let probability = Dictionary(uniqueKeysWithValues: found.map { ($0.id, $0.probability) })
        #expect(probability[3] == probability[2])
        #expect(abs((probability[1] ?? 0) / (probability[2] ?? 1) - exp(-1)) < 1e-6)
    }

    // MARK: Files

    @Test("a saved session has its pictures, and goes on as it would", arguments: VisionFixture.all)
    func saved(_ name: String) throws {
        let fixture = try VisionFixture(name, on: Tiny.model)
        let session = try Tiny.session()
        try session.evaluate(fixture.ids, media: fixture.media)
        let file = try SavedSession.saved(session)
        #expect(file.bytes[8] == 2 && file.bytes[68] == UInt8(fixture.media.count))
        let loaded = try Tiny.session()
        try file.load(into: loaded)
        #expect(try loaded.ids() == fixture.ids)
        #expect(try loaded.kept(fixture.ids, fixture.marks) == fixture.ids.count)
        #expect(try loaded.evaluate([5]) == session.evaluate([5]))
        #expect(try SavedSession.saved(loaded).bytes == SavedSession.saved(session).bytes)
    }

    @Test("a session of text is saved as before there were pictures")
    func textStaysVersionOne() throws {
        let session = try Tiny.session()
        try session.evaluate([1, 2, 3])
        #expect(try SavedSession.saved(session).bytes[8] == 1)
    }

    /// Numbers in the place of a picture's start and count, of 12 tokens in all.
    static let wrongMarks: [(start: UInt32, count: UInt32)] = [
        (12, 1), (11, 2), (0, 13), (0, 0), (.max, 1), (0, .max), (0x8000_0000, 0x8000_0000), (7, .max - 6),
    ]

    @Test("a file whose pictures lie where no tokens are is refused", arguments: wrongMarks.indices)
    func damagedMarks(_ index: Int) throws {
        let fixture = try VisionFixture("small", on: Tiny.model)
        let session = try Tiny.session()
        try session.evaluate(fixture.ids, media: fixture.media)
        #expect(fixture.ids.count == 12)
        var file = try SavedSession.saved(session)
        file.set(72 + 4 * 12, Self.wrongMarks[index].start)
        file.set(72 + 4 * 12 + 4, Self.wrongMarks[index].count)
        file.seal()
        let error = failure { try file.load(into: session) }
        #expect(error?.status == .format && error?.subject == "media", "\(String(describing: error))")
        #expect(try session.ids() == fixture.ids)
    }

    @Test("pictures that overlap, more of them than tokens, or in a file of version 1 are refused")
    func damagedCounts() throws {
        let fixture = try VisionFixture("clip", on: Tiny.model)
        let session = try Tiny.session()
        try session.evaluate(fixture.ids, media: fixture.media)
        let file = try SavedSession.saved(session)
        let second = 72 + 4 * fixture.ids.count + 40
        let changes: [(String, @Sendable (inout SavedSession) -> Void)] = [
            ("media", { $0.set(second, UInt32(fixture.media[0].range.upperBound - 1)) }), ("header", { $0.set(.version, UInt32(1)) }),
            ("media", { $0.set(.reserved, UInt32(fixture.ids.count + 1)) }), ("media", { $0.set(.reserved, UInt32.max) }),
            ("size", { $0.set(.reserved, UInt32(1)) }), ("version", { $0.set(.version, UInt32(3)) }),
        ]
        for (subject, change) in changes {
            var damaged = file
            change(&damaged)
            damaged.seal()
            #expect(failure { try damaged.load(into: session) }?.subject == subject)
        }
    }
}
