import Dispatch
import KimiAgent
import KimiCore
import Synchronization

/// The agents of a swarm on a terminal: a table that is drawn over itself, at most ten times a second, and goes away at the end.
///
/// Events come on the host's thread, drawing happens on the timer's.
final class SwarmTable: SwarmView, @unchecked Sendable {
    // Safe because all that is mutable is in `state`, or written once in `begin` before the timer runs.
    private let screen: Terminal
    private let style: TextStyle
    private let start = monotonicSeconds()
    private var timer: DispatchSourceTimer?

    private struct State {
        var board: SwarmBoard
        /// Of each line that is on the screen, the columns that it takes.
        var drawn: [Int] = []
        var hasEnded = false
    }
    private let state: Mutex<State>

    /// Rows that a small terminal gets at least.
    private static let leastRows = 3
    private static let widestName = 32

    init(_ screen: Terminal) {
        self.screen = screen
        style = TextStyle(for: screen)
        state = Mutex(State(board: SwarmBoard(now: 0)))
    }

    func begin(_ run: SwarmRun) {
        let timer = DispatchSource.makeTimerSource(queue: .global())
        timer.setEventHandler { [weak self, weak run] in
            guard let self, let run else { return }
            draw(run.counts)
        }
        timer.schedule(deadline: .now() + 0.1, repeating: 0.1, leeway: .milliseconds(10))
        self.timer = timer
        timer.activate()
    }

    func show(_ event: SwarmEvent) {
        let now = monotonicSeconds() - start
        state.withLock { $0.board.note(event, now) }
    }

    func end() {
        timer?.cancel()
        state.withLock { state in
            screen.write(Self.wipe(state.drawn, width: screen.width, height: screen.height) + "\u{1B}[J")
            (state.drawn, state.hasEnded) = ([], true)
        }
    }

    /// The program was stopped and goes on: what was drawn is above, among other things.
    func forget() { state.withLock { $0.drawn = [] } }

    private func draw(_ counts: [SwarmAccount.Agent]) {
        let now = monotonicSeconds() - start
        state.withLock { state in
            guard !state.hasEnded else { return }
            let (width, height) = (screen.width, screen.height)
            let lines = lines(state.board, counts, now, width: width - 1, height: height - 1)
            // All of it in one piece, which terminals that know the mark 2026 show at once; no line is empty in between.
            var frame = "\u{1B}[?2026h" + Self.wipe(state.drawn, width: width, height: height)
            for line in lines { frame += line.text + "\u{1B}[K\n" }
            // Held over the writing, so that no frame comes after the end.
            screen.write(frame + "\u{1B}[J\u{1B}[?2026l")
            state.drawn = lines.map(\.columns)
        }
    }

    /// Back to the first of the lines that are there. A terminal that became narrower has broken them into more.
    private static func wipe(_ drawn: [Int], width: Int, height: Int) -> String {
        let rows = drawn.reduce(0) { $0 + max(1, ($1 + width - 1) / max(1, width)) }
        let up = min(rows, height - 1)
        return up > 0 ? "\r\u{1B}[\(up)A" : "\r"
    }

    // MARK: A frame

    private typealias Line = (text: String, columns: Int)

    private func lines(_ board: SwarmBoard, _ counts: [SwarmAccount.Agent], _ now: Double, width: Int, height: Int) -> [Line] {
        let rows = board.inOrder
        let room = max(Self.leastRows, height - 2)
        let shown = rows.count <= room ? rows : Array(rows.prefix(room - 1))
        func line(_ text: String, _ look: (String) -> String = { $0 }) -> Line {
            let fitted = Terminal.fitted(text, columns: width)
            return (look(fitted), Terminal.columns(of: fitted))
        }
        var lines = [line(headline(board, counts, now)) { [style] in style.strong($0) }]
        let names = shown.map { Terminal.fitted(VisibleText.line($0.name), columns: Self.widestName) }
        let states = shown.map { VisibleText.line($0.state.words) }
        // The state gives way first: figures are never cut.
        let figures = 6 + 9 + 13
        let nameWidth = max(5, names.map { Terminal.columns(of: $0) }.max() ?? 0)
        let stateWidth = max(5, min(states.map { Terminal.columns(of: $0) }.max() ?? 0, width - figures - nameWidth - 5))
        func row(_ name: String, _ state: String, _ steps: String, _ tokens: String, _ time: String) -> String {
            " " + Self.left(name, nameWidth) + "  " + Self.left(state, stateWidth) + Self.right(steps, 6) + Self.right(tokens, 9)
                + Self.right(time, 13)
        }
        lines.append(line(row("agent", "state", "steps", "tokens", "time")) { [style] in style.dim($0) })
        for (index, agent) in shown.enumerated() {
            let count = counts.indices.contains(agent.number) ? counts[agent.number] : nil
            let text = row(
                names[index], states[index], Units.count(count?.steps ?? 0), Units.count(count?.generatedTokens ?? 0),
                Units.duration(agent.seconds(now)))
            lines.append(agent.state.isAtWork ? line(text) : line(text) { [style] in style.dim($0) })
        }
        if shown.count < rows.count { lines.append(line(" " + Self.more(rows.dropFirst(shown.count))) { [style] in style.dim($0) }) }
        return lines
    }

    private func headline(_ board: SwarmBoard, _ counts: [SwarmAccount.Agent], _ now: Double) -> String {
        let (working, waiting, done) = board.numbers
        let tokens = counts.reduce(0) { $0 + $1.generatedTokens }
        let steps = counts.reduce(0) { $0 + $1.steps }
        let dot = Terminal.showsUnicode ? " · " : ", "
        return [
            "swarm \(Units.duration(now))", "\(working) at work", "\(waiting) waiting", "\(done) done", "\(Units.count(steps)) step\(steps == 1 ? "" : "s")",
            "\(Units.count(tokens)) tokens, \(Units.decimal(now > 0 ? Double(tokens) / now : 0, 0))/s",
        ].joined(separator: dot)
    }

    private static func more(_ rows: ArraySlice<SwarmBoard.Row>) -> String {
        let working = rows.count { $0.state.isAtWork }
        let waiting = rows.count { $0.state == .waiting }
        let parts = [(working, "at work"), (waiting, "waiting"), (rows.count - working - waiting, "done")]
        let words = parts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
        return "and \(rows.count) more: \(words)"
    }

    private static func left(_ text: String, _ width: Int) -> String {
        let fitted = Terminal.fitted(text, columns: width)
        return fitted + String(repeating: " ", count: max(0, width - Terminal.columns(of: fitted)))
    }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - Terminal.columns(of: text))) + text
    }
}
