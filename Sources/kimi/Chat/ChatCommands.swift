import Glibc
import KimiChat
import KimiCore
import KimiVision

/// The commands of a chat, by name.
enum ChatCommand: String, CaseIterable {
    case help, mode, think, tools, image, video, system, budget, seed, temperature, stats, retry, undo, reset, save, load, quit

    var usage: String {
        switch self {
        case .help, .stats, .retry, .undo, .reset, .quit: "/\(rawValue)"
        case .mode: "/mode [instant|thinking|agent]"
        case .think: "/think [on|off]"
        case .tools: "/tools [on|off|use|try NAME] [show]"
        case .image: "/image [FILE|off]"
        case .video: "/video [FILE|off]"
        case .system: "/system [TEXT|off]"
        case .budget: "/budget [TOKENS|off]"
        case .seed: "/seed [NUMBER|off]"
        case .temperature: "/temperature [NUMBER|off]"
        case .save: "/save FILE.md or FILE.json"
        case .load: "/load FILE.json"
        }
    }

    var meaning: String {
        switch self {
        case .help: "this list"
        case .mode: "answer at once, reason first, or reason and call tools in a loop"
        case .think: "the last reasoning in full; on: reasoning stays to be seen from now on"
        case .tools: "the tools that the model may call; switch one or all, call for one, try one by hand, show the last result"
        case .image: "a picture that goes with the next message; several are allowed; off: none"
        case .video: "the same with a video"
        case .system: "what the model is told before everything else"
        case .budget: "the most tokens of reasoning; off: what the mode has"
        case .seed: "make answers repeatable"
        case .temperature: "0 to 100, higher is more varied; off: what the mode has"
        case .stats: "tokens, speed, cache and context of the last answer"
        case .retry: "answer the last message again"
        case .undo: "take back the last message and its answer"
        case .reset: "forget the conversation, but for the system text"
        case .save: "the conversation, to read or to go on from"
        case .load: "go on with a saved conversation"
        case .quit: "end the chat, as Ctrl-D does"
        }
    }

    /// Words that may follow, for completion; nil: a file name.
    private func arguments(_ tools: [String]) -> [String]? {
        switch self {
        case .mode: ["instant", "thinking", "agent"]
        case .think: ["on", "off"]
        case .tools: ["on", "off", "use", "try", "show"] + tools
        case .system, .budget, .seed, .temperature: ["off"]
        case .save, .load, .image, .video: nil
        default: []
        }
    }

    /// What Tab offers for a line up to the cursor.
    static func completion(of typed: String, tools: [String]) -> Completion {
        guard typed.hasPrefix("/") else { return .none }
        guard let space = typed.firstIndex(of: " ") else {
            return Completion(of: typed, among: allCases.map { "/" + $0.rawValue })
        }
        guard let command = ChatCommand(rawValue: String(typed[..<space].dropFirst())) else { return .none }
        guard let words = command.arguments(tools) else { return .file }
        let last = typed.split(separator: " ", omittingEmptySubsequences: false).last ?? ""
        return Completion(of: String(last), among: words)
    }
}

/// What Tab does.
enum Completion {
    case none
    case insert(String)
    case list([String])
    /// The name of a file.
    case file

    init(of begun: String, among words: [String]) {
        let fitting = words.filter { $0.hasPrefix(begun) }
        guard let first = fitting.first else {
            self = .none
            return
        }
        if fitting.count == 1 {
            self = .insert(first.dropFirst(begun.count) + " ")
            return
        }
        let common = fitting.reduce(first) { $0.commonPrefix(with: $1) }
        self = common.count > begun.count ? .insert(String(common.dropFirst(begun.count))) : .list(fitting)
    }
}

