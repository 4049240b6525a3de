import KimiAgent
import KimiChat
import KimiCore

/// A chat on a terminal: reasoning dim while it comes and then one line, calls and results on one line each.
final class TerminalView: ChatView {
    var showsThoughts: Bool
    private let screen: Terminal
    private let style: TextStyle
    private let withStatistics: Bool

    private var thought: ThoughtWindow?
    private var visible = VisibleText()
    private var bar: ProgressBar?
    private var isInLine = false
    private var hasContent = false
    /// Characters of a call's arguments that still fit on its line.
    private var room = 0
    private var endsInSpace = false
    /// Remarks that wait for the end of a thought.
    private var remarks: [String] = []
    private static let argumentRoom = 300
    private var mediaTokens = 0
    private var promptTokens = 0

    init(_ screen: Terminal, style: TextStyle, showsThoughts: Bool, withStatistics: Bool) {
        (self.screen, self.style, self.showsThoughts, self.withStatistics) = (screen, style, showsThoughts, withStatistics)
    }

    private var arrow: String { Terminal.showsUnicode ? "→" : "->" }
    private var dot: String { Terminal.showsUnicode ? " · " : ", " }

    func greet(_ model: String, mode: String, contextLimit: Int) {
        let facts = [style.strong(VisibleText.line(model)), "\(mode) mode", "context \(Units.count(contextLimit)) tokens"]
        line(facts.joined(separator: dot))
        line(style.dim("/help lists the commands; Ctrl-C stops an answer, Ctrl-D ends the chat."))
        screen.write("\n")
    }

    func beginTurn(_ message: String) { hasContent = false }

    func show(_ event: ChatEvent, _ meter: TurnMeter) {
        // A remark may come between two pieces of a thought.
        if event.kind != .reasoning && event.kind != .notice { endThought(meter) }
        switch event.kind {
        case .start:
            hasContent = false
            promptTokens = event.total - event.done
            bar = ProgressBar("reading the prompt", unit: .tokens, total: promptTokens)
        case .prompt: bar?.update(event.done, of: event.total)
        case .reasoning: think(event.text)
        case .content: answer(event.text)
        case .callBegin:
            endLine()
            write(style.dim("calls \(VisibleText.line(event.name)) "))
            (room, endsInSpace) = (Self.argumentRoom, false)
        case .callArguments: showArguments(event.text)
        case .callEnd: endLine()
        case .callRejected: note(Self.rejection(event))
        case .resultNeeded: break
        case .media: look(event)
        case .result: line(style.dim("  \(arrow) \(Self.folded(event.text))"))
        case .notice: if thought == nil { note(event.text) } else { remarks.append(event.text) }
        case .finish: endLine()
        }
    }

    // MARK: Parts of a turn

    /// A picture or chunk of a clip is a row of features, or was one already.
    private func look(_ event: ChatEvent) {
        if event.done == 1 {
            endBar()
            (mediaTokens, bar) = (0, ProgressBar("looking", unit: .share))
        }
        mediaTokens += event.usage.media
        bar?.update(event.done, of: event.total)
        guard event.done == event.total else { return }
        endBar()
        line(style.dim("looked at \(event.total == 1 ? "a picture" : "\(event.total) pictures"): \(Units.count(mediaTokens)) tokens"))
        bar = ProgressBar("reading the prompt", unit: .tokens, total: promptTokens)
    }

    private func think(_ text: String) {
        endBar()
        if thought == nil {
            endLine()
            visible = VisibleText()
            thought = ThoughtWindow(screen, style: style, stays: showsThoughts)
        }
        thought?.feed(visible.feed(text))
    }

    private func endThought(_ meter: TurnMeter) {
        guard thought != nil else { return }
        thought?.finish()
        thought = nil
        visible = VisibleText()
        let hint = showsThoughts ? "" : ": /think shows it"
        let tokens = meter.thoughtTokens == 1 ? "1 token" : "\(Units.count(meter.thoughtTokens)) tokens"
        line(style.dim("thought for \(tokens), \(Units.duration(meter.thoughtSeconds))\(hint)"))
        sayRemarks()
    }

    private func sayRemarks() {
        for remark in remarks { note(remark) }
        remarks = []
    }

    private func answer(_ text: String) {
        endBar()
        var text = visible.feed(text)
        // Models begin with empty lines that say nothing.
        if !hasContent { text = String(text.drop(while: \.isNewline)) }
        guard !text.isEmpty else { return }
        hasContent = true
        write(text)
    }

    /// Arguments on the line of their call, with one space where there are many.
    private func showArguments(_ text: String) {
        guard room > 0 else { return }
        var shown = ""
        for character in text {
            if !character.isWhitespace { shown += VisibleText.of(String(character)) } else if !endsInSpace { shown += " " }
            endsInSpace = character.isWhitespace
        }
        write(style.dim(String(shown.prefix(room)) + (shown.count > room ? (Terminal.showsUnicode ? "…" : "...") : "")))
        room -= shown.count
    }

    private static func rejection(_ event: ChatEvent) -> String {
        let reason = switch CallRejection(rawValue: event.code) {
        case .unknownTool: "names no tool"
        case .arguments: "has arguments that are no JSON object"
        case .unfinished, nil: "was not finished"
        }
        let begin = VisibleText.line(event.text.split(whereSeparator: \.isWhitespace).joined(separator: " "))
        return "a call \(reason) and was left out: \(Terminal.fitted(begin, columns: 60))"
    }

    /// The first line of a result and how much there is.
    private static func folded(_ text: String) -> String {
        let lines = text.split(whereSeparator: \.isNewline)
        let first = VisibleText.line(String((lines.first ?? "").prefix(400)))
        guard lines.count > 1 else { return Terminal.fitted(first, columns: max(20, Terminal.output.width - 6)) }
        let size = "\(Units.count(lines.count)) lines, \(Units.bytes(text.utf8.count)): "
        return size + Terminal.fitted(first, columns: max(20, Terminal.output.width - size.count - 6))
    }

    private func endBar() {
        bar?.finish()
        bar = nil
    }

    private func write(_ text: String) {
        endBar()
        guard !text.isEmpty else { return }
        screen.write(text)
        isInLine = !text.hasSuffix("\n")
    }

    private func endLine() {
        endBar()
        if isInLine { screen.write("\n") }
        isInLine = false
    }

    private func line(_ text: String) {
        endLine()
        screen.write(text + "\n")
    }

    func endTurn() {
        if thought != nil {
            thought?.finish()
            thought = nil
        }
        sayRemarks()
        write(visible.finish())
        endLine()
    }

    // MARK: Other words

    func report(_ report: TurnReport, finish: ChatEvent.Finish) {
        if withStatistics { line(style.dim(report.line)) }
    }

    func separate() { line("") }

    func say(_ text: String) { line(VisibleText.of(text)) }

    func say(_ table: Table) {
        endLine()
        table.print(to: screen)
    }

    func note(_ text: String) { line(style.dim(VisibleText.of(text))) }

    func fail(_ failure: Failure) {
        line(style.strong(VisibleText.of(failure.message)) + (failure.next.map { "\n" + style.dim(VisibleText.of($0)) } ?? ""))
    }
}
