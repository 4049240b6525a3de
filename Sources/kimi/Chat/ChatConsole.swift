import ArgumentParser
import KimiAgent
import KimiChat
import KimiCore
import KimiRuntime

/// The chat: takes lines, answers messages, obeys commands.
final class ChatConsole {
    let model: Model
    let chat: ChatSession
    let input: any ChatInput
    let view: any ChatView
    let signals: ChatSignals
    /// Whether a person is there: mistakes are told and the chat goes on. A script ends at the first.
    let isInteractive: Bool

    var settings: ChatSettings
    var tools: ChatTools
    var conversation = Conversation()
    var lastReport: TurnReport?
    /// How the next answer must begin: with a call of this tool, or of any.
    var nextCall: RequiredCall?
    /// What goes with the next message.
    var shown: [MediaPart] = []
    var wantsToEnd = false

    enum RequiredCall {
        case any
        case of(String)

        /// As `tool_choice` of a request.
        var json: String {
            switch self {
            case .any: "\"required\""
            case .of(let name): "{\"type\":\"function\",\"function\":{\"name\":\(JSONWriter.quoted(name))}}"
            }
        }
    }

    init(
        _ model: Model, contextLimit: Int?, settings: ChatSettings, tools: ChatTools, input: any ChatInput, view: any ChatView,
        signals: ChatSignals, isInteractive: Bool
    ) throws(KimiError) {
        self.model = model
        chat = ChatSession(try Session(model: model, contextLimit: contextLimit))
        (self.settings, self.tools, self.input, self.view) = (settings, tools, input, view)
        (self.signals, self.isInteractive) = (signals, isInteractive)
    }

    /// Runs until the input ends.
    ///
    /// - Parameter first: a message that is answered before anything is read.
    func run(first: String?) throws {
        view.greet(model.checkpoint.folder, mode: settings.mode.rawValue, contextLimit: chat.session.contextLimit)
        if let first {
            input.remember(first)
            try handle(first)
        }
        var lastInterrupt = -Double.infinity
        while !wantsToEnd && !signals.isEnding {
            switch try input.next() {
            case .end: wantsToEnd = true
            case .text(let line): try handle(line)
            case .interrupted(let wasEmpty):
                let now = monotonicSeconds()
                if wasEmpty && now - lastInterrupt < 1 { throw ExitCode(Interrupt.exitCode) }
                lastInterrupt = wasEmpty ? now : -.infinity
                if wasEmpty { view.note("Ctrl-C once more, Ctrl-D or /quit ends the chat.") }
            }
        }
        if signals.isEnding { throw ExitCode(Interrupt.exitCode) }
    }

    /// Obeys or answers one line.
    private func handle(_ line: String) throws {
        let text = line.drop(while: \.isWhitespace)
        guard !text.isEmpty else { return }
        do {
            if text.hasPrefix("/") && !text.hasPrefix("//") {
                try obey(String(text))
            } else {
                // Two slashes begin a message that begins with one.
                try answer(text.hasPrefix("//") ? String(text.dropFirst()) : line)
            }
        } catch let failure as Failure {
            try tell(failure)
        } catch let error as KimiError {
            try tell(Self.failure(error))
        }
    }

    private func tell(_ failure: Failure) throws {
        // Without a person, the program tells it as its last words.
        guard isInteractive || view is JSONView else { throw failure }
        view.fail(failure)
        if !isInteractive { throw ExitCode(1) }
    }

    /// The library's error with what helps in a chat.
    private static func failure(_ error: KimiError) -> Failure {
        let plain = Failure(error)
        return switch error.status {
        case .contextFull:
            Failure(plain.message, next: "/undo takes back what was said last, /reset begins anew; or start with a larger --context.")
        case .invalidArgument: Failure(plain.message, next: "/help lists the commands and what they take.")
        default: plain
        }
    }

    // MARK: Turns

    /// One message and all that follows from it. The conversation stays as it was unless the turn finishes.
    ///
    /// - Parameters:
    ///   - seed: in place of the chosen one.
    ///   - again: a message whose pictures and clips these are, in place of those that are shown next.
    func answer(_ message: String, seed: UInt64? = nil, again: Conversation.Message? = nil) throws {
        var asked = conversation
        asked.messages.append(try again ?? Conversation.Message(role: "user", content: message, parts: parts(message)))
        let active = tools.active
        var options = settings.options(hasTools: !active.isEmpty)
        if let seed { options.seed = seed }
        options.allowsFiles = true // of /image and /video
        let request = try Self.request(asked, active, nextCall)
        nextCall = nil

        view.beginTurn(message)
        defer { view.separate() }
        var meter = TurnMeter(chat.session)
        var end: ChatEvent?
        let session = chat.session
        do {
            defer { view.endTurn() }
            end = try signals.answering(cancel: { session.cancellation.request() }) {
                try QuietTerminal.run { try turn(request, options, &meter) }
            }
        } catch let error as KimiError where error.status == .cancelled {}
        guard let end, let finish = end.finish, finish != .cancelled else {
            // A script cannot know where it was stopped.
            guard isInteractive && !signals.isEnding else { throw ExitCode(Interrupt.exitCode) }
            view.note("stopped; your message and what was said to it are taken back (arrow up brings the message again)")
            return
        }
        if again == nil { shown = [] }
        conversation = try Conversation(json: Array(try chat.messagesJSON().utf8), file: "the conversation")
        let report = meter.report(end.usage)
        lastReport = report
        view.report(report, finish: finish)
        if let words = Self.remark(finish) { view.note(words) }
    }