extension ChatConsole {
    /// Obeys a line that begins with a slash.
    func obey(_ line: String) throws {
        let parts = line.dropFirst().split(maxSplits: 1, whereSeparator: \.isWhitespace)
        let name = parts.first.map(String.init) ?? ""
        let rest = parts.count > 1 ? String(parts[1]).trimmed : ""
        guard let command = ChatCommand(rawValue: name.lowercased()) else {
            throw Failure("there is no command /\(name.prefix(40))", next: "/help lists the commands; a message that begins with / is written with //.")
        }
        switch command {
        case .help: help()
        case .mode: try changeMode(rest)
        case .think: try think(rest)
        case .tools: try changeTools(rest)
        case .image: try show(.image, rest)
        case .video: try show(.video, rest)
        case .system: changeSystem(rest)
        case .budget: try change(\.budget, rest, "the reasoning budget", "tokens, such as /budget 32000") { Int($0) }
        case .seed: try change(\.seed, rest, "the seed", "a whole number, such as /seed 7") { UInt64($0) }
        case .temperature: try change(\.temperature, rest, "the temperature", "0 to 100, such as /temperature 0.6") { Float($0) }
        case .stats:
            guard let lastReport else { throw Failure("nothing has been answered yet", next: "Ask something first.") }
            view.say(lastReport.table)
        case .retry: try retry()
        case .undo:
            guard let text = conversation.undo()?.content else { throw Failure("there is nothing to take back", next: "/system changes the system text.") }
            view.note("taken back: \(text.prefix(80))\(text.count > 80 ? "..." : "")")
        case .reset:
            conversation.reset()
            view.note("the conversation is forgotten" + (conversation.system == nil ? "" : "; the system text stays"))
        case .save:
            guard !rest.isEmpty else { throw Failure("/save needs a name", next: "Such as /save talk.md to read it, or /save talk.json to /load it.") }
            try ConversationFile.save(conversation, mode: settings.mode.rawValue, to: rest)
            view.note("saved \(count(conversation.messages.count)) to \(rest)")
        case .load: try load(rest)
        case .quit: wantsToEnd = true
        }
    }

    private func count(_ messages: Int) -> String { messages == 1 ? "1 message" : "\(messages) messages" }

    private func help() {
        var table = Table(["", ""])
        for command in ChatCommand.allCases { table.row(command.usage, command.meaning) }
        view.say(table)
        view.note(
            """
            A line that ends in \\ goes on in the next, as Alt-Enter does; pasted text may have line breaks. Ctrl-R searches what \
            was typed before, Tab completes. Ctrl-C stops an answer. A message that begins with / is written with //.
            """)
    }

    // MARK: Settings

    private func changeMode(_ name: String) throws {
        guard !name.isEmpty else {
            view.say("\(settings.mode.rawValue): \(Self.meaning(settings.mode)); /mode instant, thinking or agent changes it")
            return
        }
        guard let mode = ChatMode(rawValue: name.lowercased()), mode != .swarm else {
            throw Failure("there is no mode \"\(name.prefix(40))\"", next: "The modes are instant, thinking and agent.")
        }
        settings.mode = mode
        view.note("\(mode.rawValue): \(Self.meaning(mode))")
        if mode == .agent && tools.active.isEmpty { view.note("no tool is on that the agent could call; /tools lists them") }
    }

    private static func meaning(_ mode: ChatMode) -> String {
        switch mode {
        case .instant: "answers at once, without reasoning"
        case .thinking: "reasons before it answers"
        case .agent, .swarm: "reasons, and calls tools in a loop of up to \(mode.stepLimit) steps"
        }
    }

    private func think(_ word: String) throws {
        switch word.lowercased() {
        case "":
            guard let reasoning = conversation.lastReasoning else {
                throw Failure("the last answer has no reasoning", next: "/mode thinking makes the model reason before it answers.")
            }
            view.say(reasoning)
        case "on":
            view.showsThoughts = true
            view.note("reasoning stays to be seen")
        case "off":
            view.showsThoughts = false
            view.note("reasoning is folded to a line when it is complete")
        default: throw Failure("/think takes on, off or nothing", next: "/think alone shows the last reasoning.")
        }
    }

    /// Shows, changes or forgets one number.
    private func change<Value>(
        _ setting: WritableKeyPath<ChatSettings, Value?>, _ text: String, _ name: String, _ wanted: String, _ read: (String) -> Value?
    ) throws {
        guard !text.isEmpty else {
            view.say("\(name) is \(settings[keyPath: setting].map { "\($0)" } ?? "not set")")
            return
        }
        var changed = settings
        if text.lowercased() == "off" {
            changed[keyPath: setting] = nil
        } else {
            guard let value = read(text) else { throw Failure("\(name) cannot be \"\(text.prefix(40))\"", next: "Give \(wanted), or off.") }
            changed[keyPath: setting] = value
        }
        try changed.validate(model)
        settings = changed
        view.note("\(name) is \(settings[keyPath: setting].map { "\($0)" } ?? "what the mode has")")
    }

    private func changeSystem(_ text: String) {
        switch text {
        case "": view.say(conversation.system ?? "there is no system text; /system TEXT sets one")
        case "off":
            conversation.system = nil
            view.note("there is no system text now")
        default:
            conversation.system = text
            view.note(conversation.isEmpty ? "the system text is set" : "the system text is set; the next answer evaluates the whole conversation anew")
        }
    }

