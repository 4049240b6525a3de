import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// Sessions that compute at the same time.
@Suite("Many sessions at once")
struct StepLoopTests {
    /// What a session does: its prompt, and how many tokens it is to make.
    struct Task: Sendable {
        let prompt: [Int32]
        let tokens: Int
        let temperature: Float
    }

    static func tasks(_ count: Int, seed: UInt64) -> [Task] {
        var random = SplitMix(seed)
        return (0..<count).map { index in
            let first = Int(random.next() % 4000), length = 1 + Int(random.next() % 130)
            return Task(
                prompt: Tiny.ids(first, to: first + length), tokens: 1 + Int(random.next() % 24), temperature: index % 2 == 0 ? 0 : 0.8)
        }
    }

    static func tokens(_ task: Task, _ model: Model) throws -> [Int32] {
        try Session(model: model).events(task.prompt) {
            ($0.maxTokens, $0.ignoreEnd, $0.seed) = (task.tokens, true, 7)
            if task.temperature == 0 { $0.greedy = true } else { $0.temperature = task.temperature }
        }.ids
    }

    @Test("each gets the tokens that it gets alone", arguments: [2, 24], [DecodeBits.exact, .eight])
    func alike(_ count: Int, bits: DecodeBits) throws {
        let model = try Tiny.open { ($0.chunkSize, $0.decodeBits) = (48, bits) }
        let tasks = Self.tasks(count, seed: UInt64(count))
        let alone = try tasks.map { try Self.tokens($0, model) }
        let together = try tasks.map { task in Worker { try Self.tokens(task, model) } }.map { try $0.wait() }
        #expect(together == alone)
        #expect(model.loop.report.waiting == 0)
    }

    /// Sessions that each have a prompt and are to generate, while the model is held, so that all of them ask for the same step.
    private func together<T: Sendable>(
        _ model: Model, _ count: Int, waiting: Int? = nil, _ body: @escaping @Sendable (Int, Session) throws -> T
    ) throws -> [Worker<T>] {
        let sessions = try (0..<count).map { index in
            let session = try Session(model: model)
            try session.evaluate(Tiny.ids(100 * index, to: 100 * index + 9))
            return session
        }
        var workers: [Worker<T>] = []
        try model.text.withStep { () throws(KimiError) in
            workers = sessions.enumerated().map { index, session in Worker { try body(index, session) } }
            // One leads, and waits for the model itself.
            #expect(eventually { model.loop.report.waiting == count - 1 })
        }
        return workers
    }

