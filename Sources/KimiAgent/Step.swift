import KimiChat
import KimiCore
import KimiModel
import KimiRuntime
import KimiTokenizer

/// How a step's answer ended.
enum StepEnd {
    case stop, length, context

    var finish: ChatEvent.Finish {
        switch self {
        case .stop: .stop
        case .length: .length
        case .context: .context
        }
    }
}

/// One answer of the model: its prompt, then token by token through constraint and parser.
final class Step {
    /// Owns this step as its phase, so that a strong reference would keep both alive when a request is given up.
    private unowned let run: ChatRun
    private var tokens: TokenLoop
    private var parser: OutputParser
    private let constraint: TurnConstraint
    private var matcher: StopMatcher
    private var saidBudget = false
    /// What is to be chosen, if the answer is scripted, and how many of it were.
    private let script: [Int32]
    private var scripted = 0
    /// How many of the script the prompt has at its end already.
    private let given: Int

    private var content = ""
    private var reasoningText = ""
    /// Calls that are complete.
    private(set) var calls: [ChatMessage.ToolCall] = []
    /// Tokens chosen, and those of them in a thought.
    private(set) var generated = 0
    private(set) var reasoning = 0

    init(run: ChatRun, prompt: [Int32], media: [MediaSpan]) throws(KimiError) {
        self.run = run
        let plan = run.plan, format = run.format
        let firstCall = run.firstCall + run.calls
        let answer = run.options.script?(run.step)
        script = try answer?.ids(
            format, startsInReasoning: run.startsInReasoning, opensThought: plan.opensThought, firstCall: firstCall) ?? []
        // The last is chosen, so that the session has logits to choose from.
        given = answer?.isGiven == true ? max(0, script.count - 1) : 0
        tokens = try TokenLoop(
            session: run.chat.session, prompt: prompt + script[..<given], media: media, options: plan.generation)
        parser = OutputParser(
            tokens: format.tokens, tokenizer: format.tokenizer, endTokens: format.endTokens, startsInReasoning: run.startsInReasoning,
            tools: plan.toolNames, firstCall: firstCall)
        constraint = TurnConstraint(
            tokens: format.tokens, tokenizer: format.tokenizer, matchers: run.matchers,
            modelVocabulary: run.chat.session.vocabularySize, endTokens: format.endTokens,
            startsInReasoning: run.startsInReasoning,
            options: plan.constraint(step: run.step, firstCall: firstCall))
        matcher = StopMatcher(plan.generation.stopStrings)
    }

    /// Whether the answer ended with the token that ends a message.
    private(set) var endsMessage = false

    /// What the model said, as the conversation keeps it.
    var message: ChatMessage { ChatMessage(assistant: content, reasoning: reasoningText.isEmpty ? nil : reasoningText, calls: calls) }

    /// Computes until something is to be reported or the answer ends. Within a call of the session.
    func advance(_ report: (ChatEvent) -> Void) throws(KimiError) -> StepEnd? {
        switch try nextToken() {
        case .prompt(let done, let total):
            var event = ChatEvent(.prompt, step: run.step)
            (event.done, event.total) = (done, total)
            report(event)
            if done == total { run.usage.cached += tokens.reused }
            return nil
        case .limit(let reason):
            return finish(reason == .context ? .context : .length, report)
        case .token(let chosen):
            generated += 1
            let wasReasoning = parser.isReasoning
            constraint.accept(chosen.id)
            if constraint.closedThought, !saidBudget {
                saidBudget = true
                report(ChatEvent(
                    notice: .reasoningBudget, step: run.step,
                    "the thought was closed after \(run.plan.reasoningBudget ?? 0) tokens, its budget"))
            }
            endsMessage = chosen.id == run.format.tokens[.imEnd]
            if run.format.endTokens.contains(chosen.id) { return finish(.stop, report) }
            tokens.count(chosen.id)
            var stopped = false
            for event in parser.feed(chosen.id) { stopped = take(event, report) || stopped }
            // The marker that closes the thought is no part of it.
            if wasReasoning, parser.isReasoning { reasoning += 1 }
            return stopped ? .stop : nil
        }
    }

    /// The next event of the tokens, within what the swarm's budgets leave.
    private func nextToken() throws(KimiError) -> TokenLoop.Event {
        guard let meter = run.options.member?.meter, tokens.isPastPrompt else { return try nextOfAll() }
        guard meter.take() else { return .limit(.length) }
        do throws(KimiError) {
            let event = try nextOfAll()
            if case .limit = event { meter.giveBack() }
            return event
        } catch {
            meter.giveBack()
            throw error
        }
    }

    private func nextOfAll() throws(KimiError) -> TokenLoop.Event {
        guard tokens.isPastPrompt, scripted < given else { return try tokens.next(choice) }
        scripted += 1
        return .token(TokenLoop.TokenChosen(id: script[scripted - 1]))
    }

    private func choice() -> TokenChoice {
        guard scripted < script.count else { return constraint.choice() }
        scripted += 1
        return .only(script[scripted - 1])
    }

    private func finish(_ end: StepEnd, _ report: (ChatEvent) -> Void) -> StepEnd {
        for event in parser.finish() { if take(event, report) { return .stop } }
        let rest = matcher.finish()
        show(rest.text, report)
        return rest.stop == nil ? end : .stop
    }

    /// Reports what the parser found; true if a stop string ends the answer.
    private func take(_ event: OutputEvent, _ report: (ChatEvent) -> Void) -> Bool {
        switch event {
        case .reasoning(let text):
            reasoningText += text
            var event = ChatEvent(.reasoning, step: run.step)
            event.text = text
            report(event)
        case .content(let text):
            let matched = matcher.feed(Array(text.utf8))
            show(matched.text, report)
            return matched.stop != nil
        case .callBegin(let index, let id, let name):
            report(callEvent(.callBegin, index, id, name, ""))
        case .argumentDelta(let index, let id, let name, let text):
            report(callEvent(.callArguments, index, id, name, text))
        case .callEnd(let index, let id, let name, let arguments):
            calls.append(ChatMessage.ToolCall(id: id, name: name, arguments: arguments))
            report(callEvent(.callEnd, index, id, name, arguments))
        case .callRejected(let index, let name, let reason, let preview):
            var event = callEvent(.callRejected, index, "", name, preview)
            event.code = reason.rawValue
            report(event)
        }
        return false
    }

    private func show(_ bytes: [UInt8], _ report: (ChatEvent) -> Void) {
        guard !bytes.isEmpty else { return }
        let text = String(decoding: bytes, as: UTF8.self)
        content += text
        var event = ChatEvent(.content, step: run.step)
        event.text = text
        report(event)
    }

    private func callEvent(_ kind: ChatEvent.Kind, _ index: Int, _ id: String, _ name: String, _ text: String) -> ChatEvent {
        var event = ChatEvent(kind, step: run.step)
        (event.call, event.callID, event.name, event.text) = (run.calls + index, id, name, text)
        return event
    }
}