    // MARK: The conversation

    /// Shows, adds or forgets what goes with the next message.
    private func show(_ kind: MediaPart.Kind, _ name: String) throws {
        let names = { [self] in shown.map(\.source).joined(separator: ", ") }
        switch name {
        case "": view.say(shown.isEmpty ? "nothing goes with the next message; /image FILE and /video FILE add to it" : names())
        case "off":
            shown = []
            view.note("nothing goes with the next message")
        default:
            guard model.eyes != nil else { throw Failure(VisionTower.blind(model.checkpoint)) }
            let path = ConversationFile.expanded(name)
            guard access(path, R_OK) == 0 else { throw Failure("cannot read \(path)", errno: errno, next: "Give the name of a picture or video.") }
            shown.append(MediaPart(kind: kind, source: path))
            view.note("with the next message: \(names())")
        }
    }

    private func retry() throws {
        let before = conversation
        guard let message = conversation.undo() else { throw Failure("there is no message to answer again", next: "Write one.") }
        do {
            // The same seed would give the same answer.
            if let seed = settings.seed {
                settings.seed = seed &+ 1
                view.note("the seed is \(seed &+ 1) now, for another answer")
            }
            let asked = conversation.messages.count
            try answer(message.content, again: message)
            // A stopped answer leaves the old one.
            if conversation.messages.count == asked { conversation = before }
        } catch {
            conversation = before
            throw error
        }
    }

    private func load(_ path: String) throws {
        guard !path.isEmpty else { throw Failure("/load needs a name", next: "Such as /load talk.json, which /save talk.json has written.") }
        let loaded = try ConversationFile.load(path)
        // What cannot be asked is refused here, not at the next message.
        try check(loaded)
        conversation = loaded
        let answer = loaded.lastAnswer.map(\.content).flatMap { $0.isEmpty ? nil : $0 }
        view.note("loaded \(count(loaded.messages.count)) from \(path)" + (answer == nil ? "" : "; the last answer:"))
        if let answer { view.say(answer) }
    }

    // MARK: Tools

    private func changeTools(_ text: String) throws {
        let words = text.split(maxSplits: 2, whereSeparator: \.isWhitespace).map(String.init)
        switch (words.first?.lowercased(), words.count) {
        case (nil, _): listTools()
        case ("on", 1...2), ("off", 1...2):
            let name = words.count > 1 && words[1] != "all" ? words[1] : nil
            try tools.turn(name, on: words[0].lowercased() == "on")
            let on = tools.active.map(\.name)
            view.note(on.isEmpty ? "no tool is on" : "on: " + on.joined(separator: ", "))
        case ("use", 1...2):
            guard !tools.active.isEmpty else { throw Failure("no tool is on", next: "/tools on switches them on.") }
            let tool = try words.count > 1 ? tools.tool(words[1]) : nil
            if let tool, !tools.isOn(tool) { throw Failure("\(tool.name) is off", next: "/tools on \(tool.name) switches it on.") }
            nextCall = tool.map { .of($0.name) } ?? .any
            view.note("the next answer begins with a call\(tool.map { " of \($0.name)" } ?? "")")
        case ("try", 2...3):
            let tool = try tools.tool(words[1])
            do { view.say(try tool.call(words.count > 2 ? words[2] : "{}")) } catch {
                throw Failure("\(tool.name): \(error.message)", next: "It takes \(tool.parameters)")
            }
        case ("show", 1):
            guard let result = conversation.lastResult else { throw Failure("no tool has answered yet", next: "/tools lists the tools.") }
            view.say(result.content)
        default: throw Failure("/tools does not take \"\(text.prefix(40))\"", next: "/tools lists them; on, off and use take a name or nothing, try a name and JSON, show nothing.")
        }
    }

    private func listTools() {
        var table = Table(["tool", "", "what it does"])
        for tool in tools.known { table.row(tool.name, tools.isOn(tool) ? (tools.isTrusted(tool.name) ? "on, not asked for" : "on") : "off", tool.description) }
        view.say(table)
        if tools.known.count == 2 { view.note("with --folder DIR the model may also list, search and read the files of a folder") }
    }
}

extension String {
    fileprivate var trimmed: String {
        var text = Substring(self)
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text.drop(while: \.isWhitespace))
    }

    fileprivate func commonPrefix(with other: String) -> String {
        String(zip(self, other).prefix { $0 == $1 }.map(\.0))
    }
}
