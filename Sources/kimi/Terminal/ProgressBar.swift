import Synchronization

/// How far something has come, on one line of the error stream that goes away at the end.
///
/// Nothing is shown unless a person looks at a terminal and the thing lasts longer than two seconds. Any thread may report.
///
///     writing  ██████████▌░░░░░░░░░░░░   47%  1.42 GiB of 3.01 GiB  812 MiB/s  2 s left
final class ProgressBar: Sendable {
    enum Unit: Sendable {
        case bytes, tokens
        /// Parts of a whole that mean nothing by themselves.
        case share
    }

    private let label: String
    private let unit: Unit
    private let isShown: Bool
    private let isUnicode: Bool
    private let begin = monotonicSeconds()

    private struct State {
        var lastDrawn = 0.0
        var isOnScreen = false
        var isFinished = false
        /// The speed of the last moments, so that a change shows soon without jitter.
        var rate: Double?
        var lastDone = 0
        var lastTime = 0.0
    }
    private let state = Mutex(State())

    init(_ label: String, unit: Unit, isShown: Bool = Terminal.error.isInteractive) {
        self.label = label
        self.unit = unit
        self.isShown = isShown
        isUnicode = Terminal.showsUnicode
    }

    deinit { finish() }

    /// Reports the present state; cheap enough to call for every block.
    func update(_ done: Int, of total: Int) {
        guard isShown else { return }
        let time = monotonicSeconds() - begin
        state.withLock { state in
            guard !state.isFinished, time - state.lastDrawn >= 0.1 else { return }
            guard state.isOnScreen || isWorthShowing(done, total, time) else { return }
            let span = time - state.lastTime
            if span >= 0.1 {
                let now = Double(done - state.lastDone) / span
                let weight = min(1, span / 2)
                state.rate = state.rate.map { $0 * (1 - weight) + now * weight } ?? Double(done) / max(time, 1e-3)
                state.lastDone = done
                state.lastTime = time
            }
            state.lastDrawn = time
            state.isOnScreen = true
            Terminal.error.write("\r" + line(done, total, rate: state.rate ?? 0) + "\u{1B}[K")
        }
    }

    /// Takes the line away; later reports are ignored.
    func finish() {
        state.withLock { state in
            if state.isOnScreen && !state.isFinished { Terminal.error.write("\r\u{1B}[K") }
            state.isFinished = true
        }
    }

    /// After two seconds, or as soon as it is clear that they will not do.
    private func isWorthShowing(_ done: Int, _ total: Int, _ time: Double) -> Bool {
        guard done < total else { return false }
        if time >= 2 { return true }
        guard time >= 0.4 else { return false }
        return done == 0 || time * Double(total) / Double(done) > 2.5
    }

    private func line(_ done: Int, _ total: Int, rate: Double) -> String {
        let fraction = total > 0 ? min(1, max(0, Double(done) / Double(total))) : 0
        let percent = "\(Int(fraction * 100))%"
        var figures = String(repeating: " ", count: max(0, 4 - percent.count)) + percent
        switch unit {
        case .bytes:
            figures += "  \(Units.bytes(done)) of \(Units.bytes(total))"
            if rate > 0 { figures += "  \(Units.rate(rate))" }
        case .tokens:
            figures += "  \(Units.count(done)) of \(Units.count(total)) tokens"
            if rate > 0 { figures += "  \(Units.decimal(rate, rate < 100 ? 1 : 0))/s" }
        case .share: break
        }
        if rate > 0 { figures += "  \(Units.duration(Double(total - done) / rate)) left" }
        // The last column stays empty: a terminal that wraps there would leave lines behind.
        let room = Terminal.error.width - 1
        let space = room - label.count - figures.count - 4
        let bar = space >= 8 ? "  " + Self.bar(fraction, columns: min(space, 40), unicode: isUnicode) : ""
        return Terminal.fitted(label + bar + "  " + figures, columns: room)
    }

    private static func bar(_ fraction: Double, columns: Int, unicode: Bool) -> String {
        guard unicode else {
            let full = Int(fraction * Double(columns - 2))
            return "[" + String(repeating: "#", count: full) + String(repeating: ".", count: columns - 2 - full) + "]"
        }
        // Eighths of a column.
        let eighths = Int(fraction * Double(columns * 8))
        let partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]
        let full = String(repeating: "█", count: eighths / 8) + partial
        return full + String(repeating: "░", count: max(0, columns - full.count))
    }
}
