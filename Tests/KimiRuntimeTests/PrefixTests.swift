import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// What sessions leave to those whose prompts begin alike.
@Suite("Prefixes")
struct PrefixTests {
    static func open(_ bytes: Int = 1 << 30, exact: Bool = true, chunk: Int = 96, memory: Int? = nil) throws -> Model {
        try Tiny.open { options in
            (options.prefixBytes, options.exact, options.chunkSize) = (bytes, exact, chunk)
            options.memory.limit = memory
        }
    }

    /// A model with memory for so many blocks and logits.
    private static func open(blocks: Int, logits: Int) throws -> Model {
        let model = try open(memory: 1 << 30)
        let budget = model.text.budget
        let used = blocks * model.text.cache.blockBytes + logits * (model.vocabularySize * 4 + 4096)
        try budget.charge((budget.available ?? 0) - used, for: .weights, what: "nearly all there is")
        return model
    }

    /// Logits after the last of the ids, on a model that keeps nothing.
    static func alone(_ ids: [Int32], exact: Bool = true) throws -> [Float] {
        try Session(model: exact ? Tiny.exactModel : Tiny.model).evaluate(ids)
    }

    @Test("a prompt that begins as another did is evaluated from there on, to the same bits", arguments: [0, 1, 63, 64, 65, 128, 150, 199, 200])
    func reuse(_ common: Int) throws {
        let model = try Self.open()
        try Session(model: model).evaluate(Tiny.ids(0, to: 200))
        let prompt = Tiny.ids(0, to: common) + Tiny.ids(1000, to: 1040)
        let session = try Session(model: model)
        #expect(try session.evaluate(prompt) == Self.alone(prompt))
        let counts = try session.snapshot().counts
        // Whole blocks, and of the next one at least 16 tokens, where the other has it in whole or its prompt ended with as many.
        let part = (64..<192).contains(common) && common % 64 >= 16 ? common % 64 : 0
        #expect(counts.reusedTokens == common / 64 * 64 + part)
        #expect(counts.promptTokens == prompt.count - counts.reusedTokens)
        #expect(try session.ids() == prompt)
        // The very same prompt again: its last token at least is evaluated.
        let again = try Session(model: model)
        #expect(try again.evaluate(prompt) == Self.alone(prompt))
        #expect(try again.snapshot().counts.reusedTokens == (prompt.count > 64 ? prompt.count - 1 : 0))
    }

    @Test("blocks of generated tokens are left, too, and a session goes on from others' in the midst of a block")
    func generated() throws {
        let model = try Self.open()
        let first = try Session(model: model)
        let made = try first.events(Tiny.ids(0, to: 50)) { ($0.greedy, $0.ignoreEnd, $0.maxTokens) = (true, true, 100) }.ids
        let prompt = Tiny.ids(0, to: 50) + made + Tiny.ids(300, to: 330)
        let session = try Session(model: model)
        try session.evaluate(Array(prompt[..<20]))
        #expect(try session.evaluate(Array(prompt[20...])) == Self.alone(prompt))
        // 150 were held; the last of them was never evaluated.
        #expect(try session.snapshot().counts.reusedTokens == 128 - 20)
    }

    @Test("what takes over a block and then goes another way leaves it as it was")
    func copyOnWrite() throws {
        let model = try Self.open()
        let ids = Tiny.ids(0, to: 130)
        try Session(model: model).evaluate(ids)
        let session = try Session(model: model)
        try session.evaluate(ids)
        try session.truncate(to: 70)
        let other = Array(ids[..<70]) + Tiny.ids(2000, to: 2090)
        #expect(try session.evaluate(Array(other[70...])) == Self.alone(other))
        let fork = try session.fork()
        try fork.truncate(to: 10)
        try fork.evaluate(Tiny.ids(3000, to: 3100))
        for (prompt, reused) in [(ids, 128), (other, 159)] {
            let third = try Session(model: model)
            #expect(try third.evaluate(prompt) == Self.alone(prompt))
            #expect(try third.snapshot().counts.reusedTokens == reused)
        }
    }

