import Foundation
import Glibc
import KimiAgent
import KimiChat
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// Many sessions, one stream of events.
struct SessionQueueTests {
    private static var greedy: GenerationOptions {
        var options = GenerationOptions()
        (options.greedy, options.ignoreEnd, options.maxTokens) = (true, true, 12)
        return options
    }

    private static func prompt(_ index: Int) -> [Int32] { (0..<30).map { Int32(100 + 37 * index + $0) } }

    /// What a session makes alone.
    private static func alone(_ index: Int) throws -> [Int32] {
        var ids: [Int32] = []
        try Session(model: Tiny.model).generate(prompt(index), options: greedy) { event in
            if case .token(let token) = event { ids.append(token.id) }
            return true
        }
        return ids
    }

    private func fault(_ body: () throws -> Void) -> KimiError? {
        do { try body() } catch { return error as? KimiError }
        return nil
    }

    private static func isReadable(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) == 1
    }

    @Test("events of all sessions come through one queue, in their order, none lost, however small it is", arguments: [1, 3, 1024])
    func generations(_ capacity: Int) throws {
        let queue = try SessionQueue(capacity: capacity)
        #expect(!Self.isReadable(queue.descriptor))
        let expected = try (0..<10).map(Self.alone)
        for index in 0..<10 {
            try queue.generate(Session(model: Tiny.model), prompt: Self.prompt(index), options: Self.greedy, tag: UInt64(index))
        }
        var found = [[Int32]](repeating: [], count: 10)
        var ended: Set<UInt64> = []
        while let entry = try queue.next(milliseconds: -1) {
            #expect(!ended.contains(entry.tag), "nothing after the last")
            guard case .generation(let event, let maxTokens) = entry.content else {
                Issue.record("\(entry)")
                continue
            }
            #expect(maxTokens == 12)
            if case .token(let token) = event { found[Int(entry.tag)].append(token.id) }
            if entry.isLast { ended.insert(entry.tag) }
        }
        #expect(found == expected && ended.count == 10)
        #expect(queue.running == 0 && !Self.isReadable(queue.descriptor))
        #expect(try queue.next(milliseconds: 0) == nil)
    }

    @Test("requests: calls wait for their results, others go on meanwhile")
    func requests() throws {
        let queue = try SessionQueue()
        let chat = try Tiny.chat(), other = try Tiny.chat()
        chat.tools.add(try Weather.tool(run: nil))
        var options = ChatOptions()
        (options.seed, options.mode, options.stepLimit, options.reasoningBudget) = (1, .agent, 2, 8)
        try queue.send(chat, request: request(AgentLoopTests.forced), options: options, tag: 7)
        options.mode = .instant
        let plain = #"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":5}"#
        try queue.send(other, request: request(plain), options: options, tag: 8)
        var needed: [String] = [], results = 0
        var finished: [UInt64] = []
        while finished.count < 2, let entry = try queue.next(milliseconds: 20_000) {
            guard case .chat(let event) = entry.content else {
                Issue.record("\(entry)")
                break
            }
            if event.kind == .resultNeeded { needed.append(event.callID) }
            if event.kind == .result { results += 1 }
            if event.kind == .finish { finished.append(entry.tag) }
            if finished == [8], let first = needed.first {
                // The other one is done while this one waits.
                #expect(fault { try queue.submit(7, "functions.weather:99", ToolAnswer(.ok, "")) }?.status == .invalidArgument)
                #expect(fault { try queue.submit(9, first, ToolAnswer(.ok, "")) }?.subject == "tag")
                for id in needed { try queue.submit(7, id, ToolAnswer(.ok, "sunny")) }
                needed = []
            }
        }
        #expect(finished == [8, 7] && results > 0)
        #expect(chat.past.contains { $0.role == .tool })
    }

    @Test("one that is cancelled finishes, one that cannot start says why, and the others go on")
    func cancelled() throws {
        let queue = try SessionQueue()
        let first = try Session(model: Tiny.model), second = try Session(model: Tiny.model)
        var endless = Self.greedy
        endless.maxTokens = nil
        try queue.generate(first, prompt: Self.prompt(0), options: endless, tag: 1)
        #expect(fault { try queue.generate(first, prompt: Self.prompt(0), options: endless, tag: 2) }?.status == .busy)
        #expect(fault { try queue.generate(second, prompt: [-1], options: endless, tag: 2) }?.status == .invalidArgument)
        try queue.generate(second, prompt: Self.prompt(1), options: Self.greedy, tag: 3)
        var last: [UInt64: FinishReason] = [:]
        while let entry = try queue.next(milliseconds: -1) {
            if case .generation(.finish(let reason, _, _, _), _) = entry.content {
                last[entry.tag] = reason
                if entry.tag == 3 { first.cancellation.request() }
            }
        }
        #expect(last == [1: .cancelled, 3: .length])
    }

    @Test("one for which memory is too little says so as an event, its session is free then, and the others go on")
    func failed() throws {
        var options = Model.Options()
        (options.threads, options.prefixBytes, options.memory.limit) = (2, 0, 1 << 30)
        let model = try Model(folder: Fixtures.path("tiny-kimi"), options: options)
        let queue = try SessionQueue()
        let small = try Session(model: model), other = try Session(model: model)
        try Session(model: model).generate(Self.prompt(0), options: Self.greedy) { _ in true }
        let room = 6 * model.text.cache.blockBytes + 8 * (model.vocabularySize * 8 + 4096)
        try model.text.budget.charge((model.text.budget.available ?? 0) - room, for: .weights, what: "nearly all there is")
        try queue.generate(small, prompt: (0..<1500).map { Int32($0) }, options: Self.greedy, tag: 1)
        try queue.generate(other, prompt: Self.prompt(1), options: Self.greedy, tag: 2)
        var failure: KimiError?, finished: [UInt64] = []
        while let entry = try queue.next(milliseconds: -1) {
            if case .failure(let error) = entry.content {
                #expect(entry.isLast && entry.tag == 1)
                failure = error
                try small.reset()
            } else if entry.isLast {
                finished.append(entry.tag)
            }
        }
        #expect(failure?.status == .outOfMemory && finished == [2])
    }

    @Test("what is closed computes no more, its sessions are free, and what waits for it is told", arguments: [1, 1024])
    func closed(_ capacity: Int) throws {
        let queue = try SessionQueue(capacity: capacity)
        var endless = Self.greedy
        endless.maxTokens = nil
        let sessions = try (0..<4).map { _ in try Session(model: Tiny.model) }
        for (index, session) in sessions.enumerated() {
            try queue.generate(session, prompt: Self.prompt(index), options: endless, tag: UInt64(index))
        }
        for _ in 0..<3 { _ = try queue.next(milliseconds: -1) }
        queue.close()
        #expect(queue.running == 0)
        for session in sessions { #expect(throws: Never.self) { try session.reset() } }
        #expect(fault { _ = try queue.next(milliseconds: 0) }?.status == .invalidHandle)
        #expect(fault { try queue.generate(sessions[0], prompt: [1], options: endless, tag: 0) }?.status == .invalidHandle)
        #expect(throws: Never.self) { try sessions[0].reset() }
        #expect(fault { _ = try SessionQueue(capacity: 0) }?.subject == "capacity")
    }
}
