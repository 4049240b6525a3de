import Foundation
import KimiAgent
import KimiChat
import KimiCore
import KimiModel
import KimiRuntime
import Synchronization
import Testing

struct AgentLoopTests {
    static let forced = #"{"messages":[{"role":"user","content":"Weather?"}],"tool_choice":"required","max_tokens":400,"#
        + #""parallel_tool_calls":false,"logit_bias":"# + Tiny.terse + "}"

    @Test("a call is valid, its tool is run, and the model goes on from its answer")
    func loop() throws {
        let chat = try Tiny.chat()
        let seen = Mutex<[ToolCallRequest]>([])
        chat.tools.add(try Weather.tool { call in
            seen.withLock { $0.append(call) }
            return ToolAnswer(.ok, "sunny in \(call.arguments)")
        })
        let all = try events(chat, Self.forced) { ($0.mode, $0.stepLimit, $0.reasoningBudget) = (.agent, 2, 16) }
        let calls = seen.withLock { $0 }
        #expect(!calls.isEmpty)
        for (index, call) in calls.enumerated() {
            #expect(call.id == "functions.weather:\(index)")
            #expect(Weather.allows(call.arguments), "\(call.arguments)")
        }
        #expect(all.all(.callEnd).filter { $0.step == 0 }.map(\.text) == calls.filter { $0.step == 0 }.map(\.arguments))
        #expect(all.all(.callBegin).allSatisfy { $0.name == "weather" })
        #expect(all.all(.result).map(\.text) == calls.map { "sunny in \($0.arguments)" })
        // Arguments come in pieces that make up the whole.
        for end in all.all(.callEnd) {
            #expect(all.filter { $0.kind == .callArguments && $0.call == end.call }.map(\.text).joined() == end.text)
        }
        #expect(all.all(.start).map(\.step) == [0, 1])
    }

