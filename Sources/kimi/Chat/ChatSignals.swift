import Glibc
import KimiCore
import Synchronization

/// What signals mean in a chat: Ctrl-C stops the answer, or discards the line that is being typed; it does not end the program.
///
/// The signals arrive on a thread of their own. Whoever reads keys waits for `wakeDescriptor` too, and asks `takeNews`.
final class ChatSignals: Sendable {
    /// What the reader of keys is told.
    enum News: UInt8 {
        case interrupted = 1
        case resized = 2
        case suspended = 3
        case ended = 4
        case resumed = 5
    }

    /// Signals that `Interrupt` must catch for a chat.
    static let caught: [Int32] = [SIGTSTP, SIGCONT, SIGWINCH]

    private struct State {
        var cancel: (@Sendable () -> Void)?
        var isCancelled = false
        var isReading = false
    }

    private let state = Mutex(State())
    private let pipe: (read: Int32, write: Int32)
    private let interrupt: Interrupt

    /// - Parameter interrupt: made with `caught`.
    init(_ interrupt: Interrupt) throws(Failure) {
        self.interrupt = interrupt
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw Failure("cannot make a pipe", errno: errno) }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        pipe = (ends[0], ends[1])
        interrupt.onRequest { [self] in end() }
    }

    /// From now on Ctrl-C does not end the program.
    func takeOver() { interrupt.offer { [self] in take($0) } }

    /// Whether the program is to end: a hang-up or a request from outside.
    var isEnding: Bool { interrupt.isRequested }

    // MARK: Answers

    /// Runs `body` while Ctrl-C calls `cancel`, from another thread.
    func answering<T>(cancel: @escaping @Sendable () -> Void, _ body: () throws -> T) rethrows -> T {
        state.withLock { ($0.cancel, $0.isCancelled) = (cancel, false) }
        defer { state.withLock { $0.cancel = nil } }
        return try body()
    }

    /// Whether Ctrl-C came while the present or the last answer ran.
    var isCancelled: Bool { state.withLock { $0.isCancelled } || isEnding }

    // MARK: Keys

    /// Becomes readable when there is news.
    var wakeDescriptor: Int32 { pipe.read }

    /// Runs `body`, which reads keys; old news is forgotten first.
    func reading<T>(_ body: () throws -> T) rethrows -> T {
        while oldest() != nil {}
        state.withLock { $0.isReading = true }
        defer { state.withLock { $0.isReading = false } }
        return try body()
    }

    /// The oldest piece of news, if there is any.
    func takeNews() -> News? { oldest() ?? (isEnding ? .ended : nil) }

    private func oldest() -> News? {
        var byte: UInt8 = 0
        // Safe because one byte is read into one.
        return read(pipe.read, &byte, 1) == 1 ? News(rawValue: byte) : nil
    }

    // MARK: On the signals' thread

    private func tell(_ news: News) {
        var byte = news.rawValue
        // A full pipe has news enough.
        _ = write(pipe.write, &byte, 1)
    }

    private func take(_ signal: Int32) -> Bool {
        switch signal {
        case SIGINT:
            let cancel = state.withLock { state in
                if state.cancel != nil { state.isCancelled = true }
                return state.cancel
            }
            cancel?()
            tell(.interrupted)
        case SIGWINCH: tell(.resized)
        case SIGTSTP:
            // A reader has changed the terminal and gives it back first.
            if state.withLock({ $0.isReading }) { tell(.suspended) } else { QuietTerminal.suspend() }
        case SIGCONT:
            if state.withLock({ $0.isReading }) { tell(.resumed) } else { QuietTerminal.resume() }
        default: return false
        }
        return true
    }

    private func end() {
        state.withLock { $0.cancel }?()
        tell(.ended)
    }
}

/// The terminal while an answer runs: what is typed waits, unseen, for the next line.
enum QuietTerminal {
    /// The settings to go back to while typing is hidden.
    private static let hidden = Mutex<termios?>(nil)

    static func run<T>(_ body: () throws -> T) rethrows -> T {
        hide()
        defer { restore() }
        return try body()
    }

    private static func hide() {
        hidden.withLock { hidden in
            var settings = termios()
            guard hidden == nil, tcgetattr(STDIN_FILENO, &settings) == 0 else { return }
            hidden = settings
            apply(settings)
        }
    }

    private static func apply(_ settings: termios) {
        var quiet = settings
        quiet.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(STDIN_FILENO, TCSANOW, &quiet)
    }

    /// Also for a program that ends in the middle of an answer.
    static func restore() {
        hidden.withLock { hidden in
            guard var settings = hidden else { return }
            tcsetattr(STDIN_FILENO, TCSANOW, &settings)
            hidden = nil
        }
    }

    /// Stops the program, as Ctrl-Z asks. This thread may still run a little after that: what is to be done later is in `resume`.
    static func suspend() {
        hidden.withLock { hidden in
            if var settings = hidden { tcsetattr(STDIN_FILENO, TCSANOW, &settings) }
        }
        kill(getpid(), SIGSTOP)
    }

    /// Hides typing again when the program goes on.
    static func resume() {
        hidden.withLock { hidden in
            if let settings = hidden { apply(settings) }
        }
    }
}
