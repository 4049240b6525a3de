import Glibc
import KimiCore

/// Conversations in files: Markdown to read, JSON to go on from.
enum ConversationFile {
    /// A file larger than this is no conversation: 256 MiB.
    private static let limit = 256 << 20

    /// Saves by the file's extension, .md or .json; an older file of the name is replaced as a whole, or stays as it was.
    static func save(_ conversation: Conversation, mode: String, to path: String) throws(Failure) {
        let path = expanded(path)
        let text: String
        switch path.split(separator: ".").last?.lowercased() {
        case "json": text = json(conversation, mode: mode)
        case "md", "markdown": text = markdown(conversation)
        default:
            throw Failure("the name \(path) does not say how to save", next: "End it in .md to read it, or in .json to /load it again.")
        }
        let fresh = path + ".\(getpid()).tmp"
        // Conversations are private until their owner says otherwise.
        let descriptor = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure("cannot write \(path)", errno: errno) }
        let written = Terminal(descriptor: descriptor).write(text)
        let number = errno
        guard close(descriptor) == 0, written, rename(fresh, path) == 0 else {
            let problem = written ? errno : number
            unlink(fresh)
            throw Failure("cannot write \(path)", errno: problem)
        }
    }

    static func load(_ path: String) throws -> Conversation {
        let path = expanded(path)
        return try Conversation(json: try bytes(path), file: path)
    }

    /// With the home folder in place of ~.
    static func expanded(_ path: String) -> String {
        guard path == "~" || path.hasPrefix("~/"), let home = Terminal.variable("HOME") else { return path }
        return home + path.dropFirst()
    }

    private static func bytes(_ path: String) throws(Failure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw Failure("cannot read \(path)", errno: errno, next: "Give the name of a file that /save has written.")
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = block.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return bytes }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw Failure("cannot read \(path)", errno: errno)
            }
            bytes += block[..<count]
            guard bytes.count <= limit else {
                throw Failure("\(path) has more than \(Units.bytes(limit))", next: "Give a file that /save has written.")
            }
        }
    }

    private static func json(_ conversation: Conversation, mode: String) -> String {
        var json = JSONWriter()
        json.object { json in
            json.member("mode", mode)
            conversation.write(to: &json)
        }
        return json.text + "\n"
    }

    private static func markdown(_ conversation: Conversation) -> String {
        var parts: [String] = []
        for message in conversation.messages {
            switch message.role {
            case "system": parts.append("## System\n\n" + message.content)
            case "user":
                let media = (message.parts ?? []).compactMap { $0["type"]?.stringValue }.filter { $0 != "text" }
                let words = media.map { "*\($0.contains("video") ? "a video" : "a picture")*\n\n" }.joined()
                parts.append("## You\n\n" + words + message.content)
            case "tool": parts.append("**Result\(message.name.map { " of \($0)" } ?? "")**\n\n" + fenced(message.content))
            default:
                var text = "## Kimi\n"
                if let reasoning = message.reasoning, !reasoning.isEmpty {
                    text += "\n<details><summary>Reasoning</summary>\n\n\(reasoning)\n\n</details>\n"
                }
                if !message.content.isEmpty { text += "\n" + message.content + "\n" }
                for call in message.calls { text += "\n**Calls \(call.name)**\n\n" + fenced(call.arguments) + "\n" }
                parts.append(String(text.dropLast()))
            }
        }
        // Nobody wants a file that does things to the terminal when it is looked at; JSON has the text as it is.
        return VisibleText.of(parts.joined(separator: "\n\n") + "\n")
    }

    /// A code block whose fence is longer than any run of back-quotes inside.
    private static func fenced(_ text: String) -> String {
        var longest = 0, run = 0
        for character in text {
            run = character == "`" ? run + 1 : 0
            longest = max(longest, run)
        }
        let fence = String(repeating: "`", count: max(3, longest + 1))
        return fence + "\n" + text + (text.hasSuffix("\n") ? "" : "\n") + fence
    }
}
