import ArgumentParser
import KimiChat
import KimiCore
import KimiRuntime

/// `kimi chat`: a conversation in the terminal.
struct Chat: Command {
    static let configuration = CommandConfiguration(
        abstract: "Talk with a model in the terminal.",
        discussion: """
            Answers appear as they are made; reasoning is shown dim and then folded to one line. Ctrl-C stops an answer and \
            not the program, Ctrl-D ends it, and /help lists the commands: modes, tools, saving, taking back. Where the input \
            is a pipe, each line is a message, and only answers go to the standard output; a line that ends in a backslash \
            goes on in the next.

            With --tools the model may calculate and look at the clock; with --folder it may list, search and read the \
            files of one folder, and nothing outside it. Each call is shown and asked for first.

            Examples:
              kimi chat /models/Kimi-K2.5
              kimi chat /models/Kimi-K2.5 --mode instant "What does EINTR mean?"
              kimi chat /models/Kimi-K2.5 --folder ~/notes --system "Answer from my notes."
              echo "Name three rivers." | kimi chat /models/Kimi-K2.5 --seed 7 > rivers.txt
              kimi chat /models/Kimi-K2.5 --json < questions.txt
            """)

    enum Mode: String, ExpressibleByArgument, CaseIterable {
        case instant, thinking, agent

        var mode: ChatMode {
            switch self {
            case .instant: .instant
            case .thinking: .thinking
            case .agent: .agent
            }
        }
    }

    @Option(help: "Answer at once, reason first, or reason and call tools in a loop.")
    var mode = Mode.thinking

    @Option(help: ArgumentHelp("What the model is told before everything else.", valueName: "text"))
    var system: String?

    @Option(help: ArgumentHelp("The most tokens of an answer, reasoning included; what the context holds if not given.", valueName: "n"))
    var maxTokens: Int?

    @Option(help: ArgumentHelp("The most tokens of reasoning; 8192 if not given.", valueName: "n"))
    var budget: Int?

    @Option(help: ArgumentHelp("Make the answers repeatable.", valueName: "number"))
    var seed: UInt64?

    @Option(help: "0 to 100: higher is more varied; 1 where the model reasons and 0.6 where not, if not given.")
    var temperature: Float?

    @Option(help: "Choose among the most likely tokens that together have this probability, 0 to 1; 0.95 if not given.")
    var topP: Float?

    @Flag(help: "Let the model call the built-in tools.")
    var tools = false

    @Option(help: ArgumentHelp("Let the model list, search and read the files of this folder.", valueName: "dir"))
    var folder: String?

    @Flag(help: "Run the tools that the model calls without asking.")
    var yes = false

    @Flag(help: "Keep the reasoning to be seen instead of folding it; in a pipe, print it between <think> and </think>.")
    var think = false

    @Flag(help: "Print every event as a JSON object on a line.")
    var json = false

    @Flag(help: "Tell tokens, speed and cache after each answer.")
    var stats = false

    @Flag(inversion: .prefixedNo, help: "Remember what is typed, for the arrow keys, in ~/.local/state/kimi/history.")
    var history = true

    @OptionGroup(title: "For later runs")
    var files: RunFiles

    @OptionGroup(title: "Machine")
    var machine: MachineOptions

    @Argument(help: ArgumentHelp("The folder of the checkpoint.", valueName: "dir"))
    var checkpoint: String

    @Argument(help: "A first message.")
    var message: [String] = []

    func execute() throws {
        let interrupt = Interrupt(others: ChatSignals.caught)
        let signals = try ChatSignals(interrupt)
        let shared = try folder.map { folder throws(Failure) in try SharedFolder(folder) }
        let settings = ChatSettings(
            mode: mode.mode, maxTokens: maxTokens, budget: budget, seed: seed, temperature: temperature, topP: topP)
        let tools = ChatTools(folder: shared, all: self.tools, trustsAll: yes)
        let editor = json ? nil : editor(signals, tools.known.map(\.name))

        let model = try machine.open(checkpoint, interrupt)
        try files.begin(model)
        try settings.validate(model)
        if editor != nil { signals.takeOver() }
        let console = try ChatConsole(
            model, contextLimit: machine.context, settings: settings, tools: tools, input: editor ?? PlainInput(signals), view: view,
            signals: signals, isInteractive: editor != nil)
        console.conversation.system = system
        try console.run(first: message.isEmpty ? nil : message.joined(separator: " "))
        try files.end(model)
    }

    /// The screen for the person's own lines: the standard output, or the error stream if answers go elsewhere.
    private func editor(_ signals: ChatSignals, _ tools: [String]) -> (any ChatInput)? {
        guard Terminal(descriptor: 0).isInteractive else { return nil }
        guard let screen = [Terminal.output, Terminal.error].first(where: \.isInteractive) else { return nil }
        let past = history ? InputHistory.standardPath.flatMap { InputHistory($0) } : nil
        return LineEditor(signals, on: screen, style: TextStyle(for: screen), history: past) { typed in
            ChatCommand.completion(of: typed, tools: tools)
        }
    }

    private var view: any ChatView {
        if json { return JSONView() }
        guard Terminal.output.isInteractive else { return PlainView(showsThoughts: think, withStatistics: stats) }
        return TerminalView(.output, style: TextStyle(for: .output), showsThoughts: think, withStatistics: stats)
    }
}
