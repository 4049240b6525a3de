import CKimiSystem
import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// A saved session's bytes, to be damaged. The layout is written down here once more, after the comment in SessionFile.swift.
struct SavedSession {
    var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The bytes of a session of the tiny model.
    static func saved(_ session: Session) throws -> SavedSession {
        let folder = try TemporaryFolder()
        let path = folder.url.appending(path: "session").path
        try session.save(to: path)
        return SavedSession([UInt8](try Data(contentsOf: URL(filePath: path))))
    }

    enum Field: Int, CaseIterable {
        case magic = 0, version = 8, cacheType = 12, digest = 16, layers = 48, elements = 52, count = 56, pending = 64, reserved = 68
        case ids = 72
    }

    mutating func set<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<offset + $0.count, with: $0) }
    }

    mutating func set<T: FixedWidthInteger>(_ field: Field, _ value: T) { set(field.rawValue, value) }

    /// Makes the checksum right again, so that what is behind it is reached.
    mutating func seal() {
        guard bytes.count >= 16, let digest = cks_digest_create() else { return }
        defer { cks_digest_destroy(digest) }
        let end = bytes.count - 16
        cks_digest_update(digest, bytes, end)
        var sum = [UInt8](repeating: 0, count: 16)
        cks_digest_finish(digest, &sum)
        bytes.replaceSubrange(end..., with: sum)
    }

    /// Loads the bytes into `session`, by way of a file in `folder`.
    func load(into session: Session, by folder: TemporaryFolder? = nil) throws {
        let folder = try folder ?? TemporaryFolder()
        try folder.rewrite("session", bytes)
        try session.load(from: folder.url.appending(path: "session").path)
    }
}

