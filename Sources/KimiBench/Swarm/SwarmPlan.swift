import KimiAgent
import KimiCore

/// What the agents of a measured swarm do: a script for each step of each of them, with the steps counted by hand.
package struct SwarmPlan: Sendable {
    /// The forms in which work may be spread.
    package enum Shape: String, CaseIterable, Sendable {
        /// All agents get one task each, at once.
        case wide
        /// A quarter of the agents after another.
        case staged
        /// All at once, with tasks of 1, 2, 4 and 8 steps in turn.
        case uneven
        /// All at once; each calls a tool that takes its time, and answers.
        case tools
    }

    package static let agentRange = 1...1000
    /// Tokens of a task.
    package static let tokenRange = 8...100_000
    /// Tools that the plans call: one that takes its time, and one that answers at once.
    static let (wait, note) = ("wait", "note")
    private static let mostStages = 4
    /// Tokens of an answer that are no thought, at most.
    private static let mostSaid = 16
    private static let unevenSteps = [1, 2, 4, 8]

    package let shape: Shape
    package let agents: Int
    /// By the agent's number from 0: the stage of its task from 0, and what it answers step after step.
    let stage: [Int]
    let answers: [[ScriptedAnswer]]
    let main: [ScriptedAnswer]

    /// - Parameters:
    ///   - agents: within `agentRange`.
    ///   - tokens: of a task, in all its steps; the texts have so many in the vocabulary that the words are from.
    ///   - label: stands in what agents are told, so that their tasks are not at hand from a run with another; short, for the main
    ///     agent has to write it once for each.
    package init(_ shape: Shape, agents: Int, tokens: Int, label: String, words: SwarmWords) {
        (self.shape, self.agents) = (shape, agents)
        let names = (1...max(1, agents)).map { "a\($0)" }
        let stages = shape == .staged ? min(Self.mostStages, agents) : 1
        stage = names.indices.map { $0 * stages / names.count }
        answers = names.indices.map { index in
            // Nearly all of it is thought: what an agent finds is short beside what it took, and the main agent reads that only.
            func answer(_ step: Int, of tokens: Int, calls: [ScriptedAnswer.Call] = []) -> ScriptedAnswer {
                let said = min(tokens / 2, Self.mostSaid)
                let text = { words.text(tokens: $0, seed: index * 16 + step) }
                return ScriptedAnswer(text(said), reasoning: text(tokens - said), calls: calls)
            }
            func call(_ tool: String) -> ScriptedAnswer.Call { ScriptedAnswer.Call(tool, "{}") }
            switch shape {
            case .wide, .staged: return [answer(0, of: tokens)]
            case .uneven:
                // A quarter of the tokens a step, so that a task has as many on the mean.
                let steps = Self.unevenSteps[index % Self.unevenSteps.count]
                return (0..<steps).map { answer($0, of: tokens / 4, calls: $0 + 1 < steps ? [call(Self.note)] : []) }
            case .tools: return [answer(0, of: tokens / 2, calls: [call(Self.wait)]), answer(1, of: tokens / 2)]
            }
        }
        func object(_ first: (String, String), _ second: (String, String)) -> String {
            var json = JSONWriter()
            json.object { json in
                json.member(first.0, first.1)
                json.member(second.0, second.1)
            }
            return json.text
        }
        let create = names.map { ScriptedAnswer.Call("create_subagent", object(("name", $0), ("system_prompt", ""))) }
        let stage = stage
        let assign = (0..<stages).map { number in
            ScriptedAnswer(calls: zip(names, stage).filter { $0.1 == number }.map { name, _ in
                ScriptedAnswer.Call("assign_task", object(("agent", name), ("prompt", label + name)))
            })
        }
        main = ([ScriptedAnswer(calls: create)] + assign + [ScriptedAnswer("The end.")]).map {
            // Written token by token, 2 calls for each agent would take longer than all that the agents do.
            var answer = $0
            answer.isGiven = true
            return answer
        }
    }

    /// - Parameters:
    ///   - task: 0: the main agent's request.
    ///   - step: from 0.
    func answer(_ agent: String, _ task: Int, _ step: Int) -> ScriptedAnswer? {
        let steps: [ScriptedAnswer]
        if task == 0 {
            steps = main
        } else {
            guard let number = Int(agent.dropFirst()), answers.indices.contains(number - 1) else { return nil }
            steps = answers[number - 1]
        }
        return steps.indices.contains(step) ? steps[step] : nil
    }

    /// Steps that have to wait for each other: the main agent's, and in each stage those of the longest task.
    package var criticalSteps: Int {
        let longest = Dictionary(grouping: zip(stage, answers), by: \.0).values.map { $0.map(\.1.count).max() ?? 0 }
        return main.count + longest.reduce(0, +)
    }

    package var totalSteps: Int { main.count + answers.reduce(0) { $0 + $1.count } }
    package var stages: Int { Set(stage).count }
    /// The tools that its steps call.
    package var tools: Set<String> { Set(answers.joined().flatMap { $0.calls.map(\.name) }) }
    /// Calls of the tool that takes its time.
    package var waits: Int { answers.joined().reduce(0) { $0 + $1.calls.count { $0.name == Self.wait } } }
}
