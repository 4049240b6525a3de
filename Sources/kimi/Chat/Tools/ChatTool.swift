import Glibc
import KimiAgent
import KimiChat
import KimiCore

/// A tool that the program itself offers to the model.
struct ChatTool: Sendable {
    let name: String
    let description: String
    /// A JSON Schema of an object.
    let parameters: String
    /// Runs a call; what is thrown is told to the model.
    let run: @Sendable (_ arguments: JSON, _ isStopped: () -> Bool) throws(Refusal) -> String

    struct Refusal: Error {
        let message: String
    }

    /// All tools: those that need no folder, and those that read in one.
    static func all(_ folder: SharedFolder?) -> [ChatTool] {
        [calculator, clock] + (folder.map { files(FolderTools(folder: $0)) } ?? [])
    }

    /// The tools that need a folder, for people who have given none.
    static let folderNames = ["list_files", "read_file", "search_files"]

    private static let calculator = ChatTool(
        name: "calculator",
        description: "Evaluates an arithmetic expression: + - * / % ^, parentheses, sqrt, ln, log, exp, sin and the like, pi, e.",
        parameters: """
            {"type":"object","properties":{"expression":{"type":"string","description":"For example (2 + 3) * sqrt(16)","minLength":1,\
            "maxLength":2000}},"required":["expression"],"additionalProperties":false}
            """
    ) { (arguments, _) throws(Refusal) in
        do { return try Calculator.evaluate(try text(arguments, "expression")) } catch let fault as Calculator.Fault {
            throw Refusal(message: fault.message)
        } catch let refusal as Refusal { throw refusal } catch { throw Refusal(message: "\(error)") }
    }

    private static let clock = ChatTool(
        name: "current_time", description: "The current date and time on the user's computer, with the weekday and the time zone.",
        parameters: #"{"type":"object","properties":{},"additionalProperties":false}"#
    ) { (_, _) throws(Refusal) in
        var now = time(nil)
        var parts = tm()
        localtime_r(&now, &parts)
        var buffer = [CChar](repeating: 0, count: 80)
        let length = strftime(&buffer, buffer.count, "%A, %Y-%m-%d %H:%M:%S %Z (UTC%z)", &parts)
        return String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func files(_ tools: FolderTools) -> [ChatTool] {
        let path = #""path":{"type":"string","description":"Relative to the user's folder; \".\" is the folder itself"}"#
        return [
            ChatTool(
                name: "list_files", description: "Lists the files in the user's folder or in a folder below it.",
                parameters: "{\"type\":\"object\",\"properties\":{\(path)},\"additionalProperties\":false}"
            ) { (arguments, _) throws(Refusal) in
                try reading { () throws(SharedFolder.Refusal) in try tools.list(arguments["path"]?.stringValue ?? ".") }
            },
            ChatTool(
                name: "read_file", description: "Reads lines of a text file in the user's folder, with their numbers.",
                parameters: """
                    {"type":"object","properties":{\(path),"first_line":{"type":"integer","minimum":1,"maximum":100000000},\
                    "lines":{"type":"integer","minimum":1,"maximum":400}},"required":["path"],"additionalProperties":false}
                    """
            ) { (arguments, _) throws(Refusal) in
                let path = try text(arguments, "path")
                return try reading { () throws(SharedFolder.Refusal) in
                    try tools.read(path, from: arguments["first_line"]?.intValue ?? 1, count: arguments["lines"]?.intValue ?? 200)
                }
            },
            ChatTool(
                name: "search_files", description: "Finds lines with a text, capitals or not, in the text files of the user's folder.",
                parameters: """
                    {"type":"object","properties":{"text":{"type":"string","minLength":1,"maxLength":200},\(path)},\
                    "required":["text"],"additionalProperties":false}
                    """
            ) { (arguments, isStopped) throws(Refusal) in
                let wanted = try text(arguments, "text")
                return try reading { () throws(SharedFolder.Refusal) in
                    try tools.search(wanted, below: arguments["path"]?.stringValue ?? ".", isStopped: isStopped)
                }
            },
        ]
    }

    private static func text(_ arguments: JSON, _ name: String) throws(Refusal) -> String {
        guard let text = arguments[name]?.stringValue else { throw Refusal(message: "\(name) is missing or not a string") }
        return text
    }

    private static func reading(_ body: () throws(SharedFolder.Refusal) -> String) throws(Refusal) -> String {
        do { return try body() } catch { throw Refusal(message: error.message) }
    }

    /// Runs a call whose arguments are JSON text.
    func call(_ arguments: String, isStopped: () -> Bool = { false }) throws(Refusal) -> String {
        let parsed: JSON
        do { parsed = try JSON.parse(Array(arguments.utf8), file: "arguments") } catch { throw Refusal(message: error.description) }
        guard parsed.objectValue != nil else { throw Refusal(message: "arguments is \(parsed.kind); it must be a JSON object") }
        return try run(parsed, isStopped)
    }

    /// The tool for agents, on any thread.
    func hostTool(_ interrupt: Interrupt) throws(KimiError) -> HostTool {
        let schema = try JSON.parse(Array(parameters.utf8), file: name)
        return HostTool(
            declaration: try ToolDeclaration(name: name, description: description, schema: schema), timeoutMilliseconds: nil, anyThread: true
        ) { request in
            do throws(Refusal) { return ToolAnswer(.ok, try call(request.arguments, isStopped: { interrupt.isRequested })) } catch {
                return ToolAnswer(.failed, error.message)
            }
        }
    }
}

/// Which of the tools the model may call, and which it may call without asking.
struct ChatTools {
    private(set) var known: [ChatTool]
    private var enabled: Set<String>
    private var trusted: Set<String> = []
    let trustsAll: Bool

    /// - Parameters:
    ///   - folder: where files may be read; giving one switches its tools on.
    ///   - all: whether every tool is on.
    init(folder: SharedFolder?, all: Bool, trustsAll: Bool) {
        known = ChatTool.all(folder)
        enabled = Set(known.map(\.name).filter { all || folder != nil && ChatTool.folderNames.contains($0) })
        self.trustsAll = trustsAll
    }

    var active: [ChatTool] { known.filter { enabled.contains($0.name) } }

    func isOn(_ tool: ChatTool) -> Bool { enabled.contains(tool.name) }
    func isTrusted(_ name: String) -> Bool { trustsAll || trusted.contains(name) }
    mutating func trust(_ name: String) { trusted.insert(name) }

    /// - Throws: if there is no such tool, with the names that there are.
    func tool(_ name: String) throws(Failure) -> ChatTool {
        if let tool = known.first(where: { $0.name == name }) { return tool }
        if ChatTool.folderNames.contains(name) {
            throw Failure("\(name) needs a folder to read in", next: "Start the chat with --folder DIR.")
        }
        throw Failure("there is no tool \"\(name.prefix(40))\"", next: "The tools are \(known.map(\.name).joined(separator: ", ")).")
    }

    /// Switches one tool, or all of them if `name` is nil.
    mutating func turn(_ name: String?, on: Bool) throws(Failure) {
        let names = try name.map { name throws(Failure) in [try tool(name).name] } ?? known.map(\.name)
        if on { enabled.formUnion(names) } else { enabled.subtract(names) }
    }
}