struct SessionFileTests {
    private static func saved(_ count: Int, pending: Bool = false) throws -> SavedSession {
        let session = try Tiny.session()
        if count > 0 { try session.evaluate(Tiny.ids(0, to: count)) }
        if pending { try session.events { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 1, true) } }
        return try SavedSession.saved(session)
    }

    @Test("a loaded session goes on as the saved one would", arguments: [0, 1, 63, 64, 65, 128, 200])
    func roundTrip(_ count: Int) throws {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(4000, to: 4100))
        try Self.saved(count).load(into: session)
        #expect(session.position == count)
        #expect(try session.ids() == Tiny.ids(0, to: count))
        #expect(try session.evaluate(Tiny.ids(count, to: count + 70)) == Tiny.expected(after: count + 70))
        #expect(try session.snapshot().counts.reusedTokens == count)
    }

    @Test("a generation goes on from a loaded session, with or without a pending token", arguments: [false, true])
    func generationAfterLoad(_ pending: Bool) throws {
        let original = try Tiny.session()
        try original.evaluate(Tiny.ids(0, to: 64))
        if pending { try original.events { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 1, true) } }
        let loaded = try Tiny.session()
        try SavedSession.saved(original).load(into: loaded)
        #expect(loaded.position == original.position)
        #expect(try loaded.ids() == original.ids())
        #expect(try loaded.snapshot().counts.reusedTokens == original.position)
        let options: (inout GenerationOptions) -> Void = { ($0.greedy, $0.maxTokens, $0.ignoreEnd, $0.topLogprobs) = (true, 10, true, 2) }
        #expect(try loaded.events([], options).answer == original.events([], options).answer)
    }

    @Test("the same session gives the same file, and its size is as documented", arguments: [0, 3, 70])
    func deterministic(_ count: Int) throws {
        let (one, two) = (try Self.saved(count), try Self.saved(count))
        #expect(one.bytes == two.bytes)
        let config = try Tiny.model.checkpoint.config
        #expect(one.bytes.count == 72 + 4 * count + count * config.layerCount * (config.latentSize + config.ropeSize) * 4 + 16)
        #expect(Array(one.bytes[16..<48]) == Array(try Tiny.model.checkpoint.digest.utf8))
    }

    // MARK: Damage

    /// Loading `file` must fail with one of `statuses`, and the session stays as it was.
    private func refuses(
        _ file: SavedSession, _ statuses: [Status], subject: String? = nil, into session: Session? = nil,
        by folder: TemporaryFolder? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let session = try session ?? Self.bystander()
        let held = try session.ids()
        let error = failure { try file.load(into: session, by: folder) }
        #expect(error.map { statuses.contains($0.status) } == true, "\(String(describing: error))", sourceLocation: sourceLocation)
        #expect(error?.file != nil || error?.status == .contextFull, "\(String(describing: error))", sourceLocation: sourceLocation)
        if let subject { #expect(error?.subject == subject, "\(String(describing: error))", sourceLocation: sourceLocation) }
        #expect(try session.ids() == held && session.position == held.count, sourceLocation: sourceLocation)
    }

    private static func bystander() throws -> Session {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(0, to: 5))
        return session
    }

    @Test("a file that ends early is refused, wherever it ends")
    func truncated() throws {
        let file = try Self.saved(70)
        let session = try Self.bystander()
        let folder = try TemporaryFolder()
        let config = try Tiny.model.checkpoint.config
        let token = (config.latentSize + config.ropeSize) * 4
        var ends = [0, 1, 7, 72, 73, 87, 88, 89] + SavedSession.Field.allCases.map(\.rawValue)
        let data = 72 + 4 * 70
        ends += [72 + 4, data - 1, data]
        for layer in 1...config.layerCount { ends += [data + layer * 64 * token, data + layer * 64 * token - 1] }
        let second = data + config.layerCount * 64 * token
        for layer in 1...config.layerCount { ends.append(second + layer * 6 * token) }
        ends += [file.bytes.count - 17, file.bytes.count - 16, file.bytes.count - 1]
        for end in ends where end < file.bytes.count {
            var cut = SavedSession(Array(file.bytes[..<end]))
            try refuses(cut, [.format], into: session, by: folder)
            cut.seal()
            try refuses(cut, [.format], into: session, by: folder)
        }
        #expect(try session.evaluate(Tiny.ids(5, to: 9)) == Tiny.expected(after: 9))
    }

    @Test("bytes behind the end are refused", arguments: [1, 16, 4096])
    func trailing(_ count: Int) throws {
        var file = try Self.saved(3)
        file.bytes += [UInt8](repeating: 0, count: count)
        try refuses(file, [.format], subject: "size")
        file.seal()
        try refuses(file, [.format], subject: "size")
    }

    @Test("any flipped bit is noticed")
    func flippedBits() throws {
        let file = try Self.saved(2, pending: true)
        let session = try Self.bystander()
        let folder = try TemporaryFolder()
        var random = SplitMix(1)
        for place in file.bytes.indices {
            var damaged = file
            damaged.bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            try refuses(damaged, [.format, .unsupported, .mismatch, .contextFull], into: session, by: folder)
        }
        #expect(try session.evaluate(Tiny.ids(5, to: 9)) == Tiny.expected(after: 9))
    }

    struct Fault: Sendable {
        let name: String
        let statuses: [Status]
        let subject: String?
        let change: @Sendable (inout SavedSession) -> Void
        init(_ name: String, _ statuses: [Status], _ subject: String?, _ change: @escaping @Sendable (inout SavedSession) -> Void) {
            self.name = name
            self.statuses = statuses
            self.subject = subject
            self.change = change
        }
    }

    static let faults: [Fault] = [
        Fault("magic", [.format], "header") { $0.set(.magic, UInt8(0)) },
        Fault("version 0", [.unsupported], "version") { $0.set(.version, UInt32(0)) },
        Fault("version 3", [.unsupported], "version") { $0.set(.version, UInt32(3)) },
        Fault("version of all ones", [.unsupported], "version") { $0.set(.version, UInt32.max) },
        Fault("bf16 cache", [.mismatch], "cache_type") { $0.set(.cacheType, UInt32(2)) },
        Fault("int8 cache", [.mismatch], "cache_type") { $0.set(.cacheType, UInt32(3)) },
        Fault("no cache type", [.mismatch], "cache_type") { $0.set(.cacheType, UInt32.max) },
        Fault("another digest", [.mismatch], "digest") { $0.set(.digest, UInt64(0x3030_3030_3030_3030)) },
        Fault("a digest that is none", [.format], "digest") { $0.set(.digest, UInt64(0x0A1B_5B33_316D_0000)) },
        Fault("layers", [.mismatch], "layers") { $0.set(.layers, UInt32(5)) },
        Fault("layers 2^32 - 1", [.mismatch], "layers") { $0.set(.layers, UInt32.max) },
        Fault("elements", [.mismatch], "layers") { $0.set(.elements, UInt32(0)) },
        Fault("fewer tokens", [.format], "size") { $0.set(.count, UInt64(2)) },
        Fault("more tokens", [.format], "size") { $0.set(.count, UInt64(4)) },
        Fault("2^31 - 1 tokens", [.contextFull], nil) { $0.set(.count, UInt64(Int32.max)) },
        Fault("2^31 tokens", [.format], "count") { $0.set(.count, UInt64(1) << 31) },
        Fault("2^63 tokens", [.format], "count") { $0.set(.count, UInt64(1) << 63) },
        Fault("2^64 - 1 tokens", [.format], "count") { $0.set(.count, UInt64.max) },
        Fault("pending beyond the vocabulary", [.format], "pending") { $0.set(.pending, Int32(1792)) },
        Fault("pending negative", [.format], "pending") { $0.set(.pending, Int32(-2)) },
        Fault("pending least", [.format], "pending") { $0.set(.pending, Int32.min) },
        Fault("reserved", [.format], "header") { $0.set(.reserved, UInt32(1)) },
        Fault("an id beyond the vocabulary", [.format], "ids") { $0.set(76, Int32(1792)) },
        Fault("a negative id", [.format], "ids") { $0.set(80, Int32(-1)) },
        Fault("the greatest id", [.format], "ids") { $0.set(72, Int32.max) },
    ]

    @Test("a wrong field is refused by name although the checksum is right", arguments: faults.indices)
    func wrongField(_ index: Int) throws {
        let fault = Self.faults[index]
        var file = try Self.saved(3)
        fault.change(&file)
        file.seal()
        try refuses(file, fault.statuses, subject: fault.subject)
    }

    @Test("latents that are no numbers load, and are an error when they are used")
    func notANumber() throws {
        var file = try Self.saved(3)
        file.set(72 + 12 + 4 * 7, Float.nan.bitPattern)
        file.seal()
        let session = try Tiny.session()
        try file.load(into: session)
        #expect(failure { try session.evaluate([1]) }?.status == .numeric)
        #expect(session.position == 3)
        try session.reset()
        #expect(try session.evaluate(Tiny.ids(0, to: 4)) == Tiny.expected(after: 4))
    }

    @Test("a pending token alone is a session too")
    func pendingAlone() throws {
        var file = try Self.saved(0)
        file.set(.pending, Int32(Tiny.ids[0]))
        file.seal()
        let session = try Tiny.session()
        try file.load(into: session)
        #expect(session.position == 1)
        #expect(try session.evaluate(Tiny.ids(1, to: 2)) == Tiny.expected(after: 2))
    }

    // MARK: Two things that do not fit

    @Test("a file of another checkpoint or cache type is refused")
    func otherModel() throws {
        let other = try Tiny.open(Fixtures.path("shapes/mixed"))
        let session = try Session(model: other)
        try session.evaluate([1, 2, 3])
        try refuses(SavedSession.saved(session), [.mismatch], subject: "digest")
        for type in [CacheType.bf16, .int8] {
            let part = try Session(model: try Tiny.open { $0.cacheType = type })
            try part.evaluate([1, 2, 3])
            let file = try SavedSession.saved(part)
            try refuses(file, [.mismatch], subject: "cache_type")
            #expect(file.bytes.count < (try Self.saved(3)).bytes.count)
            // And back into its own.
            let again = try Session(model: part.model)
            try file.load(into: again)
            #expect(try again.evaluate([4]) == part.evaluate([4]))
        }
    }

    @Test("a session with too small a context refuses a file and keeps what it has")
    func smallerContext() throws {
        let file = try Self.saved(70)
        for (limit, fits) in [(69, false), (70, true), (71, true)] {
            let session = try Tiny.session(limit)
            try session.evaluate(Tiny.ids(0, to: 5))
            if fits { try file.load(into: session) } else { try refuses(file, [.contextFull], into: session) }
            #expect(session.position == (fits ? 70 : 5))
        }
        // With a pending token it is one more.
        try refuses(Self.saved(70, pending: true), [.contextFull], into: Tiny.session(70))
        let full = try Tiny.session(71)
        try Self.saved(70, pending: true).load(into: full)
        #expect(try full.events().last?.reason == .context)
    }

    @Test("chunk size, threads and load policy do not matter to a file")
    func sameModel() throws {
        let model = try Tiny.open { ($0.chunkSize, $0.threads, $0.loadPolicy, $0.contextLimit) = (5, 1, .copy, 500) }
        let session = try Session(model: model)
        try Self.saved(70).load(into: session)
        #expect(try session.evaluate(Tiny.ids(70, to: 80)) == Tiny.expected(after: 80))
    }
}
