import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Synchronization
import Testing

/// Sessions and the memory limit: one that grows past it gets an error, and all others go on.
struct BudgetTests {
    /// What the fixture's model takes when it is opened, and a block of 64 tokens, and a session's logits.
    struct Sizes {
        let own: Int
        let block: Int
        let logits: Int

        init(_ change: (inout Model.Options) -> Void = { _ in }) throws {
            let model = try Tiny.open(test: change)
            own = model.text.budget.used
            block = model.text.cache.blockBytes
            let session = try Session(model: model)
            try session.evaluate([1])
            logits = model.text.budget.used(.sessions)
        }
    }

    /// A model with room for so many blocks, and logits of so many sessions.
    private func open(blocks: Int, sessions: Int, _ change: (inout Model.Options) -> Void = { _ in }) throws -> Model {
        // Steps so short that they take the exact path.
        func short(_ options: inout Model.Options) {
            options.chunkSize = 48
            change(&options)
        }
        let sizes = try Sizes(short)
        return try Tiny.open {
            short(&$0)
            $0.memory.limit = sizes.own + blocks * sizes.block + sessions * sizes.logits
        }
    }

    @Test("the session that passes the limit fails and is as it was; the other goes on, and closing it makes room", arguments: [0, 10])
    func twoSessions(_ begun: Int) throws {
        // Samplers are as large as some logits; all that together is less than a block.
        let model = try open(blocks: 4, sessions: 6)
        var first: Session? = try Session(model: model)
        let second = try Session(model: model)
        try first?.evaluate(Tiny.ids(0, to: 150))
        var before: [Float] = []
        if begun > 0 { before = try second.evaluate(Tiny.ids(0, to: begun)) }

        let error = failure { try second.evaluate(Tiny.ids(begun, to: begun + 70)) }
        #expect(error?.status == .outOfMemory && error?.subject == "memory_limit")
        #expect(error?.message.contains("other sessions'") == true && error?.message.contains("latent caches") == true)
        #expect(try second.ids() == Tiny.ids(0, to: begun) && second.position == begun)
        if begun > 0 {
            // Its last logits are still to be had.
            #expect(try second.events() { ($0.maxTokens, $0.greedy) = (1, true) }.ids == [Int32(argmax(before))])
            try second.truncate(to: begun)
        }
        // The other one has room up to 192.
        #expect(try first?.evaluate(Tiny.ids(150, to: 192)) == Tiny.expected(after: 192))
        // And the one that failed to 64.
        #expect(try second.evaluate(Tiny.ids(begun, to: 64)) == Tiny.expected(after: 64))
        for session in [first, second] { #expect(failure { try session?.evaluate([1]) }?.status == .outOfMemory) }
        #expect(first?.position == 192 && second.position == 64)

        first = nil
        #expect(try second.evaluate(Tiny.ids(64, to: 200)) == Tiny.expected(after: 200))
    }

    @Test("a generation that comes to the limit ends in the error, with its tokens held, and goes on when there is room", arguments: [false, true])
    func generation(_ polled: Bool) throws {
        let model = try open(blocks: 2, sessions: 8)
        var other: Session? = try Session(model: model)
        try other?.evaluate(Tiny.ids(0, to: 20))
        let session = try Session(model: model)
        let options: (inout GenerationOptions) -> Void = { ($0.maxTokens, $0.greedy, $0.ignoreEnd) = (20, true, true) }
        let error = failure {
            _ = polled ? try session.polled(Tiny.ids(0, to: 60), options) : try session.events(Tiny.ids(0, to: 60), options)
        }
        #expect(error?.status == .outOfMemory)
        // The last token was chosen, and has no place in the cache yet.
        #expect(session.position == 65)
        other = nil
        let rest = try session.events([]) { ($0.maxTokens, $0.greedy, $0.ignoreEnd) = (15, true, true) }.ids
        let whole = try Tiny.session().events(Tiny.ids(0, to: 60), options).ids
        #expect(rest == Array(whole.suffix(15)))
    }

    @Test("a long prompt that cannot fit is refused before its first step")
    func prompts() throws {
        let model = try open(blocks: 4, sessions: 8)
        let session = try Session(model: model)
        #expect(failure { try session.evaluate(Tiny.ids(0, to: 257)) }?.status == .outOfMemory)
        var events = 0
        let error = failure {
            try session.generate(Tiny.ids(0, to: 257), options: GenerationOptions()) { _ in
                events += 1
                return true
            }
        }
        #expect(error?.status == .outOfMemory && events == 0)
        #expect(try session.snapshot().counts.steps == 0)
        #expect(try session.evaluate(Tiny.ids(0, to: 256)) == Tiny.expected(after: 256))
    }

    @Test("where others take the memory meanwhile, what the failed prompt took is given back")
    func taken() throws {
        let sizes = try Sizes()
        // The system has room, until the third block is asked for.
        let asked = Mutex(0)
        let free = 1 << 40
        let limit = Mutex(Int.max)
        let model = try Tiny.open {
            $0.chunkSize = 64
            $0.memory.available = {
                asked.withLock { $0 += 1 }
                return asked.withLock { $0 } > limit.withLock { $0 } ? 0 : free
            }
        }
        let session = try Session(model: model)
        try session.evaluate(Tiny.ids(0, to: 10))
        limit.withLock { $0 = asked.withLock { $0 } + 3 }
        #expect(failure { try session.evaluate(Tiny.ids(10, to: 300)) }?.status == .outOfMemory)
        #expect(session.position == 10)
        #expect(model.text.cache.usage.held == 1)
        limit.withLock { $0 = .max }
        #expect(try session.evaluate(Tiny.ids(10, to: 300)) == Tiny.expected(after: 300))
        #expect(model.text.budget.used(.cache) >= 5 * sizes.block)
    }

    @Test("loads and forks that do not fit leave all as it was")
    func loads() throws {
        let model = try open(blocks: 4, sessions: 3)
        let session = try Session(model: model)
        try session.evaluate(Tiny.ids(0, to: 150))
        let file = try SavedSession.saved(session)
        let other = try Session(model: model)
        try other.evaluate(Tiny.ids(0, to: 5))
        #expect(failure { try file.load(into: other) }?.status == .outOfMemory)
        #expect(try other.ids() == Tiny.ids(0, to: 5))
        // A fork shares blocks, and fails where it needs one of its own.
        let fork = try session.fork()
        #expect(failure { try fork.evaluate([7]) }?.status == .outOfMemory)
        #expect(try fork.ids() == Tiny.ids(0, to: 150))
        try other.reset()
        #expect(try fork.evaluate(Tiny.ids(150, to: 160)) == Tiny.expected(after: 160))
        #expect(try session.evaluate(Tiny.ids(150, to: 160)) == Tiny.expected(after: 160))
    }

    // MARK: Contexts

    @Test("a context that could never fit is refused with the longest that does, which then fits; the default reserves nothing")
    func contexts() throws {
        let model = try open(blocks: 3, sessions: 1)
        for limit in [193, 256, 5000, model.contextLimit] {
            let error = failure { _ = try Session(model: model, contextLimit: limit) }
            #expect(error?.status == .outOfMemory && error?.subject == "context_limit")
            #expect(error?.message.contains(" \(limit),") == true && error?.message.contains(" 192 tokens") == true, "\(String(describing: error))")
        }
        let session = try Session(model: model, contextLimit: 192)
        let unlimited = try Session(model: model)
        #expect(unlimited.contextLimit == model.contextLimit)
        #expect(model.text.budget.used(.cache) == 0 && model.text.budget.used(.sessions) == 0)
        #expect(try session.evaluate(Tiny.ids(0, to: 192)) == Tiny.expected(after: 192))
        #expect(failure { try unlimited.evaluate([1]) }?.status == .outOfMemory)
    }

    @Test("without a limit nothing is refused")
    func noLimit() throws {
        let model = try Tiny.open { $0.memory.available = { nil } }
        _ = try Session(model: model, contextLimit: model.contextLimit)
        #expect(model.text.longestContext == nil)
    }

    // MARK: What is said

    private struct Info: Decodable {
        struct Memory: Decodable {
            let limit: Int?
            let limit_from: String?
            let used: [String: Int]
            let available: Int?
        }
        let memory: Memory

        static func of(_ model: Model) throws -> Memory { try JSONDecoder().decode(Info.self, from: Data(model.info.utf8)).memory }
    }

    @Test("the model's information has limit, uses and what is left")
    func info() throws {
        let sizes = try Sizes { $0.chunkSize = 48 }
        let model = try open(blocks: 3, sessions: 1)
        var memory = try Info.of(model)
        #expect(memory.limit == sizes.own + 3 * sizes.block + sizes.logits && memory.limit_from == "memory_limit")
        #expect(Set(memory.used.keys) == ["weights", "tables", "workspace", "attention", "experts", "cache", "sessions", "features"])
        #expect(memory.used.values.reduce(0, +) == sizes.own)
        #expect(memory.available == 3 * sizes.block + sizes.logits)
        let session = try Session(model: model)
        try session.evaluate(Tiny.ids(0, to: 65))
        memory = try Info.of(model)
        #expect(memory.used["cache"] == 2 * sizes.block && memory.used["sessions"] == sizes.logits)
        #expect(memory.available == sizes.block)
        let free = try Info.of(try Tiny.open { $0.memory.available = { nil } })
        #expect(free.limit == nil && free.limit_from == nil && free.available == nil)
        // The machine's own, if nobody says otherwise.
        let here = try Info.of(try Tiny.open())
        #expect(here.limit ?? 0 > 1 << 28 && ["machine", "cgroup"].contains(here.limit_from) && here.available ?? 0 > 0)
    }

    @Test("a generation's sampler is given back with it")
    func samplers() throws {
        let model = try Tiny.open()
        let session = try Session(model: model)
        try session.evaluate([1])
        let before = model.text.budget.used(.sessions)
        do {
            let generation = try Generation(session: session, prompt: [2], options: GenerationOptions())
            #expect(model.text.budget.used(.sessions) > before)
            generation.abandon()
        }
        #expect(model.text.budget.used(.sessions) == before)
    }

    // MARK: Heat

    @Test("heat is saved whole or not at all, and is what the model says")
    func heat() throws {
        let model = try Tiny.open()
        try Session(model: model).evaluate(Tiny.ids(0, to: 20))
        let folder = try TemporaryFolder()
        let path = folder.path + "/heat.json"
        try folder.write("heat.json", "before")
        try model.saveHeat(to: path)
        let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
        #expect(text == (try model.heat()) + "\n")
        #expect(text.contains("\"counts\":[[0,0,"))
        for path in [folder.path + "/no/heat.json", folder.path, ""] {
            let error = failure { try model.saveHeat(to: path) }
            #expect(error?.status == (path.isEmpty ? .invalidArgument : .io))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["heat.json"])
    }
}
