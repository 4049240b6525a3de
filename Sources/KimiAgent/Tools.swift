import KimiChat
import KimiCore
import Synchronization

/// One call, as a tool's callback sees it.
package struct ToolCallRequest: Sendable {
    package let step: Int
    package let id: String
    package let name: String
    /// A JSON object.
    package let arguments: String
    /// Who calls, in a swarm: the agent's number and name. Outside of one 0 and nothing.
    package var agent = 0
    package var agentName = ""

    package init(step: Int, id: String, name: String, arguments: String) {
        (self.step, self.id, self.name, self.arguments) = (step, id, name, arguments)
    }
}

/// What a tool answered.
package struct ToolAnswer: Sendable {
    package enum Outcome: Int32, Sendable {
        case ok = 0
        case failed = 1
        case timedOut = 2
    }

    package var outcome: Outcome
    package var text: String
    /// What follows the text: pictures, and more text.
    package var parts: [ChatMessage.Part]
    /// Whether the text is that of the parts, which then are all that the model reads.
    private var textIsOfParts = false

    package init(_ outcome: Outcome, _ text: String, parts: [ChatMessage.Part] = []) {
        self.outcome = outcome
        self.text = text
        self.parts = parts
    }

    /// An answer as a tool's message has it.
    package init(_ outcome: Outcome, content: ChatMessage.Content) {
        self.init(outcome, "")
        switch content {
        case .none: break
        case .text(let text): self.text = text
        case .parts(let parts):
            // What is said of it in events is the text.
            self.parts = parts
            text = parts.reduce(into: "") { if case .text(let text) = $1 { $0 += text } }
            textIsOfParts = true
        }
    }

    /// The longest answer that is taken, in bytes: 64 MiB.
    package static let longest = 64 << 20

    /// - Throws: `invalidArgument` for a text that is longer.
    package static func checkLength(_ text: String) throws(KimiError) {
        guard text.utf8.count <= longest else {
            throw KimiError(.invalidArgument, "the result has \(text.utf8.count) bytes; at most \(longest) are taken", subject: "text")
        }
    }

    /// What the model reads.
    var forModel: ChatMessage.Content {
        guard !parts.isEmpty else { return .text(words) }
        guard textIsOfParts else { return .parts((words.isEmpty ? [] : [.text(words)]) + parts) }
        return .parts((outcome == .failed ? [.text("Error: ")] : []) + parts)
    }

    private var words: String {
        switch outcome {
        case .ok: text
        case .failed: text.isEmpty ? "Error: the tool failed." : "Error: \(text)"
        case .timedOut: "Error: the tool did not answer in time."
        }
    }
}

/// Whose a session's tool is in a swarm. Requests of one agent have those of the main one.
package enum ToolScope: Int32, Sendable {
    case all = 0
    case main = 1
    case agents = 2
}

/// A tool that the host has declared on a session.
package struct HostTool: Sendable {
    package let declaration: ToolDeclaration
    /// nil: no limit.
    package let timeoutMilliseconds: Int?
    /// Whether it may run on other threads than the caller's, and beside others.
    package let anyThread: Bool
    /// What bounds its calls at the same time where it has a thread of its own; waiting for them is part of its time.
    package let slots: [ToolSlots]
    package let scope: ToolScope
    /// nil: the host answers by polling, or with its next request.
    package let run: (@Sendable (ToolCallRequest) -> ToolAnswer)?

    package init(
        declaration: ToolDeclaration, timeoutMilliseconds: Int?, anyThread: Bool, slots: [ToolSlots] = [],
        scope: ToolScope = .all, run: (@Sendable (ToolCallRequest) -> ToolAnswer)?
    ) {
        self.declaration = declaration
        self.timeoutMilliseconds = timeoutMilliseconds
        self.anyThread = anyThread
        self.slots = slots
        self.scope = scope
        self.run = run
    }

    /// Whether it runs on a thread of the library's.
    var hasOwnThread: Bool { timeoutMilliseconds != nil || anyThread }
}

/// The tools of a session, in the order in which they were added. Any thread.
package final class ToolTable: Sendable {
    private let tools = Mutex<[HostTool]>([])

    package init() {}

    package init(copying other: ToolTable) { let all = other.all; tools.withLock { $0 = all } }

    package var all: [HostTool] { tools.withLock { $0 } }
    /// Those of a request of one agent, or of a swarm's main agent, and those of sub-agents.
    package var ofMain: [HostTool] { all.filter { $0.scope != .agents } }
    package var ofAgents: [HostTool] { all.filter { $0.scope != .main } }

    /// Adds a tool, in the place of one that has its name.
    package func add(_ tool: HostTool) {
        tools.withLock { tools in
            if let index = tools.firstIndex(where: { $0.declaration.name == tool.declaration.name }) {
                tools[index] = tool
            } else {
                tools.append(tool)
            }
        }
    }

    /// - Throws: `invalidArgument` if there is no tool of this name.
    package func remove(_ name: String) throws(KimiError) {
        let found = tools.withLock { tools in
            let before = tools.count
            tools.removeAll { $0.declaration.name == name }
            return tools.count < before
        }
        guard found else {
            throw KimiError(.invalidArgument, "no tool \"\(name.prefix(80))\" was added to this session", subject: "name")
        }
    }
}
