import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// Busy, cancelled, abandoned; several sessions at once.
struct OneCallAtATimeTests {
    private func everyCall(on session: Session) -> [Status?] {
        [
            failure { try session.evaluate([1]) }?.status, failure { _ = try session.ids() }?.status,
            failure { _ = try session.fork() }?.status, failure { try session.truncate(to: 0) }?.status,
            failure { try session.reset() }?.status, failure { _ = try session.snapshot() }?.status,
            failure { try session.events([1]) }?.status, failure { _ = try session.polled([1]) }?.status,
            failure { try session.save(to: "/nonexistent/session") }?.status,
            failure { try session.load(from: "/nonexistent/session") }?.status,
        ]
    }

    @Test("a callback, and another thread during it, find the session busy and change nothing")
    func busyInCallback() throws {
        let session = try Tiny.session()
        var statuses: [Status?] = []
        var positions: [Int] = []
        try session.generate(Tiny.ids(0, to: 60), options: .endless) { event in
            statuses += everyCall(on: session)
            statuses += (try? Worker { [self] in everyCall(on: session) }.wait()) ?? []
            positions.append(session.position)
            return event.token.map { $0.count < 2 } ?? true
        }
        #expect(statuses.count == 80 && statuses.allSatisfy { $0 == .busy })
        #expect(positions == [48, 60, 61, 62], "the position is right within callbacks")
        #expect(session.position == 62)
        #expect(try session.evaluate([4]) == Tiny.session().evaluate(session.ids().dropLast() + [4]))
    }

    @Test("an open generation keeps the session busy until it has finished")
    func busyWhileOpen() throws {
        let session = try Tiny.session()
        var options = GenerationOptions()
        (options.maxTokens, options.ignoreEnd, options.seed) = (2, true, 1)
        let generation = try Generation(session: session, prompt: Tiny.ids(0, to: 10), options: options)
        #expect(everyCall(on: session).allSatisfy { $0 == .busy })
        #expect(try generation.next().isPrompt)
        #expect(everyCall(on: session).allSatisfy { $0 == .busy })
        while !(try generation.next().isFinish) {}
        #expect(session.position == 12)
        try session.evaluate([1])
        // FINISH again, from a session that has long gone on.
        #expect(try generation.next().reason == .length)
        #expect(session.position == 13)
    }

    @Test("a second generation is refused and does not end the first")
    func secondGeneration() throws {
        let session = try Tiny.session()
        let first = try Generation(session: session, prompt: Tiny.ids(0, to: 10), options: .endless)
        for _ in 0..<3 {
            #expect(failure { _ = try Generation(session: session, prompt: [1], options: .endless) }?.status == .busy)
        }
        #expect(failure { _ = try session.ids() }?.status == .busy)
        #expect(try first.next().isPrompt)
    }

    @Test("a generation that is over does not free or cancel the next one when it goes")
    func latecomer() throws {
        let session = try Tiny.session()
        var options = GenerationOptions()
        (options.maxTokens, options.seed, options.ignoreEnd) = (1, 1, true)
        var first: Generation? = try Generation(session: session, prompt: Tiny.ids(0, to: 10), options: options)
        while try first?.next().isFinish == false {}
        options.maxTokens = 3
        let second = try Generation(session: session, prompt: [], options: options)
        first?.abandon()
        first = nil
        #expect(failure { _ = try session.ids() }?.status == .busy)
        var events: [GenerationEvent] = []
        repeat { events.append(try second.next()) } while events.last?.isFinish != true
        #expect(events.ids.count == 3 && events.last?.reason == .length)
    }

