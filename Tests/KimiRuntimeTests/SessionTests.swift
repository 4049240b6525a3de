import Foundation
import KimiCore
import KimiRuntime
import KimiTestSupport
import Testing

/// What a session holds, by whatever way it came there, gives the bits of a fresh evaluation.
struct SessionTests {
    /// Around the borders of cache blocks (64 tokens) and of steps (48 in these tests).
    static let borders = [1, 2, 47, 48, 49, 63, 64, 65, 127, 128, 129, 192, 200]

    @Test("tokens one by one, and in any pieces", arguments: [1, 2, 13, 64])
    func pieces(_ size: Int) throws {
        let session = try Tiny.session()
        var end = 0
        while end < 150 {
            let next = min(end + size, 150)
            #expect(try session.evaluate(Tiny.ids(end, to: next)) == Tiny.expected(after: next))
            end = next
        }
        #expect(try session.ids() == Tiny.ids(0, to: 150))
    }

    @Test("all logits and the last are the same, and a generation goes on from either")
    func allOrLast() throws {
        let (one, other) = (try Tiny.session(), try Tiny.session())
        let all = try one.evaluate(Tiny.ids(0, to: 100), all: true)
        let last = try other.evaluate(Tiny.ids(0, to: 100))
        #expect(Array(all.suffix(last.count)) == last)
        let options: (inout GenerationOptions) -> Void = { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 5, true) }
        #expect(try one.events([], options).ids == other.events([], options).ids)
    }

    @Test("a fork goes on as the original would, whatever that does meanwhile", arguments: borders)
    func fork(_ position: Int) throws {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(0, to: position))
        let fork = try session.fork()
        #expect(fork.position == position)
        try session.evaluate(Array(Tiny.ids(1000, to: 1070)))
        let grandchild = try fork.fork()
        #expect(try fork.evaluate(Tiny.ids(position, to: position + 70)) == Tiny.expected(after: position + 70))
        try fork.reset()
        #expect(try grandchild.evaluate(Tiny.ids(position, to: position + 1)) == Tiny.expected(after: position + 1))
        #expect(try grandchild.ids() == Tiny.ids(0, to: position + 1))
    }

    @Test("a fork has the original's logits at hand")
    func forkedLogits() throws {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(0, to: 70))
        let expected = try session.fork().events { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 3, true) }.ids
        let fork = try session.fork()
        // The original overwrites its logits; the fork's must not feel it.
        try session.evaluate(Tiny.ids(2000, to: 2001))
        let steps = try fork.snapshot().counts.steps
        #expect(try fork.events { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 1, true) }.ids == Array(expected.prefix(1)))
        #expect(try fork.snapshot().counts.steps == steps, "the first token after a fork needs no step")
    }

    @Test("truncation forgets the rest", arguments: borders)
    func truncate(_ position: Int) throws {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(0, to: position) + Tiny.ids(3000, to: 3070))
        try session.truncate(to: position)
        #expect(session.position == position)
        #expect(try session.evaluate(Tiny.ids(position, to: position + 66)) == Tiny.expected(after: position + 66))
    }

    @Test("a generation right after a truncation goes on from the kept tokens", arguments: [1, 64, 65, 100])
    func generateAfterTruncation(_ position: Int) throws {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(0, to: 130))
        try session.truncate(to: position)
        let found = try session.events { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 4, true) }
        #expect(found.ids.first.map { Int($0) } == argmax(try Tiny.expected(after: position)))
        let fresh = try Tiny.session()
        #expect(try fresh.events(Tiny.ids(0, to: position)) { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 4, true) }.ids == found.ids)
        #expect(try fresh.ids() == session.ids())
    }

    @Test("positions that are none are refused and change nothing", arguments: [-1, 71, .min, .max])
    func badPosition(_ position: Int) throws {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(0, to: 70))
        let error = failure { try session.truncate(to: position) }
        #expect(error?.status == .invalidArgument && error?.subject == "position")
        #expect(try session.evaluate(Tiny.ids(70, to: 71)) == Tiny.expected(after: 71))
    }

    @Test("reset gives an empty session")
    func reset() throws {
        let session = try Tiny.session()
        try session.reset()
        try session.evaluate(Tiny.ids(500, to: 600))
        try session.reset()
        #expect(session.position == 0)
        #expect(try session.ids().isEmpty)
        #expect(try session.snapshot().cacheBytes == 0)
        #expect(try session.evaluate(Tiny.ids(0, to: 65)) == Tiny.expected(after: 65))
    }

    @Test("an empty session and an empty prompt are nothing to go on from")
    func empty() throws {
        let session = try Tiny.session()
        #expect(failure { try session.events() }?.status == .invalidArgument)
        #expect(failure { _ = try session.polled() }?.status == .invalidArgument)
        #expect(session.position == 0)
        #expect(try session.evaluate(Tiny.ids(0, to: 3)) == Tiny.expected(after: 3))
    }

    @Test("6,000 tokens equal the reference's logits")
    func long() throws {
        let expected = try NPY("tiny-kimi-expected/long.logits_last.npy").floats()
        let session = try Session(model: Tiny.open())
        let logits = try session.evaluate(Tiny.ids)
        #expect(zip(logits, expected).allSatisfy { abs($0 - $1) < 2e-3 })
        #expect(session.position == 6000)
    }

    // MARK: The context limit

    @Test("a session fills to its last token and no further", arguments: [1, 63, 64, 65, 100])
    func limit(_ limit: Int) throws {
        let session = try Tiny.session(limit)
        #expect(try session.evaluate(Tiny.ids(0, to: limit)) == Tiny.expected(after: limit))
        let error = failure { try session.evaluate([5]) }
        #expect(error?.status == .contextFull)
        #expect(error?.message.contains("\(limit)") == true)
        #expect(session.position == limit)
        let events = try session.events()
        #expect(events.count == 1 && events.first?.reason == .context)
        #expect(try session.polled().first?.reason == .context)
        #expect(try session.ids() == Tiny.ids(0, to: limit))
    }

    @Test("a generation fills the context to the last token", arguments: [(10, 14), (60, 65), (64, 65), (1, 3)])
    func generateToTheLimit(_ sizes: (prompt: Int, limit: Int)) throws {
        for polling in [false, true] {
            let session = try Tiny.session(sizes.limit)
            let change: (inout GenerationOptions) -> Void = { ($0.seed, $0.ignoreEnd) = (3, true) }
            let prompt = Tiny.ids(0, to: sizes.prompt)
            let events = polling ? try session.polled(prompt, change) : try session.events(prompt, change)
            #expect(events.last?.reason == .context)
            #expect(events.ids.count == sizes.limit - sizes.prompt)
            #expect(session.position == sizes.limit)
            #expect(try session.ids() == prompt + events.ids)
            #expect(failure { try session.evaluate([1]) }?.status == .contextFull)
            // The last one is not evaluated yet, and can be: logits after the last position exist.
            try session.truncate(to: sizes.limit - 1)
            try session.evaluate([events.ids[events.ids.count - 1]])
        }
    }

    @Test("the token limit comes before the context's where both are reached at once")
    func lengthBeforeContext() throws {
        let session = try Tiny.session(20)
        let events = try session.events(Tiny.ids(0, to: 15)) { ($0.maxTokens, $0.ignoreEnd, $0.seed) = (5, true, 1) }
        #expect(events.last?.reason == .length && session.position == 20)
    }

    @Test("a prompt larger than the room is refused with nothing evaluated")
    func tooLargePrompt() throws {
        let session = try Tiny.session(100)
        try session.evaluate(Tiny.ids(0, to: 10))
        let steps = try session.snapshot().counts.steps
        #expect(failure { try session.events(Tiny.ids(10, to: 101)) }?.status == .contextFull)
        #expect(failure { _ = try session.polled(Tiny.ids(10, to: 101)) }?.status == .contextFull)
        #expect(failure { try session.evaluate(Tiny.ids(10, to: 101)) }?.status == .contextFull)
        #expect(try session.snapshot().counts.steps == steps)
        #expect(session.position == 10)
        #expect(try session.evaluate(Tiny.ids(10, to: 100)) == Tiny.expected(after: 100))
    }

    @Test("the pending token counts against the limit")
    func pendingCounts() throws {
        let session = try Tiny.session(12)
        try session.events(Tiny.ids(0, to: 10)) { ($0.maxTokens, $0.ignoreEnd, $0.seed) = (1, true, 1) }
        #expect(session.position == 11)
        #expect(failure { try session.evaluate([1, 2]) }?.status == .contextFull)
        #expect(session.position == 11)
        try session.evaluate([1])
        #expect(session.position == 12)
    }
}
