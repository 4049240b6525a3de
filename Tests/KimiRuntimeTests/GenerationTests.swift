import Foundation
import KimiCore
import KimiRuntime
import KimiTestSupport
import KimiTokenizer
import Testing

struct GenerationTests {
    static let prompt = Tiny.ids(0, to: 60)
    static let greedy: @Sendable (inout GenerationOptions) -> Void = { ($0.greedy, $0.maxTokens, $0.ignoreEnd) = (true, 12, true) }

    /// The greedy continuation, found without a generation: evaluate, take the largest, evaluate.
    static let expectedGreedy = Result { () throws -> [Int32] in
        let session = try Tiny.session()
        var ids: [Int32] = []
        var logits = try session.evaluate(prompt)
        for _ in 0..<12 {
            ids.append(Int32(argmax(logits)))
            logits = try session.evaluate([ids[ids.count - 1]])
        }
        return ids
    }

    @Test("greedy generation equals evaluating the largest logit again and again")
    func greedyTokens() throws {
        let events = try Tiny.session().events(Self.prompt, Self.greedy)
        #expect(events.ids == (try Self.expectedGreedy.get()))
        #expect(events.last?.reason == .length)
        #expect(events.last?.endID == nil)
        #expect(events.compactMap { $0.token?.count } == Array(1...12))
    }

    @Test("events by callback and by polling are the same", arguments: 0..<6)
    func pollingEqualsCallback(_ seed: Int) throws {
        let options: (inout GenerationOptions) -> Void = {
            ($0.seed, $0.maxTokens, $0.topLogprobs, $0.temperature) = (UInt64(seed + 1), 40, 3, 1.5)
            $0.stopStrings = [Array("e".utf8), Array("th".utf8)].suffix(seed % 3)
        }
        let called = try Tiny.session().events(Self.prompt, options)
        let polled = try Tiny.session().polled(Self.prompt, options)
        #expect(called.map { "\($0)" } == polled.map { "\($0)" })
        #expect(called.last?.isFinish == true)
        #expect(called.count { $0.isFinish } == 1)
    }

    @Test("chunk sizes change the PROMPT events and nothing else", arguments: [1, 7, 60, 4096])
    func chunks(_ size: Int) throws {
        let options: (inout GenerationOptions) -> Void = { ($0.seed, $0.maxTokens, $0.topLogprobs) = (9, 20, 2) }
        let expected = try Tiny.session().events(Self.prompt, options)
        let model = try Tiny.open { $0.chunkSize = size }
        let found = try Session(model: model).events(Self.prompt, options)
        #expect(found.answer == expected.answer)
        let prompts: [(Int, Int)] = found.compactMap { if case .prompt(let done, let total) = $0 { (done, total) } else { nil } }
        #expect(prompts.map(\.0) == Array(stride(from: size, to: 60, by: size)) + [60])
        #expect(prompts.allSatisfy { $0.1 == 60 })
        #expect(found.firstIndex { !$0.isPrompt } == prompts.count, "all PROMPT events come first")
    }

    @Test("equal seeds give equal generations, and no seed different ones")
    func seeds() throws {
        func ids(_ seed: UInt64?) throws -> [Int32] {
            try Tiny.session().events(Self.prompt) { ($0.seed, $0.maxTokens, $0.ignoreEnd) = (seed, 30, true) }.ids
        }
        #expect(try ids(5) == ids(5))
        #expect(try ids(5) != ids(6))
        #expect(try ids(nil) != ids(nil))
    }

    @Test("the host's rounding mode does not matter, and stays as it is", arguments: [Int32(0x400), 0x800, 0xC00])
    func rounding(_ mode: Int32) throws { // downward, upward, towards zero on x86-64
        let options: @Sendable (inout GenerationOptions) -> Void = {
            ($0.seed, $0.maxTokens, $0.topLogprobs, $0.topP, $0.repetitionPenalty, $0.temperature) = (8, 30, 5, 0.95, 1.1, 0.9)
        }
        let expected = try Tiny.session().events(Self.prompt, options).answer
        // On a thread of its own: the mode is the thread's.
        let found = try Worker { () throws -> ([String], Int32) in
            fesetround(mode)
            let session = try Tiny.session()
            var modes: Set<Int32> = []
            var events: [GenerationEvent] = []
            var chosen = GenerationOptions()
            options(&chosen)
            try session.generate(Self.prompt, options: chosen) {
                modes.insert(fegetround())
                events.append($0)
                return true
            }
            let after = fegetround()
            fesetround(0)
            return (events.answer, modes == [mode] && after == mode ? mode : -1)
        }.wait()
        #expect(found.0 == expected)
        #expect(found.1 == mode, "callbacks run with the host's mode")
    }