    @Test("many that want the same at once: one evaluates it, and the others take it over", arguments: [2, 40])
    func once(_ count: Int) throws {
        let model = try Self.open(chunk: 256)
        let prefix = Tiny.ids(0, to: 2000)
        let prompts = (0..<count).map { prefix + Tiny.ids(2500 + 20 * $0, to: 2515 + 20 * $0) }
        let sessions = try prompts.map { _ in try Session(model: model) }
        let workers = zip(sessions, prompts).map { session, prompt in
            Worker { try session.events(prompt) { ($0.greedy, $0.ignoreEnd, $0.maxTokens) = (true, true, 3) }.ids }
        }
        let found = try workers.map { try $0.wait() }
        let evaluated = try sessions.reduce(0) { try $0 + $1.snapshot().counts.promptTokens }
        // What is common once, though it ends in the midst of a block, and of each prompt what is behind it.
        #expect(evaluated == 2000 + count * 15)
        let report = try #require(model.prefixes?.report)
        #expect(report.reusedTokens == (count - 1) * 2000)
        let last = try Session(model: Tiny.exactModel).events(prompts[count - 1]) {
            ($0.greedy, $0.ignoreEnd, $0.maxTokens) = (true, true, 3)
        }
        #expect(found.last == last.ids)
    }

    @Test("who waits for another's blocks can be cancelled; where that one fails, the next evaluates them")
    func waiting() throws {
        let model = try Self.open(chunk: 512)
        let prompt = Tiny.ids(0, to: 512)
        let (first, second, third) = (try Session(model: model), try Session(model: model), try Session(model: model))
        var workers: [Worker<[Float]>] = []
        try model.text.withStep { () throws(KimiError) in
            workers.append(Worker { try first.evaluate(prompt) })
            #expect(eventually { model.prefixes?.claims.count == 1 })
            workers += [second, third].map { session in Worker { try session.evaluate(prompt) } }
            usleep(20_000)
            second.cancellation.request()
            #expect(eventually { workers[1].isDone })
            first.cancellation.request()
        }
        #expect(failure { _ = try workers[1].wait() }?.status == .cancelled)
        #expect(failure { _ = try workers[0].wait() }?.status == .cancelled)
        #expect(try workers[2].wait() == Self.alone(prompt))
        #expect(try third.snapshot().counts.promptTokens == 512)
        #expect(model.prefixes?.claims.count == 0)
    }

    @Test("no more bytes are kept than the limit; what was not used for the longest time goes first")
    func limit() throws {
        let block = try Self.open().text.cache.blockBytes
        let model = try Self.open(4 * block)
        func reused(_ ids: [Int32]) throws -> Int {
            let session = try Session(model: model)
            #expect(try session.evaluate(ids) == Self.alone(ids))
            #expect(model.prefixes.map { $0.report.bytes <= $0.limit && $0.report.blocks <= 4 } == true)
            return try session.snapshot().counts.reusedTokens
        }
        let (a, b, c) = (Tiny.ids(0, to: 130), Tiny.ids(1000, to: 1130), Tiny.ids(2000, to: 2130))
        #expect(try reused(a) == 0)
        #expect(try reused(b) == 0)
        #expect(try reused(a) == 128)
        // In the place of b's.
        #expect(try reused(c) == 0)
        #expect(try reused(a) == 128)
        #expect(try reused(b) == 0)
        let report = try #require(model.prefixes?.report)
        #expect((report.hits, report.misses, report.evictions) == (2, 4, 4))
        // One that is longer than all that may be kept leaves its beginning.
        let long = Tiny.ids(3000, to: 3500)
        #expect(try reused(long) == 0)
        #expect(try reused(long) == 4 * 64)
    }

