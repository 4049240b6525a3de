import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

struct GenerationOptionTests {
    struct Case: Sendable {
        let field: String
        let change: @Sendable (inout GenerationOptions) -> Void
        init(_ field: String, _ change: @escaping @Sendable (inout GenerationOptions) -> Void) {
            self.field = field
            self.change = change
        }
    }

    static let bad: [Case] = [
        Case("temperature") { $0.temperature = -0.001 }, Case("temperature") { $0.temperature = 100.001 },
        Case("temperature") { $0.temperature = .nan }, Case("temperature") { $0.temperature = .infinity },
        Case("top_p") { $0.topP = -0.1 }, Case("top_p") { $0.topP = 1.001 }, Case("top_p") { $0.topP = .nan },
        Case("min_p") { $0.minP = -0.1 }, Case("min_p") { $0.minP = 1.1 }, Case("min_p") { $0.minP = .nan },
        Case("repetition_penalty") { $0.repetitionPenalty = 0.009 }, Case("repetition_penalty") { $0.repetitionPenalty = 101 },
        Case("repetition_penalty") { $0.repetitionPenalty = .nan }, Case("repetition_penalty") { $0.repetitionPenalty = -1 },
        Case("presence_penalty") { $0.presencePenalty = 101 }, Case("presence_penalty") { $0.presencePenalty = -101 },
        Case("presence_penalty") { $0.presencePenalty = .nan }, Case("frequency_penalty") { $0.frequencyPenalty = 101 },
        Case("frequency_penalty") { $0.frequencyPenalty = -.infinity }, Case("frequency_penalty") { $0.frequencyPenalty = .nan },
        Case("top_k") { $0.topK = -1 }, Case("top_k") { $0.topK = .min },
        Case("max_tokens") { $0.maxTokens = 0 }, Case("max_tokens") { $0.maxTokens = .min },
        Case("top_logprobs") { $0.topLogprobs = 21 }, Case("top_logprobs") { $0.topLogprobs = -2 },
        Case("top_logprobs") { $0.topLogprobs = .max },
        Case("logit_bias") { $0.logitBias = [(100, 1)] }, Case("logit_bias") { $0.logitBias = [(-1, 1)] },
        Case("logit_bias") { $0.logitBias = [(0, .nan)] }, Case("logit_bias") { $0.logitBias = [(0, .infinity)] },
        Case("logit_bias") { $0.logitBias = (0..<100).map { ($0, -.infinity) } },
        Case("stop_ids") { $0.stopIDs = [1, 100] }, Case("stop_ids") { $0.stopIDs = [.min] },
        Case("stop_strings") { $0.stopStrings = [[]] }, Case("stop_strings") { $0.stopStrings = [[0xC3]] },
        Case("stop_strings") { $0.stopStrings = [[UInt8](repeating: 65, count: 4097)] },
        Case("stop_strings") { $0.stopStrings = [[UInt8]](repeating: [65], count: 65) },
    ]

    @Test("a value out of range is refused, and the field is named", arguments: bad.indices)
    func refused(_ index: Int) {
        var options = GenerationOptions()
        Self.bad[index].change(&options)
        let error = failure { try options.validate(vocabulary: 100) }
        #expect(error?.status == .invalidArgument)
        #expect(error?.subject == Self.bad[index].field)
        #expect(error?.message.contains(Self.bad[index].field) == true)
    }

    static let good: [Case] = [
        Case("defaults") { _ in }, Case("temperature") { $0.temperature = 0 }, Case("temperature") { $0.temperature = 100 },
        Case("top_p") { $0.topP = 0 }, Case("min_p") { $0.minP = 1 }, Case("repetition_penalty") { $0.repetitionPenalty = 0.01 },
        Case("repetition_penalty") { $0.repetitionPenalty = 100 }, Case("penalties") { ($0.presencePenalty, $0.frequencyPenalty) = (-100, 100) },
        Case("top_k") { $0.topK = .max }, Case("max_tokens") { $0.maxTokens = .max }, Case("top_logprobs") { $0.topLogprobs = 20 },
        Case("top_logprobs") { $0.topLogprobs = 0 }, Case("seed") { $0.seed = .max },
        Case("logit_bias") { $0.logitBias = [(99, -.infinity), (0, .greatestFiniteMagnitude)] },
        Case("logit_bias") { $0.logitBias = (0..<99).map { ($0, -.infinity) } + [(5, 1), (5, -.infinity)] },
        Case("stop_ids") { $0.stopIDs = [0, 99] },
        Case("stop_strings") { $0.stopStrings = [[UInt8]](repeating: [UInt8](repeating: 65, count: 4096), count: 64) },
    ]

