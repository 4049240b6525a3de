import Foundation
import KimiAgent
import KimiChat
import KimiCore
import KimiRuntime
import Synchronization
import Testing

/// How turns end: by limits, by cancellation, by a full context.
struct TurnEndTests {
    static let talk = #"{"messages":[{"role":"user","content":"Hello"}]}"#
    static let forced =
        #"{"messages":[{"role":"user","content":"Weather?"}],"tools":["# + Weather.json + #"],"tool_choice":"required","logit_bias":"#
        + Tiny.terse + "}"

    @Test("reasoning and content stand apart in each mode, wherever the answer is cut", arguments: ChatMode.allCases, [1, 2, 7, 20, 60])
    func truncation(_ mode: ChatMode, maxTokens: Int) throws {
        let all = try events(Tiny.chat(), Self.talk) { ($0.mode, $0.maxTokens, $0.reasoningBudget, $0.seed) = (mode, maxTokens, 10, 5) }
        let usage = try #require(all.last?.usage)
        #expect(all.finish == .length || all.finish == .stop)
        if all.finish == .length { #expect(usage.generated == maxTokens) }
        // The budget is 10 tokens: in a thinking mode content can only come after them.
        if mode == .instant {
            #expect(all.all(.reasoning).isEmpty && usage.reasoning == 0)
        } else {
            #expect(usage.reasoning <= 11)
            if maxTokens <= 10, all.finish == .length { #expect(all.all(.content).isEmpty) }
            let first = all.firstIndex { $0.kind == .content } ?? all.count
            #expect(all[first...].allSatisfy { $0.kind != .reasoning })
        }
    }

    @Test("a call that is cut is no call, in its name or in its arguments, in every mode", arguments: ChatMode.allCases, 1...40)
    func truncatedCall(mode: ChatMode, maxTokens: Int) throws {
        let chat = try Tiny.chat()
        let all = try events(chat, Self.forced) { options in
            (options.mode, options.maxTokens, options.seed, options.reasoningBudget, options.stepLimit) = (mode, maxTokens, 9, 3, 1)
        }
        if all.finish == .length {
            #expect(all.all(.content).isEmpty)
            let begun = all.all(.callBegin).count, ended = all.all(.callEnd).count
            #expect(all.all(.callRejected).count <= 1)
            #expect(begun - ended <= 1)
            for end in all.all(.callEnd) { #expect(Weather.allows(end.text)) }
            let message = try chat.lastTurnJSON()
            #expect(message.components(separatedBy: #""type":"function""#).count - 1 == ended)
        } else {
            #expect(all.finish == .toolCalls)
        }
    }

    @Test("at the budget the thought is closed, an event says so, and the answer follows")
    func budget() throws {
        let all = try events(Tiny.chat(), Self.talk) { ($0.mode, $0.maxTokens, $0.reasoningBudget) = (.thinking, 60, 12) }
        let notice = try #require(all.firstIndex { $0.kind == .notice && $0.code == ChatEvent.Notice.reasoningBudget.rawValue })
        #expect(all[..<notice].allSatisfy { $0.kind != .content })
        #expect(all[notice...].allSatisfy { $0.kind != .reasoning })
        #expect(!all.text(.content).isEmpty)
    }

    @Test("a stop string ends the answer and is no part of it")
    func stopString() throws {
        let whole = try events(Tiny.chat(), Self.talk) { ($0.mode, $0.maxTokens) = (.instant, 40) }.text(.content)
        let stop = String(whole.dropFirst(whole.count / 2).prefix(2))
        let request = #"{"messages":[{"role":"user","content":"Hello"}],"stop":"# + JSONWriter.quoted(stop) + "}"
        let cut = try events(Tiny.chat(), request) { ($0.mode, $0.maxTokens) = (.instant, 40) }
        #expect(cut.finish == .stop)
        let expected = try #require(whole.range(of: stop)).lowerBound
        #expect(cut.text(.content) == String(whole[..<expected]))
    }

    @Test("an answer with a response_format is that, or is cut", arguments: 1...10)
    func responseFormat(seed: UInt64) throws {
        let request = #"""
            {"messages":[{"role":"user","content":"Hello"}],"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":
            {"type":"object","properties":{"a":{"type":"boolean"},"b":{"enum":[1,2]}},"required":["a","b"],"additionalProperties":false}}}}
            """#
        let all = try events(Tiny.chat(), request) { ($0.mode, $0.maxTokens, $0.reasoningBudget, $0.seed) = (.thinking, 2000, 5, seed) }
        guard all.finish == .stop else { return #expect(all.finish == .length) }
        let object = try JSONSerialization.jsonObject(with: Data(all.text(.content).utf8)) as? [String: Any]
        #expect(object?["a"] is Bool)
        #expect([1, 2].contains(object?["b"] as? Int))
        #expect(object?.count == 2)
    }

    @Test("equal seeds give equal turns, whatever the chunks and threads")
    func seeds() throws {
        let first = try events(Tiny.chat(), Self.talk) { ($0.mode, $0.maxTokens, $0.reasoningBudget) = (.thinking, 50, 10) }
        let second = try events(Tiny.chat(), Self.talk) { ($0.mode, $0.maxTokens, $0.reasoningBudget) = (.thinking, 50, 10) }
        #expect(first.map { "\($0)" } == second.map { "\($0)" })
        let other = try events(Tiny.chat(), Self.talk) { ($0.mode, $0.maxTokens, $0.reasoningBudget, $0.seed) = (.thinking, 50, 10, 2) }
        #expect(first.text(.reasoning) != other.text(.reasoning))
    }

    // MARK: Cancelling

    @Test("cancelled at any event, a turn ends, takes itself back, and the session goes on", arguments: [0, 1, 3, 8, 20, 40], [false, true])
    func cancel(after count: Int, polled: Bool) throws {
        let chat = try Tiny.chat()
        var options = ChatOptions()
        (options.mode, options.seed, options.reasoningBudget) = (.thinking, 3, 10)
        let run = try ChatRun(chat, request: request(Self.forced), options: options, isPolled: polled)
        var seen = 0
        var status: Status?
        do {
            while true {
                if seen == count { chat.session.cancellation.request() }
                let event = try run.next()
                seen += 1
                if event.kind == .finish { if event.finish == .cancelled { status = .cancelled }; break }
            }
        } catch { status = error.status }
        if status == nil { return #expect(seen <= count + 1, "the turn had ended by then") }
        #expect(status == .cancelled)
        #expect(chat.past.isEmpty)
        #expect(try events(chat, Self.talk) { ($0.mode, $0.maxTokens) = (.instant, 3) }.finish != nil)
    }

    @Test("a wait for a tool ends soon after a cancellation")
    func cancelToolWait() throws {
        let chat = try Tiny.chat()
        let inside = Atomic<Bool>(false)
        chat.tools.add(try Weather.tool(timeout: 60_000) { _ in
            inside.store(true, ordering: .relaxed)
            while true { usleep(50_000) }
        })
        let canceller = Thread {
            while !inside.load(ordering: .relaxed) { usleep(1000) }
            chat.session.cancellation.request()
        }
        canceller.start()
        let error = #expect(throws: KimiError.self) {
            try events(chat, AgentLoopTests.forced) { ($0.mode, $0.reasoningBudget) = (.agent, 4) }
        }
        #expect(error?.status == .cancelled)
        #expect(chat.past.isEmpty)
    }

    @Test("an abandoned request leaves the session free and the conversation as it was")
    func abandoned() throws {
        let chat = try Tiny.chat()
        let run = try ChatRun(chat, request: request(Self.talk), options: ChatOptions(), isPolled: true)
        _ = try run.next()
        #expect(throws: KimiError.self) { try ChatRun(chat, request: request(Self.talk), options: ChatOptions(), isPolled: true) }
        run.abandon()
        #expect(throws: KimiError.self) { try run.next() }
        #expect(try events(chat, Self.talk) { ($0.mode, $0.maxTokens) = (.instant, 3) }.finish != nil)
    }

    @Test("a choice of tools that are not there is refused", arguments: [
        (#""required""#, "tool_choice"), (#"{"type":"function","function":{"name":"g"}}"#, "tool_choice.function.name"),
    ])
    func choiceWithoutTools(_ choice: String, _ subject: String) throws {
        let error = #expect(throws: KimiError.self) {
            try events(Tiny.chat(), #"{"messages":[{"role":"user","content":"hi"}],"tool_choice":\#(choice)}"#)
        }
        #expect(error?.status == .invalidArgument)
        #expect(error?.subject == subject)
    }

    // MARK: A full context

    @Test("a prompt that does not fit is an error that names both numbers, and nothing changes")
    func promptTooLong() throws {
        let chat = try Tiny.chat(contextLimit: 64)
        let json = #"{"messages":[{"role":"user","content":"\#(String(repeating: "word ", count: 200))"}]}"#
        let error = #expect(throws: KimiError.self) { try events(chat, json) }
        #expect(error?.status == .contextFull)
        #expect(error?.message.contains("64") == true)
        #expect(chat.past.isEmpty)
        #expect(try events(chat, Self.talk) { ($0.mode, $0.maxTokens) = (.instant, 3) }.finish != nil)
    }

    enum Policy: CaseIterable { case stop, drop, askStop, askDrop }

    @Test("a full context stops the agent, or makes room, as the host says", arguments: Policy.allCases)
    func policies(_ policy: Policy) throws {
        let chat = try Tiny.chat(contextLimit: 2400)
        chat.tools.add(try Weather.tool(run: nil))
        let asked = Mutex<[Int]>([])
        let long = String(repeating: "It rains and rains. ", count: 30)
        var messages = #"{"role":"user","content":"Weather?"}"#
        var ends: [[ChatEvent]] = []
        for round in 0..<40 {
            let json = #"{"messages":[\#(messages)],"tool_choice":"required","parallel_tool_calls":false,"logit_bias":\#(Tiny.terse)}"#
            let all = try events(chat, json, polled: true, { options in
                (options.mode, options.append, options.stepLimit, options.seed) = (.instant, round > 0, 2, UInt64(round + 1))
                options.maxTokens = 100
                options.contextPolicy = switch policy {
                case .stop: .stop
                case .drop: .dropResults
                case .askStop: .ask { needed, _ in asked.withLock { $0.append(needed) }; return false }
                case .askDrop: .ask { needed, _ in asked.withLock { $0.append(needed) }; return true }
                }
            }, answer: { _ in ToolAnswer(.ok, long) })
            ends.append(all)
            if all.finish == .context || all.contains(where: { $0.code == ChatEvent.Notice.resultsDropped.rawValue && $0.kind == .notice }) { break }
            messages = #"{"role":"user","content":"And now?"}"#
        }
        let last = try #require(ends.last)
        let dropped = last.contains { $0.kind == .notice && $0.code == ChatEvent.Notice.resultsDropped.rawValue }
        #expect(dropped == (policy == .drop || policy == .askDrop))
        if !dropped { #expect(last.finish == .context) }
        #expect(asked.withLock { $0.isEmpty } == (policy == .stop || policy == .drop))
        // Who drops results keeps away from the end.
        let warned = ends.flatMap { $0 }.contains { $0.kind == .notice && $0.code == ChatEvent.Notice.context.rawValue }
        #expect(warned == !dropped)
        if dropped { #expect(chat.past.contains { $0.role == .tool && $0.text.hasPrefix("[removed to save context") }) }
    }

    // MARK: Results by polling

    @Test("results are taken by id, once, and only those that are waited for")
    func submitting() throws {
        let chat = try Tiny.chat()
        var options = ChatOptions()
        (options.mode, options.seed, options.reasoningBudget, options.stepLimit) = (.agent, 1, 4, 2)
        let run = try ChatRun(chat, request: request(Self.forced), options: options, isPolled: true)
        #expect(throws: KimiError.self) { try run.submit("functions.weather:0", ToolAnswer(.ok, "early")) }
        var needed: [String] = []
        while true {
            let event = try? run.next()
            guard let event else { break }
            if event.kind == .resultNeeded { needed.append(event.callID) }
        }
        #expect(!needed.isEmpty)
        let waiting = #expect(throws: KimiError.self) { try run.next() }
        #expect(waiting?.message.contains(needed[0]) == true)
        let unknown = #expect(throws: KimiError.self) { try run.submit("functions.other:7", ToolAnswer(.ok, "")) }
        #expect(unknown?.message.contains("functions.other:7") == true)
        for id in needed { try run.submit(id, ToolAnswer(.ok, "sunny")) }
        #expect(throws: KimiError.self) { try run.submit(needed[0], ToolAnswer(.ok, "again")) }
        var kinds: [ChatEvent.Kind] = []
        while kinds.last != .finish { kinds.append(try run.next().kind) }
        #expect(kinds.prefix(needed.count).allSatisfy { $0 == .result })
        #expect(kinds.contains(.start))
    }
}
