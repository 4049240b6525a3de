import Dispatch
import KimiCore
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
    private let isUnicode: Bool
    private let begin = monotonicSeconds()

    private struct State {
        var done = 0
        var total = 0
        var lastDrawn = 0.0
        var isOnScreen = false
        var isFinished = false
        /// The speed of the last moments, so that a change shows soon without jitter.
        var rate: Double?
        var lastDone = 0
        var lastTime = 0.0
    }
    private let state = Mutex(State())
    /// Draws also while nobody reports, when one step takes long.
    // Safe because a dispatch source may be used from any thread.
    private nonisolated(unsafe) let timer: DispatchSourceTimer?

    /// - Parameter total: what there is to do, if that is known before the first report.
    init(_ label: String, unit: Unit, total: Int = 0, isShown: Bool = Terminal.error.isInteractive) {
        self.label = label
        self.unit = unit
        isUnicode = Terminal.showsUnicode
        timer = isShown ? DispatchSource.makeTimerSource(queue: .global()) : nil
        state.withLock { $0.total = total }
        timer?.setEventHandler { [weak self] in self?.draw() }
        timer?.schedule(deadline: .now() + 0.5, repeating: 0.5)
        timer?.activate()
    }

    deinit { finish() }

    /// Reports the present state; cheap enough to call for every block.
    func update(_ done: Int, of total: Int) {
        guard timer != nil else { return }
        state.withLock { state in
            // Threads may report out of order.
            state.done = max(state.done, done)
            state.total = total
        }
        draw()
    }

    /// Takes the line away; later reports are ignored.
    func finish() {
        timer?.cancel()
        state.withLock { state in
            if state.isOnScreen && !state.isFinished { Terminal.error.write("\r\u{1B}[K") }
            state.isFinished = true
        }
    }

    private func draw() {
        let time = monotonicSeconds() - begin
        state.withLock { state in
            guard !state.isFinished, state.total > 0, time - state.lastDrawn >= 0.1 else { return }
            guard state.isOnScreen || isWorthShowing(state.done, state.total, time) else { return }
            let span = time - state.lastTime
            if state.done > state.lastDone {
                let now = Double(state.done - state.lastDone) / span
                let weight = min(1, span / 2)
                state.rate = state.rate.map { $0 * (1 - weight) + now * weight } ?? Double(state.done) / max(time, 1e-3)
                state.lastDone = state.done
                state.lastTime = time
            }
            state.lastDrawn = time
            state.isOnScreen = true
            // Held over the writing, so that no line comes after the one that `finish` takes away.
            Terminal.error.write("\r" + line(state, time) + "\u{1B}[K")
        }
    }

    /// After two seconds, or as soon as it is clear that they will not do.
    private func isWorthShowing(_ done: Int, _ total: Int, _ time: Double) -> Bool {
        guard done < total else { return false }
        if time >= 2 { return true }
        guard time >= 0.4 else { return false }
        return done == 0 || time * Double(total) / Double(done) > 2.5
    }

    private func line(_ state: State, _ time: Double) -> String {
        let (done, total, rate) = (state.done, state.total, state.rate ?? 0)
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
        if rate > 0 {
            // Counted from the last report on.
            let left = Double(total - state.lastDone) / rate - (time - state.lastTime)
            figures += "  \(Units.duration(max(0, left))) left"
        }
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