    @Test("the ends of the ranges are in them", arguments: good.indices)
    func accepted(_ index: Int) throws {
        var options = GenerationOptions()
        Self.good[index].change(&options)
        try options.validate(vocabulary: 100)
    }

    @Test("a generation with a bad option or id computes nothing, by callback and by polling")
    func nothingComputed() throws {
        let session = try Tiny.session()
        let size = Int32(try Tiny.model.vocabularySize)
        for prompt in [[0, -1], [size], [.max, 0], [.min]] as [[Int32]] {
            let error = failure { try session.events(prompt) }
            #expect(error?.status == .invalidArgument && error?.subject == "ids")
            #expect(failure { _ = try session.polled(prompt) }?.status == .invalidArgument)
            #expect(failure { try session.evaluate(prompt) }?.status == .invalidArgument)
        }
        #expect(failure { try session.events([1]) { $0.topP = 2 } }?.subject == "top_p")
        #expect(try session.snapshot().counts.steps == 0)
        #expect(session.position == 0)
        #expect(try session.evaluate(Tiny.ids(0, to: 5)) == Tiny.expected(after: 5))
    }
}

struct ModelOptionTests {
    struct Case: Sendable {
        let field: String
        let status: Status
        let change: @Sendable (inout Model.Options) -> Void
        init(_ field: String, _ status: Status = .invalidArgument, _ change: @escaping @Sendable (inout Model.Options) -> Void) {
            self.field = field
            self.status = status
            self.change = change
        }
    }

    static let bad: [Case] = [
        Case("threads") { $0.threads = 0 }, Case("threads") { $0.threads = -1 }, Case("threads") { $0.threads = 4097 },
        Case("threads") { $0.threads = .max }, Case("chunk_size") { $0.chunkSize = 0 }, Case("chunk_size") { $0.chunkSize = 4097 },
        Case("chunk_size") { $0.chunkSize = .min }, Case("isa", .unsupported) { $0.isa = 5 }, Case("isa", .unsupported) { $0.isa = -1 },
        Case("isa", .unsupported) { $0.isa = .max }, Case("context_limit") { $0.contextLimit = 0 },
        Case("context_limit") { $0.contextLimit = -5 }, Case("context_limit") { $0.contextLimit = .max },
        Case("memory_limit") { $0.memory.limit = -1 }, Case("memory_limit") { $0.memory.limit = .min },
        Case("memory_limit", .outOfMemory) { $0.memory.limit = 0 }, Case("memory_limit", .outOfMemory) { $0.memory.limit = 1 << 16 },
        Case("nodes") { $0.memory.nodes = 0 }, Case("nodes") { $0.memory.nodes = 65 }, Case("nodes") { $0.memory.nodes = .min },
        Case("replicate_bytes") { $0.memory.replicateBytes = -1 }, Case("resident_bytes") { $0.memory.residentBytes = .min },
        Case("heat") { $0.memory.heat = "" },
    ]

    @Test("a value out of range is refused, and the option is named", arguments: bad.indices)
    func refused(_ index: Int) {
        let test = Self.bad[index]
        let error = failure { _ = try Tiny.open(test: test.change) }
        #expect(error?.status == test.status)
        #expect(error?.subject == test.field)
    }

    @Test("an instruction set that is not to be had is named, with the best there is", arguments: [(5, "neon"), (77, "level 77")])
    func instructionSet(_ isa: Int32, name: String) throws {
        let best = try Tiny.open { $0.threads = 1 }.text.isaName
        let error = failure { _ = try Tiny.open { $0.isa = isa } }
        #expect(error?.message == "isa is \(name); this processor runs \(best) at most")
        #expect(error?.status == .unsupported && error?.subject == "isa")
    }

