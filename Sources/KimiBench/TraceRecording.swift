import KimiCore
import KimiModel
import KimiRuntime

extension ExpertTrace {
    /// The trace of a model that reads a prompt and goes on by itself, at temperature 1, so that it does not turn in a circle.
    ///
    /// The prompt's uses fill the slots; those of the tokens that follow count.
    ///
    /// - Parameters:
    ///   - model: no step of it has run yet.
    ///   - tokens: how many follow.
    /// - Throws: `unsupported` if the checkpoint has no experts, or what a step throws.
    package static func recorded(
        _ model: Model, prompt: [Int32], tokens: Int, seed: UInt64, cancellation: Cancellation, progress: () throws -> Void
    ) throws -> ExpertTrace {
        let text = model.text
        let places = text.expertLayers
        guard let last = places.last else { throw KimiError(.unsupported, "this checkpoint has no layer with experts") }
        let config = text.config
        let recording = Recording(ExpertTrace(
            name: "model", layers: places.count, experts: config.expertCount, perToken: config.expertsPerToken))
        text.layerObserver = { layer, _, choices in
            guard places.contains(layer) else { return }
            recording.layers.append(Array(choices.experts))
            guard layer == last else { return }
            recording.trace.add(tokens: choices.experts.count / max(config.expertsPerToken, 1), choices: recording.layers)
            recording.layers = []
        }
        defer { text.layerObserver = nil }
        let session = try Session(model: model)
        var options = GenerationOptions()
        options.seed = max(seed, 1)
        options.maxTokens = tokens
        var loop = try TokenLoop(session: session, prompt: prompt, options: options)
        while true {
            try cancellation.check()
            let event = try session.call { () throws(KimiError) in try loop.next() }
            switch event {
            case .prompt:
                recording.trace.counted = recording.trace.steps.count
            case .token(let token):
                loop.count(token.id)
            case .limit:
                return recording.trace
            }
            try progress()
        }
    }

    /// What the observer fills; under the step lock.
    private final class Recording {
        var trace: ExpertTrace
        var layers: [[Int32]] = []

        init(_ trace: ExpertTrace) { self.trace = trace }
    }
}
