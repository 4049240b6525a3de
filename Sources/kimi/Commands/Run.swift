import ArgumentParser
import KimiAgent
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

            With --image or --video the prompt is a question about what they show, and is put into the model's chat format: \
            pictures first, then clips, then the text. Pictures are PNG, JPEG, WebP or GIF; clips MP4, MOV, WebM, MKV or GIF, of \
            which two frames a second are looked at. The model answers at once, unless --mode lets it think before.

            Examples:
              kimi run /models/Kimi-K2.5 "The capital of France is" --max-tokens 16 --greedy
              kimi run /models/Kimi-K2.5 - --temperature 0.6 --top-p 0.95 --stats < prompt.txt
              kimi run /models/Kimi-K2.5 --special --stop "<|im_user|>" \\
                "<|im_user|>user<|im_middle|>Hi<|im_end|><|im_assistant|>assistant<|im_middle|><think></think>"
              kimi run /models/Kimi-K2.5 --image chart.png "Which year was the best?"
              kimi run /models/Kimi-K2.5 --image before.png --image after.png --mode thinking "What has changed?"
              kimi run /models/Kimi-K2.5 --video recording.mp4 "Write the steps down."
            """)

    @Option(help: ArgumentHelp("End after so many tokens.", valueName: "n"))
    var maxTokens = 256

    @Option(help: "0 to 100: higher is more varied; 0 is --greedy. (default: 1; with pictures the mode's)")
    var temperature: Float?

    @Option(help: "Choose among the most likely tokens that together have this probability, 0 to 1. (default: 1; with pictures 0.95)")
    var topP: Float?

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

    @Option(help: ArgumentHelp("Show the model this picture; may be given several times.", valueName: "file"))
    var image: [String] = []

    @Option(help: ArgumentHelp("Show the model this clip; may be given several times.", valueName: "file"))
    var video: [String] = []

    @Option(help: ArgumentHelp("With pictures or clips: instant or thinking.", valueName: "mode"))
    var mode: Chat.Mode?

    @OptionGroup(title: "For later runs")
    var files: RunFiles

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
        if image.isEmpty && video.isEmpty {
            if mode != nil { throw ValidationError("--mode belongs to --image and --video; kimi chat has it for conversations") }
        } else {
            for (isGiven, name) in [
                (ids, "--ids"), (special, "--special"), (logprobs != nil, "--logprobs"), (topK != 0, "--top-k"), (minP != 0, "--min-p"),
                (ignoreEnd, "--ignore-end"), (!stop.isEmpty, "--stop"),
            ] where isGiven { throw ValidationError("\(name) is for texts that are continued, not for questions about pictures") }
        }
        if ids && special { throw ValidationError("--special is for text; --ids takes ids, special ones too") }
    }

    func execute() throws {
        let interrupt = Interrupt()
        let text = try InputText.bytes(prompt, what: "prompt")
        let model = try machine.open(folder, interrupt)
        try files.begin(model)
        guard image.isEmpty && video.isEmpty else { return try ask(model, String(decoding: text, as: UTF8.self), interrupt) }
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
        try files.end(model)
        if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
    }

    /// A question about pictures and clips.
    private func ask(_ model: Model, _ text: String, _ interrupt: Interrupt) throws {
        let request = try MediaQuestion(images: image, videos: video, text: text).request()
        let chat = ChatSession(try Session(model: model, contextLimit: machine.context))
        interrupt.onRequest { chat.session.cancellation.request() }
        var options = ChatOptions()
        options.mode = (mode ?? .instant).mode
        options.maxTokens = maxTokens
        options.seed = seed
        options.temperature = greedy ? 0 : temperature
        options.topP = topP
        options.stepLimit = 1
        options.allowsFiles = true
        var answer = MediaAnswer(streams: !json)
        let before = model.text.storeReport
        let begin = monotonicSeconds()
        defer { answer.endLine() }
        do {
            try answer.take(chat, request, options, interrupt)
        } catch {
            throw Self.failure(error)
        }
        let experts = before.flatMap { model.text.storeReport?.since($0) }
        let statistics = RunStatistics(model, try chat.session.snapshot(), experts: experts, seconds: monotonicSeconds() - begin)
        if json { Terminal.output.write(answer.json(statistics) + "\n") }
        if stats { statistics.table(finish: answer.finish).print(to: .error) }
        try files.end(model)
        if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
    }

    /// With what may be shown, if the error is about that.
    private static func failure(_ error: KimiError) -> any Error {
        guard error.subject?.contains("_url") == true else { return error }
        return Failure(
            Failure(error).message,
            next: "--image takes a PNG, JPEG, WebP or GIF, --video an MP4, MOV, WebM, MKV or GIF, which must be on this machine.")
    }

    private func options() -> GenerationOptions {
        var options = GenerationOptions()
        options.greedy = greedy || temperature == 0
        options.maxTokens = maxTokens
        options.seed = seed
        options.temperature = temperature ?? 1
        options.topP = topP ?? 1
        options.topK = topK
        options.minP = minP
        options.stopStrings = stop.map { Array($0.utf8) }
        options.ignoreEnd = ignoreEnd
        options.topLogprobs = logprobs
        return options
    }
}