    @Test("rows are counted on the path they took")
    func rows() throws {
        let session = try Session(model: try Tiny.open { $0.exact = true })
        try session.evaluate(Tiny.ids(0, to: 300))
        try session.evaluate(Tiny.ids(300, to: 301))
        let counts = try session.snapshot().counts
        #expect(counts.exactRows == 301 && counts.fastRows == 0)
        #expect(session.model.info.contains("\"exact\":true"))
    }

    @Test("long chunks of a prompt take the fast path, short ones and single tokens the exact one")
    func paths() throws {
        let session = try Session(model: try Tiny.open { _ in })
        try session.evaluate(Tiny.ids(0, to: 159))
        #expect(try session.snapshot().counts.fastRows == 0)
        try session.evaluate(Tiny.ids(159, to: 330))
        try session.evaluate(Tiny.ids(330, to: 331))
        let counts = try session.snapshot().counts
        #expect(counts.exactRows == 160 && counts.fastRows == 171)
        #expect(session.model.info.contains("\"exact\":false"))
    }

    @Test("the context limit of the model bounds that of its sessions")
    func contextLimit() throws {
        let model = try Tiny.open { $0.contextLimit = 100 }
        #expect(model.contextLimit == 100)
        let session = try Session(model: model)
        try session.evaluate(Tiny.ids(0, to: 100))
        #expect(failure { try session.evaluate([1]) }?.status == .contextFull)
        for limit in [0, -1, 101, .max, .min] {
            let error = failure { _ = try Session(model: model, contextLimit: limit) }
            #expect(error?.status == .invalidArgument && error?.subject == "context_limit")
        }
        #expect(model.info.contains("\"context_limit\":100"))
    }

    @Test("a rounded cache takes a part of the memory and stays close", arguments: [(CacheType.bf16, 2), (.int8, 3)])
    func rounded(_ type: CacheType, part: Int) throws {
        let model = try Tiny.open { $0.cacheType = type }
        let session = try Session(model: model)
        let logits = try session.evaluate(Tiny.ids(0, to: 130))
        let exact = try Tiny.expected(after: 130)
        #expect(logits != exact)
        #expect(argmax(logits) == argmax(exact))
        let other = try Tiny.session()
        try other.evaluate(Tiny.ids(0, to: 130))
        // Blocks are whole pages.
        #expect(try session.snapshot().cacheBytes * part <= other.snapshot().cacheBytes + 3 * part * 4096)
        // And its own sessions agree bit for bit.
        let fork = try session.fork()
        try session.truncate(to: 70)
        #expect(try session.evaluate(Tiny.ids(70, to: 140)) == fork.evaluate(Tiny.ids(130, to: 140)))
        #expect(model.info.contains("\"cache_type\":\"\(type.name)\""))
    }

    @Test("chunk size, threads and load policy do not change a bit", arguments: [(1, 1), (7, 2), (300, 3), (4096, 2)], [LoadPolicy.map, .copy])
    func same(_ sizes: (chunk: Int, threads: Int), policy: LoadPolicy) throws {
        let model = try Tiny.open { ($0.chunkSize, $0.threads, $0.loadPolicy) = (sizes.chunk, sizes.threads, policy) }
        #expect(try Session(model: model).evaluate(Tiny.ids(0, to: 150)) == Tiny.expected(after: 150))
    }

    @Test("progress is told, and can stop the opening", arguments: [LoadPolicy.map, .copy])
    func progress(_ policy: LoadPolicy) throws {
        var options = Model.Options()
        options.loadPolicy = policy
        var calls: [(Int, Int)] = []
        _ = try Model(folder: Fixtures.path("tiny-kimi"), options: options) { calls.append(($0, $1)) }
        #expect(calls.last.map { $0.0 == $0.1 } == true)
        #expect(zip(calls, calls.dropFirst()).allSatisfy { $0.1 != $1.1 || $0.0 <= $1.0 })
        let error = failure {
            _ = try Model(folder: Fixtures.path("tiny-kimi"), options: options) { (_, _) throws(KimiError) in
                throw KimiError(.cancelled, "enough")
            }
        }
        #expect(error == KimiError(.cancelled, "enough"))
    }
}

extension Tiny {
    static func open(test change: (inout Model.Options) -> Void) throws -> Model { try open(Fixtures.path("tiny-kimi"), change) }
}

func argmax(_ values: [Float]) -> Int { values.indices.max { values[$0] < values[$1] } ?? -1 }
