import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import Synchronization
import Testing

/// The account of memory by itself, and what opening a model asks of it.
struct MemoryBudgetTests {
    private static func budget(_ bytes: Int) -> MemoryBudget {
        MemoryBudget(limit: MemoryBudget.Limit(bytes: bytes, source: .option))
    }

    @Test("what is charged is used, by kind, until it is given back; what does not fit changes nothing")
    func account() throws {
        let budget = Self.budget(1000)
        try budget.charge(600, for: .weights, what: "a")
        try budget.charge(400, for: .cache, what: "b")
        #expect(budget.used == 1000 && budget.used(.weights) == 600 && budget.used(.cache) == 400 && budget.available == 0)
        let error = failure { try budget.charge(1, for: .sessions, what: "c") }
        #expect(error?.status == .outOfMemory && error?.subject == "memory_limit")
        for words in ["c needs 1 bytes", "limit of 1000 bytes (memory_limit)", "0 bytes left", "weights 600 bytes, latent caches 400 bytes"] {
            #expect(error?.message.contains(words) == true, "\(words) in \(String(describing: error))")
        }
        #expect(budget.used == 1000 && budget.used(.sessions) == 0)
        budget.release(400, for: .cache)
        try budget.check(400, for: .cache, what: "d")
        #expect(budget.used == 600 && budget.available == 400)
        #expect(failure { try budget.check(401, for: .cache, what: "d") }?.status == .outOfMemory)
        #expect(failure { try budget.charge(.max, for: .cache, what: "d") }?.status == .outOfMemory)
        try budget.charge(0, for: .cache, what: "nothing")
    }

    @Test("without a limit everything fits")
    func unlimited() throws {
        let budget = MemoryBudget()
        try budget.charge(1 << 50, for: .weights, what: "a")
        #expect(budget.limit == nil && budget.available == nil && budget.used == 1 << 50)
    }

    @Test("of several limits the smallest holds, and says whose it is", arguments: [
        (nil, nil, nil, nil), (5, nil, 5, "memory_limit"), (nil, 7, 7, "cgroup"), (5, 7, 5, "memory_limit"), (9, 7, 7, "cgroup"),
    ] as [(Int?, Int?, Int?, String?)])
    func limits(_ option: Int?, _ process: Int?, bytes: Int?, source: String?) {
        var options = MemoryOptions()
        options.limit = option
        options.processLimit = process.map { MemoryBudget.Limit(bytes: $0, source: .cgroup) }
        let limit = options.budget().limit
        #expect(limit?.bytes == bytes && limit?.source.rawValue == source)
    }

    private static let megabyte = 1 << 20

    @Test("a reserve of what the system has to give stays free, and what was granted but not written to counts as gone")
    func system() throws {
        let free = Mutex(100 * Self.megabyte)
        let budget = MemoryBudget(available: { free.withLock { $0 } })
        // 64 MiB stay free.
        let error = failure { try budget.charge(36 * Self.megabyte + 1, for: .cache, what: "a") }
        #expect(error?.status == .outOfMemory && error?.subject == "memory")
        #expect(error?.message.contains("36.0 MiB to give") == true && error?.message.contains("64.0 MiB") == true)
        try budget.charge(30 * Self.megabyte, for: .cache, what: "a")
        #expect(budget.available == 6 * Self.megabyte)
        #expect(failure { try budget.charge(7 * Self.megabyte, for: .cache, what: "b") } != nil)
        // Written to: now the system itself has less.
        budget.touched(30 * Self.megabyte)
        free.withLock { $0 -= 30 * Self.megabyte }
        #expect(budget.available == 6 * Self.megabyte)
        try budget.charge(6 * Self.megabyte, for: .cache, what: "c")
        #expect(budget.used == 36 * Self.megabyte)
        // Others take all there is.
        free.withLock { $0 = 0 }
        #expect(budget.available == 0)
        #expect(failure { try budget.charge(1, for: .cache, what: "d") }?.status == .outOfMemory)
    }

