import KimiAgent
import KimiCore

/// What agents of a swarm have to answer, from a file: a rehearsal of tools and limits that needs no trained weights.
///
///     {"main":   [["first step", {"content": "second", "calls": [{"name": "create_subagent", "arguments": {...}}]}]],
///      "reader": [["first task, its only step"], ["second task"]],
///      "*":      [["every other task"]]}
///
/// A member is an agent, its elements are the agent's tasks (one for "main"), each a list of steps. A step is its content, or an object
/// with reasoning, content and calls. Steps that are not there are the model's own.
struct SwarmScript: Sendable {
    private let answers: [String: [[ScriptedAnswer]]]

    /// For tasks of agents, or tasks, that are not named.
    private static let other = "*"

    /// - Throws: `format` with the path of what is wrong.
    init(file: String) throws {
        let json = try JSON.parse(InputText.file(file, what: "script"), file: file)
        guard let agents = json.objectValue else { throw Self.wrong(file, "the script", json, "an object of agents") }
        var answers: [String: [[ScriptedAnswer]]] = [:]
        for name in agents.keys {
            guard let value = agents[name] else { continue }
            guard let tasks = value.arrayValue else { throw Self.wrong(file, name, value, "a list of tasks") }
            answers[name] = try tasks.enumerated().map { number, task in
                guard let steps = task.arrayValue else { throw Self.wrong(file, "\(name)[\(number)]", task, "a list of steps") }
                return try steps.enumerated().map { try Self.answer($1, file, "\(name)[\(number)][\($0)]") }
            }
        }
        self.answers = answers
    }

    /// - Parameters:
    ///   - task: from 1; 0: the main agent's request.
    ///   - step: of the task, from 0.
    func answer(_ agent: String, _ task: Int, _ step: Int) -> ScriptedAnswer? {
        let index = max(0, task - 1)
        func steps(_ name: String) -> [ScriptedAnswer]? {
            guard let tasks = answers[name], tasks.indices.contains(index) else { return nil }
            return tasks[index]
        }
        let found = steps(agent) ?? (task > 0 ? answers[Self.other]?.first : nil)
        guard let found, found.indices.contains(step) else { return nil }
        return found[step]
    }

    private static func answer(_ json: JSON, _ file: String, _ path: String) throws(KimiError) -> ScriptedAnswer {
        if let text = json.stringValue { return ScriptedAnswer(text) }
        guard let members = json.objectValue else { throw wrong(file, path, json, "a text, or an object with content and calls") }
        func text(_ name: String) throws(KimiError) -> String {
            guard let value = members[name] else { return "" }
            guard let text = value.stringValue else { throw wrong(file, "\(path).\(name)", value, "a text") }
            return text
        }
        for name in members.keys where !["reasoning", "content", "calls"].contains(name) {
            throw KimiError(.format, "there is no \"\(name.prefix(40))\" in a step: reasoning, content and calls are", file: file, subject: path)
        }
        var answer = ScriptedAnswer(try text("content"), reasoning: try text("reasoning"))
        guard let calls = members["calls"] else { return answer }
        guard let list = calls.arrayValue else { throw wrong(file, "\(path).calls", calls, "a list of calls") }
        for (index, call) in list.enumerated() {
            let path = "\(path).calls[\(index)]"
            guard let name = call["name"]?.stringValue else { throw wrong(file, path, call, "an object with name and arguments") }
            let arguments = call["arguments"] ?? .object(JSONObject())
            guard arguments.objectValue != nil else { throw wrong(file, "\(path).arguments", arguments, "an object") }
            var json = JSONWriter()
            json.element(arguments)
            answer.calls.append(ScriptedAnswer.Call(name, json.text))
        }
        return answer
    }

    private static func wrong(_ file: String, _ path: String, _ value: JSON, _ wanted: String) -> KimiError {
        KimiError(.format, "\(path) is \(value.kind); it must be \(wanted)", file: file, subject: path)
    }
}