    // MARK: What the session holds afterwards

    @Test("afterwards the session holds prompt and generated tokens, and goes on as if they had been evaluated", arguments: [1, 4, 5, 12])
    func pending(_ count: Int) throws {
        let session = try Tiny.session()
        let events = try session.events(Self.prompt) { Self.greedy(&$0); $0.maxTokens = count }
        let held = Self.prompt + events.ids
        #expect(session.position == 60 + count)
        #expect(try session.ids() == held)
        let more = Tiny.ids(700, to: 710)
        let fork = try session.fork()
        let expected = try Tiny.session().evaluate(held + more)
        #expect(try session.evaluate(more) == expected)
        #expect(try session.ids() == held + more)
        // A fork made while the token was pending has it too.
        #expect(fork.position == 60 + count)
        #expect(try fork.evaluate(more, all: true).suffix(expected.count) == expected[...])
    }

    @Test("generating in parts is generating at once")
    func parts() throws {
        let session = try Tiny.session()
        var ids: [Int32] = []
        for (index, count) in [1, 2, 1, 5, 3].enumerated() {
            ids += try session.events(index == 0 ? Self.prompt : []) { Self.greedy(&$0); $0.maxTokens = count }.ids
        }
        #expect(ids == (try Self.expectedGreedy.get()))
    }

    @Test("a truncation can take back the pending token alone")
    func truncatePending() throws {
        let session = try Tiny.session()
        let ids = try session.events(Self.prompt, Self.greedy).ids
        try session.truncate(to: 71)
        #expect(try session.ids() == Self.prompt + ids.prefix(11))
        let steps = try session.snapshot().counts.steps
        #expect(try session.events { Self.greedy(&$0); $0.maxTokens = 1 }.ids == [ids[11]])
        #expect(try session.snapshot().counts.steps == steps + 1, "the last token again: an idle session keeps no logits")
    }

    @Test("a callback that stops, stops at once, and the session keeps what it has", arguments: 1...5)
    func stopped(_ after: Int) throws {
        let session = try Tiny.session()
        var count = 0
        try session.generate(Self.prompt, options: .endless) { _ in
            count += 1
            return count < after
        }
        #expect(count == after)
        // 60 prompt tokens are two steps of 48: two PROMPT events.
        #expect(session.position == (after == 1 ? 48 : 60 + max(0, after - 2)))
        let held = try session.ids()
        #expect(try session.evaluate([7]) == Tiny.session().evaluate(held + [7]))
    }

    // MARK: Text

    @Test("the texts of all events are the text of all ids, and none ends within a character", arguments: 0..<8)
    func text(_ seed: Int) throws {
        let session = try Tiny.session()
        let events = try session.events(Self.prompt) {
            ($0.seed, $0.maxTokens, $0.temperature, $0.ignoreEnd) = (UInt64(seed + 1), 150, 2, true)
            // Ids of a padded vocabulary have no text; the tokenizer knows all of this one.
        }
        #expect(try events.text == session.model.tokenizer.decode(events.ids))
        let text = events.text
        let starts = characterStarts(text)
        var end = 0
        for event in events.dropLast() {
            end += event.text.count
            #expect(starts.contains(end), "\(text[max(0, end - 4)..<min(text.count, end + 4)])")
        }
    }

    /// Offsets at which no character is cut: every one but those inside a well-formed sequence.
    private func characterStarts(_ text: [UInt8]) -> Set<Int> {
        var starts: Set<Int> = [text.count]
        var place = 0
        while place < text.count {
            starts.insert(place)
            let length = (1...4).first { length in
                place + length <= text.count && String(validating: text[place..<place + length], as: UTF8.self)?.unicodeScalars.count == 1
            }
            place += length ?? 1
        }
        return starts
    }

    // MARK: Log-probabilities

