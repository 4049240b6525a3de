import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// Cache blocks are given back.
struct MemoryTests {
    @Test("an idle session has little beside its cache", arguments: [false, true])
    func idle(endsItself: Bool) throws {
        let model = try Tiny.open { $0.memory.limit = 1 << 30 }
        let before = model.text.budget.used(.sessions)
        let first = try Session(model: model)
        try first.events(Tiny.ids(0, to: 10)) { ($0.maxTokens, $0.seed) = (4, 1) }
        let kept = model.text.budget.used(.sessions)
        var others: [Session] = []
        for index in 0..<20 {
            let session = try Session(model: model)
            // An end token is not kept; then nothing is pending, and the last logits would be at hand.
            let all = Array(0..<Int32(model.vocabularySize))
            try session.events(Tiny.ids(index, to: index + 10)) { options in
                (options.maxTokens, options.seed) = (4, 1)
                if endsItself { options.stopIDs = all }
            }
            others.append(session)
        }
        #expect(model.text.budget.used(.sessions) == kept && kept >= before)
        // It goes on as if it had kept them.
        let lone = try Session(model: Tiny.model)
        try lone.evaluate(others[3].ids())
        let next = try lone.events { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 5, true) }.ids
        #expect(try others[3].events { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 5, true) }.ids == next)
    }

    @Test("sessions hold as many blocks as their tokens need, share them with forks, and give them back")
    func blocks() throws {
        let model = try Tiny.open()
        func held() -> Int { model.text.cache.usage.held }
        var session: Session? = try Session(model: model)
        #expect(held() == 0)
        try session?.evaluate(Tiny.ids(0, to: 64))
        #expect(held() == 1)
        try session?.evaluate(Tiny.ids(64, to: 65))
        #expect(held() == 2)
        var fork = try session?.fork()
        #expect(held() == 2)
        // The block that both go on writing in is copied, the full one is not.
        try fork?.evaluate(Tiny.ids(65, to: 70))
        #expect(held() == 3)
        try session?.truncate(to: 64)
        #expect(held() == 2)
        try session?.truncate(to: 63)
        try session?.evaluate(Tiny.ids(500, to: 501))
        #expect(held() == 3)
        session = nil
        #expect(held() == 2)
        try fork?.reset()
        #expect(held() == 0)
        fork = nil
        #expect(model.text.cache.usage.idle <= 3)
    }

    @Test("failed loads and refused prompts hold no blocks")
    func failures() throws {
        let model = try Tiny.open()
        let session = try Session(model: model)
        try session.evaluate(Tiny.ids(0, to: 200))
        let file = try SavedSession.saved(session)
        try session.truncate(to: 10)
        #expect(model.text.cache.usage.held == 1)
        for place in [file.bytes.count - 1, file.bytes.count / 2, 80] {
            var damaged = file
            damaged.bytes[place] ^= 0x10
            #expect(failure { try damaged.load(into: session) } != nil)
            #expect(model.text.cache.usage.held == 1)
        }
        try file.load(into: session)
        #expect(model.text.cache.usage.held == 4)
    }

    @Test("1,000 forks, generations and loads leave as many blocks as before")
    func cycles() throws {
        let model = try Tiny.open { $0.contextLimit = 256 }
        let session = try Session(model: model)
        try session.evaluate(Tiny.ids(0, to: 65))
        let file = try SavedSession.saved(session)
        let expected = try Tiny.expected(after: 66)
        for cycle in 0..<1000 {
            let fork = try session.fork()
            switch cycle % 4 {
            case 0: #expect(try fork.evaluate(Tiny.ids(65, to: 66)) == expected)
            case 1: try fork.events([3]) { ($0.maxTokens, $0.seed) = (1, 1) }
            case 2: _ = try Generation(session: fork, prompt: [1, 2], options: GenerationOptions()).next()
            default: _ = try fork.fork().fork()
            }
        }
        for _ in 0..<50 { try file.load(into: session) }
        let usage = model.text.cache.usage
        #expect(usage.held == 2)
        #expect(usage.held + usage.idle <= 6, "\(usage)")
    }

    @Test("memory of idle blocks is bounded")
    func idleBlocks() throws {
        let model = try Tiny.open { $0.chunkSize = 256 }
        var sessions = try (0..<4).map { _ in try Session(model: model) }
        for session in sessions { try session.evaluate(Tiny.ids(0, to: 640)) }
        #expect(model.text.cache.usage.held == 40)
        sessions = []
        let usage = model.text.cache.usage
        #expect(usage.held == 0 && usage.idle * model.text.cache.blockBytes <= 256 << 20)
    }
}
