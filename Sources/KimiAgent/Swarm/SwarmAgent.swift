import KimiChat
import KimiCore
import KimiModel
import KimiRuntime

/// An agent of a swarm: number 0 is the main one. All of it is touched with the swarm's lock held.
final class SwarmAgent: @unchecked Sendable {
    // Safe for that reason.
    let number: Int
    let name: String
    /// The agent that created it; nil: none did.
    var parent: Int? { number == 0 ? nil : 0 }
    let systemPrompt: String
    /// Its conversation, made with its first task.
    var chat: ChatSession?
    /// Signalled when what its thread waits for may have come.
    let changed = Monitor.Condition()
    /// Tasks to come, in the order of their assignment.
    var tasks: [SwarmTask] = []
    /// The task in hand, and its request once there is one.
    var task: SwarmTask?
    var run: ChatRun?
    /// Whether it has a thread, or is in line for one.
    var isActive = false
    var tasksAssigned = 0
    var counts: SwarmAccount.Agent
    var timeline: Timeline

    init(number: Int, name: String, systemPrompt: String) {
        (self.number, self.name, self.systemPrompt) = (number, name, systemPrompt)
        counts = SwarmAccount.Agent(name)
        timeline = Timeline(agent: number)
    }
}

/// A task of a sub-agent; of the main agent, its whole request. Touched with the swarm's lock held, but for its meter.
final class SwarmTask: @unchecked Sendable {
    // Safe for that reason.
    /// Lives as long as its swarm. It holds its task, and with the main agent's the model: a task must not hold it.
    unowned let agent: SwarmAgent
    /// From 1; 0: the main agent's request.
    let number: Int
    let prompt: String
    let meter: TokenMeter
    /// Where it stands in the account.
    let index: Int
    /// When its time is up; nil: never.
    var deadline: Int?
    /// Why it is to end; nil: it is not.
    var stop: SwarmOutcome?
    /// What the main agent gets, once it is over.
    var answer: ToolAnswer?

    init(agent: SwarmAgent, number: Int, prompt: String, meter: TokenMeter, index: Int) {
        (self.agent, self.number, self.prompt, self.meter, self.index) = (agent, number, prompt, meter, index)
    }
}

/// What an agent does with its time: one thing after another, within steps.
struct Timeline {
    private let agent: Int
    private(set) var spans: [SwarmAccount.Span] = []
    private var open: (kind: SwarmAccount.Span.Kind, start: Int)?
    private var step: (number: Int, start: Int)?
    /// What it does now.
    var kind: SwarmAccount.Span.Kind? { open?.kind }

    init(agent: Int) { self.agent = agent }

    /// From `now` it does something else; nil: nothing that counts.
    mutating func turn(to kind: SwarmAccount.Span.Kind?, _ now: Int) {
        if let open, now > open.start { add(open.kind, open.start, now) }
        open = kind.map { ($0, now) }
    }

    /// A step begins, with its prompt.
    mutating func begin(step number: Int, _ now: Int) {
        endStep(now)
        step = (number, now)
        open = (.prompt, now)
    }

    /// The step in hand and all in it end.
    mutating func endStep(_ now: Int) {
        turn(to: nil, now)
        if let step { add(.step, step.start, now) }
        step = nil
    }

    private mutating func add(_ kind: SwarmAccount.Span.Kind, _ start: Int, _ end: Int) {
        spans.append(SwarmAccount.Span(agent: agent, kind: kind, step: step?.number, start: start, end: end))
    }
}