    /// The parts of a message with what is shown next; nil if that is nothing.
    private func parts(_ text: String) throws(KimiError) -> [JSON]? {
        guard !shown.isEmpty else { return nil }
        var json = JSONWriter()
        json.object { json in MediaPart.write(shown, text, as: "parts", to: &json) }
        return try JSON.parse(Array(json.text.utf8), file: "the message")["parts"]?.arrayValue
    }

    /// What to do about an end that is none.
    private static func remark(_ finish: ChatEvent.Finish) -> String? {
        switch finish {
        case .stop, .cancelled: nil
        case .length: "the answer was cut at --max-tokens; ask to go on, or /undo"
        case .context: "the context is full; /undo or /reset makes room, or start with a larger --context"
        case .toolCalls, .steps: "the model wanted to call more tools than are allowed in one turn; ask to go on"
        }
    }

    /// - Throws: what the library would say to the conversation if it were asked to go on with it.
    func check(_ conversation: Conversation) throws {
        _ = try model.chatFormat().prompt(
            of: try Self.request(conversation, tools.active, nil), mode: settings.mode, eyes: ChatEyes(model, allowsFiles: true))
    }

    private static func request(_ conversation: Conversation, _ tools: [ChatTool], _ required: RequiredCall?) throws -> ChatRequest {
        var json = JSONWriter()
        json.object { json in conversation.write(to: &json) }
        var text = json.text
        if !tools.isEmpty {
            let declared = tools.map { tool in
                "{\"type\":\"function\",\"function\":{\"name\":\(JSONWriter.quoted(tool.name)),"
                    + "\"description\":\(JSONWriter.quoted(tool.description)),\"parameters\":\(tool.parameters)}}"
            }
            let choice = required.map { ",\"tool_choice\":\($0.json),\"parallel_tool_calls\":false" } ?? ""
            text = String(text.dropLast()) + ",\"tools\":[" + declared.joined(separator: ",") + "]\(choice)}"
        }
        return try Array(text.utf8).withUnsafeBytes { try ChatRequest(json: $0) }
    }

    /// Drives one request to its end; the last event.
    private func turn(_ request: ChatRequest, _ options: ChatOptions, _ meter: inout TurnMeter) throws -> ChatEvent? {
        let run = try ChatRun(chat, request: request, options: options, isPolled: true)
        defer { run.abandon() }
        while !signals.isCancelled {
            let event = try run.next()
            meter.note(event)
            view.show(event, meter)
            if event.kind == .resultNeeded {
                guard let answer = result(event) else { return nil }
                try run.submit(event.callID, answer)
            }
            if event.kind == .finish { return event }
        }
        return nil
    }

    // MARK: Tools

    /// Asks, if the person has not said yes before, and runs a call; nil if the turn was stopped meanwhile.
    private func result(_ event: ChatEvent) -> ToolAnswer? {
        guard let tool = tools.active.first(where: { $0.name == event.name }) else {
            return ToolAnswer(.failed, "there is no tool of this name")
        }
        if !tools.isTrusted(tool.name) {
            guard isInteractive else {
                view.note("\(tool.name) was not run: --yes allows tools where nobody can be asked")
                return ToolAnswer(.failed, "the user did not allow it")
            }
            switch permission(tool.name, event.text) {
            case .yes: break
            case .always: tools.trust(tool.name)
            case .no: return ToolAnswer(.failed, "the user did not allow it")
            case nil: return nil
            }
        }
        do {
            return ToolAnswer(.ok, try tool.call(event.text, isStopped: { [signals] in signals.isCancelled }))
        } catch {
            return ToolAnswer(.failed, error.message)
        }
    }

    private enum Permission { case yes, no, always }

    private func permission(_ name: String, _ arguments: String) -> Permission? {
        while true {
            guard let answer = input.ask("  run \(name)? [y]es, [n]o, [a]lways, [s]how the whole call: ") else { return nil }
            switch answer.lowercased().first(where: { !$0.isWhitespace }) {
            case "y": return .yes
            case "n": return .no
            case "a": return .always
            case "s": view.say(arguments)
            default: continue
            }
        }
    }
}
