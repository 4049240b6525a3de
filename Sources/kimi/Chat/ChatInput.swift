import Glibc

/// Where a chat's messages and commands come from, line by line.
protocol ChatInput: AnyObject {
    /// The next message or command; a line that ends in a backslash goes on in the next.
    func next() throws(Failure) -> ChatLine
    /// Asks for a short answer; nil if nobody is there to give one, or Ctrl-C came.
    func ask(_ question: String) -> String?
    /// Tells the editor to keep a line that can be wanted again.
    func remember(_ line: String)
}

enum ChatLine {
    case text(String)
    /// Ctrl-C; whether anything was typed.
    case interrupted(wasEmpty: Bool)
    case end
}

/// Lines of the standard input as they are: for scripts and pipes.
final class PlainInput: ChatInput {
    private var buffer: [UInt8] = []
    private var begin = 0
    private var isAtEnd = false
    private let signals: ChatSignals
    /// A line longer than this is no message: 64 MiB.
    private static let limit = 64 << 20

    init(_ signals: ChatSignals) { self.signals = signals }

    func next() throws(Failure) -> ChatLine {
        var text = ""
        while let line = try line() {
            guard line.hasSuffix("\\") else { return .text(text + line) }
            text += line.dropLast() + "\n"
        }
        return text.isEmpty ? .end : .text(text)
    }

    func ask(_ question: String) -> String? { nil }
    func remember(_ line: String) {}

    /// One line without its end; nil after the last.
    private func line() throws(Failure) -> String? {
        var searched = begin
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0A) {
                defer { begin = end + 1 }
                return try text(buffer[begin..<end])
            }
            searched = buffer.count
            if isAtEnd {
                defer { begin = buffer.count }
                return begin < buffer.count ? try text(buffer[begin...]) : nil
            }
            try fill(&searched)
        }
    }

    private func text(_ bytes: ArraySlice<UInt8>) throws(Failure) -> String {
        let line = bytes.last == 0x0D ? bytes.dropLast() : bytes
        guard let text = String(validating: line, as: UTF8.self) else {
            throw Failure("a line of the standard input is not valid UTF-8", next: "Convert it: iconv -f ENCODING -t UTF-8.")
        }
        return text
    }

    private func fill(_ searched: inout Int) throws(Failure) {
        buffer.removeFirst(begin)
        searched -= begin
        begin = 0
        guard buffer.count <= Self.limit else {
            throw Failure("a line of the standard input has more than \(Units.bytes(Self.limit))", next: "Give shorter lines.")
        }
        var ready = [
            pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
            pollfd(fd: signals.wakeDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&ready, 2, -1) >= 0 || errno == EINTR else { throw Failure("cannot wait for input", errno: errno) }
        if ready[1].revents != 0, signals.isEnding {
            isAtEnd = true
            return
        }
        guard ready[0].revents != 0 else {
            _ = signals.takeNews()
            return
        }
        var block = [UInt8](repeating: 0, count: 1 << 16)
        let count = block.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
        if count < 0 {
            guard errno == EINTR || errno == EAGAIN else { throw Failure("cannot read the standard input", errno: errno) }
            return
        }
        if count == 0 { isAtEnd = true }
        buffer += block[..<count]
    }
}
