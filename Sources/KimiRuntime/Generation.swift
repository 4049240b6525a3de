import KimiCore
import KimiTokenizer

/// What a generation reports; see `kimi_event` in kimi.h.
package enum GenerationEvent: Sendable {
    case prompt(done: Int, total: Int)
    case token(GeneratedToken)
    case finish(reason: FinishReason, id: Int32?, stopString: Int?, text: [UInt8])
}

package struct GeneratedToken: Sendable {
    package let id: Int32
    /// Tokens generated so far.
    package let count: Int
    /// Text that is complete now; may be empty.
    package let text: [UInt8]
    /// Of `id`, if log-probabilities were asked for.
    package let logprob: Float?
    package let top: [(id: Int32, logprob: Float)]
}

package enum FinishReason: Int32, Sendable {
    case stop = 1
    case length = 2
    case context = 3
    case cancelled = 4
}

/// Prompt and generation of one request, event by event. Drives its session; one thread at a time, within a call of the session.
struct GenerationLoop {
    private let options: GenerationOptions
    private var tokens: TokenLoop
    private var decoder: StreamDecoder
    private var matcher: StopMatcher
    private let endTokens: Set<Int32>
    /// Set once the generation has ended: what is given again and again.
    private(set) var finished: GenerationEvent?

    /// - Throws: `invalidArgument` for an option or id out of range; nothing has been computed then.
    init(session: Session, prompt: [Int32], options: GenerationOptions) throws(KimiError) {
        tokens = try TokenLoop(session: session, prompt: prompt, options: options)
        self.options = options
        decoder = StreamDecoder(session.model.tokenizer, continuing: !prompt.isEmpty || session.position > 0)
        matcher = StopMatcher(options.stopStrings)
        endTokens = Set(options.stopIDs).union(options.ignoreEnd ? [] : session.model.endTokens)
    }

    /// Computes until the next event.
    mutating func next() throws(KimiError) -> GenerationEvent {
        if let finished { return finished }
        switch try tokens.next() {
        case .prompt(let done, let total): return .prompt(done: done, total: total)
        case .limit(let reason): return finish(reason)
        case .token(let chosen):
            if endTokens.contains(chosen.id) { return finish(.stop, id: chosen.id) }
            tokens.count(chosen.id)
            // A padded vocabulary has logits for ids that the tokenizer does not know; they have no text.
            let matched = matcher.feed((try? decoder.feed(chosen.id)) ?? [])
            if let stop = matched.stop {
                tokens.rest()
                let event = GenerationEvent.finish(reason: .stop, id: chosen.id, stopString: stop, text: matched.text)
                finished = .finish(reason: .stop, id: chosen.id, stopString: stop, text: [])
                return event
            }
            return .token(GeneratedToken(
                id: chosen.id, count: tokens.generated, text: matched.text, logprob: chosen.logprob, top: chosen.top))
        }
    }

    /// Ends the generation and gives out what was held back, up to a stop string that may be in it.
    mutating func finish(_ reason: FinishReason, id: Int32? = nil) -> GenerationEvent {
        tokens.rest()
        var matched = matcher.feed(decoder.finish())
        if matched.stop == nil {
            let rest = matcher.finish()
            matched = (matched.text + rest.text, rest.stop)
        }
        let reason = matched.stop != nil && reason != .cancelled ? .stop : reason
        let stop = reason == .stop ? matched.stop : nil
        finished = .finish(reason: reason, id: id, stopString: stop, text: [])
        return .finish(reason: reason, id: id, stopString: stop, text: matched.text)
    }
}

extension Session {
    /// Evaluates `prompt` and generates, as one call; `body` sees each event and returns whether to go on.
    package func generate(
        _ prompt: [Int32], options: GenerationOptions, body: (GenerationEvent) -> Bool
    ) throws(KimiError) {
        try call { () throws(KimiError) in
            var loop = try GenerationLoop(session: self, prompt: prompt, options: options)
            while true {
                try cancellation.check()
                let event = try loop.next()
                guard body(event), loop.finished == nil else { return }
            }
        }
    }
}

/// A generation that its host drives by polling: what `kimi_generation` stands for.
///
/// Until it has finished, failed, or was abandoned, its session is busy for everybody else.
package final class Generation: @unchecked Sendable {
    // Safe because loop and failure are touched only by the one thread that `occupied` let in.
    package let session: Session
    private let ticket: Session.GenerationTicket
    private var loop: GenerationLoop
    private var failure: KimiError?
    private let occupied = Occupied()

    /// Reserves the session; nothing is computed yet.
    package init(session: Session, prompt: [Int32], options: GenerationOptions) throws(KimiError) {
        self.session = session
        let ticket = try session.openGeneration()
        self.ticket = ticket
        do throws(KimiError) {
            loop = try session.call(of: ticket) { () throws(KimiError) in
                try GenerationLoop(session: session, prompt: prompt, options: options)
            }
        } catch {
            // Not all is set, so that deinit does not run.
            session.close(ticket)
            throw error
        }
    }

    deinit { session.close(ticket) }

    /// The host gives the generation up: what computes now is cancelled, and the session becomes free. A generation that is
    /// over does not touch its session any more.
    package func abandon() { session.close(ticket, cancelling: true) }

    /// The next event; the finish again and again once it was reached, and likewise an error.
    ///
    /// - Throws: `busy` to a second thread, which changes nothing; `invalidHandle` after `abandon`.
    package func next() throws(KimiError) -> GenerationEvent {
        guard occupied.enter() else { throw KimiError(.busy, "another thread is computing this generation's next event") }
        defer { occupied.leave() }
        if let failure { throw failure }
        if let finished = loop.finished { return finished }
        do throws(KimiError) {
            let event = try session.call(of: ticket) { () throws(KimiError) -> GenerationEvent in
                do throws(KimiError) {
                    try session.cancellation.check()
                    return try loop.next()
                } catch {
                    guard error.status == .cancelled else { throw error }
                    return loop.finish(.cancelled)
                }
            }
            if loop.finished != nil { session.close(ticket) }
            return event
        } catch {
            failure = error
            session.close(ticket)
            throw error
        }
    }
}