    @Test("giving a generation up frees the session, which keeps the tokens it has", arguments: [true, false])
    func abandon(_ byName: Bool) throws {
        let session = try Tiny.session()
        var generation: Generation? = try Generation(session: session, prompt: Tiny.ids(0, to: 60), options: .endless)
        #expect(try generation?.next().isPrompt == true)
        if byName { generation?.abandon() }
        if byName { #expect(failure { _ = try generation?.next() }?.status == .invalidHandle) }
        generation = nil
        #expect(session.position == 48)
        #expect(try session.evaluate(Tiny.ids(48, to: 66)) == Tiny.expected(after: 66))
    }

    @Test("an error of a generation comes again, and the session is free")
    func errorAgain() throws {
        let session = try Tiny.session(20)
        let generation = try Generation(session: session, prompt: Tiny.ids(0, to: 30), options: .endless)
        let first = failure { _ = try generation.next() }
        #expect(first?.status == .contextFull)
        #expect(try session.evaluate(Tiny.ids(0, to: 5)) == Tiny.expected(after: 5))
        #expect(failure { _ = try generation.next() } == first)
        #expect(session.position == 5)
    }

    @Test("threads that poll one generation together get each event once, or busy")
    func polledByMany() throws {
        let session = try Tiny.session()
        var options = GenerationOptions()
        (options.maxTokens, options.ignoreEnd, options.seed) = (40, true, 11)
        let expected = try Tiny.session().events(Tiny.ids(0, to: 20)) { $0 = options }.ids
        let generation = try Generation(session: session, prompt: Tiny.ids(0, to: 20), options: options)
        let workers = (0..<4).map { _ in
            Worker { () throws -> [(Int, Int32)] in
                var tokens: [(Int, Int32)] = []
                while true {
                    do throws(KimiError) {
                        let event = try generation.next()
                        if event.isFinish { return tokens }
                        if let token = event.token { tokens.append((token.count, token.id)) }
                    } catch {
                        guard error.status == .busy else { throw error }
                        usleep(50)
                    }
                }
            }
        }
        let tokens = try workers.flatMap { try $0.wait() }.sorted { $0.0 < $1.0 }
        #expect(tokens.map(\.0) == Array(1...40))
        #expect(tokens.map(\.1) == expected)
    }

    // MARK: Cancel

    /// A session at work on 6,000 tokens on another thread; the status it ends with.
    private func startLong(_ session: Session) -> Worker<Status?> {
        Worker { failure { try session.evaluate(Tiny.ids) }?.status }
    }

    @Test("cancelled in the midst of 6,000 tokens, a session stops soon and goes on to the same bits")
    func cancel() throws {
        let session = try Tiny.session()
        let worker = startLong(session)
        #expect(eventually { session.position > 0 })
        session.cancellation.request()
        #expect(try worker.wait() == .cancelled)
        let position = session.position
        #expect(position > 0 && position < 6000 && position % 48 == 0)
        #expect(try session.ids() == Tiny.ids(0, to: position))
        let end = position + 100
        let fresh = try Tiny.session()
        #expect(try session.evaluate(Tiny.ids(position, to: end)) == fresh.evaluate(Tiny.ids(0, to: end)))
    }

    @Test("a wish from before a call does not count")
    func staleCancel() throws {
        let session = try Tiny.session()
        session.cancellation.request()
        #expect(try session.evaluate(Tiny.ids(0, to: 3)) == Tiny.expected(after: 3))
        session.cancellation.request()
        #expect(try session.events { ($0.maxTokens, $0.ignoreEnd) = (2, true) }.last?.reason == .length)
    }

    @Test("cancelled in a callback, a generation ends as cancelled and the session goes on", arguments: 1...4)
    func cancelInCallback(_ after: Int) throws {
        let session = try Tiny.session()
        var count = 0
        let error = failure {
            try session.generate(Tiny.ids(0, to: 60), options: .endless) { _ in
                count += 1
                if count == after { session.cancellation.request() }
                return true
            }
        }
        #expect(error?.status == .cancelled && count == after)
        let held = try session.ids()
        #expect(held.count == session.position)
        #expect(try session.evaluate([3]) == Tiny.session().evaluate(held + [3]))
    }

    @Test("cancelled between polls, a generation finishes as cancelled and the session is free", arguments: 0..<4)
    func cancelPolling(_ after: Int) throws {
        let session = try Tiny.session()
        let generation = try Generation(session: session, prompt: Tiny.ids(0, to: 60), options: .endless)
        for _ in 0..<after { _ = try generation.next() }
        session.cancellation.request()
        #expect(try generation.next().reason == .cancelled)
        #expect(try generation.next().reason == .cancelled)
        let held = try session.ids()
        #expect(held.count == [0, 48, 60, 61][after])
        #expect(try session.evaluate([3]) == Tiny.session().evaluate(held + [3]))
    }

    @Test("cancelled while all logits are wanted, a session does not keep logits of another place")
    func cancelWithinAll() throws {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(0, to: 48))
        let all = Worker { failure { try session.evaluate(Tiny.ids(48, to: 2000), all: true) }?.status }
        #expect(eventually { session.position > 48 })
        session.cancellation.request()
        #expect(try all.wait() == .cancelled)
        let held = try session.ids()
        #expect(held.count < 2000)
        let next = try session.events { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 1, true) }.ids
        #expect(next == [Int32(argmax(try Tiny.session().evaluate(held)))])
    }

    @Test("who waits for the model's work space can be cancelled")
    func cancelWaiting() throws {
        let model = try Tiny.open()
        let session = try Session(model: model)
        let (held, letGo) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let holder = Worker {
            try model.text.withStep { () throws(KimiError) in
                held.signal()
                letGo.wait()
            }
        }
        held.wait()
        let waiting = Worker { failure { try session.evaluate([1]) }?.status }
        usleep(20_000)
        #expect(!waiting.isDone)
        // Again and again: the first wish may come before the call, which does not count.
        #expect(eventually {
            session.cancellation.request()
            return waiting.isDone
        })
        letGo.signal()
        #expect(try waiting.wait() == .cancelled)
        try holder.wait()
        #expect(try session.evaluate(Tiny.ids(0, to: 9)) == Tiny.expected(after: 9))
    }

    @Test("a session gets its turn after the step that is running, not after another's whole prompt")
    func fair() throws {
        let model = try Tiny.open()
        let (steps, isOver) = (Shared(0), Shared(false))
        // Asks for the next step right after each of its steps, as a long prompt does.
        let busy = Worker {
            while !isOver.value {
                try model.text.withStep { () throws(KimiError) in
                    usleep(2000)
                    steps.value += 1
                }
            }
        }
        #expect(eventually { steps.value > 0 })
        var waits: [Int] = []
        for _ in 0..<15 {
            // The other one gets far enough to be in the midst of a step again.
            usleep(3000)
            let before = steps.value
            try model.text.withStep { () throws(KimiError) in waits.append(steps.value - before) }
        }
        isOver.value = true
        try busy.wait()
        // The middle one: a thread that the system takes off its core before it has asked counts for nothing.
        #expect(waits.sorted()[7] <= 2, "\(waits)")
    }

    // MARK: Many sessions

    @Test("sessions on many threads give the bits they give alone")
    func together() throws {
        let model = try Tiny.open { $0.chunkSize = 32 }
        let expected = try (0..<6).map { index in
            let alone = try Tiny.session()
            let logits = try alone.evaluate(Tiny.ids(index * 100, to: index * 100 + 90 + index))
            return (logits, try alone.events { ($0.seed, $0.maxTokens, $0.ignoreEnd, $0.topLogprobs) = (UInt64(index + 1), 20, true, 2) }.answer)
        }
        let workers = (0..<6).map { index in
            Worker { () throws -> ([Float], [String]) in
                let session = try Session(model: model)
                var logits: [Float] = []
                for _ in 0..<3 {
                    try session.reset()
                    try session.evaluate(Tiny.ids(index * 100, to: index * 100 + 40))
                    let fork = try session.fork()
                    try session.evaluate(Tiny.ids(900, to: 920))
                    logits = try fork.evaluate(Tiny.ids(index * 100 + 40, to: index * 100 + 90 + index))
                    try session.truncate(to: 40)
                    guard try session.evaluate(Tiny.ids(index * 100 + 40, to: index * 100 + 90 + index)) == logits else { return ([], []) }
                }
                return (logits, try session.events { ($0.seed, $0.maxTokens, $0.ignoreEnd, $0.topLogprobs) = (UInt64(index + 1), 20, true, 2) }.answer)
            }
        }
        for (index, worker) in workers.enumerated() {
            let (logits, answer) = try worker.wait()
            #expect(logits == expected[index].0 && answer == expected[index].1)
        }
    }

    @Test("forks of one session work at once on several threads")
    func forksTogether() throws {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(0, to: 100))
        let workers = try (0..<6).map { index in
            let fork = try session.fork()
            return Worker { () throws -> [Float] in
                let child = try fork.fork()
                try fork.evaluate(Tiny.ids(2000 + index, to: 2040))
                return try child.evaluate(Tiny.ids(100, to: 130 + index))
            }
        }
        try session.reset()
        for (index, worker) in workers.enumerated() { #expect(try worker.wait() == Tiny.expected(after: 130 + index)) }
    }

    @Test("a session outlives every other reference to its model, and takes it along when it goes")
    func outlives() throws {
        var model: Model? = try Tiny.open()
        weak let weakModel = model
        var session: Session? = try Session(model: try #require(model))
        model = nil
        #expect(try session?.evaluate(Tiny.ids(0, to: 70)) == Tiny.expected(after: 70))
        var fork = try session?.fork()
        session = nil
        #expect(try fork?.evaluate(Tiny.ids(70, to: 80)) == Tiny.expected(after: 80))
        #expect(weakModel != nil)
        fork = nil
        #expect(weakModel == nil)
    }
}
