import KimiAgent
import KimiCore

/// How a chat is shown: on a terminal, as plain text, or as JSON lines.
protocol ChatView: AnyObject {
    /// Whether reasoning stays to be seen.
    var showsThoughts: Bool { get set }
    /// The model is open and the chat begins.
    func greet(_ model: String, mode: String, contextLimit: Int)
    /// A turn begins with this message.
    func beginTurn(_ message: String)
    /// More of the turn.
    func show(_ event: ChatEvent, _ meter: TurnMeter)
    /// Everything of the turn that was shown is complete on its lines; after it other words may follow.
    func endTurn()
    /// The turn's figures, if they were asked for.
    func report(_ report: TurnReport, finish: ChatEvent.Finish)
    /// A turn and all remarks on it are over.
    func separate()
    /// The answer to a command.
    func say(_ text: String)
    func say(_ table: Table)
    /// A remark beside the conversation.
    func note(_ text: String)
    func fail(_ failure: Failure)
}

extension ChatEvent.Finish {
    var word: String {
        switch self {
        case .stop: "stop"
        case .length: "length"
        case .context: "context"
        case .cancelled: "cancelled"
        case .toolCalls: "tool_calls"
        case .steps: "steps"
        }
    }
}

extension ToolAnswer.Outcome {
    var word: String {
        switch self {
        case .ok: "ok"
        case .failed: "failed"
        case .timedOut: "timed_out"
        }
    }
}

/// Answers on the standard output as they are, and all else on the error stream: for pipes and files.
final class PlainView: ChatView {
    var showsThoughts: Bool
    private let withStatistics: Bool
    private var isInLine = false
    private var isThinking = false

    init(showsThoughts: Bool, withStatistics: Bool) {
        (self.showsThoughts, self.withStatistics) = (showsThoughts, withStatistics)
    }

    func greet(_ model: String, mode: String, contextLimit: Int) {}
    func beginTurn(_ message: String) {}

    func show(_ event: ChatEvent, _ meter: TurnMeter) {
        if event.kind != .reasoning { endThought() }
        switch event.kind {
        case .reasoning:
            guard showsThoughts else { return }
            if !isThinking { write("<think>\n") }
            isThinking = true
            write(event.text)
        case .content: write(event.text)
        case .callEnd: aside("calls \(event.name) \(event.text)")
        case .callRejected: aside("a call of \"\(event.name)\" could not be read and was left out")
        case .result: aside("\(event.name): \(event.text)")
        case .notice: note(event.text)
        default: break
        }
    }

    private func write(_ text: String) {
        guard let last = text.utf8.last else { return }
        Terminal.output.write(text)
        isInLine = last != 0x0A
    }

    private func endThought() {
        guard isThinking else { return }
        isThinking = false
        if isInLine { write("\n") }
        write("</think>\n")
    }

    private func aside(_ text: String) { Terminal.error.write("kimi: \(Terminal.error.isInteractive ? VisibleText.of(text) : text)\n") }

    func endTurn() {
        endThought()
        if isInLine { write("\n") }
    }

    func report(_ report: TurnReport, finish: ChatEvent.Finish) {
        if withStatistics { Terminal.error.write("kimi: \(report.line)\n") }
    }

    func separate() {}
    func say(_ text: String) { write(text + "\n") }
    func say(_ table: Table) { table.print() }
    func note(_ text: String) { aside("note: " + text) }
    func fail(_ failure: Failure) { failure.report() }
}

/// Each event as a JSON object on a line of the standard output.
final class JSONView: ChatView {
    var showsThoughts = true

    private func line(_ name: String, _ body: (inout JSONWriter) -> Void) {
        var json = JSONWriter()
        json.object { json in
            json.member("event", name)
            body(&json)
        }
        Terminal.output.write(json.text + "\n")
    }

    func greet(_ model: String, mode: String, contextLimit: Int) {
        line("ready") { json in
            json.member("model", model)
            json.member("mode", mode)
            json.member("context_limit", contextLimit)
        }
    }

    func beginTurn(_ message: String) { line("message") { $0.member("text", message) } }

    func show(_ event: ChatEvent, _ meter: TurnMeter) {
        guard event.kind != .finish else { return }
        line(event.eventName) { event.write(to: &$0) }
    }

    func endTurn() {}

    func report(_ report: TurnReport, finish: ChatEvent.Finish) {
        line("finish") { json in
            json.member("finish_reason", finish.word)
            report.add(to: &json)
        }
    }

    func separate() {}
    func say(_ text: String) { line("reply") { $0.member("text", text) } }
    func say(_ table: Table) { say(String(table.rendered(.plain, width: .max).dropLast())) }
    func note(_ text: String) { line("note") { $0.member("text", text) } }

    func fail(_ failure: Failure) {
        line("error") { json in
            json.member("message", failure.message)
            if let next = failure.next { json.member("next", next) }
        }
    }
}
