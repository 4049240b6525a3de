import KimiChat
import KimiCore
import KimiModel
import KimiRuntime
import KimiTokenizer
import Synchronization

/// A request on its way, event by event: render, evaluate, generate, call tools, and again until the answer.
///
/// Until it has finished, failed, or was abandoned, its session is busy for everybody else. `next` lets one thread in at a time.
package final class ChatRun: @unchecked Sendable {
    // Safe because everything mutable is touched only by the one thread that `occupied` let in; `submit` goes through a lock.
    let chat: ChatSession
    let options: ChatOptions
    let format: ChatFormat
    let eyes: ChatEyes
    let isPolled: Bool
    private let ticket: Session.GenerationTicket

    /// What is said so far, this request's messages included.
    var messages: [ChatMessage]
    let plan: TurnPlan
    /// Of all steps.
    let matchers: GrammarMatchers
    var usage = ChatUsage()
    /// The step that is computed, from 0.
    var step = 0
    /// Calls of this request so far, and the index of the first of them in the conversation.
    var calls = 0
    let firstCall: Int
    /// Whether the answer of the step begins in a thought that the prompt opened.
    var startsInReasoning: Bool
    /// Whether the model ended its last answer with the end of the message.
    private var closedTurn = true
    private var phase: Phase
    private var queue: [ChatEvent] = []
    private var last: ChatEvent?
    private var failure: KimiError?
    private let occupied = Occupied()
    /// Results of calls that the host answers, by id.
    private let submitted = Mutex<[String: ToolAnswer?]>([:])
    private var saidContextIsNear = false

    private enum Phase {
        /// The prompt; nil: not rendered yet, for that takes the sizes of the pictures.
        case reading(RenderedPrompt?)
        /// The results of a step's calls, with which the next begins.
        case continuing([ToolResult])
        case looking(Looking)
        case generating(Step)
        case waiting([PendingCall])
        case over
    }

    struct PendingCall {
        let number: Int
        let request: ToolCallRequest
        var answer: ToolAnswer?
    }

    /// Reads the request; nothing is computed yet.
    ///
    /// - Parameter isPolled: whether the host answers calls of tools without callback while the request is open.
    /// - Throws: `invalidArgument`, `unsupported`, `contextFull`, `busy`.
    package init(_ chat: ChatSession, request: ChatRequest, options: ChatOptions, isPolled: Bool) throws(KimiError) {
        self.chat = chat
        self.options = options
        self.isPolled = isPolled
        format = try chat.session.model.chatFormat()
        matchers = GrammarMatchers { [format] in format.vocabulary }
        messages = (options.append ? chat.past : []) + request.messages
        eyes = ChatEyes(chat.session.model, allowsFiles: options.allowsFiles, held: options.heldMedia)
        try eyes.admit(messages)
        plan = try TurnPlan(
            request: request, options: options, hostTools: options.member?.tools ?? chat.tools.ofMain, format: format,
            model: chat.session.model)
        let calls = try ResolvedCalls(messages)
        firstCall = calls.ids.nextIndex
        queue = plan.notices
        for id in calls.unanswered {
            queue.append(ChatEvent(notice: .unanswered, "the call \(id.prefix(80)) in the history has no result"))
        }
        let seesNothing = messages.allSatisfy(\.media.isEmpty)
        phase = .reading(
            seesNothing
                ? try format.prompt(messages, tools: plan.declared, thinks: plan.thinks, rooms: PromptRenderer.textOnly) : nil)
        startsInReasoning = false
        // Last: once all is set, a refusal would run deinit.
        ticket = try chat.session.openGeneration()
    }

    deinit { chat.session.close(ticket) }

    /// The host gives the request up: what computes now is cancelled, and the session becomes free.
    package func abandon() { chat.session.close(ticket, cancelling: true) }

    /// The next event; the finish again and again once it was reached, and likewise an error.
    ///
    /// - Throws: `busy` to a second thread; `invalidArgument` while results are missing, which does not end the request.
    package func next() throws(KimiError) -> ChatEvent {
        guard occupied.enter() else { throw KimiError(.busy, "another thread is computing this request's next event") }
        defer { occupied.leave() }
        if let failure { throw failure }
        do throws(KimiError) {
            if case .waiting(let pending) = phase, queue.isEmpty {
                try chat.session.cancellation.check()
                if let missing = missing(pending) { throw missing }
                try takeResults(pending)
            }
            while queue.isEmpty {
                if let last { return last }
                try advance()
            }
            return queue.removeFirst()
        } catch {
            if error.status == .cancelled, isPolled || options.member != nil {
                finish(.cancelled)
                return queue.removeFirst()
            }
            if case .waiting = phase, error.subject == "call_id" { throw error }
            failure = error
            phase = .over
            chat.session.close(ticket)
            throw error
        }
    }

    // MARK: Steps

    private func advance() throws(KimiError) {
        switch phase {
        case .reading(let rendered):
            let whole = try chat.session.call(of: ticket) { () throws(KimiError) in
                if let rendered { return rendered }
                return try prompt(messages)
            }
            startsInReasoning = whole.startsInReasoning
            if whole.declaresToolsAsJSON {
                queue.append(ChatEvent(notice: .schema, "TypeScript cannot say one of the tools' schemas; all are declared as JSON"))
            }
            try beginAnew(try shortened(needed: whole.ids.count) ?? whole)
        case .continuing(let results):
            let more = try chat.session.call(of: ticket) { () throws(KimiError) in
                try format.renderer.continuation(results: results, thinks: plan.thinks, closesTurn: !closedTurn, rooms: rooms)
            }
            startsInReasoning = more.startsInReasoning
            let needed = chat.session.position + more.ids.count
            if let fewer = try shortened(needed: needed) { return try beginAnew(fewer) }
            guard needed < chat.session.contextLimit else { return finish(.context) }
            try chat.session.call(of: ticket) { () throws(KimiError) in
                try chat.session.cancellation.check()
                try begin(Looking(held: chat.session.count, new: more.ids, media: more.media, origin: 0))
            }
        case .looking(var looking):
            try chat.session.call(of: ticket) { () throws(KimiError) in
                try chat.session.cancellation.check()
                guard try look(&looking) else { return phase = .looking(looking) }
                try forgetPixels(looking.media)
                phase = .generating(try Step(run: self, prompt: looking.new, media: looking.spans))
            }
        case .generating(let step):
            let ended = try whileThereIsRoom { () throws(KimiError) in
                try chat.session.call(of: ticket) { () throws(KimiError) -> StepEnd? in
                    try chat.session.cancellation.check()
                    return try step.advance { queue.append($0) }
                }
            }
            noticeContext()
            if let ended { try end(step, ended) }
        case .waiting, .over:
            finish(.stop)
        }
    }

    /// Computes, and again if memory was short and a swarm has found some: a step that had none has changed nothing.
    private func whileThereIsRoom(_ body: () throws(KimiError) -> StepEnd?) throws(KimiError) -> StepEnd? {
        while true {
            do throws(KimiError) { return try body() } catch {
                guard error.status == .outOfMemory, let member = options.member, member.findsMemory() else { throw error }
            }
        }
    }

    /// The prompt of a conversation, whose media are read for it.
    func prompt(_ messages: [ChatMessage]) throws(KimiError) -> RenderedPrompt {
        try format.prompt(messages, tools: plan.declared, thinks: plan.thinks, rooms: rooms)
    }

    private func rooms(_ part: MediaPart) throws(KimiError) -> [MediaRoom] { try eyes.rooms(part, chat.session.cancellation) }

    /// A whole prompt, of which the session may hold a beginning.
    private func beginAnew(_ prompt: RenderedPrompt) throws(KimiError) {
        try chat.session.call(of: ticket) { () throws(KimiError) in
            try chat.session.cancellation.check()
            var marks: [MediaMark] = []
            for one in prompt.media {
                let piece = try eyes.pieces(one.part, chat.session.cancellation)[one.piece]
                marks.append(MediaMark(start: one.start, count: one.count, digest: piece.digest))
            }
            let held = chat.session.keep(prefixOf: prompt.ids, media: marks)
            try begin(Looking(held: held, new: Array(prompt.ids[held...]), media: prompt.media, origin: held))
        }
    }

    /// Within a call of the session.
    private func begin(_ looking: Looking) throws(KimiError) {
        let total = looking.held + looking.new.count
        guard total < chat.session.contextLimit else {
            throw KimiError(
                .contextFull,
                "the prompt has \(total) tokens, and the session's context limit is \(chat.session.contextLimit)", subject: "messages")
        }
        usage.prompt += total
        usage.cached += looking.held
        usage.media += chat.session.heldMediaTokens
        for one in looking.media where one.end > looking.origin { usage.media += one.end - max(one.start, looking.origin) }
        var start = ChatEvent(.start, step: step)
        (start.done, start.total, start.code) = (looking.held, total, plan.thinks ? 1 : 0)
        queue.append(start)
        phase = .looking(looking)
    }

    /// Says once that the context is nearly full.
    private func noticeContext() {
        let limit = chat.session.contextLimit
        guard !saidContextIsNear, chat.session.position > limit - limit / 8 else { return }
        saidContextIsNear = true
        notice(.context, "the session holds \(chat.session.position) tokens of \(limit)")
    }

    func report(_ event: ChatEvent) { queue.append(event) }

    /// A step's answer is complete: tools, or the end.
    private func end(_ ended: Step, _ reason: StepEnd) throws(KimiError) {
        // Unless the request was given up meanwhile.
        try? chat.session.call(of: ticket) { chat.session.rest() }
        usage.generated += ended.generated
        usage.reasoning += ended.reasoning
        messages.append(ended.message)
        closedTurn = ended.endsMessage
        let calls = ended.calls
        guard reason == .stop, !calls.isEmpty else { return finish(reason.finish) }
        let tools = calls.map { call in plan.hostTools.first { $0.declaration.name == call.name } }
        guard step + 1 < plan.stepLimit else { return finish(plan.stepLimit == 1 ? .toolCalls : .steps) }
        guard isPolled || tools.allSatisfy({ $0?.run != nil }) else { return finish(.toolCalls) }
        var pending = calls.enumerated().map { index, call in
            PendingCall(
                number: self.calls + index,
                request: ToolCallRequest(step: step, id: call.id ?? "", name: call.name, arguments: call.arguments))
        }
        self.calls += calls.count
        let runnable = pending.indices.filter { tools[$0]?.run != nil }
        let answers = try runTools(runnable.compactMap { index in tools[index].map { (pending[index].request, $0) } })
        for (index, answer) in zip(runnable, answers) {
            pending[index].answer = answer
            reportResult(pending[index])
        }
        let needed = pending.filter { $0.answer == nil }
        guard needed.isEmpty else {
            submitted.withLock { table in for call in needed { table[call.request.id] = .some(nil) } }
            for call in needed {
                var event = event(.resultNeeded, of: call)
                event.text = call.request.arguments
                queue.append(event)
            }
            phase = .waiting(pending)
            return
        }
        try goOn(with: pending)
    }

    private func runTools(_ calls: [ToolThreads.Call]) throws(KimiError) -> [ToolAnswer] {
        let cancellation = chat.session.cancellation
        if let member = options.member { return try member.runTools(calls, options.parallelCalls, cancellation) }
        return try ToolThreads.run(calls, parallel: options.parallelCalls, cancellation: cancellation)
    }

    private func event(_ kind: ChatEvent.Kind, of call: PendingCall) -> ChatEvent {
        var event = ChatEvent(kind, step: step)
        (event.call, event.callID, event.name) = (call.number, call.request.id, call.request.name)
        return event
    }

    private func reportResult(_ call: PendingCall) {
        guard let answer = call.answer else { return }
        var event = event(.result, of: call)
        event.text = answer.text
        event.code = answer.outcome.rawValue
        queue.append(event)
    }

    /// All calls of the step are answered: the next step.
    private func goOn(with pending: [PendingCall]) throws(KimiError) {
        let results = pending.map { ToolResult(id: $0.request.id, content: $0.answer?.forModel ?? .text("")) }
        let answers = results.map { ChatMessage.result(of: $0.id, $0.content) }
        try eyes.admit(messages + answers)
        messages += answers
        step += 1
        phase = .continuing(results)
    }

    // MARK: Results from the host

    /// The answer to one call that was reported as needing one. Any thread.
    ///
    /// - Throws: `invalidArgument` for an id that is not waited for, or that has its answer.
    package func submit(_ id: String, _ answer: ToolAnswer) throws(KimiError) {
        try ToolAnswer.checkLength(answer.text)
        try eyes.admit([ChatMessage(.tool, answer.forModel)])
        let refusal: KimiError? = submitted.withLock { table in
            guard let entry = table[id] else {
                let waiting = table.filter { $0.value == nil }.keys.sorted().joined(separator: ", ")
                return KimiError(
                    .invalidArgument,
                    "no call \"\(id.prefix(80))\" waits for a result; \(waiting.isEmpty ? "none does" : "waiting: \(waiting)")",
                    subject: "call_id")
            }
            guard entry == nil else {
                return KimiError(.invalidArgument, "the call \"\(id.prefix(80))\" has its result already", subject: "call_id")
            }
            table[id] = .some(answer)
            return nil
        }
        if let refusal { throw refusal }
    }

    /// Whether the next event needs results that were not submitted. On the thread that asks for events.
    var waitsForResults: Bool {
        guard case .waiting(let pending) = phase, queue.isEmpty else { return false }
        return missing(pending) != nil
    }

    private func missing(_ pending: [PendingCall]) -> KimiError? {
        let table = submitted.withLock { $0 }
        let missing = pending.filter { $0.answer == nil && table[$0.request.id].flatMap { $0 } == nil }
        guard !missing.isEmpty else { return nil }
        return KimiError(
            .invalidArgument, "calls wait for their results: \(missing.map(\.request.id).joined(separator: ", ")); submit them first",
            subject: "call_id")
    }

    private func takeResults(_ pending: [PendingCall]) throws(KimiError) {
        let table = submitted.withLock { table in
            defer { table.removeAll() }
            return table
        }
        var answered = pending
        for index in answered.indices where answered[index].answer == nil {
            answered[index].answer = table[answered[index].request.id].flatMap { $0 }
            reportResult(answered[index])
        }
        try goOn(with: answered)
    }

    // MARK: The end

    func finish(_ reason: ChatEvent.Finish) {
        var event = ChatEvent(.finish, step: step)
        event.finish = reason
        event.usage = usage
        queue.append(event)
        last = event
        phase = .over
        if reason != .cancelled { chat.replace(messages: messages) }
        chat.session.close(ticket)
    }
}
