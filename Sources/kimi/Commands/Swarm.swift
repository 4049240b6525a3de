import ArgumentParser
import Glibc
import KimiAgent
import KimiChat
import KimiCore
import KimiRuntime

/// `kimi swarm`: a task for a main agent with sub-agents.
struct Swarm: Command {
    static let configuration = CommandConfiguration(
        abstract: "Give a task to a main agent that creates sub-agents and has them work at the same time.",
        discussion: """
            The main agent may create sub-agents and assign them tasks; each has a context of its own, all run on one copy of the \
            weights, and what they want computed at one time is one pass. A terminal shows who is at what; where the error stream is \
            no terminal it gets a line for each thing that happens. The answer of the main agent goes to the standard output, the account \
            of agents, steps and times to the error stream. Ctrl-C ends all agents and still gives the account.

            "-" or no task at all reads the standard input. With --tools agents may calculate and look at the clock, with --folder \
            list, search and read the files of one folder, with --tool run a program of yours; nobody is asked before. The file of a \
            tool says its name, its schema and the command, which gets the arguments as JSON on its standard input:

              {"name": "search", "description": "Finds pages.", "parameters": {"type": "object", "properties": {"text": \
            {"type": "string"}}, "required": ["text"]}, "command": ["python3", "search.py"], "timeout": 30}

            --trace writes when every agent was at what, for chrome://tracing and Perfetto. --script takes what agents answer from \
            a file, so that tools and limits can be tried without trained weights:

              {"main": [[{"calls": [{"name": "create_subagent", "arguments": {"name": "a", "system_prompt": "You read."}}]}, \
            {"calls": [{"name": "assign_task", "arguments": {"agent": "a", "prompt": "Read."}}]}, "The end."]], "*": [["Done."]]}

            Examples:
              kimi swarm /models/Kimi-K2.5 "Compare the five papers in this folder." --folder papers
              kimi swarm DIR - --agents 20 --steps 30 --time 600 --trace run.json < task.txt
              kimi swarm DIR "Which of these shops are open?" --tool search.json --parallel-tools 8 --json > events.jsonl
            """)

    // MARK: Limits

    @Option(help: ArgumentHelp("The most sub-agents, 1 to 1000.", valueName: "n"))
    var agents = 100

    @Option(help: ArgumentHelp("Sub-agents that work at the same time; all if not given.", valueName: "n"))
    var parallel: Int?

    @Option(help: ArgumentHelp("Steps of the main agent.", valueName: "n"))
    var mainSteps = 15

    @Option(help: ArgumentHelp("Steps of a task.", valueName: "n"))
    var steps = 100

    @Option(help: ArgumentHelp("Generated tokens of a task; no limit if not given.", valueName: "n"))
    var tokens: Int?

    @Option(help: ArgumentHelp("Generated tokens of all agents together.", valueName: "n"))
    var allTokens: Int?

    @Option(help: ArgumentHelp("Seconds of a task, from its beginning.", valueName: "s"), transform: Self.milliseconds)
    var taskTime: Int?

    @Option(help: ArgumentHelp("Seconds of the whole run.", valueName: "s"), transform: Self.milliseconds)
    var time: Int?

    @Option(help: ArgumentHelp("Bytes of a result that return to the main agent, such as 32KiB.", valueName: "size"), transform: ByteCount.parse)
    var resultBytes = 32 << 10

    @Option(help: ArgumentHelp("Tools that run at the same time, of all agents together.", valueName: "n"))
    var parallelTools: Int?

    @Option(help: ArgumentHelp("The most tokens that a sub-agent holds; --context if not given.", valueName: "n"))
    var agentContext: Int?

    // MARK: Answers

    @Option(help: ArgumentHelp("What the main agent is told before everything else.", valueName: "text"))
    var system: String?

    @Option(help: ArgumentHelp("The most tokens of a step's answer, reasoning included.", valueName: "n"))
    var maxTokens: Int?

    @Option(help: ArgumentHelp("The most tokens of reasoning in a step; 8192 if not given.", valueName: "n"))
    var budget: Int?

    @Option(help: ArgumentHelp("Make the run repeatable.", valueName: "number"))
    var seed: UInt64?

    @Option(help: "0 to 100: higher is more varied; 1 if not given.")
    var temperature: Float?

    @Option(help: "Choose among the most likely tokens that together have this probability, 0 to 1; 0.95 if not given.")
    var topP: Float?

    // MARK: Tools

    @Flag(help: "Let agents call the built-in tools.")
    var tools = false

    @Option(help: ArgumentHelp("Let agents list, search and read the files of this folder.", valueName: "dir"))
    var folder: String?

    @Option(help: ArgumentHelp("Let agents run the program that this file describes; may be given several times.", valueName: "file"))
    var tool: [String] = []

    @Option(help: ArgumentHelp("What agents have to answer, in place of the model's choices.", valueName: "file"))
    var script: String?

    // MARK: Output

    @Option(help: ArgumentHelp("Write the timeline to this file, in Chrome's trace format.", valueName: "file"))
    var trace: String?

    @Flag(help: "Print every event as a JSON object on a line, the answer and the account last.")
    var json = false

    @OptionGroup(title: "For later runs")
    var files: RunFiles

    @OptionGroup(title: "Machine")
    var machine: MachineOptions

