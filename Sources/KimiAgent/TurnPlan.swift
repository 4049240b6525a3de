import KimiChat
import KimiCore
import KimiRuntime

/// What a request, its host's options and its mode add up to. Fixed when the request is read.
struct TurnPlan {
    let mode: ChatMode
    /// Whether answers begin with reasoning.
    let thinks: Bool
    /// Tools as the prompt declares them: the request's, then the host's.
    let declared: [ToolDeclaration]
    let hostTools: [HostTool]
    let generation: GenerationOptions
    let reasoningBudget: Int?
    let stepLimit: Int
    /// Whether the model opens its thought itself.
    let opensThought: Bool
    /// What is worth saying before the first step.
    let notices: [ChatEvent]
    private let choice: ChatRequest.ToolChoice
    private let parallelCalls: Bool
    private let enforces: Bool
    private let tools: [TurnConstraint.Tool]
    private let answer: Grammar?

    /// - Throws: `invalidArgument` naming the field.
    init(
        request: ChatRequest, options: ChatOptions, hostTools: [HostTool], format: ChatFormat, model: Model
    ) throws(KimiError) {
        mode = ChatFormat.mode(of: request, chosen: options.mode)
        // A model without thoughts has none in any mode.
        thinks = (options.mode?.thinks ?? request.thinks(otherwise: mode)) && format.renderer.layout.thinks
        self.hostTools = hostTools
        // A host's tool takes the place of one of the same name in the request.
        let names = Set(hostTools.map(\.declaration.name))
        declared = request.tools.filter { !names.contains($0.name) } + hostTools.map(\.declaration)
        choice = request.toolChoice
        if case .named(let name) = choice, !declared.contains(where: { $0.name == name }) {
            throw KimiError(
                .invalidArgument, "tool_choice names \"\(name.prefix(80))\", which is no declared tool",
                subject: "tool_choice.function.name")
        }
        if case .required = choice, declared.isEmpty {
            throw KimiError(.invalidArgument, "tool_choice is \"required\", but no tool is declared", subject: "tool_choice")
        }
        parallelCalls = request.parallelToolCalls
        enforces = options.constrain

        var generation = GenerationOptions()
        generation.temperature = options.temperature ?? request.temperature.map { Float($0) } ?? mode.temperature
        generation.topP = options.topP ?? request.topP.map { Float($0) } ?? mode.topP
        generation.topK = request.topK ?? 0
        generation.minP = Float(request.minP ?? 0)
        generation.presencePenalty = Float(request.presencePenalty ?? 0)
        generation.frequencyPenalty = Float(request.frequencyPenalty ?? 0)
        generation.repetitionPenalty = Float(request.repetitionPenalty ?? 1)
        generation.logitBias = request.logitBias.map { ($0.id, Float($0.bias)) }
        generation.seed = options.seed ?? request.seed
        generation.maxTokens = options.maxTokens ?? request.maxTokens
        generation.stopStrings = request.stop.map { Array($0.utf8) }
        try generation.validate(vocabulary: model.vocabularySize)
        self.generation = generation
        reasoningBudget = thinks ? options.reasoningBudget ?? request.reasoningBudget ?? mode.reasoningBudget : nil
        // A host with callbacks wants them called in every mode.
        let calledInLoop = hostTools.contains { $0.run != nil } ? ChatMode.agent.stepLimit : 1
        stepLimit = options.stepLimit ?? max(mode.stepLimit, calledInLoop)
        opensThought = thinks && format.renderer.layout == .k2Thinking

        var notices: [ChatEvent] = []
        func say(_ kind: ChatEvent.Notice, _ text: String) { notices.append(ChatEvent(notice: kind, text)) }
        for field in request.ignoredFields { say(.ignoredField, "the field \(field) is not known and was ignored") }
        if mode == .swarm, options.member == nil {
            say(.mode, "a request of one session has no sub-agents; the mode is that of one agent with \(stepLimit) steps")
        }
        if choice != .none {
            let enforces = enforces
            tools = declared.map { TurnConstraint.Tool(name: $0.name, arguments: enforces ? format.arguments(of: $0) : .anyObject) }
            for tool in tools {
                for missing in tool.arguments.degradations { say(.schema, "tool \(tool.name), \(missing.sentence)") }
            }
        } else {
            tools = []
        }
        answer = switch request.responseFormat {
        case .text: nil
        case .jsonObject: .anyObject
        case .jsonSchema(_, let schema, _): format.answer(of: schema)
        }
        if enforces, let answer { for missing in answer.degradations { say(.schema, "response_format, \(missing.sentence)") } }
        self.notices = notices
    }

    /// The names a call may have.
    var toolNames: [String] { declared.map(\.name) }

    /// What the answer of a step is held to. A tool that must be called is called in the first step; later ones are free.
    func constraint(step: Int, firstCall: Int) -> TurnConstraint.Options {
        var options = TurnConstraint.Options()
        options.enforces = enforces
        options.parallelCalls = parallelCalls
        options.answer = answer
        options.reasoningBudget = reasoningBudget
        options.firstCall = firstCall
        options.opensThought = opensThought
        switch choice {
        case .none: break
        case .auto: options.tools = tools
        case .required:
            options.tools = tools
            options.mustCall = step == 0
        case .named(let name):
            options.tools = step == 0 ? tools.filter { $0.name == name } : tools
            options.mustCall = step == 0
        }
        return options
    }
}
