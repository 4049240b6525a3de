import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// Sessions that wait for memory, and give up theirs.
@Suite("Preemption")
struct PreemptionTests {
    /// A model with room for so many blocks of cache, and logits and samplers of some sessions.
    static func model(
        blocks: Int, sessions: Int = 24, exact: Bool = true, prefixes: Bool = true, chunk: Int = 64
    ) throws -> Model {
        let model = try Tiny.open { options in
            (options.exact, options.chunkSize, options.prefixBytes) = (exact, chunk, prefixes ? 1 << 30 : 0)
            options.memory.limit = 1 << 30
        }
        // The first step's work space is there; nothing else than caches and sessions changes from now on.
        try Session(model: model).evaluate([1, 2, 3])
        let block = model.text.cache.blockBytes
        let each = 3 * (model.vocabularySize * 4 + 4096)
        let idle = model.text.cache.usage.idle
        try model.text.budget.charge(
            (model.text.budget.available ?? 0) - (blocks - idle) * block - sessions * each, for: .weights, what: "nearly all there is")
        return model
    }

    static func tokens(_ session: Session, _ prompt: [Int32], _ count: Int) throws -> [Int32] {
        try session.events(prompt) { ($0.greedy, $0.ignoreEnd, $0.maxTokens) = (true, true, count) }.ids
    }

