import CKimiSystem
import KimiCore
import KimiModel

/// The steps of one request below its text: the prompt by chunks, then a token at a time. Drives its session; one thread at a
/// time, within a call of the session.
package struct TokenLoop {
    package enum Event {
        /// Prompt tokens evaluated so far.
        case prompt(done: Int, total: Int)
        /// A token was chosen and belongs to the session now.
        case token(TokenChosen)
        /// There is no room for another token: `length` or `context`.
        case limit(FinishReason)
    }

    package struct TokenChosen {
        package let id: Int32
        /// Of `id`, if log-probabilities were asked for.
        package let logprob: Float?
        package let top: [(id: Int32, logprob: Float)]

        package init(id: Int32, logprob: Float? = nil, top: [(id: Int32, logprob: Float)] = []) {
            (self.id, self.logprob, self.top) = (id, logprob, top)
        }
    }

    private let session: Session
    private let options: GenerationOptions
    private let prompt: [Int32]
    /// Until the prompt is evaluated: features take memory.
    private var media: [MediaSpan]
    private var promptDone = 0
    private var sampler: Sampler
    /// Tokens of the prompt that others had evaluated.
    package private(set) var reused = 0
    /// Tokens chosen that count: all but those that ended a generation.
    package private(set) var generated = 0

    /// - Parameters:
    ///   - prompt: what the session does not hold yet; may be empty if it holds something.
    ///   - media: what stands at some of its places; see `Session.evaluate`.
    ///   - options: how to choose, and the most tokens; what concerns text is the caller's.
    /// - Throws: `invalidArgument` for an option or id out of range; nothing has been computed then.
    package init(
        session: Session, prompt: [Int32], media: [MediaSpan] = [], options: GenerationOptions
    ) throws(KimiError) {
        let vocabulary = session.vocabularySize
        try options.validate(vocabulary: vocabulary)
        for (index, id) in prompt.enumerated() where id < 0 || Int(id) >= vocabulary {
            throw KimiError(
                .invalidArgument, "token \(index) of the prompt has id \(id); ids are 0 to \(vocabulary - 1)", subject: "ids")
        }
        self.session = session
        self.options = options
        self.prompt = prompt
        self.media = media
        sampler = try session.withOtherMemory { () throws(KimiError) in
            try Sampler(options: options, vocabulary: vocabulary, budget: session.model.text.budget)
        }
    }

    /// Whether the whole prompt is evaluated.
    package var isPastPrompt: Bool { promptDone == prompt.count }

    /// Computes until the next event.
    ///
    /// - Parameter choice: what may be chosen; asked for only when a token is.
    package mutating func next(_ choice: () -> TokenChoice = { .any }) throws(KimiError) -> Event {
        // Draws, too, do not depend on how the host rounds. Nothing of the host's is called here.
        let settings = cks_float_use_default()
        defer { cks_float_restore(settings) }
        if !isPastPrompt { return try nextChunk() }
        guard options.maxTokens.map({ generated < $0 }) ?? true else { return .limit(.length) }
        guard session.count < session.contextLimit else { return .limit(.context) }
        let logits = try session.currentLogits()
        let id = sampler.choose(logits, past: session.pastTokens, media: session.pastMedia, from: choice())
        let probabilities = logprobs(of: id, logits)
        session.accept(id)
        return .token(TokenChosen(id: id, logprob: probabilities?.own, top: probabilities?.top ?? []))
    }

    /// Counts a token that was chosen, for the penalties and `maxTokens`; not one that ends the generation.
    package mutating func count(_ id: Int32) {
        sampler.note(id)
        generated += 1
    }

    /// No more tokens are wanted for now: steps of other sessions need not wait for this one.
    func rest() { session.rest() }

    private mutating func nextChunk() throws(KimiError) -> Event {
        let rest = media.cut(to: promptDone..<prompt.count)
        let step = try prompt[promptDone...].withUnsafeBufferPointer { ids in
            Result { () throws(KimiError) in
                try session.evaluateNext(
                    ids, media: rest, exactly: session.isExact(promptOf: prompt.count), isFirst: promptDone == 0)
            }
        }.get()
        promptDone += step.done
        reused += step.reused
        if isPastPrompt { media = [] }
        return .prompt(done: promptDone, total: prompt.count)
    }

    private func logprobs(
        of id: Int32, _ logits: UnsafePointer<Float>
    ) -> (own: Float, top: [(id: Int32, logprob: Float)])? {
        guard let count = options.topLogprobs else { return nil }
        let norm = Sampler.logSumExp(logits, session.vocabularySize)
        func logprob(_ id: Int32) -> Float { Float(Double(logits[Int(id)]) - norm) }
        let top = Sampler.top(logits, session.vocabularySize, count: count).map { (id: $0, logprob: logprob($0)) }
        return (logprob(id), top)
    }
}