    @Test("a step evaluates only what is new: its prompt is in the cache up to the tools' answers", arguments: [false, true])
    func onlyNewTokens(polled: Bool) throws {
        let chat = try Tiny.chat()
        let sunny: @Sendable (ToolCallRequest) -> ToolAnswer = { _ in ToolAnswer(.ok, "sunny") }
        chat.tools.add(try Weather.tool(run: polled ? nil : sunny))
        let all = try events(chat, Self.forced, polled: polled) { ($0.mode, $0.stepLimit, $0.reasoningBudget) = (.agent, 4, 8) }
        let starts = all.all(.start)
        #expect(starts.first?.done == 0)
        let counts = try chat.session.snapshot()
        // What was evaluated as a prompt is what was not in the cache, and nothing twice.
        #expect(counts.counts.promptTokens == starts.reduce(0) { $0 + $1.total - $1.done })
        for (before, after) in zip(starts, starts.dropFirst()) { #expect(after.done > before.total) }
        let usage = try #require(all.last?.usage)
        #expect(usage.prompt == starts.reduce(0) { $0 + $1.total })
        #expect(usage.cached == starts.reduce(0) { $0 + $1.done })
        #expect(counts.position == usage.prompt - usage.cached + usage.generated)
    }

    @Test("without callbacks the calls finish the turn, and the next request answers them")
    func hostAnswers() throws {
        let chat = try Tiny.chat()
        let json = #"{"messages":[{"role":"user","content":"Weather?"}],"tools":["# + Weather.json + #"],"tool_choice":"required","logit_bias":"# + Tiny.terse + "}"
        let all = try events(chat, json) { $0.mode = .instant }
        #expect(all.finish == .toolCalls)
        let call = try #require(all.all(.callEnd).first)
        #expect(Weather.allows(call.text))
        let answers = all.all(.callEnd).map { #"{"role":"tool","tool_call_id":"\#($0.callID)","content":"rain"}"# }.joined(separator: ",")
        let next = try events(chat, #"{"messages":[\#(answers)],"tools":[\#(Weather.json)],"max_tokens":5}"#) {
            ($0.mode, $0.append) = (.instant, true)
        }
        #expect(next.all(.start).first?.done ?? 0 > 0, "the first request is in the cache")
        #expect(chat.past.map(\.role) == [.user, .assistant] + all.all(.callEnd).map { _ in .tool } + [.assistant])
    }

    @Test("300 calls in one conversation count on, and none is evaluated twice")
    func threeHundred() throws {
        let chat = try Tiny.chat()
        chat.tools.add(try Weather.tool(run: nil))
        var ids: [String] = []
        var messages = #"{"role":"user","content":"Weather?"}"#
        while ids.count < 300 {
            let json = #"{"messages":[\#(messages)],"tool_choice":"required","parallel_tool_calls":false,"logit_bias":\#(Tiny.terse)}"#
            let all = try events(chat, json) { ($0.mode, $0.append, $0.seed) = (.instant, !ids.isEmpty, UInt64(ids.count + 1)) }
            let call = try #require(all.all(.callEnd).first)
            #expect(all.all(.callEnd).count == 1)
            #expect(Weather.allows(call.text))
            ids.append(call.callID)
            messages = #"{"role":"tool","tool_call_id":"\#(call.callID)","content":"sun"}"#
        }
        #expect(ids == (0..<300).map { "functions.weather:\($0)" })
    }

    @Test("what a tool does wrong, the model is told", arguments: [
        ToolAnswer(.failed, "no such city"), ToolAnswer(.failed, ""), ToolAnswer(.ok, ""),
    ])
    func failures(_ answer: ToolAnswer) throws {
        let chat = try Tiny.chat()
        chat.tools.add(try Weather.tool { _ in answer })
        let all = try events(chat, Self.forced) { ($0.mode, $0.stepLimit, $0.reasoningBudget) = (.agent, 2, 4) }
        #expect(all.all(.result).allSatisfy { $0.code == answer.outcome.rawValue && $0.text == answer.text })
        let told = chat.past.first { $0.role == .tool }?.text
        #expect(answer.outcome == .ok ? told == answer.text : told?.hasPrefix("Error: ") == true)
    }

    @Test("a tool that never answers is given up after its time, and the turn goes on")
    func timeLimit() throws {
        let chat = try Tiny.chat()
        chat.tools.add(try Weather.tool(timeout: 30) { _ in
            while true { usleep(50_000) }
        })
        let all = try events(chat, Self.forced) { ($0.mode, $0.stepLimit, $0.reasoningBudget) = (.agent, 2, 4) }
        #expect(all.all(.result).allSatisfy { $0.code == ToolAnswer.Outcome.timedOut.rawValue })
        #expect(!all.all(.result).isEmpty)
        #expect(all.finish != nil)
    }

    @Test("tools that allow it run at the same time")
    func together() throws {
        let meeting = Mutex((inside: 0, most: 0))
        let calls = try (0..<4).map { index -> ToolThreads.Call in
            let tool = HostTool(declaration: try ToolDeclaration(name: "t\(index)", description: nil, schema: nil), timeoutMilliseconds: nil, anyThread: true) { call in
                meeting.withLock { $0.inside += 1; $0.most = max($0.most, $0.inside) }
                // Waits for the others, so that it ends only if they run beside it.
                for _ in 0..<2000 where meeting.withLock({ $0.most }) < 4 { usleep(1000) }
                meeting.withLock { $0.inside -= 1 }
                return ToolAnswer(.ok, call.name)
            }
            return (ToolCallRequest(step: 0, id: "\(index)", name: "t\(index)", arguments: "{}"), tool)
        }
        let answers = try ToolThreads.run(calls, parallel: 4, cancellation: Cancellation())
        #expect(answers.map(\.text) == ["t0", "t1", "t2", "t3"])
        #expect(meeting.withLock { $0.most } == 4)
    }
}