    @Test("what is asked for at the same time is one step")
    func shared() throws {
        let model = try Tiny.open()
        let workers = try together(model, 24) { _, session in
            try session.events { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 6, true) }.ids
        }
        let found = try workers.map { try $0.wait() }
        #expect(model.loop.report.mostWorks >= 23)
        for (index, ids) in found.enumerated() {
            let alone = try Session(model: model).events(Tiny.ids(100 * index, to: 100 * index + 9)) {
                ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 6, true)
            }
            #expect(alone.ids == ids)
        }
    }

    @Test("one that is cancelled while others wait or compute with it ends, and they go on", arguments: [0, 5, 11])
    func cancelled(_ which: Int) throws {
        let model = try Tiny.open()
        let cancelling = Shared<Session?>(nil)
        let workers = try together(model, 12) { index, session in
            if index == which { cancelling.value = session }
            var options = GenerationOptions()
            (options.greedy, options.maxTokens, options.ignoreEnd) = (true, index == which ? 100_000 : 40, true)
            var count = 0
            let status = failure {
                try session.generate([], options: options) { event in
                    if event.token != nil { count += 1 }
                    return true
                }
            }?.status
            return (count, status)
        }
        #expect(eventually { cancelling.value.map { $0.position > 12 } ?? false })
        cancelling.value?.cancellation.request()
        for (index, worker) in workers.enumerated() {
            let (count, status) = try worker.wait()
            #expect(index == which ? status == .cancelled : status == nil && count == 40, "\(index)")
        }
        #expect(model.loop.report.waiting == 0)
    }

    @Test("a session whose host is slow delays the others by a part of a step, once")
    func slowHost() throws {
        let model = try Tiny.open()
        let release = Shared(false)
        let workers = try together(model, 6) { index, session in
            var options = GenerationOptions()
            (options.greedy, options.maxTokens, options.ignoreEnd) = (true, 30, true)
            var count = 0
            try session.generate([], options: options) { event in
                if event.token != nil { count += 1 }
                if index == 0, count == 3 { while !release.value { usleep(1000) } }
                return true
            }
            return count
        }
        for worker in workers.dropFirst() { #expect(try worker.wait() == 30) }
        release.value = true
        #expect(try workers[0].wait() == 30)
    }

    // MARK: Which work is next

    // Never read or written: only how many there are counts.
    nonisolated(unsafe) private static let ids = UnsafeMutablePointer<Int32>.allocate(capacity: 8192)

    private func work(_ kind: StepWork.Kind, rows: Int, ticket: UInt64, priority: Int = 0) -> StepWork {
        let work = StepWork(cancellation: Cancellation(), priority: priority)
        (work.kind, work.ids, work.ticket) = (kind, UnsafeBufferPointer(start: Self.ids, count: rows), ticket)
        work.state = .waiting
        return work
    }

    @Test("a prompt of 6,000 tokens among 32 that generate: each waits for one of its chunks between two tokens, at most")
    func longPrompt() {
        var choice = StepChoice(mostRows: 512, fastRows: 160, cheapRows: 32)
        var waiting = (0..<32).map { work(.decode, rows: 1, ticket: UInt64($0)) }
        var ticket: UInt64 = 100
        var left = 6000
        var (prompts, passes, tokens) = (0, 0, 0)
        var pass: [StepWork] = []
        waiting.append(work(.prompt, rows: 512, ticket: ticket))
        while left > 0, passes < 1000 {
            choice.choose(from: &waiting, into: &pass)
            passes += 1
            #expect(!pass.isEmpty && pass.reduce(0) { $0 + $1.rows } <= 512)
            let isPrompt = pass.contains { $0.kind == .prompt }
            prompts = isPrompt ? prompts + 1 : 0
            #expect(prompts <= 1, "two chunks without a token between")
            tokens += pass.count { $0.kind == .decode }
            for done in pass {
                ticket += 1
                if done.kind == .prompt { left -= done.rows }
                let rows = done.kind == .decode ? 1 : min(512, left)
                if rows > 0 { waiting.append(work(done.kind, rows: rows, ticket: ticket)) }
            }
        }
        #expect(left == 0 && tokens >= 32 * 11, "the prompt is done, and the others went on")
    }

    @Test("order: by priority, then as asked for; nobody waits for ever")
    func order() {
        var choice = StepChoice(mostRows: 4, fastRows: .max, cheapRows: 4)
        var waiting = [work(.prompt, rows: 3, ticket: 1), work(.prompt, rows: 3, ticket: 2, priority: 1), work(.prompt, rows: 3, ticket: 3)]
        var pass: [StepWork] = []
        var order: [UInt64] = []
        while !waiting.isEmpty {
            choice.choose(from: &waiting, into: &pass)
            order += pass.map(\.ticket)
        }
        #expect(order == [2, 1, 3])
        // Those of high priority never stop coming.
        let low = work(.prompt, rows: 3, ticket: 4)
        waiting = [low]
        var passes = 0
        while low.state == .waiting, passes < 100 {
            waiting.append(work(.prompt, rows: 3, ticket: UInt64(10 + passes), priority: 100))
            choice.choose(from: &waiting, into: &pass)
            passes += 1
        }
        #expect(passes == StepChoice.mostPassed + 1)
    }

    @Test("whatever waits, a pass has what fits, of one precision", arguments: 0..<40)
    func passes(seed: UInt64) {
        var random = SplitMix(seed)
        var choice = StepChoice(mostRows: 256, fastRows: 100, cheapRows: 16)
        var waiting: [StepWork] = []
        var pass: [StepWork] = []
        var (asked, done) = (0, 0)
        for ticket in 0..<200 {
            for _ in 0..<random.next() % 4 {
                let isDecode = random.next() % 3 == 0
                waiting.append(work(
                    isDecode ? .decode : .prompt, rows: isDecode ? 1 : 1 + Int(random.next() % 256), ticket: UInt64(asked),
                    priority: Int(random.next() % 3)))
                asked += 1
            }
            if waiting.isEmpty { continue }
            choice.choose(from: &waiting, into: &pass)
            #expect(!pass.isEmpty, "at \(ticket)")
            #expect(pass.reduce(0) { $0 + $1.rows } <= 256)
            let isFast = Set(pass.map { $0.kind == .prompt && $0.rows >= 100 })
            #expect(isFast.count == 1, "rows of two precisions in one pass")
            #expect(waiting.allSatisfy { $0.state == .waiting } && pass.allSatisfy { $0.state == .running })
            done += pass.count
        }
        #expect(done + waiting.count == asked)
    }
}