    @Test("where memory runs short the prefixes give way, and no more of them than is needed")
    func shortage() throws {
        let model = try Self.open(blocks: 20, logits: 4)
        for first in [0, 700, 1400] { try Session(model: model).evaluate(Tiny.ids(first, to: first + 5 * 64)) }
        #expect(model.prefixes?.report.blocks == 15)
        let session = try Session(model: model)
        try session.evaluate(Tiny.ids(3000, to: 3000 + 12 * 64))
        let report = try #require(model.prefixes?.report)
        #expect(report.evictions > 0 && report.blocks >= 15 && report.blocks < 27)
        // All that there is a session may have, prefixes or not.
        try session.evaluate(Tiny.ids(4000, to: 4000 + 8 * 64))
        #expect(failure { try session.evaluate(Tiny.ids(5000, to: 5000 + 3 * 64)) }?.status == .outOfMemory)
        #expect(session.position == 20 * 64)
    }

    @Test("pictures are told apart by what they show, and one that is there is not needed again", arguments: ["tall", "wide"])
    func media(_ name: String) throws {
        let model = try Self.open()
        let fixture = try VisionFixture(name, on: model)
        // Long enough that the picture is in whole blocks.
        let prompt = fixture.ids + Tiny.ids(0, to: 140)
        let expected = try Session(model: Tiny.exactModel).evaluate(prompt, media: VisionFixture(name, on: Tiny.exactModel).media)
        #expect(try Session(model: model).evaluate(prompt, media: fixture.media) == expected)
        let session = try Session(model: model)
        #expect(try session.evaluate(prompt, media: fixture.media) == expected)
        // All but the last token, unless less than 16 of a block are left over by that.
        let (whole, part) = ((prompt.count - 1) / 64 * 64, (prompt.count - 1) % 64)
        let common = whole + (part >= 16 ? part : 0)
        #expect(try session.snapshot().counts.reusedTokens == common)
        // By the digests alone, as a prompt is before its pictures are looked at.
        let asking = try Session(model: model)
        #expect(try asking.kept(prompt, fixture.marks) == common)
        let other = fixture.marks.map { MediaMark(start: $0.start, count: $0.count, digest: VisionFixture.digest("another")) }
        #expect(try Session(model: model).kept(prompt, other) <= fixture.media[0].start)
        #expect(try Session(model: model).kept(prompt, []) <= fixture.media[0].start)
    }

    @Test("a prompt's last tokens are left, too; others go on from the longest of them, and each writes to a block of its own")
    func parts() throws {
        let model = try Self.open()
        let common = Tiny.ids(0, to: 100)
        let first = try Session(model: model)
        try first.evaluate(common)
        #expect(model.prefixes?.report.blocks == 2)
        // Both go on in the block that they shared, the first one by tokens that it generates.
        let second = try Session(model: model)
        let other = common + Tiny.ids(1000, to: 1050)
        #expect(try second.evaluate(other) == Self.alone(other))
        #expect(try second.snapshot().counts.reusedTokens == 100)
        let made = try first.events([]) { ($0.greedy, $0.ignoreEnd, $0.maxTokens) = (true, true, 40) }.ids
        let lone = try Session(model: Tiny.exactModel)
        try lone.evaluate(common)
        #expect(try made == lone.events([]) { ($0.greedy, $0.ignoreEnd, $0.maxTokens) = (true, true, 40) }.ids)
        // The longest of three beginnings, not the latest.
        for more in [30, 12] { try Session(model: model).evaluate(common + Tiny.ids(2000, to: 2000 + more)) }
        let third = try Session(model: model)
        let longest = common + Tiny.ids(2000, to: 2020) + Tiny.ids(3000, to: 3020)
        #expect(try third.evaluate(longest) == Self.alone(longest))
        #expect(try third.snapshot().counts.reusedTokens == 120)
    }

    @Test("once a block is whole, its beginning is not kept beside it")
    func superseded() throws {
        let model = try Self.open()
        let session = try Session(model: model)
        for (end, blocks) in [(40, 0), (104, 2), (124, 2), (134, 2), (194, 3)] {
            try session.evaluate(Tiny.ids(session.position, to: end))
            #expect(model.prefixes?.report.blocks == blocks)
        }
    }

