import KimiAgent
import KimiChat
import KimiCore

/// A tool that is a program of the user's, described by a JSON file:
///
///     {"name": "search", "description": "Finds pages.", "parameters": {"type": "object", ...},
///      "command": ["python3", "search.py"], "timeout": 30}
///
/// A call runs the command once, without a shell: arguments, a JSON object, come on its standard input, and what it prints is the result.
/// An exit code other than 0 makes it a failure, with the last words of its error stream.
struct CommandTool: Sendable {
    let declaration: ToolDeclaration
    private let command: [String]
    /// Seconds.
    private let timeout: Double

    private static let members = ["name", "description", "parameters", "command", "timeout"]
    private static let timeouts = 0.001...86_400.0
    private static let usualTimeout = 60.0

    /// - Throws: for a file that does not describe a tool, naming the member.
    init(file: String) throws {
        let json = try JSON.parse(InputText.file(file, what: "tool"), file: file)
        guard let object = json.objectValue else {
            throw KimiError(.format, "a tool is \(json.kind); it must be an object", file: file)
        }
        if let unknown = object.keys.first(where: { !Self.members.contains($0) }) {
            throw KimiError(
                .format, "there is no \"\(unknown.prefix(40))\" in a tool: \(Self.members.joined(separator: ", ")) are", file: file)
        }
        func wrong(_ name: String, _ wanted: String) -> KimiError {
            KimiError(.format, "\(name) is \(object[name]?.kind ?? "missing"); it must be \(wanted)", file: file, subject: name)
        }
        guard let name = object["name"]?.stringValue else { throw wrong("name", "a text") }
        guard object["description"] == nil || object["description"]?.stringValue != nil else { throw wrong("description", "a text") }
        guard let words = object["command"]?.arrayValue, !words.isEmpty, !words.contains(where: { $0.stringValue == nil }) else {
            throw wrong("command", "a list of texts: the program and its arguments")
        }
        command = words.compactMap(\.stringValue)
        guard !command.contains(where: { $0.utf8.contains(0) }), command.first?.isEmpty == false else {
            throw wrong("command", "a list of texts without NUL bytes, of which the first names a program")
        }
        let seconds = object["timeout"].map { $0.doubleValue ?? .nan } ?? Self.usualTimeout
        guard Self.timeouts.contains(seconds) else { throw wrong("timeout", "a number of seconds, up to a day") }
        timeout = seconds
        do throws(KimiError) {
            declaration = try ToolDeclaration(name: name, description: object["description"]?.stringValue, schema: object["parameters"])
        } catch {
            throw KimiError(.format, error.message, file: file, subject: error.subject)
        }
    }

    /// - Parameter isStopped: whether nobody wants results any more; looked at while commands run.
    func tool(isStopped: @escaping @Sendable () -> Bool) -> HostTool {
        HostTool(declaration: declaration, timeoutMilliseconds: nil, anyThread: true) { call in
            answer(to: call.arguments, isStopped)
        }
    }

    private func answer(to arguments: String, _ isStopped: () -> Bool) -> ToolAnswer {
        let outcome: ChildProcess.Outcome
        do { outcome = try ChildProcess.run(command, input: Array(arguments.utf8), seconds: timeout, isStopped: isStopped) } catch {
            return ToolAnswer(.failed, error.message)
        }
        let output = String(decoding: outcome.output, as: UTF8.self)
        switch outcome.end {
        case .exit(0): return ToolAnswer(.ok, output + (outcome.isCut ? "\n[cut: the tool printed more]" : ""))
        case .exit(let code): return ToolAnswer(.failed, failure("it ended with exit code \(code)", outcome))
        case .signal(let number): return ToolAnswer(.failed, failure("signal \(number) ended it", outcome))
        case .time: return ToolAnswer(.timedOut, "")
        case .stopped: return ToolAnswer(.failed, "the run was stopped")
        }
    }

    private func failure(_ what: String, _ outcome: ChildProcess.Outcome) -> String {
        let words = String(decoding: outcome.errors.isEmpty ? outcome.output : outcome.errors, as: UTF8.self)
        return words.isEmpty ? what : "\(what): \(words)"
    }
}