    @Test("log-probabilities are the log-softmax of the evaluated logits, before any option")
    func logprobs() throws {
        let session = try Tiny.session()
        let events = try session.events(Self.prompt) {
            ($0.seed, $0.maxTokens, $0.topLogprobs, $0.temperature, $0.topK) = (4, 15, 20, 0.7, 50)
            ($0.repetitionPenalty, $0.ignoreEnd) = (1.3, true)
            $0.logitBias = [(3, 5)]
        }
        let check = try Tiny.session()
        var logits = try check.evaluate(Self.prompt)
        for token in events.compactMap(\.token) {
            let top = Double(logits.max() ?? 0)
            let norm = top + log(logits.reduce(0.0) { $0 + exp(Double($1) - top) })
            func expected(_ id: Int32) -> Double { Double(logits[Int(id)]) - norm }
            #expect(abs(Double(token.logprob ?? .nan) - expected(token.id)) < 1e-5)
            let order = logits.indices.sorted { logits[$0] > logits[$1] || (logits[$0] == logits[$1] && $0 < $1) }
            #expect(token.top.map(\.id) == order.prefix(20).map { Int32($0) })
            for (id, logprob) in token.top { #expect(abs(Double(logprob) - expected(id)) < 1e-5) }
            #expect(token.top.reduce(0.0) { $0 + exp(Double($1.logprob)) } <= 1 + 1e-6)
            logits = try check.evaluate([token.id])
        }
    }

    @Test("without log-probabilities there are none, and with 0 alternatives only the token's own")
    func noLogprobs() throws {
        let none = try Tiny.session().events(Self.prompt, Self.greedy).compactMap(\.token)
        #expect(none.allSatisfy { $0.logprob == nil && $0.top.isEmpty })
        let own = try Tiny.session().events(Self.prompt) { Self.greedy(&$0); $0.topLogprobs = 0 }.compactMap(\.token)
        #expect(own.allSatisfy { $0.logprob != nil && $0.top.isEmpty })
        #expect(own.map(\.id) == none.map(\.id))
    }

    // MARK: Statistics

    @Test("counts add up")
    func statistics() throws {
        let session = try Tiny.session()
        try session.evaluate(Tiny.ids(0, to: 100))
        var stats = try session.snapshot()
        #expect(stats.counts.promptTokens == 100 && stats.counts.steps == 3 && stats.counts.generatedTokens == 0)
        #expect(stats.counts.generationNanoseconds == 0 && stats.counts.promptNanoseconds > 0)
        try session.events(Tiny.ids(100, to: 110), Self.greedy)
        try session.evaluate(Tiny.ids(110, to: 120))
        stats = try session.snapshot()
        #expect(stats.counts.promptTokens == 120 && stats.counts.generatedTokens == 12 && stats.counts.reusedTokens == 0)
        // 3 + 1 for the prompts, 11 in the generation, the pending token, 1 for the last ids.
        #expect(stats.counts.steps == 3 + 1 + 11 + 1 + 1)
        #expect(stats.position == 132 && stats.position == stats.counts.promptTokens + stats.counts.generatedTokens)
        #expect(stats.counts.generationNanoseconds > 0 && stats.counts.bytesRead > 0)
        #expect(stats.cacheBytes == 3 * session.model.text.cache.blockBytes)

        try session.events([], Self.greedy)
        let fork = try session.fork()
        let forked = try fork.snapshot()
        #expect(forked.position == 144 && forked.counts.reusedTokens == 144 && forked.counts.promptTokens == 0)
        try fork.events([1, 2], Self.greedy)
        let after = try fork.snapshot()
        #expect(after.position == after.counts.reusedTokens + after.counts.promptTokens + after.counts.generatedTokens)
    }

    @Test("a step that gives no logits does not count the output matrix as read")
    func bytesRead() throws {
        func bytes(_ chunk: Int) throws -> Int {
            let session = try Session(model: try Tiny.open { $0.chunkSize = chunk })
            try session.evaluate(Tiny.ids(0, to: 96))
            return try session.snapshot().counts.bytesRead
        }
        let (one, two) = (try bytes(96), try bytes(48))
        let config = try Tiny.model.checkpoint.config
        let head = config.vocabularySize * config.hiddenSize * 2
        // Two steps read all layers twice, but the output matrix once; the layers of this checkpoint are larger than it.
        #expect(one > head && two > one && two - head < 2 * (one - head))
    }
}
