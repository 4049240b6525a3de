import CLineEditing
import Glibc

/// The keys of a person: characters for libedit, one at a time, and the news that signals bring meanwhile.
final class KeyReader {
    private let signals: ChatSignals
    private var buffer: [UInt8] = []
    private var next = 0

    /// Why the line that the editor gives back is none.
    enum Ending { case none, interrupted, closed }
    var ending = Ending.none
    /// Draws the line again after something else was on the screen.
    var onResize: () -> Void = {}
    /// Gives the terminal back (false) or takes it (true).
    var onSuspend: (_ takes: Bool) -> Void = { _ in }

    init(_ signals: ChatSignals) { self.signals = signals }

    /// The next character, or nil if there are no more; Ctrl-C and the wish to end are the Enter key, with `ending` set.
    func character() -> Unicode.Scalar? {
        var bytes: [UInt8] = []
        while true {
            guard let byte = byte() else { return ending == .interrupted ? "\n" : nil }
            bytes.append(byte)
            var decoder = UTF8()
            var iterator = bytes.makeIterator()
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): return scalar
            case .emptyInput: continue
            case .error: if bytes.count >= Self.length(of: bytes[0]) { return "\u{FFFD}" }
            }
        }
    }

    private static func length(of first: UInt8) -> Int {
        switch first {
        case 0xC2..<0xE0: 2
        case 0xE0..<0xF0: 3
        case 0xF0..<0xF5: 4
        default: 1
        }
    }

    /// What is pasted, up to the terminal's mark for its end, with line breaks as they are here and no other controls.
    func paste() -> String {
        let mark = Array("\u{1B}[201~".utf8)
        var bytes: [UInt8] = []
        while bytes.suffix(mark.count) != mark[...] {
            // A terminal that forgets the mark must not hold the editor.
            guard bytes.count < 16 << 20, let byte = byte(within: 2000) else { break }
            bytes.append(byte)
        }
        if bytes.suffix(mark.count) == mark[...] { bytes.removeLast(mark.count) }
        let text = String(decoding: bytes, as: UTF8.self)
        var result = String.UnicodeScalarView()
        var last: Unicode.Scalar?
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\r": result.append("\n")
            case "\n": if last != "\r" { result.append("\n") }
            case "\t": result.append(contentsOf: "    ".unicodeScalars)
            case _ where scalar.properties.generalCategory == .control: break
            default: result.append(scalar)
            }
            last = scalar
        }
        while result.last == "\n" { result.removeLast() }
        return String(result)
    }

    /// The next byte; nil at the end of input, at Ctrl-C, or if none comes in time.
    private func byte(within milliseconds: Int32 = -1) -> UInt8? {
        while next == buffer.count {
            var ready = [
                pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signals.wakeDescriptor, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&ready, 2, milliseconds)
            if count == 0 { return nil }
            guard count > 0 else {
                if errno == EINTR { continue }
                ending = .closed
                return nil
            }
            if ready[1].revents != 0, !heed() { return nil }
            if ready[0].revents != 0, !fill() { return nil }
        }
        defer { next += 1 }
        return buffer[next]
    }

    /// Reads what has been typed; false at the end.
    private func fill() -> Bool {
        var block = [UInt8](repeating: 0, count: 4096)
        let count = block.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
        if count < 0 && (errno == EINTR || errno == EAGAIN) { return true }
        guard count > 0 else {
            ending = .closed
            return false
        }
        buffer = Array(block[..<count])
        next = 0
        return true
    }

    /// Acts on the news; false if it ends the line.
    private func heed() -> Bool {
        while let news = signals.takeNews() {
            switch news {
            case .interrupted:
                // What was typed before Ctrl-C belongs to the discarded line.
                (buffer, next) = ([], 0)
                ending = .interrupted
                return false
            case .ended:
                ending = .closed
                return false
            case .resized: onResize()
            case .suspended:
                onSuspend(false)
                kill(getpid(), SIGSTOP)
            case .resumed: onSuspend(true)
            }
        }
        return true
    }
}
