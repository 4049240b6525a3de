import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiVision
import Synchronization
import Testing

/// Features that are kept for pictures that come again.
struct FeatureCacheTests {
    private static let width = 1024
    /// Bytes of the features of one piece of 1 token: a page.
    private static let bytes = width * 4

    private static func piece(_ name: String, tokens: Int = 1) -> MediaPiece {
        MediaPiece(digest: VisionFixture.digest(name), tokens: tokens, pixels: 0)
    }

    /// Makes features and notes of what.
    private final class Encoder: Sendable {
        let budget: MemoryBudget
        let made = Mutex<[MediaDigest]>([])
        let delay: UInt32

        init(_ budget: MemoryBudget, delay: UInt32 = 0) { (self.budget, self.delay) = (budget, delay) }

        func encode(_ pieces: [MediaPiece]) throws(KimiError) -> [MediaFeatures] {
            usleep(delay)
            var features: [MediaFeatures] = []
            for piece in pieces {
                made.withLock { $0.append(piece.digest) }
                features.append(try MediaFeatures(digest: piece.digest, tokens: piece.tokens, width: width, on: budget))
            }
            return features
        }

        var count: Int { made.withLock { $0.count } }
    }

    @discardableResult
    private func ask(_ cache: FeatureCache, _ encoder: Encoder, _ names: String...) throws -> [Bool] {
        let pieces = names.map { Self.piece($0) }
        let found = try cache.features(of: pieces, Cancellation()) { (missing) throws(KimiError) in try encoder.encode(missing) }
        #expect(found.map(\.features.digest) == pieces.map(\.digest))
        return found.map(\.wasThere)
    }

    @Test("what was encoded is there, and one list names a picture twice for the price of one")
    func reuse() throws {
        let encoder = Encoder(MemoryBudget())
        let cache = FeatureCache(capacity: 1 << 20, budget: encoder.budget)
        #expect(try ask(cache, encoder, "a", "b", "a") == [false, false, true])
        #expect(try ask(cache, encoder, "b", "c") == [true, false])
        #expect(encoder.made.withLock { $0 } == ["a", "b", "c"].map { VisionFixture.digest($0) })
        let report = cache.report
        #expect(report.count == 3 && report.bytes == 3 * Self.bytes && report.encoded == 3)
    }

    @Test("the least recently used give way, and what is larger than the bound is not kept")
    func bound() throws {
        let encoder = Encoder(MemoryBudget())
        let cache = FeatureCache(capacity: 2 * Self.bytes, budget: encoder.budget)
        try ask(cache, encoder, "a")
        try ask(cache, encoder, "b")
        try ask(cache, encoder, "a")
        try ask(cache, encoder, "c")
        #expect(try ask(cache, encoder, "a") == [true])
        #expect(try ask(cache, encoder, "b") == [false])
        #expect(cache.report.bytes == 2 * Self.bytes)
        let large = Self.piece("large", tokens: 3)
        for _ in 0..<2 {
            let found = try cache.features(of: [large], Cancellation()) { (missing) throws(KimiError) in try encoder.encode(missing) }
            #expect(!found[0].wasThere)
        }
        #expect(cache.report.bytes == 2 * Self.bytes)
        #expect(encoder.budget.used(.features) == 2 * Self.bytes)
    }

    @Test("a bound of nothing keeps nothing")
    func nothing() throws {
        let encoder = Encoder(MemoryBudget())
        let cache = FeatureCache(capacity: 0, budget: encoder.budget)
        #expect(try ask(cache, encoder, "a") == [false])
        #expect(try ask(cache, encoder, "a") == [false])
        #expect(encoder.budget.used(.features) == 0)
    }

    @Test("where memory runs short, what nobody uses goes, and what is in use stays")
    func pressure() throws {
        let budget = MemoryBudget(limit: .init(bytes: 4 * Self.bytes, source: .option))
        let encoder = Encoder(budget)
        let cache = FeatureCache(capacity: 1 << 20, budget: budget)
        try ask(cache, encoder, "a", "b", "c")
        let used = try cache.features(of: [Self.piece("b")], Cancellation()) { (missing) throws(KimiError) in try encoder.encode(missing) }
        try budget.charge(3 * Self.bytes, for: .cache, what: "blocks")
        #expect(budget.used(.features) == Self.bytes)
        #expect(cache.report.count == 1)
        #expect(throws: KimiError.self) { try budget.charge(1, for: .cache, what: "one more") }
        withExtendedLifetime(used) { #expect(used[0].wasThere) }
        budget.release(3 * Self.bytes, for: .cache)
        #expect(try ask(cache, encoder, "b", "a") == [true, false])
    }

    @Test("many that want the same pictures at once have them encoded once")
    func together() throws {
        let encoder = Encoder(MemoryBudget(), delay: 20_000)
        let cache = FeatureCache(capacity: 1 << 20, budget: encoder.budget)
        let workers = (0..<8).map { index in
            Worker { () throws -> Bool in
                // In other orders, so that each waits for something that others make.
                let names = (0..<4).map { "\((index + $0) % 4)" }
                let found = try cache.features(of: names.map { Self.piece($0) }, Cancellation()) { (missing) throws(KimiError) in
                    try encoder.encode(missing)
                }
                return found.map(\.features.digest) == names.map { VisionFixture.digest($0) }
            }
        }
        for worker in workers { #expect(try worker.wait()) }
        #expect(encoder.count == 4)
    }

    @Test("after a failure others encode what they waited for; who waits can be cancelled")
    func failures() throws {
        let encoder = Encoder(MemoryBudget())
        let cache = FeatureCache(capacity: 1 << 20, budget: encoder.budget)
        let entered = Shared(false), goOn = Shared(false)
        let first = Worker { () throws -> Int in
            try cache.features(of: [Self.piece("a")], Cancellation()) { (_) throws(KimiError) in
                entered.value = true
                while !goOn.value { usleep(1000) }
                throw KimiError(.outOfMemory, "no")
            }.count
        }
        #expect(eventually { entered.value })
        let cancellation = Cancellation()
        let second = Worker { () throws -> Int in
            try cache.features(of: [Self.piece("a")], cancellation) { (missing) throws(KimiError) in try encoder.encode(missing) }.count
        }
        let third = Worker { () throws -> Bool in
            try cache.features(of: [Self.piece("a")], Cancellation()) { (missing) throws(KimiError) in try encoder.encode(missing) }[0].wasThere
        }
        cancellation.request()
        #expect(failure { _ = try second.wait() }?.status == .cancelled)
        goOn.value = true
        #expect(failure { _ = try first.wait() }?.status == .outOfMemory)
        #expect(try third.wait() == false)
        #expect(encoder.count == 1)
    }
}