    @Test("what is kept for later is given up before a charge fails, and only then")
    func shortage() throws {
        let budget = Self.budget(1000)
        let kept = Mutex(0)
        let calls = Mutex(0)
        try budget.charge(300, for: .cache, what: "kept")
        kept.withLock { $0 = 300 }
        budget.onShortage { _ in
            calls.withLock { $0 += 1 }
            let bytes = kept.withLock { kept in defer { kept = 0 }; return kept }
            budget.release(bytes, for: .cache)
        }
        try budget.charge(700, for: .weights, what: "a")
        #expect(calls.withLock { $0 } == 0)
        try budget.charge(300, for: .weights, what: "b")
        #expect(calls.withLock { $0 } == 1 && budget.used(.cache) == 0 && budget.used == 1000)
        #expect(failure { try budget.charge(1, for: .weights, what: "c") } != nil)
    }

    @Test("charges of many threads never pass the limit together")
    func threads() {
        let budget = Self.budget(1000)
        let most = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            for round in 0..<2000 {
                let bytes = 1 + round * 37 % 400
                guard (try? budget.charge(bytes, for: .cache, what: "a")) != nil else { continue }
                most.withLock { $0 = max($0, budget.used) }
                budget.release(bytes, for: .cache)
            }
        }
        #expect(most.withLock { (1...1000).contains($0) } && budget.used == 0)
    }

    // MARK: Opening

    struct Way: Sendable, CustomTestStringConvertible {
        let policy: LoadPolicy
        let dense: DenseFormat
        var testDescription: String { "\(policy) \(dense)" }
    }
    static let ways = [
        Way(policy: .map, dense: .stored), Way(policy: .copy, dense: .stored), Way(policy: .map, dense: .int8),
        Way(policy: .copy, dense: .int8),
    ]

    private func open(_ way: Way, _ change: (inout TextModel.Options) -> Void) throws -> TextModel {
        var options = TextModel.Options()
        (options.threads, options.loadPolicy, options.dense) = (2, way.policy, way.dense)
        change(&options)
        return try TextModel(
            checkpoint: try Checkpoint(folder: Fixtures.path("tiny-kimi")), topology: try Topology.current(), options: options)
    }

    @Test("opening takes what it says to the byte; with one less it is refused, and what is proposed helps", arguments: ways)
    func opening(_ way: Way) throws {
        let model = try open(way) { _ in }
        let used = model.budget.used
        #expect(model.budget.used(.weights) == model.weightBytes.copied + model.weightBytes.converted)
        #expect((model.budget.used(.weights) == 0) == (way.policy == .map && way.dense == .stored))
        for kind in [MemoryBudget.Kind.tables, .workspace, .attention] { #expect(model.budget.used(kind) > 0) }
        for kind in [MemoryBudget.Kind.cache, .experts, .sessions] { #expect(model.budget.used(kind) == 0) }
        #expect(try open(way) { $0.memory.limit = used }.budget.available == 0)

        for limit in [used - 1, used * 2 / 3] {
            let error = failure { _ = try open(way) { $0.memory.limit = limit } }
            #expect(error?.status == .outOfMemory && error?.subject == "memory_limit", "\(String(describing: error))")
            let message = try #require(error?.message)
            #expect(message.contains("a memory_limit of \(used) bytes"), "\(message)")
            if let found = message.firstMatch(of: /chunk_size (\d+)/), let rows = Int(found.1) {
                #expect(try open(way) { ($0.memory.limit, $0.maxRows) = (limit, rows) }.maxRows == rows)
                #expect(failure { _ = try open(way) { ($0.memory.limit, $0.maxRows) = (limit, rows + 1) } } != nil)
            }
            if message.contains("dense stored") { _ = try open(Way(policy: way.policy, dense: .stored)) { $0.memory.limit = limit } }
            if message.contains("load_policy map") { _ = try open(Way(policy: .map, dense: way.dense)) { $0.memory.limit = limit } }
            #expect(limit < used - 1 || message.contains("chunk_size"))
        }
    }

    @Test("the limit of a cgroup is named, and no option proposed that is not there")
    func cgroup() throws {
        let error = failure {
            _ = try open(Self.ways[0]) {
                $0.memory.processLimit = MemoryBudget.Limit(bytes: 5000, source: .cgroup)
                $0.maxRows = 1
            }
        }
        #expect(error?.status == .outOfMemory && error?.subject == "memory")
        #expect(error?.message.contains("4.88 KiB (of the cgroup)") == true && error?.message.contains("memory_limit") == false)
    }

    @Test("opening is refused where the system has not enough to give")
    func opensWithinTheSystem() throws {
        let model = try open(Self.ways[1]) { _ in }
        let needed = model.budget.used + 64 * Self.megabyte
        _ = try open(Self.ways[1]) { $0.memory.available = { needed } }
        let error = failure { _ = try open(Self.ways[1]) { $0.memory.available = { needed - 1 } } }
        #expect(error?.status == .outOfMemory && error?.message.contains("more free memory") == true)
    }

    @Test("room for experts is still to be taken until they are read into it, and no longer")
    func filledSlots() throws {
        let system = Mutex(1 << 40)
        let model = try open(Way(policy: .stream, dense: .stored)) {
            // All that is touched by rows is touched by one.
            ($0.maxRows, $0.memory.residentBytes, $0.memory.available) = (1, 400_000, { system.withLock { $0 } })
        }
        let (experts, block) = (model.budget.used(.experts), model.cache.blockBytes)
        #expect(experts > 0)
        func leave(_ bytes: Int) { system.withLock { $0 = bytes + 64 * Self.megabyte } }
        let first = try TokenSequence(pool: model.cache, contextLimit: 1000)
        leave(experts + block - 1)
        #expect(failure { try first.prepare(1) }?.status == .outOfMemory)
        system.withLock { $0 = 1 << 40 }
        let harness = try Harness(model)
        _ = try harness.evaluate(Array(InvarianceTests.ids.prefix(40)))
        leave(block - 1)
        #expect(failure { try first.prepare(1) }?.status == .outOfMemory)
        leave(block)
        try first.prepare(1)
        // Its block has not been an idle one that `first` could have taken.
        withExtendedLifetime(harness) {}
    }

    // MARK: Sequences

    @Test("a prompt that does not fit takes no block; idle blocks serve it, and are given up for others")
    func blocks() throws {
        let model = try open(Self.ways[0]) { _ in }
        let (own, block) = (model.budget.used, model.cache.blockBytes)
        let limited = try open(Self.ways[0]) { $0.memory.limit = own + 4 * block }
        let first = try TokenSequence(pool: limited.cache, contextLimit: 1000)
        let second = try TokenSequence(pool: limited.cache, contextLimit: 1000)
        try first.prepare(190)
        #expect(limited.budget.used(.cache) == 3 * block)
        let error = failure { try second.prepare(65) }
        #expect(error?.status == .outOfMemory && error?.message.contains("other sessions'") == true)
        #expect(limited.cache.usage.held == 3 && second.cacheBytes == 0)
        #expect(failure { try second.checkRoom(for: 65) }?.status == .outOfMemory)
        try second.checkRoom(for: 64)
        #expect(limited.budget.used(.cache) == limited.cache.usage.held * block + limited.cache.usage.idle * block)
        var ids = [Int32](repeating: 1, count: 190)
        ids.withUnsafeMutableBufferPointer { first.append(UnsafeBufferPointer($0)) }
        first.truncate(to: 0)
        #expect(limited.cache.usage.held == 0 && limited.cache.usage.idle >= 3)
        try second.prepare(256)
        #expect(limited.cache.usage.held == 4)
        #expect(failure { try second.prepare(257) }?.status == .outOfMemory)
        #expect(limited.cache.usage.held == 4)
        first.truncate(to: 0)
    }

    @Test("what is more than is kept for later leaves the account")
    func givenBack() throws {
        let model = try open(Self.ways[0]) { _ in }
        var sequences = try (0..<30).map { _ in try TokenSequence(pool: model.cache, contextLimit: 8192) }
        for sequence in sequences { try sequence.prepare(8192) }
        let (own, kept) = (30 * 128 * model.cache.blockBytes, 256 << 20)
        #expect(own > kept && model.budget.used(.cache) == own)
        sequences = []
        let idle = model.cache.usage.idle * model.cache.blockBytes
        #expect(idle > 0 && idle <= kept && model.budget.used(.cache) == idle)
    }
}

private func failure(_ body: () throws -> Void) -> KimiError? {
    do { try body() } catch { return error as? KimiError }
    return nil
}