    @Argument(help: ArgumentHelp("The folder of the checkpoint.", valueName: "dir"))
    var checkpoint: String

    @Argument(help: "The task; \"-\" for the standard input.")
    var task: String?

    /// Seconds as an option says them, in milliseconds.
    private static func milliseconds(_ text: String) throws -> Int {
        guard let seconds = Double(text), seconds >= 0.001, seconds <= Double(SwarmOptions.timeRange.upperBound / 1000) else {
            throw ValidationError("\(text) is no time; it must be a number of seconds up to a week")
        }
        return Int((seconds * 1000).rounded())
    }

    func execute() throws {
        let interrupt = Interrupt(others: [SIGTSTP, SIGCONT])
        let shared = try folder.map { folder throws(Failure) in try SharedFolder(folder) }
        let programs = try tool.map { try CommandTool(file: $0) }
        let script = try script.map { try SwarmScript(file: $0) }
        let text = String(decoding: try InputText.bytes(task, what: "task"), as: UTF8.self)
        guard !text.isEmpty else { throw Failure("the task is empty", next: "Say what is to be done.") }
        let model = try machine.open(checkpoint, interrupt)
        try files.begin(model)
        let chat = ChatSession(try Session(model: model, contextLimit: machine.context))
        for tool in ChatTools(folder: shared, all: tools, trustsAll: true).active { chat.tools.add(try tool.hostTool(interrupt)) }
        for program in programs { chat.tools.add(program.tool { interrupt.isRequested }) }
        let messages = (system.map { [ChatMessage(.system, text: $0)] } ?? []) + [ChatMessage(.user, text: text)]

        let run = try SwarmRun(chat, request: ChatRequest(messages: messages), options: options(script), isPolled: false)
        let view = view
        let failure = try watch(run, view, interrupt)
        ChildProcess.endAll()
        let account = run.account
        if let trace { try TextFile.write(account.chromeTrace + "\n", to: trace) }
        if json {
            Terminal.output.write(Self.last(account, chat, failure) + "\n")
        } else {
            SwarmSummary(account: account).print(to: .error)
            if failure == nil, let answer = Self.answer(of: chat, account) {
                Terminal.output.write(answer.hasSuffix("\n") ? answer : answer + "\n")
            }
        }
        try files.end(model)
        if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
        if let failure { throw failure }
    }

    private func options(_ script: SwarmScript?) -> SwarmOptions {
        var options = SwarmOptions()
        (options.agentLimit, options.parallelAgents, options.parallelTools) = (agents, parallel, parallelTools)
        (options.mainSteps, options.taskSteps) = (mainSteps, steps)
        (options.taskTokens, options.allTokens) = (tokens, allTokens)
        (options.taskMilliseconds, options.allMilliseconds) = (taskTime, time)
        (options.resultBytes, options.contextLimit) = (resultBytes, agentContext ?? machine.context)
        options.chat.maxTokens = maxTokens
        options.chat.reasoningBudget = budget
        options.chat.seed = seed
        options.chat.temperature = temperature
        options.chat.topP = topP
        // Tools bound themselves, and --parallel-tools all of them.
        options.chat.parallelCalls = ChatOptions.parallelRange.upperBound
        if let script { options.script = { script.answer($0, $1, $2) } }
        return options
    }

    private var view: any SwarmView {
        if json { return SwarmJSON() }
        return Terminal.error.isInteractive ? SwarmTable(.error) : SwarmLog()
    }

    /// Takes events to the end; the main agent's error, if there was one.
    private func watch(_ run: SwarmRun, _ view: any SwarmView, _ interrupt: Interrupt) throws -> KimiError? {
        interrupt.onRequest { try? run.cancel(0) }
        let table = view as? SwarmTable
        interrupt.offer { signal in
            switch signal {
            case SIGTSTP: QuietTerminal.suspend()
            case SIGCONT:
                QuietTerminal.resume()
                table?.forget()
            default:
                // The second of them ends the program at once.
                if interrupt.isRequested {
                    QuietTerminal.restore()
                    ChildProcess.endAll()
                }
                return false
            }
            return true
        }
        // A wish that came before the run was there is not the run's to know.
        if interrupt.isRequested { try? run.cancel(0) }
        return QuietTerminal.run {
            view.begin(run)
            defer { view.end() }
            while true {
                do throws(KimiError) {
                    let event = try run.next()
                    view.show(event)
                    if case .finish = event.kind { return nil }
                } catch { return error }
            }
        }
    }

    /// The main agent's last words; nil if its request did not come to an end of its own.
    private static func answer(of chat: ChatSession, _ account: SwarmAccount) -> String? {
        guard let finish = account.finish, finish != .cancelled else { return nil }
        return chat.past.last { $0.role == .assistant }?.text
    }

    private static func last(_ account: SwarmAccount, _ chat: ChatSession, _ failure: KimiError?) -> String {
        let begin = account.json.dropLast()
        var json = JSONWriter()
        json.object { json in
            json.member("event", failure == nil ? "finish" : "error")
            if let failure { json.member("message", failure.description) }
            if let answer = answer(of: chat, account) { json.member("answer", answer) } else { json.null("answer") }
        }
        return json.text.dropLast() + "," + begin.dropFirst() + "}"
    }
}
