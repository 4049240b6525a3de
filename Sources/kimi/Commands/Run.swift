import ArgumentParser
import KimiCore
import KimiRuntime

/// `kimi run`: continues a text.
struct Run: Command {
    static let configuration = CommandConfiguration(
        abstract: "Continue a text, token by token.",
        discussion: """
            The prompt is taken as it is, with no chat format around it; "-" or no prompt at all reads the standard input. \
            The answer goes to the standard output as it comes and ends at the model's end token, after --max-tokens, or \
            at Ctrl-C.

            Examples:
              kimi run /models/Kimi-K2.5 "The capital of France is" --max-tokens 16 --greedy
              kimi run /models/Kimi-K2.5 - --temperature 0.6 --top-p 0.95 --stats < prompt.txt
              kimi run /models/Kimi-K2.5 --special --stop "<|im_user|>" \\
                "<|im_user|>user<|im_middle|>Hi<|im_end|><|im_assistant|>assistant<|im_middle|><think></think>"
            """)

    @Option(help: ArgumentHelp("End after so many tokens.", valueName: "n"))
    var maxTokens = 256

    @Option(help: "0 to 100: higher is more varied; 0 is --greedy.")
    var temperature: Float = 1

    @Option(help: "Choose among the most likely tokens that together have this probability, 0 to 1.")
    var topP: Float = 1

    @Option(help: ArgumentHelp("Choose among this many most likely tokens; 0 for all.", valueName: "n"))
    var topK = 0

    @Option(help: "Leave out tokens less likely than this share of the likeliest, 0 to 1.")
    var minP: Float = 0

    @Option(help: ArgumentHelp("Make the choices repeatable.", valueName: "number"))
    var seed: UInt64?

    @Flag(help: "Always take the likeliest token.")
    var greedy = false

    @Option(help: ArgumentHelp("End where this text appears; may be given several times.", valueName: "text"))
    var stop: [String] = []

    @Flag(help: "Go on after the model's end token.")
    var ignoreEnd = false

    @Flag(help: "Recognise names of special tokens in the prompt, as <|im_end|>; only for prompts you wrote yourself.")
    var special = false

    @Flag(help: "The prompt is token ids, set apart by spaces or commas, not text.")
    var ids = false

    @Option(help: ArgumentHelp(
        "With --json: log-probabilities of each token and of so many likeliest ones, 0 to 20.", valueName: "n"))
    var logprobs: Int?

    @Option(help: ArgumentHelp("Write how often each expert was chosen to this file at the end.", valueName: "file"))
    var saveHeat: String?

    @OptionGroup(title: "Machine")
    var machine: MachineOptions

    @Flag(help: "Print one JSON object at the end instead of streaming text.")
    var json = false

    @Flag(help: "Tell on the error stream how long it took and how much was read.")
    var stats = false

    @Argument(help: ArgumentHelp("The folder of the checkpoint.", valueName: "dir"))
    var folder: String

    @Argument(help: "The text to continue; \"-\" for the standard input.")
    var prompt: String?

    func validate() throws {
        if logprobs != nil && !json {
            throw ValidationError("--logprobs needs --json: there is no place for them in streamed text")
        }
        if ids && special { throw ValidationError("--special is for text; --ids takes ids, special ones too") }
    }

    func execute() throws {
        let interrupt = Interrupt()
        let text = try InputText.bytes(prompt, what: "prompt")
        let model = try machine.open(folder, interrupt)
        let prompt = try ids
            ? InputText.ids(String(decoding: text, as: UTF8.self))
            : model.tokenizer.encode(text, special: special)
        guard !prompt.isEmpty else {
            throw Failure("the prompt is empty", next: "Give at least one character to go on from.")
        }
        let session = try Session(model: model, contextLimit: machine.context)
        interrupt.onRequest { session.cancellation.request() }

        var answer = Answer(streams: !json)
        let before = model.text.storeReport
        let begin = monotonicSeconds()
        do {
            try answer.take(session, prompt, options(), interrupt)
        } catch {
            // What was streamed so far stays on its own line.
            answer.endLine()
            throw error
        }
        answer.endLine()
        let seconds = monotonicSeconds() - begin
        let experts = before.flatMap { model.text.storeReport?.since($0) }
        let statistics = RunStatistics(model, try session.snapshot(), experts: experts, seconds: seconds)
        if json { Terminal.output.write(answer.json(statistics, withLogprobs: logprobs != nil) + "\n") }
        if stats { statistics.table(finish: answer.finish).print(to: .error) }
        if let saveHeat { try model.saveHeat(to: saveHeat) }
        if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
    }

    private func options() -> GenerationOptions {
        var options = GenerationOptions()
        options.greedy = greedy || temperature == 0
        options.maxTokens = maxTokens
        options.seed = seed
        options.temperature = temperature
        options.topP = topP
        options.topK = topK
        options.minP = minP
        options.stopStrings = stop.map { Array($0.utf8) }
        options.ignoreEnd = ignoreEnd
        options.topLogprobs = logprobs
        return options
    }
}
