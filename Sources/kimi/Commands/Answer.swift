import KimiCore
import KimiRuntime

/// What a model answers: streamed to the standard output as it comes, or gathered for JSON.
struct Answer {
    private let streams: Bool
    private var text: [UInt8] = []
    private var tokens: [GeneratedToken] = []
    private var lastByte: UInt8?
    private(set) var finish = "cancelled"
    private var stopString: Int?

    init(streams: Bool) { self.streams = streams }

    /// Runs the generation to its end. A wish to stop is an ending, not an error.
    mutating func take(
        _ session: Session, _ prompt: [Int32], _ options: GenerationOptions, _ interrupt: Interrupt
    ) throws(KimiError) {
        let bar = ProgressBar("reading the prompt", unit: .tokens, total: prompt.count)
        defer { bar.finish() }
        do throws(KimiError) {
            try session.generate(prompt, options: options) { event in
                // A wish that came before the call began is not the session's to know.
                guard !interrupt.isRequested else { return false }
                switch event {
                case .prompt(let done, let total):
                    bar.update(done, of: total)
                    return true
                case .token(let token):
                    bar.finish()
                    if !streams { tokens.append(token) }
                    return emit(token.text)
                case .finish(let reason, _, let stop, let rest):
                    bar.finish()
                    finish = Self.word(reason)
                    stopString = stop
                    return emit(rest)
                }
            }
        } catch {
            guard error.status == .cancelled && interrupt.isRequested else { throw error }
            finish = "cancelled"
        }
    }

    /// Gives out text; false if nobody reads any more, which ends the generation.
    private mutating func emit(_ bytes: [UInt8]) -> Bool {
        guard !bytes.isEmpty else { return true }
        lastByte = bytes.last
        if streams { return Terminal.output.write(bytes) }
        text += bytes
        return true
    }

    /// Ends the line that the text has left open, if a person reads it.
    func endLine() {
        guard streams, let lastByte, lastByte != 0x0A else { return }
        Terminal.output.write("\n")
    }

    private static func word(_ reason: FinishReason) -> String {
        switch reason {
        case .stop: "stop"
        case .length: "length"
        case .context: "context"
        case .cancelled: "cancelled"
        }
    }

    /// The whole answer as one object.
    func json(_ statistics: RunStatistics, withLogprobs: Bool) -> String {
        var json = JSONWriter()
        json.object { json in
            json.member("text", String(decoding: text, as: UTF8.self))
            json.member("finish_reason", finish)
            if let stopString { json.member("stop_string", stopString) }
            json.array("ids") { json in for token in tokens { json.element(Int(token.id)) } }
            if withLogprobs {
                json.array("tokens") { json in
                    for token in tokens { Self.add(token, &json) }
                }
            }
            json.object("statistics") { json in statistics.add(to: &json) }
        }
        return json.text
    }

    private static func add(_ token: GeneratedToken, _ json: inout JSONWriter) {
        json.object { json in
            json.member("id", Int(token.id))
            if let logprob = token.logprob { json.member("logprob", Double(logprob)) }
            json.array("top") { json in
                for (id, logprob) in token.top {
                    json.object { json in
                        json.member("id", Int(id))
                        json.member("logprob", Double(logprob))
                    }
                }
            }
        }
    }
}