    @Test("more sessions than memory: those that wait all have the tokens of a lone run", arguments: [true, false], [true, false])
    func waits(exact: Bool, prefixes: Bool) throws {
        let prompts = (0..<12).map { Tiny.ids(200 * $0, to: 200 * $0 + 30 + 23 * $0) }
        // On the fast path a prompt of 160 and more is not exact; again it has to be what it was.
        let model = try Self.model(blocks: 12, exact: exact, prefixes: prefixes, chunk: exact ? 64 : 512)
        let alone = try Tiny.open { ($0.exact, $0.chunkSize) = (exact, exact ? 64 : 512) }
        let expected = try prompts.map { try Self.tokens(Session(model: alone), $0, 90) }
        let sessions = try prompts.map { _ in try Session(model: model, onShortage: .wait) }
        let workers = zip(sessions, prompts).map { session, prompt in Worker { try Self.tokens(session, prompt, 90) } }
        for (index, worker) in workers.enumerated() { #expect(try worker.wait() == expected[index], "session \(index)") }
        let counts = try sessions.map { try $0.snapshot().counts }
        #expect(counts.reduce(0) { $0 + $1.preemptions } > 0)
        #expect(counts.reduce(0) { $0 + $1.restoredTokens } > 0)
        for (session, prompt) in zip(sessions, prompts) { #expect(try session.ids().prefix(prompt.count) == prompt[...]) }
    }

    @Test("a host with one thread that polls two sessions, with memory for one")
    func polled() throws {
        let model = try Self.model(blocks: 5, sessions: 2)
        let prompts = [Tiny.ids(0, to: 200), Tiny.ids(1000, to: 1190)]
        var expected: [[Int32]] = [], found: [[Int32]] = [[], []]
        for prompt in prompts { expected.append(try Self.tokens(Session(model: Tiny.exactModel), prompt, 20)) }
        var options = GenerationOptions()
        (options.greedy, options.ignoreEnd, options.maxTokens) = (true, true, 20)
        let generations = try prompts.map { prompt in
            try Generation(session: Session(model: model, onShortage: .wait), prompt: prompt, options: options)
        }
        var open = [0, 1]
        while !open.isEmpty {
            for index in open {
                let event = try generations[index].next()
                if let token = event.token { found[index].append(token.id) }
                if event.isFinish { open.removeAll { $0 == index } }
            }
        }
        #expect(found == expected)
    }

    @Test("one that gave way does not take it back before the other has got on, or all would compute the same for ever")
    func givesWay() throws {
        let model = try Self.model(blocks: 8, sessions: 10)
        // Three blocks each, and no two begin alike.
        let sessions = try (0..<10).map { _ in try Session(model: model, onShortage: .wait) }
        let workers = sessions.enumerated().map { index, session in
            Worker {
                for round in 0..<3 {
                    _ = try Self.tokens(session, Tiny.ids(500 * index + 10 * round, to: 500 * index + 10 * round + 130), 40)
                    try session.reset()
                }
            }
        }
        for worker in workers { try worker.wait() }
        let counts = try sessions.map { try $0.snapshot().counts }
        // What each made, and once more for each time that it waits in the whole, is a bound with much room.
        #expect(counts.reduce(0) { $0 + $1.restoredTokens } < 10 * 3 * 170 * 3)
    }

    @Test("one that does not wait fails and is as it was, and takes nothing from others that do not")
    func fails() throws {
        let model = try Self.model(blocks: 6, sessions: 2, prefixes: false)
        let first = try Session(model: model), second = try Session(model: model)
        try first.evaluate(Tiny.ids(0, to: 200))
        #expect(failure { try second.evaluate(Tiny.ids(500, to: 700)) }?.status == .outOfMemory)
        #expect(second.position == 0 && first.position == 200)
        // Nor does one that waits, where there is nobody to wait for.
        let third = try Session(model: model, onShortage: .wait)
        #expect(failure { try third.evaluate(Tiny.ids(500, to: 700)) }?.status == .outOfMemory)
        #expect(third.position == 0)
        #expect(try third.evaluate(Tiny.ids(500, to: 600)) == PrefixTests.alone(Tiny.ids(500, to: 600)))
        // More than all there is.
        #expect(failure { try third.evaluate(Tiny.ids(600, to: 1200)) }?.status == .outOfMemory)
        #expect(try third.ids() == Tiny.ids(500, to: 600))
        #expect(try first.snapshot().counts.preemptions == 0)
    }

    @Test("an idle session's cache goes first; then it forks, is cut, saved and goes on as if nothing had been")
    func idle() throws {
        let ids = Tiny.ids(0, to: 300)
        func given() throws -> Session {
            let model = try Self.model(blocks: 8, sessions: 2, prefixes: false)
            let session = try Session(model: model, onShortage: .wait)
            try session.evaluate(ids)
            try Session(model: model, onShortage: .wait).evaluate(Tiny.ids(1000, to: 1400))
            let snapshot = try session.snapshot()
            #expect(snapshot.counts.preemptions == 1 && snapshot.cacheBytes == 0 && snapshot.position == 300)
            #expect(try session.ids() == ids)
            return session
        }
        let next = Tiny.ids(300, to: 310)
        let expected = try PrefixTests.alone(ids + next)
        #expect(try given().evaluate(next) == expected)
        #expect(try given().fork().evaluate(next) == expected)
        let cut = try given()
        try cut.truncate(to: 100)
        #expect(try cut.evaluate(Array(ids[100...]) + next) == expected)
        let saved = try given()
        let other = try Session(model: Tiny.exactModel)
        try SavedSession.saved(saved).load(into: other)
        #expect(try other.evaluate(next) == expected)
        #expect(try saved.snapshot().counts.restoredTokens == 300)
        // The logits of before are still there.
        let greedy = try Self.tokens(given(), [], 3)
        #expect(try greedy == Self.tokens({ let lone = try Session(model: Tiny.exactModel); try lone.evaluate(ids); return lone }(), [], 3))
    }

    @Test("what was fast is fast again where the tree has only the beginning of it", arguments: [0, 70])
    func fastAgain(exactTokens: Int) throws {
        let model = try Self.model(blocks: 12, sessions: 2, exact: false, chunk: 512)
        let lone = try Tiny.open { ($0.exact, $0.chunkSize) = (false, 512) }
        func begun(_ session: Session) throws -> Session {
            // A short prompt is exact, and the next one fast.
            if exactTokens > 0 { try session.evaluate(Tiny.ids(0, to: exactTokens)) }
            try session.evaluate(Tiny.ids(exactTokens, to: 300))
            return session
        }
        let session = try begun(Session(model: model, onShortage: .wait))
        do { try Session(model: model, onShortage: .wait).evaluate(Tiny.ids(1000, to: 1540)) }
        #expect(try session.snapshot().counts.preemptions == 1)
        let next = Tiny.ids(300, to: 310)
        #expect(try session.evaluate(next) == begun(Session(model: lone)).evaluate(next))
        // Some of it was there, and what was exact is taken.
        #expect(try session.snapshot().counts.restoredTokens == 300 - exactTokens)
    }

    @Test("a session of high priority keeps its cache while it computes; one that waits can be cancelled")
    func priority() throws {
        let model = try Self.model(blocks: 6, sessions: 2, prefixes: false)
        let high = try Session(model: model, priority: 5, onShortage: .wait)
        let low = try Session(model: model, onShortage: .wait)
        let inside = Shared(false), release = Shared(false)
        let worker = Worker {
            try high.generate(Tiny.ids(0, to: 250), options: .endless) { event in
                guard event.token != nil else { return true }
                inside.value = true
                while !release.value { usleep(500) }
                return false
            }
        }
        #expect(eventually { inside.value })
        let waiting = Worker { try low.evaluate(Tiny.ids(1000, to: 1200)) }
        usleep(120_000)
        #expect(!waiting.isDone)
        low.cancellation.request()
        #expect(failure { _ = try waiting.wait() }?.status == .cancelled)
        let again = Worker { try low.evaluate(Tiny.ids(1000, to: 1200)) }
        usleep(60_000)
        #expect(!again.isDone)
        release.value = true
        try worker.wait()
        #expect(try again.wait() == PrefixTests.alone(Tiny.ids(1000, to: 1200)))
        #expect(try high.snapshot().counts.preemptions == 1, "once it no longer computed")
    }

    @Test("a picture's rows are not kept, so what is up to the last one stays")
    func media() throws {
        let model = try Self.model(blocks: 8, sessions: 2, prefixes: false)
        let fixture = try VisionFixture("wide", on: model)
        let session = try Session(model: model, onShortage: .wait)
        let prompt = fixture.ids + Tiny.ids(0, to: 200)
        try session.evaluate(prompt, media: fixture.media)
        try Session(model: model, onShortage: .wait).evaluate(Tiny.ids(1000, to: 1000 + 64 * 6))
        let snapshot = try session.snapshot()
        #expect(snapshot.counts.preemptions == 1 && snapshot.cacheBytes == model.text.cache.blockBytes)
        let lone = try Session(model: Tiny.exactModel)
        try lone.evaluate(prompt, media: VisionFixture("wide", on: Tiny.exactModel).media)
        #expect(try session.evaluate(Tiny.ids(300, to: 310)) == lone.evaluate(Tiny.ids(300, to: 310)))
    }
}