    @Test("a beginning gives way where its session needs memory to copy it")
    func partsGiveWay() throws {
        let model = try Self.open(blocks: 2, logits: 2)
        let session = try Session(model: model)
        try session.evaluate(Tiny.ids(0, to: 104))
        #expect(model.prefixes?.report.blocks == 2)
        #expect(try session.evaluate(Tiny.ids(104, to: 128)) == Self.alone(Tiny.ids(0, to: 128)))
        #expect(failure { try session.evaluate(Tiny.ids(128, to: 129)) }?.status == .outOfMemory)
    }

    @Test("what came from a file is not left to others, nor mixed with what they left")
    func foreign() throws {
        let model = try Self.open()
        let saved = try Session(model: Tiny.exactModel)
        try saved.evaluate(Tiny.ids(0, to: 130))
        let session = try Session(model: model)
        try SavedSession.saved(saved).load(into: session)
        try session.evaluate(Tiny.ids(130, to: 300))
        #expect(model.prefixes?.report.blocks == 0)
        #expect(try session.fork().evaluate(Tiny.ids(300, to: 301)) == Self.alone(Tiny.ids(0, to: 301)))
        #expect(model.prefixes?.report.blocks == 0)
        // Once all of it is gone, the session is as any other.
        try session.reset()
        try session.evaluate(Tiny.ids(0, to: 130))
        #expect(model.prefixes?.report.blocks == 2)
    }

    @Test("a prompt that is exact alone takes nothing from the fast path; a long one may")
    func exactness() throws {
        let model = try Self.open(exact: false, chunk: 512)
        let long = Tiny.ids(0, to: 450)
        try Session(model: model).evaluate(long)
        let short = Tiny.ids(0, to: 100)
        let session = try Session(model: model)
        #expect(try session.evaluate(short) == Self.alone(short, exact: false))
        #expect(try session.snapshot().counts.reusedTokens == 0)
        // What it computed takes the place of the fast path's.
        let again = try Session(model: model)
        #expect(try again.evaluate(short) == Self.alone(short, exact: false))
        #expect(try again.snapshot().counts.reusedTokens == 99)
        let third = try Session(model: model)
        let logits = try third.evaluate(long)
        #expect(try third.snapshot().counts.reusedTokens == 448)
        let scale = logits.map(abs).max() ?? 0
        #expect(zip(logits, try Self.alone(long)).allSatisfy { abs($0 - $1) < 0.05 * scale })
    }

    @Test("whatever sessions do, each has the logits that it has alone", arguments: 0..<8)
    func interleavings(seed: UInt64) throws {
        let block = try Self.open().text.cache.blockBytes
        let model = try Self.open([3, 12, 1000][Int(seed % 3)] * block, chunk: 64)
        let workers = (0..<3).map { thread in
            Worker {
                var random = SplitMix(seed * 100 + UInt64(thread))
                func below(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
                var sessions: [Session] = []
                var wrong = 0
                for _ in 0..<40 {
                    if sessions.isEmpty || below(5) == 0 { sessions.append(try Session(model: model)) }
                    let index = below(sessions.count)
                    let session = sessions[index]
                    switch below(8) {
                    case 0: sessions.append(try session.fork())
                    case 1: try session.truncate(to: below(session.position + 1))
                    case 2: sessions.remove(at: index)
                    default:
                        // Few beginnings, so that many are alike.
                        let held = try session.ids()
                        let from = held.isEmpty ? 500 * below(3) : Int(held[0]) % 7 * 3
                        let more = Tiny.ids(from + held.count, to: from + held.count + 1 + below(150))
                        let logits = try session.evaluate(more)
                        if below(4) == 0, logits != (try Self.alone(held + more)) { wrong += 1 }
                    }
                }
                return wrong
            }
        }
        for worker in workers { #expect(try worker.wait() == 0) }
        #expect(model.prefixes.map { $0.report.bytes <= $0.limit } == true)
        #expect(model.prefixes?.report.blocks == model.text.cache.usage.held, "no session is left")
    }
}
